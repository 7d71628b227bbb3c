/* reader.h - tells a growing answer apart: reasoning, text, and calls of tools with their arguments
 * as JSON, whatever the syntax that the model writes them in.
 *
 * The text only grows and stays where it is. What is told is final, and the same however the text
 * came; what may turn out to be the beginning of a call is held back until it is known. A call that
 * is malformed before its arguments begin is text. Copying a reader keeps a place to come back to.
 * Pure; any thread; allocates nothing.
 */
#pragma once

#include "api/reasoning.h"
#include "api/tools/set.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tool_event_kind {
    TOOL_THOUGHT,   /* bytes of reasoning */
    TOOL_TEXT,      /* bytes of the answer */
    TOOL_CALL,      /* call number index begins, of the tool */
    TOOL_ARGUMENTS, /* bytes of its arguments: JSON */
    TOOL_CALL_END,  /* they are complete */
};

struct tool_event {
    enum tool_event_kind kind;
    size_t index; /* of the call */
    const struct tool *tool;
    const char *bytes; /* in the text, static, or in the reader until it is asked again */
    size_t n;
};

struct tool_piece { /* to be told next */
    const char *bytes;
    size_t n;
};

struct tool_values { /* arguments on their way to JSON */
    unsigned stage;
    unsigned depth;
    size_t n_told;  /* arguments begun */
    uint64_t lists; /* bit d: depth d is a list */
    char quote;
    bool escaped, word;
};

struct tool_reader {            /* tool_reader_begin it; zeroed: it tells nothing */
    const struct tool_set *set; /* borrowed; NULL: reasoning and text alone */
    struct reasoning reasoning;
    unsigned stage;
    size_t at;   /* bytes told, or passed over */
    size_t mark; /* what is read again as the text grows begins here */
    size_t skip; /* no section begins before */
    bool inside; /* of a section, which has had a call */
    size_t n_calls;
    const struct tool *tool; /* of the last call */
    struct tool_values values;
    struct tool_piece queue[4];
    unsigned n_queue;
    char piece[8];
    bool has_kept;
    struct tool_event kept; /* to be told again */
};

void tool_reader_begin(struct tool_reader *r, const struct tool_set *set,
                       const struct reasoning *reasoning);
/* What comes next of the text, which is n bytes now; finished: no more will come. False: nothing
 * more can be told. */
bool tool_reader_next(struct tool_reader *r, const char *text, size_t n, bool finished,
                      struct tool_event *out);
/* The event, or the end of it, is told again next. */
void tool_reader_put_back(struct tool_reader *r, const struct tool_event *event);
