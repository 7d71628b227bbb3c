/* render.c - POST /v1/completions/render and /v1/chat/completions/render: the tokens of the prompt
 * that a request would be computed with, by the names that vLLM gives them. Routers ask for them to
 * know which replica has a prompt's beginning. Decoding as of the routes without /render, on any
 * thread; nothing is generated. */
#include "api/openai/openai.h"

#include "api/json/error_body.h"
#include "api/json/json.h"

static enum status decode_completion(struct generation *g, const struct generation_source *source,
                                     struct error *err)
{
    return openai_completions.decode(g, source, err);
}

static enum status decode_chat(struct generation *g, const struct generation_source *source,
                               struct error *err)
{
    return openai_chat.decode(g, source, err);
}

/* The job of a prompt's first answer; its others have the same prompt. */
static const struct job *job_of(const struct generation *g, size_t prompt)
{
    return g->choices[prompt * (g->n_choices / g->n_prompts)].job;
}

static size_t bound(const struct generation *g)
{
    size_t n = 16;
    for (size_t i = 0; i < g->n_prompts; i++)
        n += 32 + 12 * job_of(g, i)->n_prompt;
    return n;
}

static void put_prompt(struct json_writer *w, const struct job *job)
{
    json_raw(w, "{\"token_ids\":[");
    for (size_t i = 0; i < job->n_prompt; i++) {
        json_raw(w, i > 0 ? "," : "");
        json_int(w, job->prompt[i]);
    }
    json_raw(w, "]}");
}

static size_t write_prompts(const struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    for (size_t i = 0; i < g->n_prompts; i++) {
        json_raw(&w, i > 0 ? "," : "[");
        put_prompt(&w, job_of(g, i));
    }
    json_raw(&w, "]\n");
    return w.full ? 0 : w.n;
}

static size_t write_chat(const struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    put_prompt(&w, job_of(g, 0));
    json_raw(&w, "\n");
    return w.full ? 0 : w.n;
}

const struct dialect openai_render_completions = {.name = "openai completions render",
                                                  .fields = &openai_completion_fields,
                                                  .decode = decode_completion,
                                                  .whole_bound = bound,
                                                  .whole = write_prompts,
                                                  .error = json_error};
const struct dialect openai_render_chat = {.name = "openai chat render",
                                           .fields = &openai_chat_fields,
                                           .on_pool = true,
                                           .decode = decode_chat,
                                           .whole_bound = bound,
                                           .whole = write_chat,
                                           .error = json_error};
