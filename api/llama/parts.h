/* parts.h - what the decoder, whole answers and events of llama.cpp's API share. Inside api/llama
 * alone. */
#pragma once

#include "api/asked/asked.h"
#include "api/json/error_body.h"
#include "api/json/json.h"
#include "api/llama/llama.h"
#include "api/openai/openai.h"

/* A generation's wishes: the form that a body asks its answer to have. */
struct llama_wishes {
    struct openai_more more; /* of chats; first */
    bool return_tokens, timings_per_token, return_progress, verbose;
    int64_t n_predict;        /* -1: as many as fit */
    size_t n_fields, n_bytes; /* of paths, which are all different; 0: the whole answer */
    char paths[]; /* "content", "timings/prompt_n", one after the other, NUL-terminated */
};

/* --- reading (values.c); the values are those of the body under way --- */

/* Keeps the text of the prompt's tokens with a choice. */
enum status llama_keep_text(struct choice *choice, const struct tokenizer *tokenizer,
                            struct error *err);
/* The body's prompts, with the text of each one's tokens beside its choices. */
enum status llama_add_prompts(struct asking *a, struct generation *g, struct error *err);
/* logit_bias: pairs of an id or a text and a number or false, or an object of them. *biases, which
 * the builder's sampling then borrows, is malloc'ed. */
enum status llama_read_biases(struct asking *a, struct logit_bias **biases, struct error *err);
/* samplers: filters that are not named are off. */
enum status llama_read_samplers(struct asking *a, struct error *err);
enum status llama_read_wishes(const struct asking *a, struct generation *g, struct error *err);

/* --- writing (members.c) --- */

/* The whole answer of a finished choice, or the members that the body chose; in a stream the last
 * event, without the text that was sent before `from`. */
void llama_put_answer(struct json_writer *w, const struct generation *g, size_t i,
                      const struct generation_mark *from);
size_t llama_answer_bound(const struct generation *g, size_t i);
/* [...] of tokens [begin, end). */
void llama_put_probabilities(struct json_writer *w, const struct generation *g,
                             const struct job *job, size_t begin, size_t end);
size_t llama_token_bound(const struct generation *g, const struct job *job);
void llama_put_error(struct json_writer *w, const struct api_error *what, const char *message,
                     size_t n_message, const char *param);

/* The dialect's writers. */
size_t llama_whole_bound(const struct generation *g);
size_t llama_whole(const struct generation *g, char *out, size_t room);
size_t llama_event_min(const struct generation *g);
size_t llama_event(struct generation *g, char *out, size_t room);
