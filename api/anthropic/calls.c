/* calls.c - messages of bodies with tools: blocks of thoughts, text and calls in the order in which
 * the reader tells of them, in events and whole. Loop thread; allocates nothing. */
#include "api/anthropic/parts.h"

#include "api/json/error_body.h"

#include <string.h>

enum { ENVELOPE = 192, CALL_BOUND = 6 * TOOL_NAME_MAX + TOOL_ID_MAX + 256 };

/* Kinds of blocks that are open; BLOCK_NONE: none is. */
enum { BLOCK_NONE, BLOCK_THOUGHT, BLOCK_TEXT, BLOCK_CALL };

static unsigned block_of(const struct tool_event *e)
{
    return e->kind == TOOL_THOUGHT ? BLOCK_THOUGHT : e->kind == TOOL_TEXT ? BLOCK_TEXT : BLOCK_CALL;
}

static struct message_wishes *wishes_of(const struct generation *g)
{
    return g->wishes;
}

/* Up to the input of a call's block. */
static void put_call(struct json_writer *w, const struct generation *g, const struct tool_event *e)
{
    char id[TOOL_ID_MAX];
    tool_call_id(g->tools, "toolu_", g->id, 0, e->index, id);
    json_name_text(w, "{\"type\":\"tool_use\",", "id", id);
    json_name_text(w, ",", "name", e->tool->name);
    json_raw(w, ",\"input\":");
}

/* --- events --- */

static void open_event(struct json_writer *w, const char *type, size_t index)
{
    json_raw(w, "event: ");
    json_raw(w, type);
    json_raw(w, "\ndata: {\"type\":\"");
    json_raw(w, type);
    json_name_uint(w, "\",", "index", index);
}

/* True also where none is open. */
static bool end_block(struct json_writer *w, const struct generation *g)
{
    struct message_wishes *wishes = wishes_of(g);
    size_t before = w->n;
    if (wishes->block == BLOCK_NONE)
        return true;
    if (wishes->block == BLOCK_THOUGHT) {
        open_event(w, "content_block_delta", wishes->n_blocks - 1);
        json_raw(w, ",\"delta\":{\"type\":\"signature_delta\",\"signature\":");
        anthropic_put_signature(w, g);
        json_raw(w, "}}\n\n");
    }
    open_event(w, "content_block_stop", wishes->n_blocks - 1);
    json_raw(w, "}\n\n");
    if (!json_keep(w, before))
        return false;
    wishes->block = BLOCK_NONE;
    return true;
}

static bool begin_block(struct json_writer *w, const struct generation *g, unsigned block,
                        const struct tool_event *call)
{
    struct message_wishes *wishes = wishes_of(g);
    size_t before = w->n;
    open_event(w, "content_block_start", wishes->n_blocks);
    json_raw(w, ",\"content_block\":");
    if (block == BLOCK_CALL)
        put_call(w, g, call);
    json_raw(w, block == BLOCK_CALL      ? "{}}}\n\n"
                : block == BLOCK_THOUGHT ? "{\"type\":\"thinking\",\"thinking\":\"\","
                                           "\"signature\":\"\"}}\n\n"
                                         : "{\"type\":\"text\",\"text\":\"\"}}\n\n");
    if (!json_keep(w, before))
        return false;
    wishes->block = block;
    wishes->n_blocks++;
    return true;
}

/* As much of the event's bytes as fits, in whole characters; the rest is told again. */
static bool write_delta(struct json_writer *w, struct generation *g, const struct tool_event *e)
{
    static const char *const deltas[] = {
        [BLOCK_THOUGHT] = ",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":",
        [BLOCK_TEXT] = ",\"delta\":{\"type\":\"text_delta\",\"text\":",
        [BLOCK_CALL] = ",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":"};
    const struct message_wishes *wishes = wishes_of(g);
    size_t room = w->room - w->n, before = w->n, n = e->n;
    if (room < ENVELOPE + json_string_bound(4)) {
        w->full = true;
        return false;
    }
    if (n > (room - ENVELOPE) / 6) {
        n = (room - ENVELOPE) / 6;
        while (n > 0 && ((unsigned char)e->bytes[n] & 0xc0) == 0x80)
            n--;
    }
    open_event(w, "content_block_delta", wishes->n_blocks - 1);
    json_raw(w, deltas[wishes->block]);
    json_string(w, e->bytes, n);
    json_raw(w, "}}\n\n");
    if (!json_keep(w, before))
        return false;
    if (n < e->n) {
        struct tool_event rest = *e;
        rest.bytes += n;
        rest.n -= n;
        tool_reader_put_back(&g->choices[0].reader, &rest);
    }
    return true;
}

static bool write_event(struct json_writer *w, struct generation *g, const struct tool_event *e)
{
    const struct message_wishes *wishes = wishes_of(g);
    const unsigned block = block_of(e);
    bool begins = e->kind == TOOL_CALL || wishes->block != block;
    if (e->kind == TOOL_CALL_END)
        return end_block(w, g);
    if (begins && (!end_block(w, g) || !begin_block(w, g, block, e)))
        return false;
    if (e->kind == TOOL_CALL || (e->kind == TOOL_THOUGHT && wishes->hides_thoughts))
        return true;
    return write_delta(w, g, e);
}

bool anthropic_write_told(struct json_writer *w, struct generation *g,
                          const struct generation_ready *ready)
{
    struct choice *choice = &g->choices[0];
    const bool finished = ready->finished && !generation_failed(choice->job);
    struct tool_reader before = choice->reader;
    struct tool_event e;
    while (tool_reader_next(&choice->reader, choice->job->text, ready->n_text, finished, &e)) {
        if (!write_event(w, g, &e)) {
            choice->reader = before;
            return false;
        }
        before = choice->reader;
    }
    choice->sent.n_tokens = (uint32_t)ready->n_tokens;
    if (!finished || !end_block(w, g))
        return !finished;
    bool empty = wishes_of(g)->n_blocks == 0 && anthropic_empty_block(g);
    return !empty || (begin_block(w, g, BLOCK_TEXT, NULL) && end_block(w, g));
}

/* --- whole --- */

struct blocks { /* of an answer that is written whole */
    struct json_writer *w;
    const struct generation *g;
    unsigned open;
    bool any;
    size_t begin; /* of a call's input, in the writer */
};

/* input_whole: a call's arguments are complete. */
static void close_block(struct blocks *b, bool input_whole)
{
    struct json_writer *w = b->w;
    if (b->open == BLOCK_CALL && !input_whole && !w->full) {
        /* What there is of an object that is cut is none: the words that Anthropic has for it. */
        static const char head[] = "{\"INVALID_JSON\":\"";
        char *text = w->out + b->begin;
        size_t n = w->n - b->begin;
        size_t escaped = 2 * n + sizeof head + 4; /* escapes: of quotes and backslashes alone */
        w->full = w->room - w->n < escaped;
        if (!w->full) {
            struct json_writer part = {.out = text + n, .room = w->room - w->n};
            json_raw(&part, head);
            json_inside(&part, text, n);
            json_raw(&part, "\"}");
            memmove(text, text + n, part.n);
            w->n = b->begin + part.n;
        }
    }
    if (b->open == BLOCK_THOUGHT) {
        json_raw(w, "\",\"signature\":");
        anthropic_put_signature(w, b->g);
    }
    json_raw(w, b->open == BLOCK_NONE ? "" : b->open == BLOCK_TEXT ? "\"}" : "}");
    b->open = BLOCK_NONE;
}

static void open_block(struct blocks *b, const struct tool_event *e)
{
    json_raw(b->w, b->any ? "," : "");
    b->any = true;
    b->open = block_of(e);
    if (b->open == BLOCK_CALL)
        put_call(b->w, b->g, e);
    else
        json_raw(b->w, b->open == BLOCK_THOUGHT ? "{\"type\":\"thinking\",\"thinking\":\""
                                                : "{\"type\":\"text\",\"text\":\"");
    b->begin = b->w->n;
}

void anthropic_put_told(struct json_writer *w, const struct generation *g)
{
    const struct job *job = g->choices[0].job;
    struct tool_reader reader = g->choices[0].reader;
    struct blocks b = {.w = w, .g = g};
    struct tool_event e;
    while (tool_reader_next(&reader, job->text, job->n_text, true, &e)) {
        if (e.kind == TOOL_CALL_END) {
            close_block(&b, true);
            continue;
        }
        if (e.kind == TOOL_CALL || block_of(&e) != b.open) {
            close_block(&b, false);
            open_block(&b, &e);
        }
        if (e.kind == TOOL_ARGUMENTS)
            json_bytes(w, e.bytes, e.n);
        else if (e.kind == TOOL_TEXT || !wishes_of(g)->hides_thoughts)
            json_inside(w, e.bytes, e.n);
    }
    close_block(&b, false);
    if (!b.any && anthropic_empty_block(g))
        json_raw(w, "{\"type\":\"text\",\"text\":\"\"}");
}

size_t anthropic_told_bound(const struct generation *g)
{
    const struct job *job = g->choices[0].job;
    size_t bound = CALL_BOUND;
    struct tool_reader reader;
    struct tool_event e;
    if (g->tools == NULL)
        return 0;
    reader = g->choices[0].reader;
    while (tool_reader_next(&reader, job->text, job->n_text, true, &e))
        bound += e.kind == TOOL_CALL ? CALL_BOUND : json_string_bound(e.n);
    return bound;
}

size_t anthropic_call_min(const struct generation *g)
{
    return g->tools != NULL ? 2 * CALL_BOUND + strlen(g->id) : 0;
}
