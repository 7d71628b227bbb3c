/* kv_map.h - where each layer's part of a worker's cache lies, and how a budget of bytes is divided
 * among its kinds of memory.
 *
 * There are three. Pages hold KV_PAGE positions of every layer that sees them all. Windows are the
 * same positions of the layers that see only the last ones: a sequence needs those of its last
 * pages. A state is what a sequence's recurrent layers carry from one position to the next. Layers
 * may differ in heads and in the size of a head, or have nothing here at all. An encoder's share
 * one place: a layer's keys and values are not read once the next one has begun. Pure functions of
 * the model; any thread.
 */
#pragma once

#include "base/error.h"
#include "math/kernels.h"
#include "model/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv_place {       /* of one layer */
    size_t offset;      /* bytes, in a page or in a window */
    size_t block_bytes; /* of each KV head; 0: it has no keys and values */
    size_t state;       /* floats, in a state */
    bool windowed;
};

struct kv_map {
    size_t page_bytes, window_bytes, state_bytes; /* of one; 0: there are none of this kind */
    size_t window;                                /* positions that windowed layers see at most */
    size_t window_pages; /* that a sequence's window touches at most, its next position included */
};

/* places [n_layers] are filled; NULL: only the sums. */
void kv_map_of(struct kv_map *out, struct kv_place *places, const struct shape *shape,
               enum kv_type type, size_t n_context);

/* Pages that n positions need. */
static inline size_t kv_pages_for(size_t n_positions)
{
    return n_positions / KV_PAGE + (n_positions % KV_PAGE != 0);
}

struct kv_division { /* of a budget */
    size_t n_pages, n_windows, n_states;
    size_t bytes; /* of all of them */
};

/* Bytes that let n_sequences of so many positions each run side by side. */
size_t kv_bytes_for(const struct shape *shape, enum kv_type type, size_t n_positions,
                    size_t n_sequences);
/* What a budget is divided into. First one whole context, as much of it as there is room for; the
 * rest serves shorter sequences too. n_pages 0: it does not hold one page and what belongs to it.
 */
void kv_divide(struct kv_division *out, const struct kv_map *map, size_t n_context,
               size_t budget_bytes);
/* Windows and states that are there when n pages are. */
size_t kv_windows_at(const struct kv_map *map, const struct kv_division *d, size_t n_pages);
size_t kv_states_at(const struct kv_division *d, size_t n_pages);
