/* reply_stream.c - a growing job as server-sent events or as plain text. Reads what the worker has
 * released and nothing else; each call writes whole events, as many tokens as are ready and fit.
 * Loop thread; allocates nothing. */
#include "api/native/reply.h"

#include "api/native/reply_parts.h"

#include <string.h>

/* An event's frame, and the ending of the last one with [DONE] behind it, or an error of 384 bytes
 * that are all escaped. */
enum { EVENT_BOUND = 64, LAST_BOUND = 4352 };

/* What may be sent now. `finished` is read first: when it is true everything else is final. */
struct ready {
    bool finished;
    size_t n_tokens, n_text;
};

static struct ready read_ready(const struct job *job)
{
    struct ready ready = {.finished = atomic_load_explicit(&job->finished, memory_order_acquire)};
    /* A job that failed keeps what was ready; its held back text is given up. */
    if (ready.finished && job->finish != FINISH_ERROR && job->finish != FINISH_CANCELLED) {
        ready.n_tokens = job->n_tokens;
        ready.n_text = job->n_text;
        return ready;
    }
    ready.n_tokens = atomic_load_explicit(&job->n_ready, memory_order_acquire);
    ready.n_text = ready.n_tokens > 0 ? job->tokens[ready.n_tokens - 1].text_end : 0;
    return ready;
}

size_t reply_event_min(const struct tokenizer *tokenizer, int n_logprobs)
{
    return EVENT_BOUND + LAST_BOUND + reply_token_bound(tokenizer_max_piece(tokenizer), n_logprobs);
}

/* data: {"text":...,"tokens":...,"logprobs":... of tokens [from, to) and the text between the
 * marks, left open. */
static void put_event(struct json_writer *w, const struct job *job,
                      const struct tokenizer *tokenizer, const struct reply_cursor *from,
                      const struct reply_cursor *to)
{
    json_raw(w, "data: {\"text\":");
    json_string(w, job->text + from->n_text, to->n_text - from->n_text);
    reply_put_tokens(w, job, tokenizer, from->n_tokens, to->n_tokens);
}

/* Writes one ordinary event of at most n_tokens, fewer when room is short. */
static size_t write_event(const struct job *job, const struct reply_context *ctx,
                          struct reply_cursor *cursor, size_t n_tokens, char *out, size_t room)
{
    /* Halving until it fits writes at most twice what one perfect guess would. */
    for (size_t n = n_tokens; n > 0; n /= 2) {
        struct json_writer w = {.out = out, .room = room};
        struct reply_cursor next = *cursor;
        next.n_tokens += (uint32_t)n;
        next.n_text = job->tokens[next.n_tokens - 1].text_end;
        put_event(&w, job, ctx->tokenizer, cursor, &next);
        json_raw(&w, "}\n\n");
        if (!w.full) {
            *cursor = next;
            return w.n;
        }
    }
    return 0;
}

size_t reply_event(const struct job *job, const struct reply_context *ctx,
                   struct reply_cursor *cursor, char *out, size_t room)
{
    struct ready ready = read_ready(job);
    if (cursor->done || ready.n_tokens <= cursor->n_tokens)
        return 0;
    return write_event(job, ctx, cursor, ready.n_tokens - cursor->n_tokens, out, room);
}

static size_t write_error_event(const struct job *job, struct reply_cursor *cursor, char *out,
                                size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    struct api_error what = errors_of_job(job);
    const char *text = job->error.text[0] != '\0' ? job->error.text : "the request was cancelled";
    json_raw(&w, "data: ");
    reply_put_error(&w, &what, text, strlen(text), job->error.param);
    json_raw(&w, "\n\n");
    if (w.full)
        return 0;
    cursor->done = true;
    return w.n;
}

size_t reply_last_event(const struct job *job, const struct reply_context *ctx,
                        struct reply_cursor *cursor, char *out, size_t room)
{
    struct ready ready = read_ready(job);
    if (cursor->done || !ready.finished)
        return 0;
    size_t n_left = ready.n_tokens - cursor->n_tokens;
    if (job->finish == FINISH_ERROR || job->finish == FINISH_CANCELLED)
        return n_left > 0 ? write_event(job, ctx, cursor, n_left, out, room)
                          : write_error_event(job, cursor, out, room);
    struct json_writer w = {.out = out, .room = room};
    struct reply_cursor end = {
        .n_tokens = (uint32_t)ready.n_tokens, .n_text = (uint32_t)ready.n_text, .done = true};
    put_event(&w, job, ctx->tokenizer, cursor, &end);
    reply_put_ending(&w, job, ctx);
    json_raw(&w, "}\n\ndata: [DONE]\n\n");
    if (w.full)
        return write_event(job, ctx, cursor, n_left, out, room);
    *cursor = end;
    return w.n;
}

size_t reply_text(const struct job *job, struct reply_cursor *cursor, char *out, size_t room)
{
    struct ready ready = read_ready(job);
    const char *text = job->text + cursor->n_text;
    size_t n = ready.n_text > cursor->n_text ? ready.n_text - cursor->n_text : 0;
    if (n > room) {
        n = room;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
    }
    if (n > 0)
        memcpy(out, text, n);
    cursor->n_text += (uint32_t)n;
    if (ready.finished && cursor->n_text == ready.n_text)
        cursor->done = true;
    return n;
}
