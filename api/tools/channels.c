/* channels.c - see channels.h. A message is a head, its body and what ends it: the body of
 * "analysis" is reasoning, of "commentary" and "final" text, of a message to "functions.NAME" the
 * arguments of a call. */
#include "api/tools/channels.h"

#include "api/tools/match.h"
#include "api/tools/values.h"

#include <string.h>

enum { CHANNEL_HEAD, CHANNEL_THOUGHT, CHANNEL_TEXT, CHANNEL_CALL, CHANNEL_OTHER };

static const char MESSAGE[] = "<|message|>", CHANNEL[] = "<|channel|>", FUNCTIONS[] = "functions.";
/* What ends a body; what ends the answer has no text. */
static const char *const ends[] = {"<|end|>", "<|start|>", "<|call|>", "<|return|>"};
enum { N_ENDS = sizeof ends / sizeof ends[0] };

struct head {
    const char *at;
    size_t n;
};

/* The text after a word of the head; NULL: it is not there. */
static const char *after_word(struct head head, const char *word)
{
    const char *found = memmem(head.at, head.n, word, strlen(word));
    return found != NULL ? found + strlen(word) : NULL;
}

static bool begins(const char *at, const char *end, const char *word)
{
    return at != NULL && (size_t)(end - at) >= strlen(word) && memcmp(at, word, strlen(word)) == 0;
}

/* The tool that a message is to; NULL: none that can be called. */
static const struct tool *recipient(const struct tool_reader *r, struct head head)
{
    const char *to = after_word(head, "to="), *end = head.at + head.n;
    if (!begins(to, end, FUNCTIONS))
        return NULL;
    to += sizeof FUNCTIONS - 1;
    size_t n = 0;
    while (to + n < end && to[n] != ' ' && to[n] != '<')
        n++;
    return tool_set_find(r->set, to, n);
}

static unsigned kind_of(const struct tool_reader *r, struct head head, const struct tool **tool)
{
    const char *channel = after_word(head, CHANNEL), *end = head.at + head.n;
    *tool = recipient(r, head);
    if (*tool != NULL)
        return CHANNEL_CALL;
    if (begins(channel, end, "analysis"))
        return CHANNEL_THOUGHT;
    return after_word(head, "to=") != NULL ? CHANNEL_OTHER : CHANNEL_TEXT;
}

/* The first end of a body from r->at on; *found: which, -1: none yet, and *at is where what may be
 * one begins. */
static void body_end(const struct tool_reader *r, const char *text, size_t n, bool finished,
                     size_t *at, int *found)
{
    size_t held = 0;
    *at = n;
    *found = -1;
    for (int i = 0; i < N_ENDS; i++) {
        const char *end = memmem(text + r->at, *at - r->at, ends[i], strlen(ends[i]));
        size_t k = match_held(ends[i], strlen(ends[i]), text, r->at, n);
        held = k > held ? k : held;
        if (end != NULL) {
            *at = (size_t)(end - text);
            *found = i;
        }
    }
    if (*found < 0 && !finished)
        *at = n - held;
}

static bool head_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                      struct tool_event *out)
{
    const struct tool *tool = NULL;
    const char *message = memmem(text + r->at, n - r->at, MESSAGE, sizeof MESSAGE - 1);
    if (message == NULL) {
        bool channel = memmem(text + r->at, n - r->at, CHANNEL, sizeof CHANNEL - 1) != NULL;
        if (!finished || channel || r->mark > 0 || n == r->at)
            return false;
        r->stage = CHANNEL_TEXT; /* an answer without channels */
        return channels_next(r, text, n, finished, out);
    }
    r->stage = kind_of(r, (struct head){text + r->at, (size_t)(message - text) - r->at}, &tool);
    r->at = (size_t)(message - text) + sizeof MESSAGE - 1;
    r->mark++;
    if (r->stage != CHANNEL_CALL)
        return channels_next(r, text, n, finished, out);
    r->tool = tool;
    values_begin(r);
    *out = (struct tool_event){.kind = TOOL_CALL, .index = r->n_calls++, .tool = tool};
    return true;
}

/* The body of a call. */
static bool call_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                      struct tool_event *out)
{
    *out = (struct tool_event){.kind = TOOL_ARGUMENTS, .index = r->n_calls - 1, .tool = r->tool};
    enum values_step step = values_next(r, text, n, finished, out);
    if (step == VALUES_EVENT)
        return true;
    if (step != VALUES_DONE)
        return false;
    out->kind = TOOL_CALL_END;
    r->stage = CHANNEL_OTHER;
    return true;
}

bool channels_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                   struct tool_event *out)
{
    size_t end;
    int found;
    if (r->stage == CHANNEL_HEAD)
        return head_next(r, text, n, finished, out);
    if (r->stage == CHANNEL_CALL)
        return call_next(r, text, n, finished, out);
    body_end(r, text, n, finished, &end, &found);
    if (r->stage == CHANNEL_OTHER)
        r->at = end;
    if (end > r->at) {
        *out = (struct tool_event){.kind = r->stage == CHANNEL_THOUGHT ? TOOL_THOUGHT : TOOL_TEXT,
                                   .bytes = text + r->at,
                                   .n = end - r->at};
        r->at = end;
        return true;
    }
    if (found < 0)
        return false;
    r->at = end + strlen(ends[found]);
    r->stage = CHANNEL_HEAD;
    return channels_next(r, text, n, finished, out);
}
