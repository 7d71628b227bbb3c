/* output.h - sampled tokens become a job's text: bytes to UTF-8, and stop strings found across
 * token borders.
 *
 * The text is defined byte by byte, so cutting it into tokens differently cannot change it:
 * ill-formed bytes become U+FFFD, and generation stops at the first byte that completes a stop
 * string (of several completed by the same byte, the longest counts); the text then ends before
 * that string, or with it where the job keeps it. Text that may still be the beginning of a stop
 * string, or of a character, is held back. Work per byte is bounded by the number of stop strings.
 * Called by the worker that runs the job.
 */
#pragma once

#include "engine/job.h"
#include "text/tokenizer/tokenizer.h"

/* Prepares the search; before the first token. Any thread, before the job is handed over. */
void output_begin(struct job *job);

/* Appends a token's record and bytes to the job. Returns true when a stop string is complete: the
 * text ends there and the output is final. A control token that the job does not show has no text,
 * yet it completes a stop string that ends with its whole name, when what comes before the name is
 * the text's end. */
bool output_append(struct job *job, const struct tokenizer *tokenizer, int32_t id);

/* The end, unless output_append said so: what was held back becomes text. Returns true when that
 * completed a stop string. */
bool output_end(struct job *job);

/* The value for n_ready: so many first records that their text is complete and final. None of it
 * can be part of a stop string any more, and no character is cut: where several tokens share one,
 * they count when the last of them does. Never shrinks. */
uint32_t output_n_ready(const struct job *job);

/* Whether a sampled token is one that the request wants to end its text, as an EOS does. */
bool output_ends_at(const struct job *job, int32_t id);

/* Lets go of a job: its results are final, and it is not touched again. */
void output_finish(struct job *job, enum finish_reason reason);
