/* rates.c - moving averages of step times.
 *
 * An average moves by an eighth of each new value, and a value counts at most four times the
 * average, so that one step during which the machine did something else does not shrink every chunk
 * after it.
 */
#include "engine/rates.h"

#include <stdbool.h>

enum {
    PROMPT_STEP_NS = 50000000
}; /* a step of prompts alone: a client that leaves is noticed within it */

static uint64_t get(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void set(_Atomic uint64_t *value, uint64_t ns)
{
    atomic_store_explicit(value, ns > 0 ? ns : 1, memory_order_relaxed);
}

static void average(_Atomic uint64_t *value, uint64_t ns)
{
    uint64_t old = get(value);
    if (old == 0) {
        set(value, ns);
        return;
    }
    uint64_t most = 4 * old + 16;
    ns = ns < most ? ns : most;
    set(value, (7 * old + ns + 4) / 8);
}

static size_t class_of(size_t n)
{
    size_t size_class = 0;
    while (size_class + 1 < RATE_CLASSES && ((size_t)1 << size_class) < n)
        size_class++;
    return size_class;
}

void rates_seed(struct rates *rates, uint64_t decode_ns, uint64_t prompt_ns)
{
    set(&rates->decode_ns[0], decode_ns);
    set(&rates->alone_ns, prompt_ns);
    set(&rates->beside_ns, prompt_ns);
    atomic_store_explicit(&rates->used_permille, 1000, memory_order_relaxed);
}

void rates_step(struct rates *rates, size_t n_decode, size_t n_prompt, uint64_t ns)
{
    if (n_prompt == 0) {
        average(&rates->decode_ns[class_of(n_decode)], ns);
    } else if (n_decode == 0) {
        average(&rates->alone_ns, ns / n_prompt);
    } else {
        uint64_t decode = rates_decode(rates, n_decode);
        average(&rates->beside_ns, ns > decode ? (ns - decode) / n_prompt : 1);
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
    /* Not seen yet: one sequence's step, and each other sequence like a prompt's token. */
    uint64_t guess = get(&rates->decode_ns[0]) + (n - 1) * get(&rates->alone_ns);
    return seen || most > guess ? most : guess;
}

size_t rates_prompt_budget(const struct rates *rates, size_t n_decode, size_t cap)
{
    uint64_t time = n_decode > 0 ? rates_decode(rates, n_decode) : PROMPT_STEP_NS;
    uint64_t token = get(n_decode > 0 ? &rates->beside_ns : &rates->alone_ns);
    uint64_t n = time / (token > 0 ? token : 1);
    return n < 1 ? 1 : n < cap ? (size_t)n : cap;
}

uint64_t rates_decode_all(const struct rates *rates, size_t max_tokens, size_t n_batch)
{
    uint64_t used = atomic_load_explicit(&rates->used_permille, memory_order_relaxed);
    return max_tokens * used / 1000 * rates_decode(rates, n_batch > 0 ? n_batch : 1);
}
