/* kernels.c - times every matrix product of every table on a matrix that fits the second-level
 * cache.
 *
 * Prints GMAC/s and GB/s of weights for each weight type and number of tokens, how many times the
 * reference's speed that is, and how much of the limit: the longer of the times that reading the
 * weights and the chain of instructions take by themselves (profile/limits.h). A tool: run by hand
 * on a quiet machine. Usage: bench_kernels [type] */
#include "base/cpu.h"
#include "math/kernels_tables.h"
#include "profile/limits.h"
#include "tool.h"

enum { MAX_TOKENS = 64, COLS = 1024 };
#define SECONDS 0.002 /* of one measurement; the best of 100 counts */

static struct act activations(const struct kernels *kernels)
{
    struct act x = {.n_cols = COLS, .f32_stride = COLS, .q_stride = COLS, .b_stride = COLS / 32};
    x.f32 = buffer(MAX_TOKENS * COLS * sizeof(float));
    for (size_t i = 0; i < MAX_TOKENS * COLS; i++)
        x.f32[i] = (float)noise() / 1e9f - 1.0f;
    x.q8 = buffer(MAX_TOKENS * COLS);
    x.q8k = buffer(MAX_TOKENS * COLS);
    x.q8_scale = buffer(MAX_TOKENS * x.b_stride * sizeof(float));
    x.q8k_scale = buffer(MAX_TOKENS * x.b_stride * sizeof(float));
    x.q8_sum = buffer(MAX_TOKENS * x.b_stride * sizeof(int16_t));
    x.q8k_sum = buffer(MAX_TOKENS * 2 * x.b_stride * sizeof(int16_t));
    for (size_t t = 0; t < MAX_TOKENS; t++) {
        kernels->quantize[ACT_Q8](&x, t);
        kernels->quantize[ACT_Q8K](&x, t);
    }
    return x;
}

/* Random bytes that leave no exponent at an end of its range (subnormal values would be timed
 * instead). */
static struct matrix weights(enum weight_type type, size_t n_rows)
{
    size_t bytes = weight_bytes(type, n_rows * COLS);
    uint8_t *src = buffer(bytes), *panels = buffer(matrix_packed_bytes(type, n_rows, COLS));
    for (size_t i = 0; i < bytes; i++)
        src[i] = (uint8_t)(0x30 | (noise() & 0x0f));
    struct matrix m;
    matrix_pack(&m, type, n_rows, COLS, src, panels);
    free(src);
    return m;
}

/* Seconds of one product, the best of 100 measurements. */
static double measure(const struct kernels *kernels, const struct matrix *w, const struct act *x,
                      size_t n_tokens, float *y)
{
    double best = 1e9;
    for (int i = 0; i < 100; i++) {
        size_t n = 0;
        double begin = now(), end;
        do {
            kernels->matmul[w->type](w, 0, matrix_n_panels(w), x, n_tokens, y, w->n_rows);
            n++;
            end = now();
        } while (end - begin < SECONDS);
        if ((end - begin) / (double)n < best)
            best = (end - begin) / (double)n;
    }
    return best;
}

/* Seconds below which no kernel of a table can come. */
static double limit_of(const struct kernels *kernels, const struct matrix *w, size_t n_tokens)
{
    struct limits *limits;
    struct error err;
    struct cpu cpu;
    const size_t n_bytes = matrix_n_panels(w) * w->panel_bytes;
    double bytes_s = 0, macs_s = 0;
    cpu_detect(&cpu);
    if (limits_create(&limits, &cpu, kernels, &err) != STATUS_OK)
        return 0;
    enum status status = limits_read(limits, w->panels, n_bytes, 1, 1, &bytes_s, &err);
    if (status == STATUS_OK)
        status = limits_chain(limits, limits_chain_of(w->type), 1, &macs_s, &err);
    limits_destroy(limits);
    if (status != STATUS_OK)
        return 0;
    double reading = (double)n_bytes / bytes_s;
    double products = (double)(w->n_rows * w->n_cols * n_tokens) / macs_s;
    return reading > products ? reading : products;
}

static void bench(enum weight_type type, const struct kernels *const *tables, size_t n_tables,
                  const struct act *x)
{
    static const size_t tokens[] = {1, 2, 4, 8, 64};
    /* About 300 kB of packed weights. */
    size_t n_rows = 300000 / matrix_packed_bytes(type, PANEL_ROWS, COLS) * PANEL_ROWS;
    struct matrix w = weights(type, n_rows);
    float *y = buffer(MAX_TOKENS * n_rows * sizeof *y);
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        double ref = 0;
        for (size_t j = 0; j < n_tables; j++) {
            double seconds = measure(tables[j], &w, x, tokens[i], y);
            double macs = (double)n_rows * COLS * (double)tokens[i];
            if (j == 0)
                ref = seconds;
            printf("%-7s %4zu x %d  %2zu tokens  %-7s %8.2f GMAC/s %7.2f GB/s  %6.1f x %5.1f %% of "
                   "the limit\n",
                   weight_infos[type].name, n_rows, COLS, tokens[i], tables[j]->name,
                   macs / seconds * 1e-9,
                   (double)matrix_packed_bytes(type, n_rows, COLS) / seconds * 1e-9, ref / seconds,
                   100 * limit_of(tables[j], &w, tokens[i]) / seconds);
        }
    }
    free(y);
    free((void *)(uintptr_t)w.panels);
}

int main(int argc, char **argv)
{
    const struct kernels *tables[KERNEL_LEVELS] = {0};
    struct cpu cpu;
    struct error err;
    cpu_detect(&cpu);
    cpu_set_float_mode();
    size_t n_tables = 0;
    for (int level = KERNELS_REF; level < KERNEL_LEVELS; level++) {
        if (kernels_select(&tables[n_tables], (enum kernel_level)level, &cpu, &err) == STATUS_OK)
            n_tables++;
    }
    printf("%s\n", cpu.name);
    struct act x = activations(tables[0]);
    for (int type = 0; type < WEIGHT_TYPES; type++) {
        bool wanted = argc < 2 || strcmp(argv[1], weight_infos[type].name) == 0;
        if (weight_infos[type].supported && wanted)
            bench((enum weight_type)type, tables, n_tables, &x);
    }
    return 0;
}
