/* proc_file.c - reads small files and the numbers in them. No state. */
#include "base/proc_file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_ROOM = 4608 };

bool proc_read(char *out, size_t room, const char *format, ...)
{
    char path[PATH_ROOM];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(path, sizeof path, format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof path)
        return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t n = 0;
    while (n < room - 1) {
        ssize_t got = read(fd, out + n, room - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    close(fd);
    out[n] = '\0';
    return n > 0;
}

bool proc_number(const char *text, uint64_t *out, const char **rest)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    *out = value;
    if (rest != NULL)
        *rest = end;
    return true;
}

bool proc_field(const char *text, const char *key, uint64_t *out)
{
    const size_t n_key = strlen(key);
    for (const char *line = text; line != NULL;) {
        if (strncmp(line, key, n_key) == 0 && line[n_key] == ' ')
            return proc_number(line + n_key + 1, out, NULL);
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return false;
}
