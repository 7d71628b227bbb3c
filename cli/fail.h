/* fail.h - how a verb ends: its exit codes, and the one way to say what went wrong.
 *
 * Any verb, main thread. Knows no verb.
 */
#pragma once

#include "base/error.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

/* Writes "smallmind: TEXT" to standard error and returns the exit code: EXIT_USAGE when an option
 * or an argument is at fault (its param begins with two hyphens, or is an argument's name in
 * capitals: TYPE), else EXIT_FAILED. */
int verb_fail(const struct error *err);
/* The exit code alone. */
int verb_code(const struct error *err);
