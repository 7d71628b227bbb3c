/* events.c - a generation as the Responses API's stream of typed, numbered events: an item for what
 * the model thought and one for its answer, each added, filled and done, between the response's
 * beginning and its end. Each call writes as many whole events as fit. Loop thread; allocates
 * nothing. */
#include "api/llama/llama.h"
#include "api/responses/calls.h"
#include "api/responses/items.h"

#include <string.h>

enum { STREAM_NEW, STREAM_CREATED, STREAM_RUNNING }; /* a generation's stage */
/* A choice's stage: a step of the thought's item, then of the answer's, then STAGE_OVER. */
enum { STEP_ADD_ITEM, STEP_ADD_PART, STEP_TEXT, STEP_END_PART, STEP_END_ITEM, N_STEPS };
enum { STAGE_ANSWER = N_STEPS, STAGE_OVER = 2 * N_STEPS };
enum { ENVELOPE = 384 + 2 * LLAMA_TIMINGS_BOUND };

/* An event that did not fit is taken back whole. */
static bool keep(struct json_writer *w, const struct generation *g, size_t before)
{
    bool kept = json_keep(w, before);
    responses_wishes(g)->sequence += kept;
    return kept;
}

static void open_event(struct json_writer *w, const struct generation *g, const char *type)
{
    json_raw(w, "event: ");
    json_raw(w, type);
    json_raw(w, "\ndata: {");
    json_name_text(w, "", "type", type);
    json_name_uint(w, ",", "sequence_number", responses_wishes(g)->sequence);
}

/* to: how far the prompt is read, where that is what it tells; NULL: it does not. */
static bool write_response(struct json_writer *w, const struct generation *g, const char *type,
                           enum response_status status, const struct reasoning *r,
                           const struct generation_mark *to)
{
    const struct job *job = g->choices[0].job;
    size_t before = w->n;
    open_event(w, g, type);
    json_raw(w, ",\"response\":");
    responses_put(w, g, status, r);
    if (to != NULL)
        llama_put_progress(w, job, to);
    if (to != NULL && responses_wishes(g)->tells_timings)
        llama_put_timings(w, job, to);
    if (status == RESPONSE_COMPLETED || status == RESPONSE_INCOMPLETE)
        responses_put_timings(w, g, true);
    json_raw(w, "}\n\n");
    return keep(w, g, before);
}

/* The answer's item comes after the thought's, where there is one. */
static void put_place(struct json_writer *w, const struct generation *g,
                      const struct response_part *part)
{
    const struct reasoning *r = &g->choices[0].reasoning;
    bool second = !part->thought && r->thought[1] > r->thought[0];
    json_name_uint(w, ",", "output_index", second ? 1 : 0);
}

static void put_part_place(struct json_writer *w, const struct generation *g,
                           const struct response_part *part)
{
    put_place(w, g, part);
    json_raw(w, ",\"item_id\":");
    responses_put_id(w, g, part->item);
    json_raw(w, ",\"content_index\":0");
}

/* The events that end a part's text: the text, then the part. */
static void put_text_end(struct json_writer *w, const struct generation *g,
                         const struct response_part *part)
{
    open_event(w, g, part->thought ? "response.reasoning_text.done" : "response.output_text.done");
    put_part_place(w, g, part);
    if (!part->thought)
        responses_put_logprobs(w, g, part->begin, part->end);
    json_raw(w, ",\"text\":");
    json_string(w, part->text, part->n_text);
}

/* The event of this step; status: the item's. */
static bool write_step(struct json_writer *w, struct generation *g, unsigned step,
                       const struct response_part *part, enum response_status status)
{
    struct response_part empty = {.item = part->item, .thought = part->thought, .text = ""};
    size_t before = w->n;
    switch (step) {
    case STEP_ADD_ITEM:
        open_event(w, g, "response.output_item.added");
        put_place(w, g, part);
        json_raw(w, ",\"item\":");
        responses_put_item(w, g, &empty, RESPONSE_RUNNING, false);
        break;
    case STEP_ADD_PART:
        open_event(w, g, "response.content_part.added");
        put_part_place(w, g, part);
        json_raw(w, ",\"part\":");
        responses_put_part(w, g, &empty);
        break;
    case STEP_TEXT:
        put_text_end(w, g, part);
        break;
    case STEP_END_PART:
        open_event(w, g, "response.content_part.done");
        put_part_place(w, g, part);
        json_raw(w, ",\"part\":");
        responses_put_part(w, g, part);
        break;
    default:
        open_event(w, g, "response.output_item.done");
        put_place(w, g, part);
        json_raw(w, ",\"item\":");
        responses_put_item(w, g, part, status, true);
        break;
    }
    json_raw(w, "}\n\n");
    if (!keep(w, g, before))
        return false;
    g->choices[0].stage++;
    return true;
}

/* A piece of a part's text, [*begin, end), with n_tokens log-probabilities. */
static bool write_delta(struct json_writer *w, struct generation *g,
                        const struct response_part *part, size_t *begin, size_t end,
                        size_t n_tokens)
{
    struct response_wishes *wishes = responses_wishes(g);
    const char *text = g->choices[0].job->text;
    size_t before = w->n;
    open_event(w, g,
               part->thought ? "response.reasoning_text.delta" : "response.output_text.delta");
    put_part_place(w, g, part);
    if (!part->thought)
        responses_put_logprobs(w, g, wishes->next_token, wishes->next_token + n_tokens);
    json_raw(w, ",\"delta\":");
    json_string(w, text + *begin, end - *begin);
    responses_put_timings(w, g, false);
    json_raw(w, "}\n\n");
    if (!keep(w, g, before))
        return false;
    wishes->next_token += n_tokens;
    *begin = end;
    return true;
}

/* As much of text[*begin, end) as fits, in whole characters. */
static bool write_text(struct json_writer *w, struct generation *g,
                       const struct response_part *part, size_t *begin, size_t end)
{
    const char *text = g->choices[0].job->text;
    size_t room = w->room - w->n, envelope = ENVELOPE + strlen(g->id), to = end;
    if (room < envelope + json_string_bound(4)) {
        w->full = true;
        return false;
    }
    if ((room - envelope) / 6 < end - *begin) {
        to = *begin + (room - envelope) / 6;
        while (((unsigned char)text[to] & 0xc0) == 0x80)
            to--;
    }
    return write_delta(w, g, part, begin, to, 0);
}

/* The answer's growth: with log-probabilities, token by token. */
static bool write_answer(struct json_writer *w, struct generation *g,
                         const struct generation_ready *ready)
{
    struct reasoning *r = &g->choices[0].reasoning;
    const struct response_wishes *wishes = responses_wishes(g);
    const struct response_part part = {.item = "msg"};
    if (!wishes->logprobs || wishes->next_token == ready->n_tokens)
        return write_text(w, g, &part, &r->sent_answer, r->answer[1]);
    size_t end = g->choices[0].job->tokens[wishes->next_token].text_end;
    end = end < r->sent_answer ? r->sent_answer : end > r->answer[1] ? r->answer[1] : end;
    return write_delta(w, g, &part, &r->sent_answer, end, 1);
}

/* The next event of the thought's item. True also where there is none and its turn is over. */
static bool write_thought(struct json_writer *w, struct generation *g, bool over, bool failed)
{
    struct choice *choice = &g->choices[0];
    struct reasoning *r = &choice->reasoning;
    if (r->thought[1] == r->thought[0]) {
        if (over)
            choice->stage = STAGE_ANSWER;
        return over;
    }
    const struct response_part part = responses_thought(g, r);
    if (choice->stage == STEP_TEXT && r->thought[1] > r->sent_thought)
        return write_text(w, g, &part, &r->sent_thought, r->thought[1]);
    if (choice->stage >= STEP_TEXT && (!over || failed))
        return false;
    enum response_status status =
        r->stage == REASONING_OVER ? RESPONSE_COMPLETED : RESPONSE_INCOMPLETE;
    if (over && r->stage != REASONING_OVER)
        status = responses_status(choice->job);
    return write_step(w, g, choice->stage, &part, status);
}

/* The tokens that are the thought's have no log-probabilities in the answer. */
static void skip_thought(struct generation *g, const struct generation_ready *ready)
{
    struct response_wishes *wishes = responses_wishes(g);
    const struct choice *choice = &g->choices[0];
    size_t begin = choice->reasoning.answer[0];
    while (begin > 0 && wishes->next_token < ready->n_tokens &&
           choice->job->tokens[wishes->next_token].text_end <= begin)
        wishes->next_token++;
}

/* The next event of the answer's item. */
static bool write_message(struct json_writer *w, struct generation *g,
                          const struct generation_ready *ready, bool failed)
{
    struct choice *choice = &g->choices[0];
    struct reasoning *r = &choice->reasoning;
    unsigned step = choice->stage - STAGE_ANSWER;
    bool thought = r->thought[1] > r->thought[0], more = r->answer[1] > r->sent_answer;
    if (step == STEP_ADD_ITEM && !more) {
        if (!ready->finished || failed)
            return false;
        if (thought) { /* and nothing was said */
            choice->stage = STAGE_OVER;
            return true;
        }
    }
    if (step == STEP_ADD_ITEM)
        skip_thought(g, ready);
    const struct response_wishes *wishes = responses_wishes(g);
    if (step == STEP_TEXT && (more || (wishes->logprobs && wishes->next_token < ready->n_tokens)))
        return write_answer(w, g, ready);
    if (step < STEP_TEXT) {
        const struct response_part part = {.item = "msg"};
        return write_step(w, g, step, &part, RESPONSE_RUNNING);
    }
    if (!ready->finished || failed)
        return false;
    const struct response_part part = responses_answer(g, r);
    return write_step(w, g, step, &part, responses_status(choice->job));
}

static bool write_end(struct json_writer *w, struct generation *g)
{
    static const char *const types[] = {[RESPONSE_COMPLETED] = "response.completed",
                                        [RESPONSE_INCOMPLETE] = "response.incomplete",
                                        [RESPONSE_FAILED] = "response.failed"};
    struct choice *choice = &g->choices[0];
    enum response_status status = responses_status(choice->job);
    const struct reasoning *r = status != RESPONSE_FAILED ? &choice->reasoning : NULL;
    g->complete = choice->sent.done = write_response(w, g, types[status], status, r, NULL);
    return false;
}

/* How far the prompt is read, before there is an answer. */
static bool write_progress(struct json_writer *w, struct generation *g)
{
    struct choice *choice = &g->choices[0];
    struct generation_mark to;
    while (generation_progress(choice, &to)) {
        if (responses_wishes(g)->tells_progress && choice->sent.n_tokens == 0 &&
            !write_response(w, g, "response.in_progress", RESPONSE_RUNNING, NULL, &to))
            return false;
        choice->sent = to;
    }
    return true;
}

/* The next event of what is ready. False: there is none now, or no room for it. */
static bool write_next(struct json_writer *w, struct generation *g,
                       const struct generation_ready *ready)
{
    struct choice *choice = &g->choices[0];
    bool failed = ready->finished && generation_failed(choice->job);
    if (g->stage < STREAM_RUNNING) {
        if (!write_response(w, g,
                            g->stage == STREAM_NEW ? "response.created" : "response.in_progress",
                            RESPONSE_RUNNING, NULL, NULL))
            return false;
        g->stage++;
        return true;
    }
    if (choice->job->progress && !write_progress(w, g))
        return false;
    if (g->tools != NULL)
        return responses_write_told(w, g, ready) && ready->finished && write_end(w, g);
    bool over = ready->finished || choice->reasoning.stage == REASONING_OVER;
    if (choice->stage < STAGE_ANSWER && write_thought(w, g, over, failed))
        return true;
    if (!w->full && choice->stage >= STAGE_ANSWER && choice->stage < STAGE_OVER &&
        write_message(w, g, ready, failed))
        return true;
    if (w->full)
        return false;
    if (ready->finished && (failed || choice->stage == STAGE_OVER))
        return write_end(w, g);
    return false;
}

size_t responses_event(struct generation *g, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    struct choice *choice = &g->choices[0];
    struct generation_ready ready = generation_ready(choice->job);
    if (g->complete)
        return 0;
    if (g->tools == NULL) /* else it is read anew for each item */
        reasoning_advance(&choice->reasoning, choice->job->text, ready.n_text, ready.finished);
    while (write_next(&w, g, &ready))
        ;
    if (!w.full)
        choice->sent.n_tokens = (uint32_t)ready.n_tokens;
    return w.n;
}

/* Small while the text grows; large where events repeat what has been sent. */
size_t responses_event_min(const struct generation *g)
{
    const struct choice *choice = &g->choices[0];
    struct generation_ready ready = generation_ready(choice->job);
    const struct reasoning *r = &choice->reasoning;
    if (g->tools != NULL)
        return ENVELOPE + strlen(g->id) + responses_bound(g) + responses_call_min(g);
    bool ends_thought = choice->stage < STAGE_ANSWER && r->stage == REASONING_OVER;
    size_t n_text = ready.finished ? ready.n_text : ends_thought ? r->thought[1] : 0;
    size_t n_tokens = ready.finished ? ready.n_tokens : 1;
    return ENVELOPE + strlen(g->id) + responses_bound(g) +
           responses_output_bound(g, n_text, n_tokens);
}
