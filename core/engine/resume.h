/* resume.h - an answer goes on after tokens that another run of the same request has made.
 *
 * Everything that an answer's next token depends on follows from its tokens: penalties look at
 * ids, a grammar and stop strings at text, a draw is keyed by position. So the tokens are taken
 * into the job as if they had been sampled, and are then read like a prompt, as after a preemption.
 * Reading them, the worker draws each again (step_sample.c): one that does not come out the same is
 * none of this request's, whatever it would lead to. The last one is not taken, so that the text
 * ends there where it did. Any thread, before the job is handed over. Knows nothing of streams or
 * HTTP.
 */
#pragma once

#include "engine/job.h"
#include "text/tokenizer/tokenizer.h"

/* After the guide has begun; begins the output. STATUS_INVALID: no run can have made them. */
enum status resume_take(struct job *job, const struct tokenizer *tokenizer, struct error *err);

/* Another token was drawn instead of the i-th one given, or TOKEN_NONE: the job's error. */
void resume_refuse(struct job *job, size_t i, int32_t drawn);
