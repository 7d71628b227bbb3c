/* calls.c - chats with tools in Ollama's shape: calls are told whole, their arguments as an object;
 * one that is cut is none. Loop thread; allocates nothing. */
#include "api/ollama/parts.h"

#include <string.h>

enum { CALL_BOUND = 6 * TOOL_NAME_MAX + TOOL_ID_MAX + 192, LINE_AROUND = 192, LEAST = 64 };

/* The call that has just been told of, as far as its end: bytes of its arguments. False: it has not
 * come to its end. The reader is after it then. */
static bool skip_call(struct tool_reader *r, const struct job *job, size_t n_text, bool finished,
                      size_t *n_arguments)
{
    struct tool_event e;
    *n_arguments = 0;
    while (tool_reader_next(r, job->text, n_text, finished, &e)) {
        if (e.kind == TOOL_CALL_END)
            return true;
        if (e.kind != TOOL_ARGUMENTS) {
            tool_reader_put_back(r, &e);
            return false;
        }
        *n_arguments += e.n;
    }
    return false;
}

/* The call, whose end has come; the reader is left after it. */
static void put_call(struct json_writer *w, const struct generation *g, struct tool_reader *r,
                     const struct tool_event *call, size_t n_text, bool finished)
{
    const struct job *job = g->choices[0].job;
    char id[TOOL_ID_MAX];
    struct tool_event e;
    tool_call_id(g->tools, "call_", g->id, 0, call->index, id);
    json_name_text(w, "{", "id", id);
    json_name_uint(w, ",\"function\":{", "index", call->index);
    json_name_text(w, ",", "name", call->tool->name);
    json_raw(w, ",\"arguments\":");
    while (tool_reader_next(r, job->text, n_text, finished, &e) && e.kind == TOOL_ARGUMENTS)
        json_bytes(w, e.bytes, e.n);
    json_raw(w, "}}");
}

/* --- lines --- */

static void put_logged(struct json_writer *w, struct generation *g, size_t n)
{
    const struct choice *choice = &g->choices[0];
    ollama_put_logprobs(w, g, choice->job, choice->n_logged, choice->n_logged + n);
}

/* Tokens whose log-probabilities have room on a line. */
static size_t n_to_log(const struct generation *g, size_t room)
{
    const struct choice *choice = &g->choices[0];
    size_t n = choice->sent.n_tokens - choice->n_logged;
    if (choice->job->n_logprobs < 0)
        return 0;
    size_t most = room / ollama_token_bound(g, choice->job);
    return n < most ? n : most;
}

static bool close_line(struct json_writer *w, struct generation *g, size_t n_log, size_t before)
{
    json_raw(w, ",\"done\":false}\n");
    if (!json_keep(w, before))
        return false;
    g->choices[0].n_logged += (uint32_t)n_log;
    return true;
}

/* A line of the text or the thought, as much as fits; the rest is told again. */
static bool write_text(struct json_writer *w, struct generation *g, const struct tool_event *e)
{
    size_t room = w->room - w->n, before = w->n, around = ollama_head_bound(g) + LINE_AROUND;
    if (room < around + 6 * LEAST + ollama_token_bound(g, g->choices[0].job)) {
        w->full = true;
        return false;
    }
    room -= around + 6 * LEAST;
    size_t n_log = n_to_log(g, room);
    room -= n_log > 0 ? n_log * ollama_token_bound(g, g->choices[0].job) : 0;
    size_t n = (room + 6 * LEAST) / 6;
    if (n > e->n)
        n = e->n;
    while (n > 0 && n < e->n && ((unsigned char)e->bytes[n] & 0xc0) == 0x80)
        n--;
    struct ollama_text text = {.bytes = e->bytes};
    *(e->kind == TOOL_THOUGHT ? &text.thought[1] : &text.answer[1]) = n;
    ollama_put_head(w, g);
    ollama_put_text(w, g, &text);
    put_logged(w, g, n_log);
    if (!close_line(w, g, n_log, before))
        return false;
    if (n < e->n) {
        struct tool_event rest = *e;
        rest.bytes += n;
        rest.n -= n;
        tool_reader_put_back(&g->choices[0].reader, &rest);
    }
    return true;
}

static bool write_call(struct json_writer *w, struct generation *g, const struct tool_event *call,
                       size_t n_text, bool finished)
{
    size_t before = w->n;
    ollama_put_head(w, g);
    json_raw(w, ",\"message\":{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[");
    put_call(w, g, &g->choices[0].reader, call, n_text, finished);
    json_raw(w, "]}");
    return close_line(w, g, 0, before);
}

/* Log-probabilities of tokens that no text was told of. */
static bool write_rest(struct json_writer *w, struct generation *g)
{
    const struct choice *choice = &g->choices[0];
    while (choice->job->n_logprobs >= 0 && choice->n_logged < choice->sent.n_tokens) {
        size_t before = w->n, around = ollama_head_bound(g) + LINE_AROUND;
        size_t room = w->room - w->n;
        size_t n_log = room > around ? n_to_log(g, room - around) : 0;
        ollama_put_head(w, g);
        ollama_put_text(w, g, &(struct ollama_text){.bytes = NULL});
        put_logged(w, g, n_log);
        w->full |= n_log == 0;
        if (!close_line(w, g, n_log, before))
            return false;
    }
    return true;
}

bool ollama_write_told(struct json_writer *w, struct generation *g,
                       const struct generation_ready *ready)
{
    struct choice *choice = &g->choices[0];
    const struct job *job = choice->job;
    const bool finished = ready->finished && !generation_failed(job);
    struct tool_reader before = choice->reader;
    struct tool_event e;
    choice->sent.n_tokens = (uint32_t)ready->n_tokens;
    while (tool_reader_next(&choice->reader, job->text, ready->n_text, finished, &e)) {
        bool written = true;
        if (e.kind == TOOL_CALL) {
            struct tool_reader after = choice->reader;
            size_t n;
            if (skip_call(&after, job, ready->n_text, finished, &n))
                written = write_call(w, g, &e, ready->n_text, finished);
            else if (finished)
                choice->reader = after;
            else
                written = false;
        } else if (e.n > 0 && e.kind != TOOL_CALL_END) {
            written = write_text(w, g, &e);
        }
        if (!written) {
            choice->reader = before;
            return false;
        }
        before = choice->reader;
    }
    return !finished || write_rest(w, g);
}

size_t ollama_call_min(const struct generation *g)
{
    const struct choice *choice = &g->choices[0];
    struct tool_event e;
    size_t n = 0;
    if (g->tools == NULL)
        return 0;
    struct generation_ready ready = generation_ready(choice->job);
    struct tool_reader reader = choice->reader;
    const bool finished = ready.finished && !generation_failed(choice->job);
    if (tool_reader_next(&reader, choice->job->text, ready.n_text, finished, &e) &&
        e.kind == TOOL_CALL)
        skip_call(&reader, choice->job, ready.n_text, finished, &n);
    return n + CALL_BOUND + LINE_AROUND + 6 * LEAST;
}

/* --- whole --- */

/* All events of a kind as a string. */
static void put_texts(struct json_writer *w, const struct generation *g, enum tool_event_kind kind)
{
    const struct job *job = g->choices[0].job;
    struct tool_reader reader = g->choices[0].reader;
    struct tool_event e;
    json_raw(w, "\"");
    while (tool_reader_next(&reader, job->text, job->n_text, true, &e))
        if (e.kind == kind)
            json_inside(w, e.bytes, e.n);
    json_raw(w, "\"");
}

static bool has(const struct generation *g, enum tool_event_kind kind)
{
    const struct job *job = g->choices[0].job;
    struct tool_reader reader = g->choices[0].reader;
    struct tool_event e;
    while (tool_reader_next(&reader, job->text, job->n_text, true, &e))
        if (e.kind == kind)
            return true;
    return false;
}

void ollama_put_told(struct json_writer *w, const struct generation *g)
{
    const struct job *job = g->choices[0].job;
    struct tool_reader reader = g->choices[0].reader;
    struct tool_event e;
    bool begun = false;
    json_raw(w, ",\"message\":{\"role\":\"assistant\",\"content\":");
    put_texts(w, g, TOOL_TEXT);
    if (has(g, TOOL_THOUGHT)) {
        json_raw(w, ",\"thinking\":");
        put_texts(w, g, TOOL_THOUGHT);
    }
    while (tool_reader_next(&reader, job->text, job->n_text, true, &e)) {
        struct tool_reader after = reader;
        size_t n;
        if (e.kind != TOOL_CALL || !skip_call(&after, job, job->n_text, true, &n))
            continue;
        json_raw(w, begun ? "," : ",\"tool_calls\":[");
        put_call(w, g, &reader, &e, job->n_text, true);
        begun = true;
    }
    json_raw(w, begun ? "]}" : "}");
}

size_t ollama_told_bound(const struct generation *g)
{
    const struct job *job = g->choices[0].job;
    struct tool_reader reader = g->choices[0].reader;
    struct tool_event e;
    size_t bound = LINE_AROUND;
    while (tool_reader_next(&reader, job->text, job->n_text, true, &e))
        bound += e.kind == TOOL_CALL ? CALL_BOUND : json_string_bound(e.n);
    return bound;
}
