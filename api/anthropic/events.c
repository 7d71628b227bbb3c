/* events.c - a generation as Anthropic's stream of events: the message begins, then a block for
 * what the model thought and one for its answer, each begun, filled and ended, then the message's
 * end. Each call writes as many whole events as fit. Loop thread; allocates nothing. */
#include "api/anthropic/parts.h"

#include "api/json/error_body.h"

enum { MESSAGE_NEW, MESSAGE_BEGUN }; /* a generation's stage */
enum { BLOCK_NONE, BLOCK_THOUGHT, BLOCK_BETWEEN, BLOCK_TEXT, BLOCK_OVER }; /* a choice's */
enum { DELTA_ENVELOPE = 160 };

static void open_event(struct json_writer *w, const char *type)
{
    json_raw(w, "event: ");
    json_raw(w, type);
    json_raw(w, "\ndata: {\"type\":\"");
    json_raw(w, type);
    json_raw(w, "\"");
}

static void open_block_event(struct json_writer *w, const char *type, size_t index)
{
    open_event(w, type);
    json_name_uint(w, ",", "index", index);
}

static bool write_message_start(struct json_writer *w, struct generation *g)
{
    size_t before = w->n;
    open_event(w, "message_start");
    json_raw(w, ",\"message\":");
    anthropic_put_head(w, g);
    json_raw(w, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null");
    json_name_uint(w, ",\"usage\":{", "input_tokens", g->choices[0].job->n_prompt);
    json_raw(w, ",\"cache_creation_input_tokens\":null,\"cache_read_input_tokens\":null,"
                "\"output_tokens\":0}}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n");
    if (!json_keep(w, before))
        return false;
    g->stage = MESSAGE_BEGUN;
    return true;
}

/* The text block's place: after a thinking block, where there is one. */
static size_t index_of_text(const struct choice *choice)
{
    return choice->reasoning.thought[1] > choice->reasoning.thought[0] ? 1 : 0;
}

static bool begin_block(struct json_writer *w, struct choice *choice, bool thought)
{
    size_t before = w->n;
    open_block_event(w, "content_block_start", thought ? 0 : index_of_text(choice));
    json_raw(w, thought ? ",\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\","
                          "\"signature\":\"\"}}\n\n"
                        : ",\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n");
    if (!json_keep(w, before))
        return false;
    choice->stage = thought ? BLOCK_THOUGHT : BLOCK_TEXT;
    return true;
}

static bool end_block(struct json_writer *w, const struct generation *g, struct choice *choice)
{
    size_t before = w->n, index = choice->stage == BLOCK_THOUGHT ? 0 : index_of_text(choice);
    if (choice->stage == BLOCK_THOUGHT) {
        open_block_event(w, "content_block_delta", index);
        json_raw(w, ",\"delta\":{\"type\":\"signature_delta\",\"signature\":");
        anthropic_put_signature(w, g);
        json_raw(w, "}}\n\n");
    }
    open_block_event(w, "content_block_stop", index);
    json_raw(w, "}\n\n");
    if (!json_keep(w, before))
        return false;
    choice->stage = choice->stage == BLOCK_THOUGHT ? BLOCK_BETWEEN : BLOCK_OVER;
    return true;
}

/* As much of text[*begin, end) as fits, in whole characters. */
static bool write_delta(struct json_writer *w, const struct choice *choice, size_t *begin,
                        size_t end)
{
    const char *text = choice->job->text;
    size_t room = w->room - w->n, before = w->n, to = end;
    if (room < DELTA_ENVELOPE + json_string_bound(4)) {
        w->full = true;
        return false;
    }
    if ((room - DELTA_ENVELOPE) / 6 < end - *begin) {
        to = *begin + (room - DELTA_ENVELOPE) / 6;
        while (((unsigned char)text[to] & 0xc0) == 0x80)
            to--;
    }
    bool thought = choice->stage == BLOCK_THOUGHT;
    open_block_event(w, "content_block_delta", thought ? 0 : index_of_text(choice));
    json_raw(w, thought ? ",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":"
                        : ",\"delta\":{\"type\":\"text_delta\",\"text\":");
    json_string(w, text + *begin, to - *begin);
    json_raw(w, "}}\n\n");
    if (!json_keep(w, before))
        return false;
    *begin = to;
    return true;
}

static bool write_message_end(struct json_writer *w, struct generation *g)
{
    size_t before = w->n;
    open_event(w, "message_delta");
    json_raw(w, ",\"delta\":{");
    anthropic_put_stop(w, g);
    json_raw(w, "}");
    anthropic_put_usage(w, g);
    json_raw(w, "}\n\n");
    open_event(w, "message_stop");
    json_raw(w, "}\n\n");
    g->complete = g->choices[0].sent.done = json_keep(w, before);
    return false;
}

/* The next event of what is ready. False: there is none now, or no room for it. */
static bool write_next(struct json_writer *w, struct generation *g,
                       const struct generation_ready *ready)
{
    struct choice *choice = &g->choices[0];
    struct reasoning *r = &choice->reasoning;
    const struct message_wishes *wishes = g->wishes;
    if (g->stage == MESSAGE_NEW)
        return write_message_start(w, g);
    if (r->thought[1] > r->thought[0] && choice->stage == BLOCK_NONE)
        return begin_block(w, choice, true);
    if (wishes->hides_thoughts)
        r->sent_thought = r->thought[1];
    if (r->thought[1] > r->sent_thought)
        return write_delta(w, choice, &r->sent_thought, r->thought[1]);
    bool failed = ready->finished && generation_failed(choice->job);
    if (choice->stage == BLOCK_THOUGHT && !failed &&
        (r->stage == REASONING_OVER || ready->finished))
        return end_block(w, g, choice);
    bool empty = ready->finished && choice->stage == BLOCK_NONE && anthropic_empty_block(g);
    if ((r->answer[1] > r->sent_answer && choice->stage < BLOCK_TEXT) || (empty && !failed))
        return begin_block(w, choice, false);
    if (r->answer[1] > r->sent_answer)
        return write_delta(w, choice, &r->sent_answer, r->answer[1]);
    choice->sent.n_tokens = (uint32_t)ready->n_tokens;
    if (!ready->finished)
        return false;
    if (failed) {
        g->complete = choice->sent.done = json_error_event(w, anthropic_put_error, choice->job,
                                                           g->id, "event: error\ndata: ", "\n\n");
        return false;
    }
    if (choice->stage == BLOCK_TEXT)
        return end_block(w, g, choice);
    return write_message_end(w, g);
}

/* The same of an answer with tools, all of it that is ready. */
static void write_all(struct json_writer *w, struct generation *g,
                      const struct generation_ready *ready)
{
    struct choice *choice = &g->choices[0];
    if (g->stage == MESSAGE_NEW && !write_message_start(w, g))
        return;
    if (!anthropic_write_told(w, g, ready) || !ready->finished)
        return;
    if (generation_failed(choice->job))
        g->complete = choice->sent.done = json_error_event(w, anthropic_put_error, choice->job,
                                                           g->id, "event: error\ndata: ", "\n\n");
    else
        write_message_end(w, g);
}

size_t anthropic_event(struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    struct choice *choice = &g->choices[0];
    struct generation_ready ready = generation_ready(choice->job);
    if (g->complete)
        return 0;
    if (g->tools != NULL) {
        write_all(&w, g, &ready);
        return w.n;
    }
    reasoning_advance(&choice->reasoning, choice->job->text, ready.n_text, ready.finished);
    while (write_next(&w, g, &ready))
        ;
    return w.n;
}
