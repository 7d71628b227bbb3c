/* talk.h - the model's side of a conversation in the terminal: the engine, the chat template, one
 * answer at a time. Main thread; Ctrl-C is seen by interrupt.h's thread while an answer runs. */
#pragma once

#include "base/error.h"
#include "config/settings.h"
#include "engine/job.h"

#include <stdbool.h>
#include <stddef.h>

struct talk;

/* Loads the model and starts an engine of one sequence, whose prefix cache makes each turn read
 * only what is new. STATUS_UNABLE: the model has no chat template that can be used. */
enum status talk_create(struct talk **out, const struct settings *settings, struct error *err);
void talk_destroy(struct talk *talk); /* takes NULL */

struct talk_answer {
    char *text; /* owned by the talk, until the next answer */
    size_t n_text;
    enum finish_reason finish;
    size_t n_prompt, n_cached, n_tokens;
    double first_ms, decode_ms; /* to the first token; from it to the last */
    bool interrupted;           /* by Ctrl-C */
};

/* Takes the next text of an answer; false: no more is wanted, and the answer ends. */
typedef bool talk_show(void *ctx, const char *text, size_t n);

/* Answers the messages (a JSON array), handing text over as it comes. STATUS_CONTEXT: they no
 * longer fit. */
enum status talk_ask(struct talk *talk, const char *messages, size_t n, talk_show *show, void *ctx,
                     struct talk_answer *out, struct error *err);
