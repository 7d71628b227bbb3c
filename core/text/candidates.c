/* candidates.c - radix sorting and top-k selection over a vocabulary.
 *
 * Scratch memory of one sampler, one thread at a time. The k highest of 150,000 logits are found
 * from the maxima of short blocks (one vectorised pass): at least k logits reach the k-th highest
 * maximum, and few more do, so only those are sorted; a short vocabulary's floor is selected
 * directly.
 */
#include "text/candidates.h"

#include <string.h>

enum { SMALL_SORT = 64, SELECT_ROUNDS = 64, BLOCK_MAX = 256, DIGIT_BITS = 11 };

size_t candidates_bytes(size_t n_vocab)
{
    return 2 * n_vocab * sizeof(struct candidate) +
           (n_vocab / CANDIDATE_BLOCK_MIN + 1) * sizeof(float) +
           sizeof(uint32_t[CANDIDATE_DIGITS][CANDIDATE_RADIX]) + (size_t)4 * ARENA_ALIGN;
}

bool candidates_init(struct candidates *c, struct arena *arena, size_t n_vocab,
                     const struct kernels *kernels)
{
    c->kernels = kernels;
    c->n_vocab = n_vocab;
    c->n = 0;
    c->list = arena_alloc(arena, n_vocab, sizeof *c->list);
    c->spare = arena_alloc(arena, n_vocab, sizeof *c->spare);
    c->maxima = arena_alloc(arena, n_vocab / CANDIDATE_BLOCK_MIN + 1, sizeof *c->maxima);
    c->counts = arena_alloc(arena, CANDIDATE_DIGITS, sizeof *c->counts);
    return c->list && c->spare && c->maxima && c->counts;
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

static void insertion_sort(struct candidate *items, size_t n, uint32_t flip)
{
    for (size_t i = 1; i < n; i++) {
        struct candidate item = items[i];
        uint32_t key = sort_key(item.logit, flip);
        size_t j = i;
        for (; j > 0 && sort_key(items[j - 1].logit, flip) > key; j--)
            items[j] = items[j - 1];
        items[j] = item;
    }
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
    size_t n = 0;
    for (size_t i = 0; i < c->n_vocab; i++) {
        c->list[n] = (struct candidate){.logit = logits[i], .id = (int32_t)i};
        n += logits[i] >= floor && logits[i] > -__builtin_inff();
    }
    c->n = n;
}

/* Moves the larger ones of x[lo, hi) in front of the smaller ones (Hoare, 1961); returns where the
 * second part begins. hi - lo >= 3. */
static size_t partition(float *x, size_t lo, size_t hi)
{
    float a = x[lo], b = x[lo + (hi - lo) / 2], c = x[hi - 1];
    float pivot = a > b ? (b > c ? b : (a > c ? c : a)) : (a > c ? a : (b > c ? c : b));
    size_t i = lo, j = hi - 1;
    for (;;) {
        while (x[i] > pivot)
            i++;
        while (pivot > x[j])
            j--;
        if (i >= j)
            return i > lo ? i : lo + 1;
        float t = x[i];
        x[i++] = x[j];
        x[j--] = t;
    }
}

/* The k-th highest of x[n], 1 <= k <= n, which is shuffled. Whatever the values, a bounded number
 * of rounds is tried before everything is sorted. */
static float kth_highest(struct candidates *c, float *x, size_t n, size_t k)
{
    size_t lo = 0, hi = n;
    for (int round = 0; hi - lo >= 3 && round < SELECT_ROUNDS; round++) {
        size_t middle = partition(x, lo, hi);
        if (k - 1 < middle)
            hi = middle;
        else
            lo = middle;
    }
    for (size_t i = lo; i < hi; i++)
        c->list[i - lo] = (struct candidate){.logit = x[i]};
    radix_sort(c, c->list, hi - lo, UINT32_MAX);
    return c->list[k - 1 - lo].logit;
}

/* The k-th highest of the maxima of n_blocks blocks; k <= n_blocks. */
static float kth_maximum(struct candidates *c, const float *logits, size_t block, size_t n_blocks,
                         size_t k)
{
    for (size_t b = 0; b < n_blocks; b++) {
        size_t begin = b * block, end = begin + block < c->n_vocab ? begin + block : c->n_vocab;
        c->maxima[b] = c->kernels->max(logits + begin, end - begin);
    }
    float *shuffled = (float *)(void *)c->spare;
    memcpy(shuffled, c->maxima, n_blocks * sizeof *shuffled);
    return kth_highest(c, shuffled, n_blocks, k);
}

/* Ids reaching the floor, looking only into blocks whose maximum does. */
static void gather_blocks(struct candidates *c, const float *logits, size_t block, size_t n_blocks,
                          float floor)
{
    size_t n = 0;
    for (size_t b = 0; b < n_blocks; b++) {
        if (!(c->maxima[b] >= floor))
            continue;
        size_t end = (b + 1) * block < c->n_vocab ? (b + 1) * block : c->n_vocab;
        for (size_t i = b * block; i < end; i++)
            if (logits[i] >= floor && logits[i] > -__builtin_inff())
                c->list[n++] = (struct candidate){.logit = logits[i], .id = (int32_t)i};
    }
    c->n = n;
}

void candidates_top(struct candidates *c, const float *logits, size_t k)
{
    size_t block = BLOCK_MAX;
    while (block > CANDIDATE_BLOCK_MIN && c->n_vocab / block < 2 * k)
        block /= 2;
    size_t n_blocks = (c->n_vocab + block - 1) / block;
    if (k == 0) {
        c->n = 0;
        return;
    }
    if (k <= n_blocks) {
        float floor = kth_maximum(c, logits, block, n_blocks, k);
        gather_blocks(c, logits, block, n_blocks, floor);
    } else if (k < c->n_vocab) {
        float *shuffled = (float *)(void *)c->spare;
        memcpy(shuffled, logits, c->n_vocab * sizeof *shuffled);
        candidates_gather(c, logits, kth_highest(c, shuffled, c->n_vocab, k));
    } else {
        candidates_gather(c, logits, -__builtin_inff());
    }
    candidates_sort(c);
    if (c->n > k)
        c->n = k;
}
