/* whole.c - finished generations as JSON: an object, or a list of them where there are several
 * answers; and errors. Loop thread; allocates nothing. */
#include "api/llama/parts.h"

#include <string.h>

size_t llama_whole_bound(const struct generation *g)
{
    size_t bound = 8;
    for (size_t i = 0; i < g->n_choices; i++) {
        const struct job *job = g->choices[i].job;
        bound += llama_answer_bound(g, i) + json_string_bound(job->n_text);
        if (job->n_logprobs >= 0)
            bound += job->n_tokens * llama_token_bound(g, job);
    }
    return bound;
}

size_t llama_whole(const struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    bool several = g->n_choices > 1;
    const struct generation_mark from = {0};
    json_raw(&w, several ? "[" : "");
    for (size_t i = 0; i < g->n_choices; i++) {
        json_raw(&w, i > 0 ? "," : "");
        llama_put_answer(&w, g, i, &from);
    }
    json_raw(&w, several ? "]\n" : "\n");
    return w.full ? 0 : w.n;
}

/* The names that this API has for kinds of errors. */
static const char *type_of(const struct api_error *what)
{
    if (strcmp(what->code, "context_length_exceeded") == 0)
        return "exceed_context_size_error";
    switch (what->http) {
    case 404:
        return "not_found_error";
    case 501:
        return "not_supported_error";
    case 503:
        return "unavailable_error";
    default:
        return what->type;
    }
}

void llama_put_error(struct json_writer *w, const struct api_error *what, const char *message,
                     size_t n_message, const char *param)
{
    json_name_uint(w, "{\"error\":{", "code", what->http);
    json_raw(w, ",\"message\":");
    json_string(w, message, n_message);
    json_name_text(w, ",", "type", type_of(what));
    if (param != NULL && param[0] != '\0')
        json_name_text(w, ",", "param", param);
    if (what->most > 0) {
        json_name_uint(w, ",", "n_prompt_tokens", what->have);
        json_name_uint(w, ",", "n_ctx", what->most);
    }
    json_raw(w, "}}");
}
