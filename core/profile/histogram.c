/* histogram.c - reads the counts. Pure. */
#include "profile/histogram.h"

double histogram_middle(size_t bucket)
{
    if (bucket < 32)
        return (double)bucket;
    size_t exponent = (bucket - 32) / 16 + 5, part = (bucket - 32) % 16;
    double width = (double)(UINT64_C(1) << (exponent - 4));
    return ((double)part + 16.5) * width;
}

double histogram_quantile(const uint32_t *counts, double q)
{
    uint64_t n = 0, seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        n += counts[i];
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += counts[i];
        if (counts[i] > 0 && (double)seen >= q * (double)n)
            return histogram_middle(i);
    }
    return 0;
}
