/* calls.c - answers of chats with tools in OpenAI's shape: reasoning, text and calls as the reader
 * tells them, in chunks and whole. Loop thread; allocates nothing. */
#include "api/openai/parts.h"

#include <string.h>

enum {
    GATHERED = 1024, /* bytes of arguments that share a chunk */
    CALL_BOUND = 6 * TOOL_NAME_MAX + TOOL_ID_MAX + 160,
    CHUNK_AROUND = 256,
    LEAST = 64 /* bytes of text that a chunk is worth */
};

/* --- the parts of a message --- */

static void put_call_head(struct json_writer *w, const struct generation *g, size_t i,
                          const struct tool_event *e)
{
    char id[TOOL_ID_MAX];
    tool_call_id(g->tools, "call_", g->id, i, e->index, id);
    json_name_text(w, "", "id", id);
    json_raw(w, ",\"type\":\"function\",\"function\":{");
    json_name_text(w, "", "name", e->tool->name);
    json_raw(w, ",\"arguments\":\"");
}

/* A reader of all that a finished choice has. */
struct telling {
    struct tool_reader reader;
    const struct job *job;
};

static struct telling tell_all(const struct choice *choice)
{
    return (struct telling){.reader = choice->reader, .job = choice->job};
}

static bool next_of(struct telling *t, struct tool_event *e)
{
    return tool_reader_next(&t->reader, t->job->text, t->job->n_text, true, e);
}

/* A member that is a string of all events of a kind; empty: what stands for it then, or nothing. */
static void put_texts(struct json_writer *w, const struct choice *choice, enum tool_event_kind kind,
                      const char *name, const char *empty)
{
    struct telling t = tell_all(choice);
    struct tool_event e;
    bool begun = false;
    while (next_of(&t, &e)) {
        if (e.kind != kind || e.n == 0)
            continue;
        if (!begun) {
            json_name(w, ",", name);
            json_raw(w, "\"");
        }
        begun = true;
        json_inside(w, e.bytes, e.n);
    }
    if (begun) {
        json_raw(w, "\"");
    } else if (empty != NULL) {
        json_name(w, ",", name);
        json_raw(w, empty);
    }
}

void openai_put_told(struct json_writer *w, const struct generation *g, size_t i)
{
    const struct choice *choice = &g->choices[i];
    struct telling t = tell_all(choice);
    struct tool_event e;
    const bool calls = generation_n_calls(g, choice) > 0;
    bool begun = false;
    json_raw(w, ",\"message\":{\"role\":\"assistant\"");
    put_texts(w, choice, TOOL_THOUGHT, "reasoning_content", NULL);
    put_texts(w, choice, TOOL_TEXT, "content", calls ? "null" : "\"\"");
    json_raw(w, ",\"refusal\":null");
    while (next_of(&t, &e)) {
        if (e.kind == TOOL_CALL) {
            json_raw(w, begun ? "\"}},{" : ",\"tool_calls\":[{");
            put_call_head(w, g, i, &e);
            begun = true;
        } else if (e.kind == TOOL_ARGUMENTS) {
            json_inside(w, e.bytes, e.n);
        }
    }
    json_raw(w, begun ? "\"}}]}" : "}");
}

size_t openai_told_bound(const struct generation *g, const struct choice *choice)
{
    struct telling t = tell_all(choice);
    struct tool_event e;
    size_t bound = CHUNK_AROUND;
    (void)g;
    while (next_of(&t, &e))
        bound += e.kind == TOOL_CALL ? CALL_BOUND : json_string_bound(e.n);
    return bound;
}

/* --- chunks --- */

/* Tokens whose log-probabilities go with a chunk. */
static size_t n_to_log(const struct generation *g, const struct choice *choice, size_t room)
{
    size_t n = choice->sent.n_tokens - choice->n_logged;
    if (choice->job->n_logprobs < 0)
        return 0;
    size_t most = room / openai_token_bound(g, choice->job);
    return n < most ? n : most;
}

static size_t around(const struct generation *g)
{
    return openai_head_bound(g) + openai_more_bound(g) + CHUNK_AROUND;
}

/* The chunk's rest after its delta. */
static bool close_chunk(struct json_writer *w, struct generation *g, size_t i, size_t n_log,
                        size_t before)
{
    struct choice *choice = &g->choices[i];
    if (n_log > 0)
        openai_put_logprobs(w, g, choice, choice->n_logged, choice->n_logged + n_log);
    else
        json_raw(w, ",\"logprobs\":null");
    openai_put_finish(w, g, NULL);
    openai_put_more(w, g, i, &choice->sent);
    json_raw(w, "}\n\n");
    if (!json_keep(w, before))
        return false;
    choice->n_logged += (uint32_t)n_log;
    return true;
}

/* The bytes of this event and of those that follow it with more of the same arguments. */
static size_t gather(struct choice *choice, const struct tool_event *first, size_t n_text,
                     bool finished, char out[GATHERED])
{
    struct tool_event e = *first;
    size_t n = 0;
    do {
        size_t fits = GATHERED - n < e.n ? GATHERED - n : e.n;
        memcpy(out + n, e.bytes, fits);
        n += fits;
        if (fits < e.n) {
            while (fits > 0 && ((unsigned char)e.bytes[fits] & 0xc0) == 0x80) {
                fits--; /* whole characters */
                n--;
            }
            e.bytes += fits;
            e.n -= fits;
            tool_reader_put_back(&choice->reader, &e);
            break;
        }
        if (!tool_reader_next(&choice->reader, choice->job->text, n_text, finished, &e))
            break;
        if (e.kind != TOOL_ARGUMENTS) {
            tool_reader_put_back(&choice->reader, &e);
            break;
        }
    } while (true);
    return n;
}

/* As much of the text as a room has place for, in whole characters. */
static size_t fitting(const struct tool_event *e, size_t room)
{
    size_t n = room / 6;
    if (n >= e->n)
        return e->n;
    while (n > 0 && ((unsigned char)e->bytes[n] & 0xc0) == 0x80)
        n--;
    return n;
}

/* A chunk of the event; what it has no place for is told again. */
static bool write_event(struct json_writer *w, struct generation *g, size_t i,
                        const struct tool_event *e, size_t n_text, bool finished)
{
    struct choice *choice = &g->choices[i];
    size_t before = w->n, room = w->room - w->n;
    char gathered[GATHERED];
    const size_t least = around(g) + openai_call_min(g);
    if (e->kind == TOOL_CALL_END)
        return true;
    if (room < least) {
        w->full = true;
        return false;
    }
    room -= least;
    const size_t n_log = n_to_log(g, choice, room);
    room -= n_log > 0 ? n_log * openai_token_bound(g, choice->job) : 0;
    room += 6 * LEAST;
    openai_open_choice(w, g, i);
    json_raw(w, ",\"delta\":{");
    if (e->kind == TOOL_CALL) {
        json_name_uint(w, "\"tool_calls\":[{", "index", e->index);
        json_raw(w, ",");
        put_call_head(w, g, i, e);
        json_raw(w, "\"}}]}");
    } else {
        struct tool_event part = *e;
        bool arguments = e->kind == TOOL_ARGUMENTS;
        if (arguments) {
            part.n = gather(choice, e, n_text, finished, gathered);
            part.bytes = gathered;
            json_name_uint(w, "\"tool_calls\":[{", "index", e->index);
            json_raw(w, ",\"function\":{\"arguments\":");
        } else {
            json_name(w, "", e->kind == TOOL_TEXT ? "content" : "reasoning_content");
            part.n = fitting(e, room);
        }
        json_string(w, part.bytes, part.n);
        json_raw(w, arguments ? "}}]}" : "}");
        if (!arguments && part.n < e->n) {
            part.bytes += part.n;
            part.n = e->n - part.n;
            tool_reader_put_back(&choice->reader, &part);
        }
    }
    return close_chunk(w, g, i, n_log, before);
}

/* Log-probabilities of tokens that no text was told of. */
static bool write_rest(struct json_writer *w, struct generation *g, size_t i)
{
    struct choice *choice = &g->choices[i];
    while (choice->job->n_logprobs >= 0 && choice->n_logged < choice->sent.n_tokens) {
        size_t before = w->n, room = w->room - w->n;
        size_t n_log = room > around(g) ? n_to_log(g, choice, room - around(g)) : 0;
        openai_open_choice(w, g, i);
        json_raw(w, ",\"delta\":{}");
        w->full |= n_log == 0;
        if (!close_chunk(w, g, i, n_log, before))
            return false;
    }
    return true;
}

bool openai_write_told(struct json_writer *w, struct generation *g, size_t i,
                       const struct generation_ready *ready)
{
    struct choice *choice = &g->choices[i];
    const struct job *job = choice->job;
    for (;;) {
        const struct tool_reader before = choice->reader;
        struct tool_event e;
        bool all = choice->sent.n_tokens == ready->n_tokens;
        bool finished = all && ready->finished && !generation_failed(job);
        if (all)
            choice->sent.n_text = (uint32_t)ready->n_text;
        size_t n_text = choice->sent.n_text;
        if (tool_reader_next(&choice->reader, job->text, n_text, finished, &e)) {
            if (write_event(w, g, i, &e, n_text, finished))
                continue;
            choice->reader = before;
            return false;
        }
        if (all)
            return !finished || write_rest(w, g, i);
        choice->sent.n_tokens =
            job->n_logprobs >= 0 ? choice->sent.n_tokens + 1 : (uint32_t)ready->n_tokens;
        choice->sent.n_text = job->tokens[choice->sent.n_tokens - 1].text_end;
    }
}

size_t openai_call_min(const struct generation *g)
{
    return g->tools != NULL ? CALL_BOUND + 6 * GATHERED : 0;
}
