/* openai.h - OpenAI's API: its rows of the dialect table, and its list of models.
 *
 * POST /v1/completions and POST /v1/chat/completions, with the fields that vLLM and llama.cpp's
 * server add to them. Unknown fields are let be, since clients and routers add their own; a known
 * one that cannot be honoured is refused by name. Decoders on any thread, writers on the loop
 * thread; errors as in api/native/native.h. Knows nothing of sockets.
 */
#pragma once

#include "api/asked/asked.h"
#include "api/dialect.h"
#include "api/json/fields.h"
#include "model/model.h"

#include <stddef.h>
#include <stdint.h>

extern const struct dialect openai_completions, openai_chat;
/* The tokens of their prompts, as vLLM says them: render.c. */
extern const struct dialect openai_render_completions, openai_render_chat;
extern const struct field_table openai_completion_fields, openai_chat_fields;

/* --- for rows of other servers that speak this API and add to it --- */

struct openai_more {     /* such a row's generations have wishes that begin with it */
    bool null_content;   /* the first delta's content is null instead of empty */
    bool tells_progress; /* jobs whose progress is told have chunks of it */
    /* Members after all others of a chunk as of the mark (which may be progress alone), or, where
     * it is NULL, of an answer that is finished. At most bound bytes. */
    void (*put)(struct json_writer *w, const struct generation *g, size_t i,
                const struct generation_mark *to);
    size_t (*bound)(const struct generation *g);
};
/* A chat's body by the row's table, and its messages as jobs. */
enum status openai_read_chat(struct asking *a, const struct field_table *table,
                             struct generation *g, const struct generation_source *source,
                             struct error *err);
/* Its tools, and whether its messages are right about theirs. */
enum status openai_read_tools(struct asking *a, struct error *err);
enum status openai_add_messages(struct asking *a, struct generation *g, struct error *err);
enum answer_form openai_form(const struct generation *g, const char *accept);
size_t openai_whole_bound(const struct generation *g);
size_t openai_whole(const struct generation *g, char *out, size_t room);
size_t openai_event_min(const struct generation *g);
size_t openai_event(struct generation *g, char *out, size_t room);

struct model_card {           /* what /v1/models says; borrowed */
    const char *const *names; /* [n_names], the first is the model's, the others its aliases */
    size_t n_names;
    uint64_t created; /* Unix seconds: when it was loaded */
    const struct model *model;
    size_t n_vocab;
};
enum { MODELS_ROOM = 24576 }; /* each name may be escaped, twice */
/* The list of one model, or the model alone (GET /v1/models/{id}). 0: no room. */
size_t openai_models(const struct model_card *card, char *out, size_t room);
size_t openai_model(const struct model_card *card, char *out, size_t room);
