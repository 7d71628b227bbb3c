/* reply.c - errors and whole answers as JSON. Loop thread; allocates nothing. */
#include "api/native/reply.h"

#include "api/native/reply_parts.h"

#include <string.h>

void reply_put_error(struct json_writer *w, const struct api_error *what, const char *message,
                     size_t n_message, const char *param)
{
    json_raw(w, "{\"error\":{\"code\":\"");
    json_raw(w, what->code);
    json_raw(w, "\",\"type\":\"");
    json_raw(w, what->type);
    json_raw(w, "\",\"message\":");
    json_string(w, message, n_message);
    json_raw(w, ",\"param\":");
    if (param != NULL && param[0] != '\0')
        json_string(w, param, strlen(param));
    else
        json_raw(w, "null");
    json_raw(w, "}}");
}

size_t reply_error(const struct api_error *what, const char *message, const char *param, char *out,
                   size_t room)
{
    struct json_writer w;
    size_t n_message = strlen(message);
    if (room == 0)
        return 0;
    for (;;) {
        w = (struct json_writer){.out = out, .room = room - 1};
        reply_put_error(&w, what, message, n_message, param);
        if (!w.full || n_message == 0)
            break;
        n_message -= (n_message + 3) / 4;
        while (n_message > 0 && ((unsigned char)message[n_message] & 0xc0) == 0x80)
            n_message--; /* whole characters */
    }
    if (w.full)
        w.n = 0;
    out[w.n] = '\0';
    return w.n;
}

const char *reply_finish_reason(enum finish_reason reason)
{
    switch (reason) {
    case FINISH_STOP:
        return "stop";
    case FINISH_LENGTH:
        return "length";
    case FINISH_DEADLINE:
        return "deadline";
    case FINISH_CANCELLED:
        return "cancelled";
    case FINISH_ERROR:
        return "error";
    case FINISH_NONE:
        break;
    }
    return "none";
}

/* ms from one reading of the clock to a later one; 0 where one of them was never taken. */
static double span_ms(uint64_t begin_ns, uint64_t end_ns)
{
    return begin_ns == 0 || end_ns <= begin_ns ? 0 : (double)(end_ns - begin_ns) / 1e6;
}

void reply_times_of(const struct job *job, struct reply_times *out)
{
    /* A job that no step ever took waited until its deadline. */
    uint64_t taken_ns = job->started_ns != 0 ? job->started_ns : job->deadline_ns;
    out->queue = span_ms(job->arrived_ns, taken_ns);
    out->prefill = span_ms(job->started_ns, job->first_token_ns);
    out->decode = span_ms(job->first_token_ns, job->last_token_ns);
    out->first_token = job->first_token_ns != 0 ? out->queue + out->prefill : 0;
    out->tokens_per_second = job->n_completion > 1 && out->decode > 0
                                 ? (double)(job->n_completion - 1) / (out->decode / 1e3)
                                 : 0;
}

/* Names and numbers of an answer that do not grow with it. */
enum { ENDING_BOUND = 1024 + REPLY_PROFILE_BOUND };

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

void reply_put_ending(struct json_writer *w, const struct job *job, const struct reply_context *ctx)
{
    uint64_t seed = job->sampling.seed;
    bool exact = seed <= UINT64_C(1) << 53; /* beyond it a reader's double would lose bits */
    struct reply_times times;
    reply_times_of(job, &times);
    json_raw(w, ",\"finish_reason\":\"");
    json_raw(w, reply_finish_reason(job->finish));
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
    if (job->profile != NULL && ctx->profile != NULL)
        reply_put_profile(w, job, ctx->profile);
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

size_t reply_token_bound(size_t max_piece, int n_logprobs)
{
    /* Six for each byte of a piece and for up to four that earlier tokens left; the id, a comma. */
    size_t bound = 6 * (max_piece + 4) + 12;
    if (n_logprobs >= 0)
        bound += ((size_t)n_logprobs + 1) * logprob_bound(max_piece) + 16;
    return bound;
}

void reply_put_tokens(struct json_writer *w, const struct job *job,
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

size_t reply_generate_bound(const struct job *job, const struct reply_context *ctx)
{
    size_t bound = ENDING_BOUND + json_string_bound(strlen(ctx->id)) +
                   json_string_bound(strlen(ctx->model)) + json_string_bound(job->n_text) +
                   12 * job->n_tokens;
    if (job->n_logprobs >= 0)
        bound += job->n_tokens * ((size_t)job->n_logprobs + 1) *
                     logprob_bound(tokenizer_max_piece(ctx->tokenizer)) +
                 16 * job->n_tokens;
    return bound;
}

size_t reply_generate(const struct job *job, const struct reply_context *ctx, char *out,
                      size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_raw(&w, "{\"id\":");
    json_string(&w, ctx->id, strlen(ctx->id));
    json_raw(&w, ",\"model\":");
    json_string(&w, ctx->model, strlen(ctx->model));
    json_raw(&w, ",\"created\":");
    json_uint(&w, ctx->created);
    json_raw(&w, ",\"text\":");
    json_string(&w, job->text, job->n_text);
    reply_put_tokens(&w, job, ctx->tokenizer, 0, job->n_tokens);
    reply_put_ending(&w, job, ctx);
    json_raw(&w, "}");
    return w.full ? 0 : w.n;
}

size_t reply_tokenize_bound(size_t n_ids)
{
    return 12 * n_ids + 16;
}

size_t reply_tokenize(const int32_t *ids, size_t n_ids, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_raw(&w, "{\"tokens\":[");
    for (size_t i = 0; i < n_ids; i++) {
        json_raw(&w, i > 0 ? "," : "");
        json_int(&w, ids[i]);
    }
    json_raw(&w, "]}");
    return w.full ? 0 : w.n;
}

size_t reply_detokenize_bound(size_t n_text)
{
    return 2 * json_string_bound(n_text) + 24;
}

size_t reply_detokenize(const char *text, size_t n_text, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_raw(&w, "{\"text\":");
    json_string(&w, text, n_text);
    json_raw(&w, ",\"content\":");
    json_string(&w, text, n_text);
    json_raw(&w, "}");
    return w.full ? 0 : w.n;
}
