/* fail.c - one line on standard error, and the exit code that goes with it. No state. */
#include "cli/fail.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_usage(const char *param)
{
    size_t n = strspn(param, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return strncmp(param, "--", 2) == 0 || (n > 0 && param[n] == '\0');
}

int verb_code(const struct error *err)
{
    return is_usage(err->param) ? EXIT_USAGE : EXIT_FAILED;
}

int verb_fail(const struct error *err)
{
    fprintf(stderr, "smallmind: %s\n", err->text);
    return verb_code(err);
}
