/* range.c - keys and values that are numbers, but none that the cache's type can hold. See
 * phases.h. */
#include "forward/phases.h"

#include <string.h>

/* The least magnitude that rounds to infinity in F16, as bits: those of magnitudes stand in their
 * order, infinities and NaNs above them. */
enum { F16_BEYOND = 0x477ff000, F32_INFINITE = 0x7f800000, F32_MAGNITUDE = 0x7fffffff };

typedef int32_t bits4 __attribute__((vector_size(16)));

static int32_t magnitude_bits(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & F32_MAGNITUDE;
}

/* Whether any of n floats is beyond F16's range, or not finite. */
static bool any_beyond(const float *x, size_t n)
{
    bits4 beyond = {0};
    int32_t rest = 0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        bits4 bits;
        memcpy(&bits, x + i, sizeof bits);
        beyond |= (bits & F32_MAGNITUDE) >= F16_BEYOND;
    }
    for (; i < n; i++)
        rest |= magnitude_bits(x[i]) >= F16_BEYOND;
    return (beyond[0] | beyond[1] | beyond[2] | beyond[3] | rest) != 0;
}

/* Whether a finite one is: then the cache is at fault, not the model. */
static bool any_finite_beyond(const float *x, size_t n)
{
    bool found = false;
    for (size_t i = 0; i < n; i++)
        found |= magnitude_bits(x[i]) >= F16_BEYOND && magnitude_bits(x[i]) < F32_INFINITE;
    return found;
}

/* The other types hold what a float holds. One place for all kernel tables, which only store. */
void check_range(struct forward *f, size_t t, const float *k, const float *v, size_t n)
{
    if (kv_type(f->kv) != KV_F16 || __builtin_expect(!(any_beyond(k, n) || any_beyond(v, n)), true))
        return;
    if (!any_finite_beyond(k, n) && !any_finite_beyond(v, n))
        return;
    atomic_store_explicit(&f->out_of_range[t], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&f->n_out_of_range, 1, memory_order_relaxed);
}
