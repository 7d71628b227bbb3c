/* rates.c - moving averages of step times.
 *
 * An average moves by an eighth of each new value, and a value counts at most four times the
 * average, so that one step during which the machine did something else does not shrink every chunk
 * after it. What a prompt's token adds to a step of decoding sequences grows with the prompt, by
 * attention, from chunk to chunk: its average moves by a quarter.
 *
 * A step reads every weight once (of experts those that a row goes to), however many tokens it has:
 * what a token costs depends on how
 * many share the step, and an average over all tokens would take a small chunk for a slow machine
 * and make it smaller still. So each size has its own time.
 */
#include "engine/rates.h"

#include "math/matrix.h"

#include <stdbool.h>

enum {
    PROMPT_STEP_NS = 100000000, /* of prompts alone: who comes or leaves meanwhile waits for it */
    BESIDE_TENTHS = 9,          /* of a decode step, for a prompt's part in it */
    PROMPT_STEPS = 8,           /* or the times of a token's step: what reading all weights costs is
                                 * shared by enough tokens */
};

static uint64_t get(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void set(_Atomic uint64_t *value, uint64_t ns)
{
    atomic_store_explicit(value, ns > 0 ? ns : 1, memory_order_relaxed);
}

static void move(_Atomic uint64_t *value, uint64_t ns, uint64_t part)
{
    uint64_t old = get(value);
    if (old == 0) {
        set(value, ns);
        return;
    }
    uint64_t most = 4 * old + 16;
    ns = ns < most ? ns : most;
    set(value, ((part - 1) * old + ns + part / 2) / part);
}

static void average(_Atomic uint64_t *value, uint64_t ns)
{
    move(value, ns, 8);
}

static size_t class_of(size_t n)
{
    size_t size_class = 0;
    while (size_class + 1 < RATE_CLASSES && ((size_t)1 << size_class) < n)
        size_class++;
    return size_class;
}

/* --- sizes --- */

static void sized_add(struct sized *sized, size_t n, uint64_t ns)
{
    size_t size_class = class_of(n);
    average(&sized->ns[size_class], (ns << size_class) / n); /* n may be less than the class's */
}

/* A step of the class's size. Any smaller one may be taken several times instead, and a larger one
 * holds it: a time that is out of date gives way to its neighbours'. UINT64_MAX: none known. */
static uint64_t sized_get(const struct sized *sized, size_t size_class)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < RATE_CLASSES; i++) {
        uint64_t ns = get(&sized->ns[i]);
        ns = i < size_class ? ns << (size_class - i) : ns;
        least = ns > 0 && ns < least ? ns : least;
    }
    return least;
}

/* The largest n whose step takes no more than `ns`; 0: none, or none known. */
static uint64_t sized_fit(const struct sized *sized, uint64_t ns)
{
    uint64_t n = 0;
    for (size_t i = 0; i < RATE_CLASSES; i++) {
        uint64_t time = sized_get(sized, i);
        if (time <= ns)
            n = (ns << i) / time;
    }
    return n;
}

void rates_seed(struct rates *rates, uint64_t decode_ns, size_t n_prompt, uint64_t prompt_ns,
                const double *growth)
{
    for (size_t i = 0; i < RATE_CLASSES; i++)
        rates->growth[i] = growth != NULL ? growth[i] : 1;
    set(&rates->decode_ns[0], decode_ns);
    set(&rates->prompt.ns[0], decode_ns);
    sized_add(&rates->prompt, n_prompt, prompt_ns);
    set(&rates->alone_ns, prompt_ns / n_prompt);
    set(&rates->beside_ns, prompt_ns / n_prompt);
    atomic_store_explicit(&rates->used_permille, 1000, memory_order_relaxed);
}

void rates_step(struct rates *rates, size_t n_decode, size_t n_prompt, uint64_t ns)
{
    if (n_prompt == 0) {
        average(&rates->decode_ns[class_of(n_decode)], ns);
    } else if (n_decode == 0) {
        average(&rates->alone_ns, ns / n_prompt);
        sized_add(&rates->prompt, n_prompt, ns);
    } else {
        uint64_t decode = rates_decode(rates, n_decode), added = ns > decode ? ns - decode : 0;
        /* The difference of two times with their noise: at least a quarter of a row's share. */
        uint64_t least = ns / (n_decode + n_prompt) / 4;
        move(&rates->beside_ns, added / n_prompt > least ? added / n_prompt : least, 4);
        if (n_prompt == 1) /* as good as a decoding one: where no step is without a prompt, these
                            * tell what decoding costs by now */
            average(&rates->decode_ns[class_of(n_decode)], ns);
    }
}

void rates_finished(struct rates *rates, size_t n_tokens, size_t max_tokens)
{
    uint32_t old = atomic_load_explicit(&rates->used_permille, memory_order_relaxed);
    uint32_t now = (uint32_t)((1000 * n_tokens + max_tokens - 1) / max_tokens);
    atomic_store_explicit(&rates->used_permille, (7 * old + now + 4) / 8, memory_order_relaxed);
}

uint64_t rates_decode(const struct rates *rates, size_t n)
{
    size_t size_class = class_of(n);
    uint64_t most = 0;
    bool seen = false;
    for (size_t i = 0; i <= size_class; i++) {
        uint64_t ns = get(&rates->decode_ns[i]);
        most = ns > most ? ns : most;
        seen = i == size_class && ns > 0;
    }
    /* Not seen yet: one sequence's step, as much longer as it reads more weights (rows go to
     * different experts), and each other sequence like a prompt's token. */
    uint64_t reads = (uint64_t)((double)get(&rates->decode_ns[0]) * rates->growth[size_class]);
    uint64_t guess = reads + (n - 1) * get(&rates->alone_ns);
    return seen || most > guess ? most : guess;
}

static size_t between(uint64_t n, size_t least, size_t most)
{
    return n < least ? least : n < most ? (size_t)n : most;
}

/* About n prompt tokens, so that all rows of the step fill tiles, one of which takes as long with
 * fewer: up to a quarter more or less. */
static size_t whole_tiles(size_t n_decode, size_t n, size_t cap)
{
    const size_t most = n + n / 4 < cap ? n + n / 4 : cap, least = n - n / 4;
    const size_t down = (n_decode + n) / TILE_TOKENS * TILE_TOKENS, up = down + TILE_TOKENS;
    if (up - n_decode <= most)
        return up - n_decode;
    return down >= n_decode + least ? down - n_decode : n;
}

size_t rates_prompt_budget(const struct rates *rates, size_t n_decode, size_t cap)
{
    if (n_decode == 0) {
        uint64_t several = PROMPT_STEPS * sized_get(&rates->prompt, 0);
        uint64_t time = several > PROMPT_STEP_NS ? several : PROMPT_STEP_NS;
        return between(sized_fit(&rates->prompt, time), 1, cap);
    }
    uint64_t time = rates_decode(rates, n_decode) * BESIDE_TENTHS / 10;
    return whole_tiles(n_decode, between(time / get(&rates->beside_ns), 1, cap), cap);
}

uint64_t rates_decode_all(const struct rates *rates, size_t max_tokens, size_t n_batch)
{
    uint64_t used = atomic_load_explicit(&rates->used_permille, memory_order_relaxed);
    return max_tokens * used / 1000 * rates_decode(rates, n_batch > 0 ? n_batch : 1);
}
