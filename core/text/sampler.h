/* sampler.h - from logits to one token id.
 *
 * Order: bias, penalties, top_k, typical_p, top_p, min_p, temperature, draw. What each does:
 *   repetition penalty (Keskar et al., 2019): a logit of a token in the window is divided by it
 * when positive, else multiplied; presence, frequency: logit -= presence + frequency * (times in
 * the window), for tokens in it; top_k: the k highest, ties by the lowest id; typical_p (Meister et
 * al., 2022): in the order of |-log p - entropy|, the fewest whose probabilities exceed it
 * together; top_p (Holtzman et al., 2020): in descending order, the fewest whose probabilities
 * reach it together; min_p (Nguyen et al., 2024): those with at least this part of the highest
 * probability; probabilities are those at temperature 1 of what the filters before have left; at
 * least one token always stays. The draw is a counter-based generator keyed by (seed, choice,
 * position), so that nothing but the request decides it. Our own exp and log, fixed orders of sums:
 * the same bits on every machine. Scratch memory is one struct sampler per compute thread that
 * samples, created at start-up; sampling allocates nothing. Knows nothing of sequences or text.
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
    float temperature;             /* 0 = greedy; ties: the lowest id */
    uint32_t top_k;                /* 0 = off */
    float top_p, min_p, typical_p; /* 1, 0, 1 = off */
    float repetition_penalty;      /* 1 = off */
    uint32_t repetition_window;    /* tokens, prompt included; for all three penalties */
    float presence_penalty, frequency_penalty;
    size_t penalties_from; /* the three penalties look at no token before it: 0, or n_prompt */
    uint64_t seed;
    uint32_t choice; /* which of a request's parallel answers: each has its own stream of draws */
    const struct logit_bias *biases; /* sorted by id, unique; borrowed from the job */
    size_t n_biases;
};

/* Whether a bias of -INFINITY keeps the token away. Any thread. */
bool sampler_bans(const struct logit_bias *biases, size_t n_biases, int32_t id);

struct logprob { /* natural logarithm of the model's own distribution, before everything above */
    int32_t id;
    float logprob;
};

struct sampler_ids { /* borrowed */
    const int32_t *ids;
    size_t n;
};

struct sampler;

/* For vocabularies of n_vocab. STATUS_NO_MEMORY. */
enum status sampler_create(struct sampler **out, size_t n_vocab, const struct kernels *kernels,
                           struct error *err);
void sampler_destroy(struct sampler *sampler); /* takes NULL */

/* Draws one id. logits [n_vocab] are worked on in place and left as they were found. tokens
 * [n_tokens]: all of the sequence so far, prompt included; the new token's position is n_tokens.
 * ban [n_ban]: ids that must not come now (EOS under ignore_eos or min_tokens). STATUS_INTERNAL
 * when a logit is not finite, STATUS_INVALID when everything is banned. */
enum status sampler_draw(struct sampler *sampler, float *logits, const struct sampling *params,
                         const int32_t *tokens, size_t n_tokens, const struct sampler_ids *ban,
                         size_t n_ban, int32_t *id, struct error *err);

/* The same, of the ids whose bit is set in mask [(n_vocab + 63) / 64] (bit id % 64 of word id / 64)
 * and of no other. */
enum status sampler_draw_among(struct sampler *sampler, const float *logits,
                               const struct sampling *params, const int32_t *tokens,
                               size_t n_tokens, const uint64_t *mask, int32_t *id,
                               struct error *err);

/* STATUS_INTERNAL when a logit is not finite: neither a draw nor log-probabilities can be had. */
enum status sampler_check(const struct sampler *sampler, const float *logits, struct error *err);

/* In the model's own distribution: the log-probability of id, and the n_top <= n_vocab highest
 * (ties: the lowest id first). logits: finite, as the model gave them, before or after
 * sampler_draw. */
float sampler_logprobs(struct sampler *sampler, const float *logits, int32_t id, size_t n_top,
                       struct logprob *top);

/* Of what the last sampler_draw drew from, after biases, penalties, filters and temperature: the
 * probability of id, and the highest, *n_top at most, that are above zero (*n_top: how many; equal
 * ones in no order that means anything). logprob: the probability itself. */
float sampler_probabilities(const struct sampler *sampler, int32_t id, size_t *n_top,
                            struct logprob *top);
