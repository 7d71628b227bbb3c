/* key_reader.h - typed reads of an architecture's keys, each checked for its range. Private to
 * core/model; pure functions, any thread.
 */
#pragma once

#include "model/arch.h"

/* How far a hyper-parameter may go: beyond what any model has, and far below where a product of two
 * would overflow. */
enum {
    MAX_HEADS = 1024,
    MAX_HEAD_DIM = 1024,
    MAX_EMBD = 1 << 17,
    MAX_FF = 1 << 20,
    MAX_VOCAB = 1 << 24,
    MAX_CONTEXT = 1 << 24,
};

struct key_reader {
    const struct gguf *gguf;
    const struct arch *arch; /* its name is the keys' prefix */
    char key[128];           /* of the last read */
    struct error *err;
};

const char *full_key(struct key_reader *r, const char *suffix);
bool has_key(struct key_reader *r, const char *suffix);

/* An integer in low..high; absent: fallback, or an error where fallback is 0. */
enum status read_size(struct key_reader *r, const char *suffix, size_t low, size_t high,
                      size_t fallback, size_t *out);
/* A finite number in low..high; absent: *out stays. */
enum status read_real(struct key_reader *r, const char *suffix, double low, double high,
                      float *out);
/* A number for all layers, or an array with one for each: out [n_layers], each in low..high;
 * absent: fallback, or an error where it is 0. The array may go on for blocks that are skipped. */
enum status read_each(struct key_reader *r, const char *suffix, const struct shape *s, size_t low,
                      size_t high, size_t fallback, uint32_t *out);

/* A number that all layers share, though the file may say it of each. */
enum status read_alike(struct key_reader *r, const struct shape *s, const char *suffix, size_t high,
                       size_t fallback, size_t *out);

/* keys_rope.c: the rotations of the model. */
enum status read_rope(struct key_reader *r, struct shape *s);
/* keys_experts.c: routing and widths of experts; then which layers have some, [n_layers]. */
enum status read_experts(struct key_reader *r, struct shape *s);
enum status read_expert_layers(struct key_reader *r, const struct shape *s, bool *has_experts);
/* keys_layers.c: what each layer is, after read_rope and read_experts. */
enum status read_layers(struct key_reader *r, struct shape *s);
