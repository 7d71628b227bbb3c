/* parts.c - tokens, details and errors in Text Generation Inference's shapes, and the answer in one
 * piece. Loop thread; allocates nothing. */
#include "api/tgi/parts.h"

#include <string.h>

const struct tgi_wishes *tgi_wishes_of(const struct generation *g)
{
    return g->wishes;
}

void tgi_put_token(struct json_writer *w, const struct generation *g, int32_t id, const char *text,
                   size_t n_text, const float *logprob)
{
    json_name_uint(w, "{", "id", (uint64_t)id);
    json_raw(w, ",\"text\":");
    json_string(w, text, n_text);
    json_raw(w, ",\"logprob\":");
    if (logprob != NULL)
        json_float(w, *logprob);
    else
        json_raw(w, "null");
    json_name_bool(w, ",", "special", tokenizer_is_control(g->tokenizer, id));
    json_raw(w, "}");
}

const float *tgi_end_logprob(const struct job *job)
{
    bool known = job->logprobs != NULL && job->n_logprobs >= 0 && job->n_tokens < job->max_tokens;
    return known ? &job->logprobs[job->n_tokens].logprob : NULL;
}

static void put_piece(struct json_writer *w, const struct generation *g, int32_t id,
                      const float *logprob)
{
    struct gguf_string piece = tokenizer_piece(g->tokenizer, id, true);
    tgi_put_token(w, g, id, piece.bytes, piece.n, logprob);
}

void tgi_put_top(struct json_writer *w, const struct generation *g,
                 const struct logprob_record *record)
{
    json_raw(w, "[");
    for (size_t k = 0; k < record->n_top; k++) {
        json_raw(w, k > 0 ? "," : "");
        put_piece(w, g, record->top[k].id, &record->top[k].logprob);
    }
    json_raw(w, "]");
}

static const char *finish_of(const struct job *job)
{
    if (job->finish != FINISH_STOP)
        return "length";
    return job->stop_index >= 0 ? "stop_sequence" : "eos_token";
}

void tgi_put_details(struct json_writer *w, const struct job *job)
{
    json_name_text(w, "{", "finish_reason", finish_of(job));
    json_name_uint(w, ",", "generated_tokens", job->n_completion);
    json_raw(w, ",\"seed\":");
    if (job->sampling.temperature > 0)
        json_uint(w, job->sampling.seed);
    else
        json_raw(w, "null");
}

void tgi_put_text(struct json_writer *w, const struct choice *choice)
{
    json_string2(w, choice->echo, choice->n_echo, choice->job->text, choice->job->n_text);
}

size_t tgi_text_bound(const struct choice *choice, size_t n_text)
{
    return json_string_bound(n_text) + json_string_bound(choice->n_echo);
}

size_t tgi_token_bound(const struct generation *g, const struct job *job)
{
    size_t piece = 6 * (tokenizer_max_piece(g->tokenizer) + 4) + 96;
    return (2 + (size_t)(job->n_logprobs > 0 ? job->n_logprobs : 0)) * piece;
}

void tgi_put_error(struct json_writer *w, const struct api_error *what, const char *message,
                   size_t n_message, const char *param)
{
    /* Of keys, sites, models and paths that server has none: its client shows the status. */
    const char *type = what->http > 400 && what->http <= 405 ? NULL : "validation";
    (void)param;
    if (what->http == 429 || what->http == 503)
        type = "overloaded";
    else if (what->http >= 500)
        type = "generation";
    json_raw(w, "{\"error\":");
    json_string(w, message, n_message);
    if (type != NULL)
        json_name_text(w, ",", "error_type", type);
    json_raw(w, "}");
}

/* --- in one piece --- */

static void put_prefill(struct json_writer *w, const struct generation *g, const struct job *job)
{
    json_raw(w, ",\"prefill\":[");
    for (size_t i = 0; job->prompt_logprobs != NULL && i < job->n_prompt && !w->full; i++) {
        struct gguf_string piece = tokenizer_piece(g->tokenizer, job->prompt[i], true);
        json_name_uint(w, i > 0 ? ",{" : "{", "id", (uint64_t)job->prompt[i]);
        json_raw(w, ",\"text\":");
        json_string(w, piece.bytes, piece.n);
        json_raw(w, ",\"logprob\":");
        if (i > 0)
            json_float(w, job->prompt_logprobs[i].logprob);
        else
            json_raw(w, "null"); /* nothing came before it */
        json_raw(w, "}");
    }
    json_raw(w, "]");
}

static void put_tokens(struct json_writer *w, const struct generation *g, const struct job *job)
{
    size_t begin = 0;
    json_raw(w, ",\"tokens\":[");
    for (size_t i = 0; i < job->n_tokens && !w->full; i++) {
        size_t end = i + 1 < job->n_tokens ? job->tokens[i].text_end : job->n_text;
        json_raw(w, i > 0 ? "," : "");
        tgi_put_token(w, g, job->tokens[i].id, job->text + begin, end - begin,
                      &job->logprobs[i].logprob);
        begin = end;
    }
    if (job->stop_id >= 0) { /* the end is a token, too */
        json_raw(w, job->n_tokens > 0 ? "," : "");
        put_piece(w, g, job->stop_id, tgi_end_logprob(job));
    }
    json_raw(w, "]");
}

static void put_tops(struct json_writer *w, const struct generation *g, const struct job *job)
{
    json_raw(w, ",\"top_tokens\":[");
    for (size_t i = 0; i < job->n_tokens && !w->full; i++) {
        json_raw(w, i > 0 ? "," : "");
        tgi_put_top(w, g, &job->logprobs[i]);
    }
    json_raw(w, "]");
}

size_t tgi_whole_bound(const struct generation *g)
{
    const struct job *job = g->choices[0].job;
    size_t bound = 512 + tgi_text_bound(&g->choices[0], job->n_text);
    if (tgi_wishes_of(g)->details)
        bound += (job->n_tokens + 1) * tgi_token_bound(g, job);
    if (job->prompt_logprobs != NULL)
        bound += job->n_prompt * tgi_token_bound(g, job);
    return bound;
}

size_t tgi_whole(const struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    const struct tgi_wishes *wishes = tgi_wishes_of(g);
    const struct job *job = g->choices[0].job;
    json_raw(&w, wishes->list ? "[{\"generated_text\":" : "{\"generated_text\":");
    tgi_put_text(&w, &g->choices[0]);
    if (wishes->details) {
        json_raw(&w, ",\"details\":");
        tgi_put_details(&w, job);
        put_prefill(&w, g, job);
        put_tokens(&w, g, job);
        if (wishes->top_tokens)
            put_tops(&w, g, job);
        json_raw(&w, "}");
    }
    json_raw(&w, wishes->list ? "}]\n" : "}\n");
    return w.full ? 0 : w.n;
}
