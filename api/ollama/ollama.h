/* ollama.h - Ollama's API: texts and chats, as two rows of the dialect table, and what it says of
 * models.
 *
 * Answers come as lines of JSON unless the body says otherwise. Unknown fields are let be; a known
 * one that cannot be honoured is refused by name. Decoders on any thread, writers on the loop
 * thread; errors as in api/native/native.h. Knows nothing of sockets.
 */
#pragma once

#include "api/dialect.h"
#include "api/json/fields.h"
#include "api/served/served.h"

#include <stddef.h>

/* POST /api/generate: a prompt, as the first message of a chat unless it is raw. Where the model
 * has no template at all the prompt is the text itself. Without a prompt nothing is generated: the
 * model is there. POST /api/chat: messages. */
extern const struct dialect ollama_generate, ollama_chat;
extern const struct field_table ollama_generate_fields, ollama_chat_fields, ollama_show_fields;

/* GET /api/tags, /api/ps, /api/version, POST /api/show: the bounds, and the bodies (0: no room). */
size_t ollama_models_bound(const struct served *served);
size_t ollama_tags(const struct served *served, char *out, size_t room);
size_t ollama_ps(const struct served *served, char *out, size_t room);
size_t ollama_version(const struct served *served, char *out, size_t room);
size_t ollama_show_bound(const struct served *served);
size_t ollama_show(const struct served *served, char *out, size_t room);

/* The model that the body of /api/show asks about, cut where longer. */
enum status ollama_show_name(const char *body, size_t n, const struct api_limits *limits,
                             char name[GENERATION_MODEL_MAX], struct error *err);
