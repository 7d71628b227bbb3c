/* error.c - formats errors. Whatever a message quotes (a file's key, a client's field) leaves here
 * as one line of valid UTF-8. No state; any thread. */
#include "base/error.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void error_fill(struct error *err, enum status status, const char *param, const char *format, ...)
{
    if (err == NULL)
        return;
    /* The arguments may lie in *err itself, so it is written last. */
    char text[2 * sizeof err->text], name[2 * sizeof err->param];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(name, sizeof name, "%s", param);
    err->status = status;
    err->have = err->most = 0;
    utf8_printable(err->param, sizeof err->param, name, strlen(name));
    utf8_printable(err->text, sizeof err->text, text, strlen(text));
}

void error_fill_errno(struct error *err, int number, const char *format, ...)
{
    char what[2 * sizeof err->text], reason[128];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    /* The GNU form: it may return a static text instead of filling the buffer. */
    error_fill(err, STATUS_IO, "", "%s: %s", what, strerror_r(number, reason, sizeof reason));
}
