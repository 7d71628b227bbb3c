/* reasoning.c - finds the tags in a growing text, holding back what could be the beginning of one.
 * Pure; any thread. */
#include "api/reasoning.h"

#include <string.h>

static const struct reasoning_tags known[] = {
    {"<think>", "</think>", NULL},           {"[THINK]", "[/THINK]", NULL},
    {"<thinking>", "</thinking>", NULL},     {"<|START_THINKING|>", "<|END_THINKING|>", NULL},
    {"<seed:think>", "</seed:think>", NULL}, {"<|channel>thought", "<channel|>", "<|channel>"},
};

const struct reasoning_tags *reasoning_find(const char *template)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strstr(template, known[i].close) != NULL)
            return &known[i];
    return NULL;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

bool reasoning_ends_with(const char *tag, const char *text, size_t n)
{
    const size_t n_tag = strlen(tag);
    while (n > 0 && is_space(text[n - 1]))
        n--;
    return n >= n_tag && memcmp(text + n - n_tag, tag, n_tag) == 0;
}

void reasoning_begin(struct reasoning *r, const struct reasoning_tags *tags, const char *prompt,
                     size_t n_prompt)
{
    *r = (struct reasoning){.tags = tags};
    if (tags == NULL)
        return;
    if (reasoning_ends_with(tags->open, prompt, n_prompt))
        r->stage = REASONING_INSIDE;
}

/* Bytes at the end of text[0..n) that could be the beginning of the tag. */
static size_t held_for(const char *tag, const char *text, size_t n)
{
    size_t most = strlen(tag) - 1;
    for (size_t k = n < most ? n : most; k > 0; k--)
        if (memcmp(text + n - k, tag, k) == 0)
            return k;
    return 0;
}

static size_t skip_space(const char *text, size_t at, size_t n)
{
    while (at < n && is_space(text[at]))
        at++;
    return at;
}

static void enter(struct reasoning *r, size_t at)
{
    r->stage = REASONING_INSIDE;
    r->at = at;
    r->thought[0] = r->thought[1] = r->sent_thought = at;
}

static void leave(struct reasoning *r, size_t at)
{
    r->stage = REASONING_OVER;
    r->at = at;
    r->answer[0] = r->answer[1] = r->sent_answer = at;
}

/* Does the text begin with the opening tag? */
static void look_for_open(struct reasoning *r, const char *text, size_t n, bool finished)
{
    const char *open = r->tags->open;
    size_t at = skip_space(text, 0, n), n_open = strlen(open), left = n - at;
    bool begins = memcmp(text + at, open, left < n_open ? left : n_open) == 0;
    if (at <= REASONING_SPACE_MAX && left >= n_open && begins)
        enter(r, at + n_open);
    else if (finished || at > REASONING_SPACE_MAX || !begins)
        leave(r, 0);
}

static void look_for_close(struct reasoning *r, const char *text, size_t n, bool finished)
{
    const char *close = r->tags->close;
    size_t n_close = strlen(close), end = n;
    if (r->thought[1] == r->thought[0]) { /* nothing of it has been told: it begins later */
        r->at = skip_space(text, r->at, n);
        r->thought[0] = r->thought[1] = r->sent_thought = r->at;
    }
    const char *found = memmem(text + r->at, n - r->at, close, n_close);
    if (found != NULL)
        end = (size_t)(found - text);
    else if (!finished)
        end = n - held_for(close, text + r->at, n - r->at);
    size_t scanned = end;
    while (end > r->thought[1] && scanned - end < REASONING_SPACE_MAX && is_space(text[end - 1]))
        end--;
    if (end > r->thought[1])
        r->thought[1] = end;
    /* White space is looked at again: it is told when more follows. */
    r->at = found == NULL && scanned > r->thought[1] ? r->thought[1] : scanned;
    if (found != NULL)
        leave(r, (size_t)(found - text) + n_close);
}

static void tell_answer(struct reasoning *r, const char *text, size_t n)
{
    bool after_thought = r->answer[0] > 0;
    if (after_thought && r->answer[1] == r->answer[0]) {
        r->at = skip_space(text, r->at, n);
        r->answer[0] = r->sent_answer = r->at;
    }
    r->answer[1] = r->at = n;
}

void reasoning_advance(struct reasoning *r, const char *text, size_t n, bool finished)
{
    if (r->tags == NULL)
        r->stage = REASONING_OVER;
    if (r->stage == REASONING_UNKNOWN)
        look_for_open(r, text, n, finished);
    if (r->stage == REASONING_INSIDE)
        look_for_close(r, text, n, finished);
    if (r->stage == REASONING_OVER)
        tell_answer(r, text, n);
}
