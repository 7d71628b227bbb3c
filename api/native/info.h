/* info.h - what GET /info and GET /health say.
 *
 * Plain structs in, JSON into the caller's memory; the names of the fields live here alone. Pure;
 * loop thread. Knows nothing of settings or sockets: the server copies what it chose.
 */
#pragma once

#include "base/cpu.h"
#include "engine/engine.h"
#include "model/model.h"
#include "text/tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct info_limits { /* 0: what the context allows, for the two of tokens; no bound, for the wait */
    size_t max_connections, max_header_bytes, max_body_bytes, max_json_depth, max_json_nodes;
    size_t max_choices, max_inputs;
    size_t max_prompt_tokens, max_output_tokens;
    size_t max_queue, max_batch, step_tokens;
    uint64_t max_wait_seconds;
};

struct info { /* everything borrowed */
    const char *version;
    const char *kernels;                        /* "avx2" */
    const char *kv_type;                        /* "f16" */
    const char *model_print, *arithmetic_print; /* fingerprints; "": not known yet */
    bool prefix_cache;
    const struct cpu *cpu;
    const char *const *names; /* [n_names]: of the model, the first in answers */
    size_t n_names;
    const struct model *model;
    const struct tokenizer *tokenizer;
    const struct engine_plan *plan;
    unsigned n_threads; /* now */
    const char *threads_why;
    const struct cpu *allowed; /* what the process may use now: its processors and memory */
    const struct cgroup *group;
    enum pooling pooling;       /* how texts become vectors */
    const char *template_fault; /* why chats cannot be rendered; NULL: they can */
    struct info_limits limits;
};

enum { INFO_ROOM = 16384 }; /* always enough for either */

size_t info_write(const struct info *info, char *out, size_t room);

enum health {
    HEALTH_OK,
    HEALTH_LOADING,
    HEALTH_LEAVING, /* takes new work still, but asks for none */
    HEALTH_DRAINING,
    HEALTH_STALLED
};
/* "ok", "loading", "draining" (leaving too: for a balancer they are one), "stalled" */
const char *health_name(enum health health);

struct health_report {
    enum health health;
    size_t running, queued, queue_limit;
    double uptime_seconds;
};
size_t health_write(const struct health_report *report, char *out, size_t room);
