/* history.h - conversations with tools for templates that know less of them than OpenAI's messages
 * say: tools are described in the system message, calls and results of earlier turns become text
 * in the syntax that the model is asked for. Texts are copied as they stand in the body, escapes
 * included. Any thread. Knows nothing of templates' rendering. */
#pragma once

#include "api/json/json.h"
#include "api/tools/set.h"

struct tool_history {
    const struct tool_set *set;
    struct json_span messages, tools; /* checked JSON: arrays of OpenAI's; tools n 0: none */
    bool describes;                   /* the tools, in the first message */
    bool in_user;                     /* which is the user's: the template has no system's */
    bool results_too;                 /* results are the user's as well */
};

/* *out: malloc'ed for the caller; *written: the messages in it. STATUS_NO_MEMORY. */
enum status tool_history_write(const struct tool_history *h, char **out, struct json_span *written,
                               struct error *err);
