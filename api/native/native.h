/* native.h - SmallMind's own API: one row of the dialect table, and its two small routes.
 *
 * Pure functions of (bytes, limits, tokenizer): called on the loop thread, or on libuv's pool for
 * large bodies; writers on the loop thread. Unknown, repeated, ill-typed and out-of-range fields
 * are refused by name with the nearest known one. Knows nothing of sockets.
 *
 * Every decoder returns STATUS_FORMAT (malformed JSON), STATUS_INVALID and STATUS_UNSUPPORTED (a
 * field: param names it), STATUS_CONTEXT (param is prompt or max_tokens), STATUS_TOO_LARGE (more
 * values than the limit), STATUS_NO_MEMORY: errors_of_status knows what each is in HTTP.
 */
#pragma once

#include "api/dialect.h"
#include "api/json/fields.h"
#include "base/error.h"
#include "text/tokenizer/tokenizer.h"

#include <stddef.h>
#include <stdint.h>

/* POST /generate: JSON, server-sent events, or the text itself. A plain body that does not begin
 * with '{' is the prompt. */
extern const struct dialect native_dialect;

extern const struct field_table native_generate_fields, native_tokenize_fields,
    native_detokenize_fields, native_template_fields;

/* POST /tokenize: *ids is malloc'ed for the caller; *pieces: each is asked for with its text. POST
 * /detokenize: *text is malloc'ed, valid UTF-8, not NUL-terminated (a byte of it may be NUL). */
enum status native_tokenize(const char *body, size_t n, const struct tokenizer *tokenizer,
                            const struct api_limits *limits, int32_t **ids, size_t *n_ids,
                            bool *pieces, struct error *err);
enum status native_detokenize(const char *body, size_t n, const struct tokenizer *tokenizer,
                              const struct api_limits *limits, char **text, size_t *n_text,
                              struct error *err);

/* {"tokens":[...]} and {"text","content"}: the bound, and the body (0: no room). */
size_t native_tokens_bound(size_t n_ids);
size_t native_tokens(const int32_t *ids, size_t n_ids, char *out, size_t room);
/* {"tokens":[{"id","piece"}, ...]}; a piece that is no text by itself is an array of its bytes. */
size_t native_pieces_bound(const struct tokenizer *tokenizer, const int32_t *ids, size_t n_ids);
size_t native_pieces(const struct tokenizer *tokenizer, const int32_t *ids, size_t n_ids, char *out,
                     size_t room);
size_t native_text_bound(size_t n_text);
size_t native_text(const char *text, size_t n_text, char *out, size_t room);

/* POST /apply-template: *text, the prompt of a conversation, is malloc'ed. On libuv's pool.
 * STATUS_UNABLE: the model's template cannot be used. Then {"prompt"}. */
enum status native_apply_template(const char *body, size_t n, const struct chat_template *model,
                                  const struct api_limits *limits, char **text, size_t *n_text,
                                  struct error *err);
size_t native_prompt_bound(size_t n_text);
size_t native_prompt(const char *text, size_t n_text, char *out, size_t room);
