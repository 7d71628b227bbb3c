/* logprobs.h - tokens with their log-probabilities, in the shape that chat APIs have taken over
 * from each other. Pure; any thread; allocates nothing. */
#pragma once

#include "api/json/json.h"
#include "engine/job.h"
#include "text/tokenizer/tokenizer.h"

#include <stddef.h>

/* [{"token","logprob","bytes","top_logprobs":[{"token","logprob","bytes"}, ...]}, ...] of the
 * answer's tokens [begin, end), whose job has log-probabilities. */
void json_logprobs(struct json_writer *w, const struct tokenizer *tokenizer, const struct job *job,
                   size_t begin, size_t end);
/* Bytes that it writes for one token at most. */
size_t json_logprob_bound(const struct tokenizer *tokenizer, const struct job *job);
