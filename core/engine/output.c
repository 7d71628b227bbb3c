/* output.c - the text of a job, as it grows.
 *
 * One worker at a time. Stop strings are searched with the prefix function of Knuth, Morris and
 * Pratt (1977), one state per string: the state is the length of the longest end of the text with
 * which that string begins, which is also exactly what must be held back. Knows nothing of steps or
 * threads.
 */
#include "engine/output.h"

#include <assert.h>
#include <string.h>

void output_begin(struct job *job)
{
    uint32_t *border = job->output.borders;
    for (size_t s = 0; s < job->n_stops; s++) {
        const struct stop_string *stop = &job->stops[s];
        border[0] = 0;
        for (size_t i = 1, n = 0; i < stop->n; i++) {
            while (n > 0 && stop->bytes[i] != stop->bytes[n])
                n = border[n - 1];
            n += stop->bytes[i] == stop->bytes[n];
            border[i] = (uint32_t)n;
        }
        border += stop->n;
        job->output.matched[s] = 0;
    }
    job->output.utf8 = (struct utf8_stream){0};
    job->output.n_raw = job->output.n_split = 0;
    job->output.guarded = false;
    job->output.n_passed = job->output.n_ready = 0;
    job->n_tokens = job->n_text = 0;
    job->stop_index = -1;
    job->stop_id = TOKEN_NONE;
}

/* Moves every search on by one byte; the length of the longest stop string that it completes, or 0.
 */
static size_t search_byte(struct job *job, char byte)
{
    const uint32_t *border = job->output.borders;
    size_t complete = 0;
    for (size_t s = 0; s < job->n_stops; s++) {
        const struct stop_string *stop = &job->stops[s];
        uint32_t n = job->output.matched[s];
        while (n > 0 && stop->bytes[n] != byte)
            n = border[n - 1];
        n += stop->bytes[n] == byte;
        job->output.matched[s] = n;
        if (n == stop->n) {
            if (n > complete)
                job->stop_index = (int)s;
            complete = n > complete ? n : complete;
            job->output.matched[s] = border[n - 1];
        }
        border += stop->n;
    }
    return complete;
}

/* The text ends at n_text: what was held is dropped. */
static void cut(struct job *job, size_t n_text)
{
    job->n_text = n_text;
    for (size_t i = job->n_tokens; i-- > 0 && job->tokens[i].text_end > n_text;)
        job->tokens[i].text_end = (uint32_t)n_text;
}

/* Whether the text up to here has the guard: then nothing of it may be taken back any more. */
static bool is_guarded(struct job *job)
{
    const struct stop_string *guard = &job->stop_guard;
    size_t n = job->output.n_raw;
    if (job->output.guarded || guard->n == 0)
        return job->output.guarded;
    if (n < guard->n || memcmp(job->text + n - guard->n, guard->bytes, guard->n) != 0)
        return false;
    job->output.guarded = true;
    memset(job->output.matched, 0, sizeof job->output.matched);
    return true;
}

/* Searches the text's new bytes. True: a stop string is complete, and the text is cut before it, or
 * after it where it is kept. */
static bool search(struct job *job, size_t n_new)
{
    for (size_t end = job->output.n_raw + n_new; job->output.n_raw < end;) {
        char byte = job->text[job->output.n_raw++];
        if (is_guarded(job))
            continue;
        size_t length = search_byte(job, byte);
        if (length == 0)
            continue;
        cut(job, job->output.n_raw - (job->keep_stop ? 0 : length));
        return true;
    }
    return false;
}

static size_t character_length(char lead)
{
    uint8_t c = (uint8_t)lead;
    return c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

/* n_new bytes were written after n_raw, the first character of them completing that of the split
 * records (all records whose bytes wait in utf8, when it is set by earlier tokens). */
static void settle_split(struct job *job, size_t n_new)
{
    if (job->output.n_split == 0 || n_new == 0)
        return;
    size_t end = job->output.n_raw + character_length(job->text[job->output.n_raw]);
    for (size_t i = job->n_tokens - job->output.n_split; i < job->n_tokens; i++)
        job->tokens[i].text_end = (uint32_t)end;
    job->output.n_split = 0;
}

/* Counts the records that have become ready: text that a stop string may still take back ends
 * before them, and so does every character that they have a part in. */
static void advance(struct job *job)
{
    size_t held = 0;
    for (size_t s = 0; s < job->n_stops; s++)
        held = job->output.matched[s] > held ? job->output.matched[s] : held;
    if (job->keep_stop) /* nothing of it is taken back */
        held = 0;
    assert(held <= job->output.n_raw); /* a stop string matches only what was written */
    const size_t n_safe = job->output.n_raw - held; /* never shrinks: nothing passed comes back */
    const size_t limit = job->n_tokens - job->output.n_split;
    uint32_t n = job->output.n_passed;
    assert(n <= limit); /* what has been passed is never split or held again */
    for (; n < limit && job->tokens[n].text_end <= n_safe; n++)
        if (job->tokens[n].whole)
            job->output.n_ready = n + 1;
    job->output.n_passed = n;
}

/* Whether a control token, which has no text, ends the text all the same: its name is a stop
 * string, or the end of one whose beginning is the end of the text. The text is cut before it. */
static bool stops_at_name(struct job *job, struct gguf_string name)
{
    size_t longest = 0, n_text = job->output.n_raw;
    for (size_t s = 0; s < job->n_stops; s++) {
        const struct stop_string *stop = &job->stops[s];
        if (stop->n < name.n || memcmp(stop->bytes + stop->n - name.n, name.bytes, name.n) != 0)
            continue;
        size_t before = stop->n - name.n;
        bool follows =
            before == 0 || (job->output.utf8.n_held == 0 && before <= n_text &&
                            memcmp(job->text + n_text - before, stop->bytes, before) == 0);
        if (follows && stop->n > longest) {
            longest = stop->n;
            job->stop_index = (int)s;
        }
    }
    if (longest == 0)
        return false;
    if (output_end(job)) /* half a character became text, and completed another one */
        return true;
    if (!job->keep_stop)
        cut(job, job->n_text - (longest - name.n));
    return true;
}

bool output_append(struct job *job, const struct tokenizer *tokenizer, int32_t id)
{
    struct gguf_string piece = tokenizer_piece(tokenizer, id, job_shows(job, id));
    char *out = job->text + job->output.n_raw;
    size_t n_new = utf8_stream_push(&job->output.utf8, piece.bytes, piece.n, out);
    settle_split(job, n_new);
    struct token_record *record = &job->tokens[job->n_tokens++];
    *record = (struct token_record){.id = id,
                                    .text_end = (uint32_t)(job->output.n_raw + n_new),
                                    .whole = job->output.utf8.n_held == 0};
    if (!record->whole)
        job->output.n_split++;
    if (search(job, n_new))
        return true;
    if (piece.n == 0 && job->n_stops > 0 && !job->output.guarded) {
        struct gguf_string name = tokenizer_piece(tokenizer, id, true);
        if (name.n > 0 && stops_at_name(job, name))
            return true;
    }
    job->n_text = job->output.n_raw;
    advance(job);
    return false;
}

bool output_end(struct job *job)
{
    size_t n_new = utf8_stream_end(&job->output.utf8, job->text + job->output.n_raw);
    settle_split(job, n_new);
    if (search(job, n_new))
        return true;
    job->n_text = job->output.n_raw;
    return false;
}

bool output_ends_at(const struct job *job, int32_t id)
{
    for (size_t i = 0; i < job->n_stop_ids; i++)
        if (job->stop_ids[i] == id)
            return true;
    return false;
}

uint32_t output_n_ready(const struct job *job)
{
    return job->output.n_ready;
}

void output_finish(struct job *job, enum finish_reason reason)
{
    job->finish = reason;
    if (reason != FINISH_STOP) /* it had ended before what was held back completed one */
        job->stop_index = -1;
    if (reason == FINISH_CANCELLED)
        job->cancelled_in = (enum job_phase)atomic_load_explicit(&job->phase, memory_order_relaxed);
    atomic_store_explicit(&job->n_ready, (uint32_t)job->n_tokens, memory_order_release);
    atomic_store_explicit(&job->finished, true, memory_order_release);
}
