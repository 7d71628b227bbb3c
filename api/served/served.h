/* served.h - what is served, in plain values: for the routes on which other programs' clients and
 * routers ask about models and load. Filled by the server for one answer; everything borrowed.
 */
#pragma once

#include "engine/options.h"
#include "model/model.h"
#include "text/tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct served {
    const char *const *names; /* [n_names], the first is the model's, the others its aliases */
    size_t n_names;
    const char *path; /* of the model's file, or "builtin" */
    uint64_t created; /* Unix seconds: when it was loaded */
    const struct model *model;
    const struct tokenizer *tokenizer;
    const struct engine_plan *plan;
    const char *template;     /* NULL: the model has none */
    bool chats;               /* conversations can be rendered */
    enum pooling pooling;     /* how texts become vectors */
    size_t max_prompt_tokens; /* 0: what the context allows */
    size_t max_queue, max_running;
    size_t running, queued, used_pages;
    bool prefix_cache;
    double cache_hits;        /* 0..1: of the prompts' tokens so far */
    double tokens_per_second; /* generated, of late */
    uint64_t now;             /* Unix seconds */
};

/* GET /model_info, /server_info, /v1/loads, /get_load, /version (and their other names): the bound
 * of each, and the bodies (0: no room). */
size_t served_bound(const struct served *served);
size_t served_model_info(const struct served *served, char *out, size_t room);
size_t served_server_info(const struct served *served, char *out, size_t room);
size_t served_loads(const struct served *served, char *out, size_t room);
size_t served_load(const struct served *served, char *out, size_t room);
size_t served_version(const struct served *served, char *out, size_t room);
