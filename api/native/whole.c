/* whole.c - errors and whole answers as JSON. Loop thread; allocates nothing. */
#include "api/native/parts.h"

#include <string.h>

/* Names and numbers of an answer that do not grow with it. */
enum { ENDING_BOUND = 1024 + NATIVE_PROFILE_BOUND };

static void put_number(struct json_writer *w, const char *before, double value)
{
    json_raw(w, before);
    json_double(w, value, 3);
}

static void put_count(struct json_writer *w, const char *before, size_t value)
{
    json_raw(w, before);
    json_uint(w, value);
}

void native_put_ending(struct json_writer *w, const struct job *job, const struct generation *g)
{
    uint64_t seed = job->sampling.seed;
    bool exact = seed <= UINT64_C(1) << 53; /* beyond it a reader's double would lose bits */
    struct generation_times times;
    generation_times(job, &times);
    json_raw(w, ",\"finish_reason\":\"");
    json_raw(w, generation_finish_name(job->finish));
    json_raw(w, exact ? "\",\"seed\":" : "\",\"seed\":\"");
    json_uint(w, seed);
    put_count(w, exact ? ",\"usage\":{\"prompt_tokens\":" : "\",\"usage\":{\"prompt_tokens\":",
              job->n_prompt);
    put_count(w, ",\"cached_tokens\":", job->n_cached);
    put_count(w, ",\"completion_tokens\":", job->n_completion);
    put_count(w, ",\"total_tokens\":", job->n_prompt + job->n_completion);
    put_number(w, "},\"timings\":{\"queue_ms\":", times.queue);
    put_number(w, ",\"prefill_ms\":", times.prefill);
    put_number(w, ",\"decode_ms\":", times.decode);
    put_number(w, ",\"first_token_ms\":", times.first_token);
    put_number(w, ",\"tokens_per_second\":", times.tokens_per_second);
    json_raw(w, "}");
    if (job->profile != NULL && g->measured != NULL)
        native_put_profile(w, job, g->measured);
}

/* {"id","text","bytes","logprob" - an entry of logprobs and of its top, left open. */
static void put_logprob(struct json_writer *w, const struct tokenizer *tokenizer, int32_t id,
                        float logprob)
{
    struct gguf_string piece = tokenizer_piece(tokenizer, id, false);
    json_raw(w, "{\"id\":");
    json_int(w, id);
    json_raw(w, ",\"text\":");
    json_string(w, piece.bytes, piece.n);
    json_raw(w, ",\"bytes\":[");
    for (size_t i = 0; i < piece.n; i++) {
        json_raw(w, i > 0 ? "," : "");
        json_uint(w, (unsigned char)piece.bytes[i]);
    }
    json_raw(w, "],\"logprob\":");
    json_float(w, logprob);
}

/* Bytes of one such entry: the names and numbers, six a byte as text, four a byte as a number. */
static size_t logprob_bound(size_t n_piece)
{
    return 96 + 10 * n_piece;
}

size_t native_token_bound(size_t max_piece, int n_logprobs)
{
    /* Six for each byte of a piece and for up to four that earlier tokens left; the id, a comma. */
    size_t bound = 6 * (max_piece + 4) + 12;
    if (n_logprobs >= 0)
        bound += ((size_t)n_logprobs + 1) * logprob_bound(max_piece) + 16;
    return bound;
}

void native_put_tokens(struct json_writer *w, const struct job *job,
                       const struct tokenizer *tokenizer, size_t begin, size_t end)
{
    json_raw(w, ",\"tokens\":[");
    for (size_t i = begin; i < end; i++) {
        json_raw(w, i > begin ? "," : "");
        json_int(w, job->tokens[i].id);
    }
    json_raw(w, "]");
    if (job->n_logprobs < 0)
        return;
    json_raw(w, ",\"logprobs\":[");
    for (size_t i = begin; i < end && !w->full; i++) {
        const struct logprob_record *record = &job->logprobs[i];
        json_raw(w, i > begin ? "," : "");
        put_logprob(w, tokenizer, job->tokens[i].id, record->logprob);
        json_raw(w, ",\"top\":[");
        for (size_t k = 0; k < record->n_top; k++) {
            json_raw(w, k > 0 ? "," : "");
            put_logprob(w, tokenizer, record->top[k].id, record->top[k].logprob);
            json_raw(w, "}");
        }
        json_raw(w, "]}");
    }
    json_raw(w, "]");
}

size_t native_whole_bound(const struct generation *g)
{
    const struct job *job = g->choices[0].job;
    size_t bound = ENDING_BOUND + json_string_bound(strlen(g->id)) +
                   json_string_bound(strlen(g->model)) + json_string_bound(job->n_text) +
                   12 * job->n_tokens;
    if (job->n_logprobs >= 0)
        bound += job->n_tokens * ((size_t)job->n_logprobs + 1) *
                     logprob_bound(tokenizer_max_piece(g->tokenizer)) +
                 16 * job->n_tokens;
    return bound;
}

size_t native_whole(const struct generation *g, char *out, size_t room)
{
    const struct job *job = g->choices[0].job;
    struct json_writer w = {.out = out, .room = room};
    json_raw(&w, "{\"id\":");
    json_string(&w, g->id, strlen(g->id));
    json_raw(&w, ",\"model\":");
    json_string(&w, g->model, strlen(g->model));
    json_raw(&w, ",\"created\":");
    json_uint(&w, g->created);
    json_raw(&w, ",\"text\":");
    json_string(&w, job->text, job->n_text);
    native_put_tokens(&w, job, g->tokenizer, 0, job->n_tokens);
    native_put_ending(&w, job, g);
    json_raw(&w, "}\n");
    return w.full ? 0 : w.n;
}
