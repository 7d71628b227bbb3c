/* rates.h - what a worker's steps cost, measured as they go: how much prompt fits a step, and how
 * long a wait will be.
 *
 * Written by one worker, read by any thread (relaxed: an estimate may be a step old). Moving
 * averages, seeded by the warm-up. Decides how work is cut and which jobs are refused, never a bit
 * of an answer.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { RATE_CLASSES = 12 }; /* of sizes: 1, 2, 3-4, 5-8, ... */

/* A time for each class of sizes, that of its largest; 0: not seen yet. */
struct sized {
    _Atomic uint64_t ns[RATE_CLASSES];
};

struct rates {
    _Atomic uint64_t alone_ns;  /* a prompt token in a step without decoding sequences, lately */
    _Atomic uint64_t beside_ns; /* what a prompt token adds to a step of decoding ones, lately */
    struct sized prompt;        /* a step of so many prompt tokens and nothing else */
    _Atomic uint64_t
        decode_ns[RATE_CLASSES];    /* a step of decoding sequences alone; 0: not seen yet */
    _Atomic uint32_t used_permille; /* of max_tokens, by requests that ended on their own */
    double growth[RATE_CLASSES];    /* what a step of so many rows reads, of what one row's reads */
};

/* From the warm-up: a step of one decoding sequence, and one of n_prompt prompt tokens. growth
 * [RATE_CLASSES]: see above (NULL: every row reads the same). */
void rates_seed(struct rates *rates, uint64_t decode_ns, size_t n_prompt, uint64_t prompt_ns,
                const double *growth);
/* After a step of n_decode sequences and n_prompt prompt tokens. */
void rates_step(struct rates *rates, size_t n_decode, size_t n_prompt, uint64_t ns);
/* After a request made n_tokens of max_tokens. */
void rates_finished(struct rates *rates, size_t n_tokens, size_t max_tokens);

/* A step of n decoding sequences alone; never less for more of them. n >= 1. */
uint64_t rates_decode(const struct rates *rates, size_t n);
/* Prompt tokens for a step beside n_decode sequences, which is to take about two pure decode
 * steps: a prompt then takes about twice as long as alone. Where no sequence decodes: within 100 ms
 * or eight steps of one token, whichever is longer. 1..cap.
 */
size_t rates_prompt_budget(const struct rates *rates, size_t n_decode, size_t cap);
/* How long n tokens take to be made in a batch of n_batch, when max_tokens of them are allowed. */
uint64_t rates_decode_all(const struct rates *rates, size_t max_tokens, size_t n_batch);
