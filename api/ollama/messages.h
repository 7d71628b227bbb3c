/* messages.h - Ollama's messages, and its prompts, as the array of messages that api/chat reads.
 *
 * Values are copied as they stand in the body, so that numbers keep their spelling; the members
 * that OpenAI calls by another name get that name. Any thread. Inside api/ollama alone.
 */
#pragma once

#include "api/json/json.h"
#include "base/error.h"

#include <stddef.h>

struct ollama_messages { /* zeroed first; ollama_messages_free it */
    char *text;          /* owned */
    struct json_span span;
    size_t n; /* messages */
};

/* system: a JSON string, or n = 0. STATUS_NO_MEMORY. */
enum status ollama_messages_of_prompt(struct ollama_messages *m, struct json_span system,
                                      const char *prompt, struct error *err);
/* Checked JSON. STATUS_INVALID and STATUS_UNSUPPORTED name the field, STATUS_NO_MEMORY. */
enum status ollama_messages_of_chat(struct ollama_messages *m, struct json_span messages,
                                    struct error *err);
void ollama_messages_free(struct ollama_messages *m);
