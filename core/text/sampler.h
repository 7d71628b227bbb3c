/* sampler.h - from logits to one token id.
 *
 * Order: bias, penalties, top_k, typical_p, top_p, min_p, temperature, draw. The draw is a counter-based generator keyed by
 * (seed, choice, position), so that nothing but the request decides it. Our own exp and log, fixed orders of sums: the same
 * bits on every machine. Scratch memory is one struct sampler per compute thread that samples, created at start-up; sampling
 * allocates nothing. Knows nothing of sequences or text.
 */
#pragma once

#include "base/error.h"
#include "math/kernels.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct logit_bias {
    int32_t id;
    float bias; /* -INFINITY bans */
};

struct sampling { /* one request's parameters, checked by the API; ranges as in its reference */
    float temperature; /* 0 = greedy; ties: the lowest id */
    uint32_t top_k;    /* 0 = off */
    float top_p, min_p, typical_p; /* 1, 0, 1 = off */
    float repetition_penalty;      /* 1 = off */
    uint32_t repetition_window;    /* tokens, prompt included; for all three penalties */
    float presence_penalty, frequency_penalty;
    uint64_t seed;
    const struct logit_bias *biases; /* sorted by id, unique; borrowed from the job */
    size_t n_biases;
};

struct logprob { /* natural logarithm of the model's own distribution, before everything above */
    int32_t id;
    float logprob;
};

struct sampler;

/* For vocabularies of n_vocab. STATUS_NO_MEMORY. */
enum status sampler_create(struct sampler **out, size_t n_vocab, const struct kernels *kernels, struct error *err);
void sampler_destroy(struct sampler *sampler); /* takes NULL */

/* Draws one id. logits [n_vocab] may be changed. tokens [n_tokens]: all of the sequence so far, prompt included; the new
 * token's position is n_tokens. ban: ids that must not come now (EOS under ignore_eos or min_tokens). STATUS_INTERNAL when a
 * logit is not finite or everything is banned. */
enum status sampler_draw(struct sampler *sampler, float *logits, const struct sampling *params, const int32_t *tokens,
                         size_t n_tokens, const int32_t *ban, size_t n_ban, int32_t *id, struct error *err);

/* The n_top highest log-probabilities (ties: the lowest id first) and that of `id`, from untouched logits: call before
 * sampler_draw with the normalizer kept, or pass a chosen id later through sampler_logprob. Returns log(sum(exp(logits))). */
double sampler_top_logprobs(struct sampler *sampler, const float *logits, size_t n_top, struct logprob *top);
