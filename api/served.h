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
    const char *template;                        /* NULL: the model has none */
    bool chats;                                  /* conversations can be rendered */
    size_t max_prompt_tokens, max_output_tokens; /* 0: what the context allows */
    size_t max_queue, max_choices;
    size_t max_batch; /* sequences in a step of one worker */
    size_t running, queued, used_pages;
    double tokens_per_second;
};
