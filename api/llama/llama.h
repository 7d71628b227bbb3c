/* llama.h - the API of llama.cpp's server: its own completions as a row of the dialect table, the
 * count of a conversation's tokens, and what it says of itself and its slots.
 *
 * POST /completion (/completions): a prompt as text, ids, a list of both, or several of these. An
 * event carries one token. Unknown fields are let be; a known one that cannot be honoured is
 * refused by name. Decoders on any thread, writers on the loop thread; errors as in
 * api/native/native.h. Knows nothing of sockets.
 */
#pragma once

#include "api/dialect.h"
#include "api/json/fields.h"
#include "api/json/json.h"
#include "api/served/served.h"

#include <stddef.h>

extern const struct dialect llama_completion;
extern const struct field_table llama_completion_fields;
/* POST /chat/completions: OpenAI's chats with what this server has beside and instead. */
extern const struct dialect llama_chat;
extern const struct field_table llama_chat_fields;
/* POST /chat/completions/input_tokens: the same body, {"input_tokens"}. */
extern const struct dialect llama_count;

/* What rows over other writers tell of a job as well: ,"timings":{...} of one that runs, as of the
 * mark (job.progress is on), or of a finished one; ,"prompt_progress":{...} as of the mark. */
void llama_put_timings(struct json_writer *w, const struct job *job,
                       const struct generation_mark *to);
void llama_put_final_timings(struct json_writer *w, const struct job *job);
void llama_put_progress(struct json_writer *w, const struct job *job,
                        const struct generation_mark *to);
enum { LLAMA_TIMINGS_BOUND = 512 }; /* and of progress */

/* GET /props and /slots: the bounds, and the bodies (0: no room). No prompt is ever shown. */
size_t llama_props_bound(const struct served *served);
size_t llama_props(const struct served *served, char *out, size_t room);
size_t llama_slots_bound(const struct served *served);
size_t llama_slots(const struct served *served, char *out, size_t room);
