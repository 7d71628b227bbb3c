/* whole.c - a finished answer as one JSON object, in Ollama's shape. Loop thread; allocates
 * nothing.
 */
#include "api/ollama/parts.h"

size_t ollama_whole_bound(const struct generation *g)
{
    size_t bound = ollama_head_bound(g) + OLLAMA_ENDING_BOUND + 128;
    for (size_t i = 0; i < g->n_choices; i++) {
        const struct job *job = g->choices[i].job;
        bound += 2 * json_string_bound(job->n_text);
        if (g->tools != NULL)
            bound += ollama_told_bound(g);
        if (job->n_logprobs >= 0)
            bound += job->n_tokens * ollama_token_bound(g, job);
    }
    return bound;
}

size_t ollama_whole(const struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    ollama_put_head(&w, g);
    if (g->n_choices == 0) { /* it asked whether the model is there */
        ollama_put_text(&w, g, &(struct ollama_text){.bytes = NULL});
        json_raw(&w, ",\"done\":true,\"done_reason\":\"load\"");
    } else {
        const struct job *job = g->choices[0].job;
        struct reasoning r = g->choices[0].reasoning;
        reasoning_advance(&r, job->text, job->n_text, true);
        if (g->tools != NULL)
            ollama_put_told(&w, g);
        else
            ollama_put_text(&w, g,
                            &(struct ollama_text){.bytes = job->text,
                                                  .thought = {r.thought[0], r.thought[1]},
                                                  .answer = {r.answer[0], r.answer[1]}});
        ollama_put_logprobs(&w, g, job, 0, job->n_tokens);
        ollama_put_ending(&w, g, job);
    }
    json_raw(&w, "}\n");
    return w.full ? 0 : w.n;
}
