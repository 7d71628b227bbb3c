/* candidates.c - sorting and top-k selection over a vocabulary.
 *
 * Scratch memory of one sampler, one thread at a time. The k highest are among those that reach a
 * floor which at least k do: found by counting, a vectorised pass for each guess. Of a long
 * vocabulary only the maxima of blocks are counted: at least k logits reach what k maxima do.
 */
#include "text/candidates.h"

#include <float.h>
#include <string.h>

enum { SMALL_SORT = 128, SELECT_ROUNDS = 24, BLOCK = 256, DIGIT_BITS = 11 };

size_t candidates_bytes(size_t n_vocab)
{
    return 2 * n_vocab * sizeof(struct candidate) + (n_vocab / BLOCK + 1) * sizeof(float) +
           n_vocab * sizeof(uint32_t) + sizeof(uint32_t[CANDIDATE_DIGITS][CANDIDATE_RADIX]) +
           (size_t)5 * ARENA_ALIGN;
}

bool candidates_init(struct candidates *c, struct arena *arena, size_t n_vocab,
                     const struct kernels *kernels)
{
    c->kernels = kernels;
    c->n_vocab = n_vocab;
    c->n = 0;
    c->list = arena_alloc(arena, n_vocab, sizeof *c->list);
    c->spare = arena_alloc(arena, n_vocab, sizeof *c->spare);
    c->maxima = arena_alloc(arena, n_vocab / BLOCK + 1, sizeof *c->maxima);
    c->index = arena_alloc(arena, n_vocab, sizeof *c->index);
    c->counts = arena_alloc(arena, CANDIDATE_DIGITS, sizeof *c->counts);
    return c->list && c->spare && c->maxima && c->index && c->counts;
}

/* Floats as unsigned numbers in the same order; -0 and 0 are one value. */
static inline uint32_t ascending_key(float x)
{
    uint32_t bits;
    x += 0.0f; /* -0 becomes 0 */
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static inline uint32_t sort_key(float x, uint32_t flip)
{
    return ascending_key(x) ^ flip;
}

/* Short lists, n <= SMALL_SORT: keys and places in one number each, insertion. */
static void insertion_sort(struct candidate *items, size_t n, uint32_t flip)
{
    struct candidate copy[SMALL_SORT];
    uint64_t keys[SMALL_SORT];
    for (size_t i = 0; i < n; i++) {
        uint64_t key = (uint64_t)sort_key(items[i].logit, flip) << 32 | i;
        size_t j = i;
        for (; j > 0 && keys[j - 1] > key; j--)
            keys[j] = keys[j - 1];
        keys[j] = key;
        copy[i] = items[i];
    }
    for (size_t i = 0; i < n; i++)
        items[i] = copy[(uint32_t)keys[i]];
}

/* Least significant digit first: stable, three passes whatever the values. flip: all ones for
 * descending. */
static void radix_sort(struct candidates *c, struct candidate *items, size_t n, uint32_t flip)
{
    if (n <= SMALL_SORT) {
        insertion_sort(items, n, flip);
        return;
    }
    memset(c->counts, 0, sizeof(uint32_t[CANDIDATE_DIGITS][CANDIDATE_RADIX]));
    for (size_t i = 0; i < n; i++) {
        uint32_t key = sort_key(items[i].logit, flip);
        for (unsigned d = 0; d < CANDIDATE_DIGITS; d++)
            c->counts[d][key >> (d * DIGIT_BITS) & (CANDIDATE_RADIX - 1)]++;
    }
    struct candidate *from = items, *to = c->spare;
    for (unsigned d = 0; d < CANDIDATE_DIGITS; d++) {
        uint32_t *counts = c->counts[d], at = 0;
        for (size_t i = 0; i < CANDIDATE_RADIX; i++) {
            uint32_t count = counts[i];
            counts[i] = at;
            at += count;
        }
        for (size_t i = 0; i < n; i++) {
            uint32_t key = sort_key(from[i].logit, flip);
            to[counts[key >> (d * DIGIT_BITS) & (CANDIDATE_RADIX - 1)]++] = from[i];
        }
        struct candidate *t = from;
        from = to;
        to = t;
    }
    memcpy(items, from, n * sizeof *items); /* an odd number of passes ends in the spare */
}

void candidates_sort(struct candidates *c)
{
    radix_sort(c, c->list, c->n, UINT32_MAX);
}

void candidates_sort_ascending(struct candidates *c, struct candidate *items, size_t n)
{
    radix_sort(c, items, n, 0);
}

void candidates_gather(struct candidates *c, const float *logits, float floor)
{
    const float least = floor > -FLT_MAX ? floor : -FLT_MAX; /* not the banned ones */
    c->n = c->kernels->list_at_least(logits, c->n_vocab, least, c->index);
    for (size_t i = 0; i < c->n; i++)
        c->list[i] = (struct candidate){.logit = logits[c->index[i]], .id = (int32_t)c->index[i]};
}

/* A floor that at least k of x[n] reach, and, unless many are alike, few more: bisection by value
 * below the maximum. 1 <= k <= n; every x is finite or -infinity. */
static float floor_of_highest(const struct candidates *c, const float *x, size_t n, size_t k)
{
    float high = c->kernels->max(x, n), low = high;
    const size_t enough = k + k / 4 + 8;
    size_t n_low = c->kernels->count_at_least(x, n, low);
    for (float depth = 4.0f; n_low < k; depth *= 2.0f) {
        high = low;
        low = high - depth;
        n_low = c->kernels->count_at_least(x, n, low);
    }
    for (int round = 0; n_low > enough && round < SELECT_ROUNDS; round++) {
        float middle = low + (high - low) * 0.5f;
        if (!(middle > low && middle < high))
            break;
        size_t n_middle = c->kernels->count_at_least(x, n, middle);
        if (n_middle < k) {
            high = middle;
        } else {
            low = middle;
            n_low = n_middle;
        }
    }
    return low;
}

/* Ids reaching the floor, looking only into blocks whose maximum does. */
static void gather_blocks(struct candidates *c, const float *logits, size_t block, size_t n_blocks,
                          float floor)
{
    const float least = floor > -FLT_MAX ? floor : -FLT_MAX; /* not the banned ones */
    size_t n = 0;
    for (size_t b = 0; b < n_blocks; b++) {
        if (!(c->maxima[b] >= least))
            continue;
        size_t begin = b * block, end = begin + block < c->n_vocab ? begin + block : c->n_vocab;
        size_t n_found = c->kernels->list_at_least(logits + begin, end - begin, least, c->index);
        for (size_t i = 0; i < n_found; i++) {
            size_t id = begin + c->index[i];
            c->list[n++] = (struct candidate){.logit = logits[id], .id = (int32_t)id};
        }
    }
    c->n = n;
}

void candidates_top(struct candidates *c, const float *logits, size_t k)
{
    const size_t n_blocks = (c->n_vocab + BLOCK - 1) / BLOCK;
    if (k == 0) {
        c->n = 0;
        return;
    }
    if (2 * k <= n_blocks) {
        for (size_t b = 0; b < n_blocks; b++) {
            size_t begin = b * BLOCK, left = c->n_vocab - begin;
            c->maxima[b] = c->kernels->max(logits + begin, left < BLOCK ? left : BLOCK);
        }
        gather_blocks(c, logits, BLOCK, n_blocks, floor_of_highest(c, c->maxima, n_blocks, k));
    } else if (k < c->n_vocab) {
        candidates_gather(c, logits, floor_of_highest(c, logits, c->n_vocab, k));
    } else {
        candidates_gather(c, logits, -FLT_MAX);
    }
    candidates_sort(c);
    if (c->n > k)
        c->n = k;
}
