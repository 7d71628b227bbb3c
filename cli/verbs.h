/* verbs.h - the subcommands: one function each, called by main with the resolved settings.
 *
 * Each returns the process's exit code: 0 done, 1 failed, 2 wrong usage (an option whose value this
 * machine or this model cannot honour). They print; everything below them returns errors.
 */
#pragma once

#include "base/error.h"
#include "config/settings.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

int verb_serve(const struct settings *settings, const char *notes); /* notes: lines for the log */
int verb_generate(const struct settings *settings);
int verb_inspect(const struct settings *settings);
int verb_tokenize(const struct settings *settings);
int verb_detokenize(const struct settings *settings);
int verb_perplexity(const struct settings *settings);
int verb_quantize(const struct settings *settings);
int verb_profile(const struct settings *settings);
int verb_bench(const struct settings *settings);

/* Writes "smallmind: TEXT" to standard error and returns the exit code: EXIT_USAGE when an option
 * is at fault (its param begins with two hyphens), else EXIT_FAILED. */
int verb_fail(const struct error *err);
