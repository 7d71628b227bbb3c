/* attend.c - times attention of every table, one thread, on keys and values of one span that fit
 * the second-level cache.
 *
 * A row decodes, or as many rows as are taken together read a prompt: GB/s of keys and values for
 * the first, GMAC/s (scores and values) for the second, for each type, head size and number of
 * heads that share a KV head. A tool: run by hand on a quiet machine.
 * Usage: bench_attend [head size [heads]] */
#include "base/cpu.h"
#include "math/kernels_tables.h"
#include "tool.h"

enum { BLOCKS = ATTEND_SPAN / KV_PAGE, MAX_HEADS = 16, MAX_DIM = 256 };
#define SECONDS 0.001 /* of one measurement; the best of 60 counts */

static float noise_value(void)
{
    return (float)noise() / 1e9f - 1.0f;
}

/* Seconds of one call, the best of 60 measurements. */
static double measure(void (*attend)(const struct attend *), const struct attend *a)
{
    double best = 1e9;
    for (int i = 0; i < 60; i++) {
        size_t n = 0;
        double begin = now(), end;
        do {
            attend(a);
            n++;
            end = now();
        } while (end - begin < SECONDS);
        if ((end - begin) / (double)n < best)
            best = (end - begin) / (double)n;
    }
    return best;
}

static void bench(const struct kernels *kernels, enum kv_type type, size_t head_dim, size_t n_heads)
{
    static const char *const names[KV_TYPES] = {[KV_F32] = "f32", [KV_F16] = "f16", [KV_Q8] = "q8"};
    const size_t n_rows = ATTEND_QUERIES / n_heads, n_queries = n_rows * n_heads;
    uint8_t *pages = buffer(BLOCKS * page_head_bytes(type, head_dim));
    const uint8_t *blocks[BLOCKS];
    float *q = buffer(n_queries * head_dim * sizeof *q), *kv = buffer(head_dim * sizeof *kv);
    for (size_t i = 0; i < n_queries * head_dim; i++)
        q[i] = noise_value() / 8;
    for (size_t pos = 0; pos < ATTEND_SPAN; pos++) {
        uint8_t *block = pages + pos / KV_PAGE * page_head_bytes(type, head_dim);
        for (size_t d = 0; d < head_dim; d++)
            kv[d] = noise_value();
        kernels->kv_store[type](block, pos % KV_PAGE, head_dim, kv, kv);
        blocks[pos / KV_PAGE] = block;
    }
    struct attend a = {.q = q,
                       .q_stride = n_heads * head_dim,
                       .n_rows = 1,
                       .n_heads = n_heads,
                       .head_dim = head_dim,
                       .blocks = blocks,
                       .n_positions = ATTEND_SPAN,
                       .out_stride = n_heads,
                       .scratch = buffer(ATTEND_QUERIES * head_dim * sizeof(float)),
                       .max = buffer(n_queries * sizeof(float)),
                       .sum = buffer(n_queries * sizeof(float)),
                       .acc = buffer(n_queries * head_dim * sizeof(float))};
    double one = measure(kernels->attend[type], &a);
    a.n_rows = n_rows;
    double many = measure(kernels->attend[type], &a);
    double macs = (double)(2 * ATTEND_SPAN * head_dim) * 1e-9;
    printf("%-4s %-7s D %3zu  %2zu heads: decode %6.2f GB/s %6.2f GMAC/s; prompt %6.2f GMAC/s\n",
           names[type], kernels->name, head_dim, n_heads,
           (double)(BLOCKS * page_head_bytes(type, head_dim)) / one * 1e-9,
           macs * (double)n_heads / one, macs * (double)n_queries / many);
    free(a.scratch);
    free(a.max);
    free(a.sum);
    free(a.acc);
    free(kv);
    free(q);
    free(pages);
}

int main(int argc, char **argv)
{
    static const enum kernel_level levels[] = {KERNELS_AVX2, KERNELS_AVX512, KERNELS_NEON};
    static const size_t dims[] = {32, 48, 64, 80, 96, 128, 256}, heads[] = {1, 2, 3, 4, 7, 8, 16};
    const size_t head_dim = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    const size_t n_heads = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    struct cpu cpu;
    cpu_detect(&cpu);
    cpu_set_float_mode();
    printf("%s\n", cpu.name);
    for (size_t l = 0; l < sizeof levels / sizeof *levels; l++) {
        const struct kernels *kernels;
        struct error err;
        if (kernels_select(&kernels, levels[l], &cpu, &err) != STATUS_OK)
            continue;
        for (int type = 0; type < KV_TYPES; type++)
            for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
                for (size_t h = 0; h < sizeof heads / sizeof *heads; h++)
                    if ((head_dim == 0 ? dims[d] == 64 || heads[h] == 4 : dims[d] == head_dim) &&
                        (n_heads == 0 || heads[h] == n_heads))
                        bench(kernels, (enum kv_type)type, dims[d], heads[h]);
    }
    return 0;
}
