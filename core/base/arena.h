/* arena.h - one block of memory, carved from front to back, freed as a whole.
 *
 * Sized once and never grown: an arena that is full returns NULL, which its owner turns into an
 * error. Zeroed, aligned to 64 bytes (2 MiB for large ones, with huge pages advised). Not
 * thread-safe: one owner at a time.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena {
    uint8_t *base; /* owned */
    size_t n_bytes;
    size_t n_used;   /* of a reserved one: usable, in whole pages of the system */
    size_t n_mapped; /* what munmap needs */
    size_t unit;     /* bytes that arena_extend takes at once */
};

enum { ARENA_ALIGN = 64 };

/* Maps n_bytes of zeroed memory for the named purpose (the name is for the error).
 * STATUS_NO_MEMORY. */
enum status arena_init(struct arena *arena, size_t n_bytes, const char *purpose, struct error *err);
void arena_free(struct arena *arena); /* takes a zeroed one */

/* Address space alone, for memory that is taken later, from front to back: arena_extend makes its
 * first n_bytes usable (zeroed, faulted in), the rest stays out of reach. False: the system has no
 * more memory, and what was usable before stays so. Not for arena_alloc. STATUS_NO_MEMORY. */
enum status arena_reserve(struct arena *arena, size_t n_bytes, const char *purpose,
                          struct error *err);
bool arena_extend(struct arena *arena, size_t n_bytes);
/* Of what is usable: the system may have the memory of these bytes back, as far as they are whole
 * pages of its own; what was written there is lost. arena_refill faults them in again, before they
 * are used. False: the system has no more memory. */
void arena_discard(struct arena *arena, size_t begin, size_t n_bytes);
bool arena_refill(struct arena *arena, size_t begin, size_t n_bytes);
/* The same for memory of which little may be used, whatever is reserved: never in huge pages. */
enum status arena_reserve_small(struct arena *arena, size_t n_bytes, const char *purpose,
                                struct error *err);

/* n * size bytes, 64-byte aligned and zeroed; NULL when full. */
void *arena_alloc(struct arena *arena, size_t n, size_t size);

/* The same; of an arena without memory (zeroed) it returns NULL and counts in n_used what it would
 * take (SIZE_MAX: more than can be): an owner that carves twice needs no second list of sizes. */
void *arena_carve(struct arena *arena, size_t n, size_t size);

/* Faults every page in now, so that memory promised at start-up cannot be missing later; large ones
 * on n_threads threads, started for it. */
void arena_touch(struct arena *arena, unsigned n_threads);
