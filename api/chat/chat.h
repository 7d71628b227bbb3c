/* chat.h - conversations: a model's chat template, and the prompt that it makes of messages.
 *
 * Every chat API writes its conversation as JSON in OpenAI's shape and hands it over here, as text,
 * so that numbers keep their spelling. The template (core/jinja) is parsed once, at load, and
 * read-only from then on: any thread. Rendering is bounded in steps, memory, output and time.
 *
 * The rendered text carries which bytes came from the request. Those are text and never become
 * control tokens; the template's own special tokens do.
 */
#pragma once

#include "api/json/json.h"
#include "base/error.h"
#include "gguf/gguf.h"
#include "jinja/value.h"
#include "text/tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chat_template;

struct chat_source { /* what a template is made of; borrowed for the call. bytes NULL: none */
    struct gguf_string text, tool_text; /* tool_text: used where a request has tools */
    const struct tokenizer *tokenizer;  /* its BOS and EOS are variables; may be NULL */
    struct jinja_limits limits;         /* of each rendering */
};

/* A template that cannot be used is made nevertheless, with its fault. STATUS_NO_MEMORY. */
enum status chat_template_create(struct chat_template **out, const struct chat_source *source,
                                 struct error *err);
void chat_template_destroy(struct chat_template *template); /* takes NULL */

/* One that was sent with a request, for the same model. A fault is STATUS_INVALID here. */
enum status chat_template_other(struct chat_template **out, const struct chat_template *model,
                                const char *text, size_t n, struct error *err);

/* A well-known template by name ("chatml"); bytes NULL: there is none of that name. */
struct gguf_string chat_builtin(const char *name);
/* "chatml gemma ...", for messages. */
const char *chat_builtin_names(void);

struct chat_request {                          /* borrowed for the call; checked JSON */
    struct json_span messages;                 /* an array of OpenAI's messages */
    struct json_span tools, documents, kwargs; /* n = 0: absent; kwargs: an object */
    const struct chat_template *other; /* a template sent with the request; NULL: the model's */
    bool add_generation_prompt;
    bool continue_final_message; /* the prompt ends where the last message's content ends */
    bool join_parts; /* lists of text parts become one string where the template takes no lists, and
                        content that is null, or left out, an empty one; so do a tool's
                        description and parameters; tools go by `functions` too where the template
                        knows them by that name */
};

struct chat_prompt { /* chat_prompt_free it */
    char *text;      /* UTF-8, not NUL-terminated; without the BOS that tokenizing adds */
    size_t n_text;
    struct tokenizer_span *spans; /* that came from the request; ascending, apart */
    size_t n_spans;
    size_t n_common; /* bytes before the first message that is no system prompt: what conversations
                        with the same one, and the same tools, begin with; 0: not known */
};

/* Renders. STATUS_INVALID: the request's fault, or the template's own raise_exception (param names
 * the field); STATUS_UNABLE: this template cannot be used (chat_template_fault);
 * STATUS_TOO_LARGE: beyond a limit; STATUS_NO_MEMORY. */
enum status chat_render(const struct chat_template *template, const struct chat_request *request,
                        struct chat_prompt *out, struct error *err);
void chat_prompt_free(struct chat_prompt *prompt); /* takes a zeroed one */

/* The prompt's ids, malloc'ed for the caller: control tokens of the template's bytes alone, BOS as
 * the model says and never twice. field: for errors. */
enum status chat_tokenize(const struct chat_prompt *prompt, const char *field,
                          const struct tokenizer *tokenizer, int32_t **ids, size_t *n_ids,
                          struct error *err);

/* How many of the prompt's ids stand for its first n_common bytes, as far as can be told. */
size_t chat_common_ids(const struct chat_prompt *prompt, const struct tokenizer *tokenizer,
                       const int32_t *ids, size_t n_ids);

/* NULL: conversations can be rendered. Else why not, a sentence (the 501's). Takes NULL: there is
 * no template. */
const char *chat_template_fault(const struct chat_template *template);
/* The model has no template at all, usable or not. Takes NULL. */
bool chat_template_absent(const struct chat_template *template);
/* The template's text, NUL-terminated, for /props. NULL where there is none. */
const char *chat_template_source(const struct chat_template *template);
/* That of conversations with tools, which may be another. */
const char *chat_template_source_for_tools(const struct chat_template *template);
