/* no_runner.c - what Check's assertions call, for programs that are no suite: the tests' builders
 * assert with Check, whose library only works inside its runner. A failure ends the process.
 */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#undef _ck_assert_failed

void _ck_assert_failed(const char *file, int line, const char *expr, const char *msg, ...)
{
    fprintf(stderr, "%s:%d: %s", file, line, expr);
    if (msg != NULL) {
        va_list args;
        va_start(args, msg);
        fputs(": ", stderr);
        vfprintf(stderr, msg, args);
        va_end(args);
    }
    fputc('\n', stderr);
    abort();
}

void _mark_point(const char *file, int line)
{
    (void)file;
    (void)line;
}
