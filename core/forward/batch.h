/* batch.h - what a step computes: rows, each one token of one sequence at one position.
 *
 * Rows of many sequences, decoding or reading their prompts, go through the weights together. Plain
 * data, made by the engine for each step and borrowed by the forward pass until it has run.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct kv_seq;

struct row {
    int32_t token;
    uint32_t position;
    const struct kv_seq *seq; /* has room for position (kv_extend); rows of one sequence stand in
                                 ascending position, and together where layers are recurrent */
    bool wants_logits;
    uint32_t length; /* of an encoder's sequence, all of whose rows are in the step: each sees all;
                        else 0: a row sees those up to its position */
    bool wants_vector; /* its hidden state, after the output norm */
};
