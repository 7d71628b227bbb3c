/* verbs.h - the subcommands: one function each, called by main with the resolved settings.
 *
 * Each returns the process's exit code (fail.h): 0 done, 1 failed, 2 wrong usage (an option whose
 * value this machine or this model cannot honour). They print; everything below them returns
 * errors. A verb includes this header for its own prototype and calls no other verb.
 */
#pragma once

#include "cli/fail.h"
#include "config/settings.h"

int verb_serve(struct settings *settings, const char *notes); /* notes: lines for the log */
int verb_generate(const struct settings *settings);
int verb_chat(const struct settings *settings);
int verb_inspect(const struct settings *settings);
int verb_tokenize(const struct settings *settings);
int verb_detokenize(const struct settings *settings);
int verb_perplexity(const struct settings *settings);
int verb_quantize(const struct settings *settings);
int verb_profile(const struct settings *settings);
int verb_bench(const struct settings *settings);
int verb_pull(const struct settings *settings);
int verb_list(const struct settings *settings);
int verb_rm(const struct settings *settings);
int verb_check(const struct settings *settings);
