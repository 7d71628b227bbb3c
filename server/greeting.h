/* greeting.h - the log's lines when the service is ready: what it serves, with what, and one
 * command to try it.
 *
 * Loop thread, once. Each fact stands in one line.
 */
#pragma once

#include "base/cpu.h"
#include "engine/engine.h"
#include "model/model.h"
#include "text/tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>

struct greeting {
    const struct model *model;
    const struct tokenizer *tokenizer;
    const struct engine_plan *plan;
    const struct cpu *cpu;
    const char *kernels;   /* "avx512" */
    const char *url;       /* "http://127.0.0.1:8080" */
    const char *unix_path; /* NULL: listens on url */
    bool needs_key;
    double seconds; /* since the start */
};

void greeting_log(const struct greeting *g);

/* "curl -N ... http://127.0.0.1:8080/generate": works as it stands from this machine, but for the
 * key. */
enum { GREETING_COMMAND_MAX = 1024 };
void greeting_command(const struct greeting *g, char out[GREETING_COMMAND_MAX]);
