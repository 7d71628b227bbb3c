/* resume.h - an answer goes on after tokens that another run of the same request has made.
 *
 * Everything that an answer's next token depends on follows from its tokens: penalties look at
 * ids, a grammar and stop strings at text, a draw is keyed by position. So the tokens are taken
 * into the job as if they had been sampled, and are then read like a prompt, as after a preemption.
 * The last one is not taken: the first sample must come out the same, which shows a token list that
 * does not belong to the request, and lets the text end there as it did. Any thread, before the job
 * is handed over. Knows nothing of streams or HTTP.
 */
#pragma once

#include "engine/job.h"
#include "text/tokenizer/tokenizer.h"

/* After the guide has begun; begins the output. STATUS_INVALID: no run can have made them. */
enum status resume_take(struct job *job, const struct tokenizer *tokenizer, struct error *err);

/* The sample drawn instead of the last one given: the job's error. */
void resume_refuse_last(struct job *job, int32_t sample);
