/* error.c - formats errors. Whatever a message quotes (a file's key, a client's field) leaves here
 * as one line of valid UTF-8. No state; any thread. */
#include "base/error.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Copies text (NUL-terminated) into out[room]: whole characters only, what cannot be shown becomes
 * '?'. */
static void copy_printable(char *out, size_t room, const char *text)
{
    size_t n = strlen(text), n_out = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t length = utf8_decode(text + i, n - i, &cp);
        bool shown =
            length != 0 && cp >= 0x20 && (cp < 0x7f || cp > 0x9f) && cp != 0x2028 && cp != 0x2029;
        size_t n_new = shown ? length : 1;
        if (n_out + n_new >= room)
            break;
        if (shown)
            memcpy(out + n_out, text + i, length);
        else
            out[n_out] = '?';
        n_out += n_new;
        i += length != 0 ? length : 1;
    }
    out[n_out] = '\0';
}

__attribute__((format(printf, 4, 0))) static void
fill(struct error *err, enum status status, const char *param, const char *format, va_list args)
{
    if (err == NULL)
        return;
    /* The arguments may lie in *err itself, so it is written last. */
    char text[2 * sizeof err->text], name[2 * sizeof err->param];
    vsnprintf(text, sizeof text, format, args);
    snprintf(name, sizeof name, "%s", param);
    err->status = status;
    copy_printable(err->param, sizeof err->param, name);
    copy_printable(err->text, sizeof err->text, text);
}

enum status error_set(struct error *err, enum status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, status, "", format, args);
    va_end(args);
    return status;
}

enum status error_set_param(struct error *err, enum status status, const char *param,
                            const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, status, param, format, args);
    va_end(args);
    return status;
}

enum status error_no_memory(struct error *err, unsigned long long bytes, const char *what)
{
    return error_set(err, STATUS_NO_MEMORY, "out of memory: %llu bytes for %s", bytes, what);
}

enum status error_errno(struct error *err, int number, const char *format, ...)
{
    char what[2 * sizeof err->text], reason[128];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    /* The GNU form: it may return a static text instead of filling the buffer. */
    return error_set(err, STATUS_IO, "%s: %s", what, strerror_r(number, reason, sizeof reason));
}
