/* loader.h - one tensor of a file into its place in a model: packed, cut, or kept as numbers.
 *
 * Start-up thread only. Private to core/model.
 */
#pragma once

#include "base/team.h"
#include "model/arch.h"

/* Carves the arena, whether it must be filled or is; or, without a model, only counts what it would
 * take: the same walk, so that both always agree. */
struct loader {
    const struct gguf *gguf;
    const struct shape *shape;
    size_t n_context;
    struct model *model; /* NULL: count */
    struct team *team;   /* packs; NULL where counting */
    bool filled;         /* the arena holds it all: only places are given, nothing is fetched */
    size_t n_bytes;      /* counted */
    bool overflow;
    const float *freq_factors; /* [dim / 2] of the main rotation, in the arena; NULL: none */
    struct error *err;
};

void *loader_carve(struct loader *l, size_t n, size_t size);
enum status loader_no_room(struct loader *l, const char *what);
/* One tensor into its place in base (the model or a layer). */
enum status loader_take(struct loader *l, const struct tensor_role *role, size_t layer,
                        const struct gguf_tensor *t, uint8_t *base);
