/* reader.c - see reader.h: free text, then sections of calls. */
#include "api/tools/reader.h"

#include "api/tools/channels.h"
#include "api/tools/match.h"
#include "api/tools/values.h"
#include "base/chars.h"

#include <string.h>

/* READER_NEW: what the answer begins with is to be seen; READER_FREE: text, up to a section;
 * READER_HEAD: a call up to its arguments; READER_TAIL: from them to the next call or the section's
 * end; READER_REST: text, and no call can come; READER_OVER: nothing more is told. */
enum {
    READER_NEW,
    READER_FREE,
    READER_HEAD,
    READER_ARGUMENTS,
    READER_TAIL,
    READER_REST,
    READER_OVER
};

enum { HELD_SPACE = 256 }; /* bytes of white space that wait for what follows */

void tool_reader_begin(struct tool_reader *r, const struct tool_set *set,
                       const struct reasoning *reasoning)
{
    *r = (struct tool_reader){.set = set, .reasoning = *reasoning};
}

static bool is_space(char c)
{
    return chars_have(" \t\r\n", c);
}

static bool tell(struct tool_reader *r, enum tool_event_kind kind, const char *text, size_t end,
                 struct tool_event *out)
{
    *out = (struct tool_event){.kind = kind, .bytes = text + r->at, .n = end - r->at};
    r->at = end;
    return true;
}

static bool may_call(const struct tool_reader *r)
{
    return r->set->n_tools > 0 && r->set->choice != TOOLS_NONE;
}

/* --- free text --- */

static bool free_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                      struct tool_event *out)
{
    const char *trigger = r->stage == READER_FREE && may_call(r) ? r->set->family->trigger : NULL;
    const char *found = NULL;
    size_t end = n, n_trigger = trigger != NULL ? strlen(trigger) : 0;
    size_t begin = r->at > r->skip ? r->at : r->skip;
    if (trigger != NULL && begin < n) {
        found = memmem(text + begin, n - begin, trigger, n_trigger);
        if (found != NULL)
            end = (size_t)(found - text);
        else if (!finished)
            end -= match_held(trigger, n_trigger, text, begin, n);
    }
    const size_t whole = end;
    if ((trigger != NULL && (found != NULL || !finished)) || r->n_calls > 0) {
        while (end > r->at && whole - end < HELD_SPACE && is_space(text[end - 1]))
            end--; /* between text and calls it belongs to neither */
    }
    if (end > r->at)
        return tell(r, TOOL_TEXT, text, end, out);
    if (found == NULL)
        return false;
    r->mark = whole;
    r->stage = READER_HEAD;
    return tool_reader_next(r, text, n, finished, out);
}

/* --- calls --- */

/* What has been read of a call is none: it is text, and what comes after it may be another. */
static void give_up(struct tool_reader *r)
{
    const char *trigger = r->set->family->trigger;
    if (r->inside)
        r->at = r->skip = r->mark;
    else
        r->skip = r->mark + (trigger != NULL ? strlen(trigger) : 0);
    r->inside = false;
    r->stage = trigger != NULL ? READER_FREE : READER_REST;
}

static enum matching match_head(const struct tool_reader *r, const char *text, size_t n, size_t *at,
                                const struct tool **tool)
{
    const struct tool_family *family = r->set->family;
    enum matching found = MATCH_YES;
    if (!r->inside) {
        if (family->trigger != NULL)
            found = match_text(family->trigger, text, n, at);
        if (found == MATCH_YES)
            found = match_pattern(family->begin, r->set, text, n, at, tool);
    }
    return found == MATCH_YES ? match_pattern(family->call, r->set, text, n, at, tool) : found;
}

static bool head_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                      struct tool_event *out)
{
    size_t at = r->mark;
    const struct tool *tool = NULL;
    enum matching found = match_head(r, text, n, &at, &tool);
    if (found == MATCH_MORE && !finished)
        return false;
    if (found != MATCH_YES) {
        give_up(r);
        return tool_reader_next(r, text, n, finished, out);
    }
    r->at = at;
    r->tool = tool;
    r->inside = true;
    r->stage = READER_ARGUMENTS;
    values_begin(r);
    *out = (struct tool_event){.kind = TOOL_CALL, .index = r->n_calls++, .tool = tool};
    return true;
}

static bool arguments_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                           struct tool_event *out)
{
    *out = (struct tool_event){.kind = TOOL_ARGUMENTS, .index = r->n_calls - 1, .tool = r->tool};
    switch (values_next(r, text, n, finished, out)) {
    case VALUES_EVENT:
        return out->n > 0 || tool_reader_next(r, text, n, finished, out);
    case VALUES_DONE:
        out->kind = TOOL_CALL_END;
        r->mark = r->at;
        r->stage = READER_TAIL;
        return true;
    case VALUES_BAD:
        r->mark = r->at;
        give_up(r);
        return tool_reader_next(r, text, n, finished, out);
    case VALUES_MORE:
        break;
    }
    return false;
}

static bool is_blank(const char *text, size_t at, size_t n)
{
    while (at < n && is_space(text[at]))
        at++;
    return at == n;
}

static bool tail_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                      struct tool_event *out)
{
    const struct tool_family *family = r->set->family;
    const struct tool *none = NULL;
    size_t at = r->mark, end;
    const size_t n_all = n;
    if (finished && n - at >= 3 && memcmp(text + n - 3, "\xef\xbf\xbd", 3) == 0)
        n -= 3; /* what was half a character of the syntax */
    enum matching call =
        match_pattern(match_after_arguments(family->call), NULL, text, n, &at, &none);
    end = at;
    enum matching over =
        call == MATCH_YES ? match_pattern(family->end, NULL, text, n, &end, &none) : call;
    if (family->trigger == NULL && family->end[0] == '\0' && over == MATCH_YES)
        over = is_blank(text, at, n) ? MATCH_MORE : MATCH_NO; /* the answer's end ends it */
    if (over == MATCH_YES) {
        r->at = r->skip = end;
        r->inside = false;
        r->stage = family->trigger != NULL ? READER_FREE : READER_REST;
        return tool_reader_next(r, text, n, finished, out);
    }
    enum matching next = MATCH_NO;
    if (call == MATCH_YES && family->between != NULL)
        next = match_pattern(family->between, NULL, text, n, &at, &none);
    if (next == MATCH_YES && at == n)
        next = MATCH_MORE; /* of the white space after it */
    if (next == MATCH_YES && over == MATCH_NO) {
        r->mark = at;
        r->stage = READER_HEAD;
        return tool_reader_next(r, text, n, finished, out);
    }
    if ((call == MATCH_MORE || over == MATCH_MORE || next == MATCH_MORE) && finished) {
        r->at = n_all;
        r->stage = READER_OVER; /* cut within the syntax around it: nothing of the answer */
    } else if (call != MATCH_MORE && over != MATCH_MORE && next != MATCH_MORE) {
        give_up(r);
        return tool_reader_next(r, text, n, finished, out);
    }
    return false;
}

/* --- all --- */

static bool thought_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                         struct tool_event *out)
{
    struct reasoning *t = &r->reasoning;
    reasoning_advance(t, text, n, finished);
    if (t->thought[1] == t->sent_thought)
        return false;
    *out = (struct tool_event){.kind = TOOL_THOUGHT,
                               .bytes = text + t->sent_thought,
                               .n = t->thought[1] - t->sent_thought};
    t->sent_thought = t->thought[1];
    return true;
}

/* The answer proper has begun: what can it be? */
static bool begin_answer(struct tool_reader *r, size_t n)
{
    if (r->reasoning.stage != REASONING_OVER || r->reasoning.answer[0] == n)
        return false;
    r->at = r->mark = r->skip = r->reasoning.answer[0];
    if (r->set == NULL || !may_call(r))
        r->stage = READER_REST;
    else
        r->stage = may_call(r) && r->set->family->trigger == NULL ? READER_HEAD : READER_FREE;
    return true;
}

/* Text that nothing ends. */
static bool rest_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                      struct tool_event *out)
{
    if (r->set != NULL)
        return free_next(r, text, n, finished, out);
    return n > r->at && tell(r, TOOL_TEXT, text, n, out);
}

void tool_reader_put_back(struct tool_reader *r, const struct tool_event *event)
{
    r->kept = *event;
    r->has_kept = true;
}

bool tool_reader_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                      struct tool_event *out)
{
    if (r->has_kept) {
        *out = r->kept;
        r->has_kept = false;
        return true;
    }
    if (r->n_queue > 0) {
        *out = (struct tool_event){.kind = TOOL_ARGUMENTS,
                                   .index = r->n_calls - 1,
                                   .tool = r->tool,
                                   .bytes = r->queue[0].bytes,
                                   .n = r->queue[0].n};
        memmove(r->queue, r->queue + 1, --r->n_queue * sizeof r->queue[0]);
        return true;
    }
    if (r->set != NULL && r->set->family->channels)
        return channels_next(r, text, n, finished, out);
    switch (r->stage) {
    case READER_NEW:
        return thought_next(r, text, n, finished, out) ||
               (begin_answer(r, n) && tool_reader_next(r, text, n, finished, out));
    case READER_FREE:
        return free_next(r, text, n, finished, out);
    case READER_HEAD:
        return head_next(r, text, n, finished, out);
    case READER_ARGUMENTS:
        return arguments_next(r, text, n, finished, out);
    case READER_TAIL:
        return tail_next(r, text, n, finished, out);
    case READER_REST:
        return rest_next(r, text, n, finished, out);
    default:
        return false;
    }
}
