/* usage.c - which options do not go together. No state. */
#include "cli/usage.h"

#include <stddef.h>

enum status usage_refuse(const struct settings *settings, const char *because,
                         const char *const *names, struct error *err)
{
    for (; *names != NULL; names++)
        if (settings_is_flag(settings, *names))
            return error_set_param(err, STATUS_INVALID, because, "--%s has no effect with %s",
                                   *names, because);
    return STATUS_OK;
}

enum status usage_compare(const struct settings *settings, struct error *err)
{
    static const char *const of_runs[] = {
        "html",    "trace",   "sizes",     "sessions",    "tokens",      "prompt", "batch",
        "quick",   "cells",   "model",     "cpu",         "context",     "seed",   "threads",
        "workers", "kv-type", "kv-memory", "step-tokens", "temperature", NULL};
    if (settings->arguments[1] == NULL)
        return error_set_param(err, STATUS_INVALID, "--compare",
                               "--compare needs two reports: A.json B.json");
    return usage_refuse(settings, "--compare", of_runs, err);
}
