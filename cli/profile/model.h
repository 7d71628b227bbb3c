/* model.h - models made in memory: a shape, and random weights from a fixed seed.
 *
 * A GGUF file as any other, but in memory, so that it goes through the same reader, packing and
 * engine as a file does. What it says makes no sense; what it costs is what a trained model of its
 * shape costs. Pure; main thread.
 */
#pragma once

#include "model/model.h"
#include "text/tokenizer/tokenizer.h"

struct synthetic { /* GPT-2's architecture, its head tied to the embedding, weights in F32 */
    size_t n_vocab, n_context, n_embd, n_layers, n_heads;
};

/* The file's bytes, malloc'ed. STATUS_NO_MEMORY. */
enum status synthetic_gguf(const struct synthetic *shape, uint8_t **out, size_t *n,
                           struct error *err);

/* Both made from such a file, which is gone after. n_context: as in model_load. */
enum status synthetic_load(const struct synthetic *shape, size_t n_context, struct model **model,
                           struct tokenizer **tokenizer, struct error *err);
