/* kernels.c - three kernels at three sizes, three iterations each, on one thread. Main
 * thread; holds no state. */
#include "cli/profile/run.h"

#include "base/arena.h"
#include "base/ticks.h"

#include <string.h>

enum { ITERATIONS = 3, LARGEST = 512, N_SIZES = 3 };

/* By count of formulas: exp is a polynomial of degree 6 and its scaling, tanh an exp and a
 * division. */
#define SOFTMAX_OPS 14.0
#define GELU_OPS    24.0

struct square {
    const struct kernels *kernels;
    struct arena arena;
    struct matrix w;
    struct act x;
    float *y;
    size_t n;
    float sink; /* keeps results from being thought useless */
};

static void run_matmul(struct square *bed)
{
    bed->kernels->matmul[WEIGHT_F32](&bed->w, 0, matrix_n_panels(&bed->w), &bed->x, bed->n, bed->y,
                                     bed->n);
}

/* Maximum and sum of exponentials of each row, as attention and the sampler do it. */
static void run_softmax(struct square *bed)
{
    for (size_t i = 0; i < bed->n; i++) {
        const float *row = bed->y + i * bed->n;
        bed->sink += bed->kernels->sum_exp(row, bed->n, bed->kernels->max(row, bed->n));
    }
}

static void run_gelu(struct square *bed)
{
    bed->kernels->gelu(bed->y, bed->n * bed->n);
}

static void fill(float *x, size_t n)
{
    uint64_t state = n;
    for (size_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)(state >> 40) * 0x1p-23f - 1.0f;
    }
}

static bool make_bed(struct square *bed, size_t n)
{
    size_t n_bytes = matrix_packed_bytes(WEIGHT_F32, n, n);
    bed->n = n;
    bed->arena.n_used = 0;
    float *source = arena_alloc(&bed->arena, n * n, sizeof *source);
    uint8_t *panels = arena_alloc(&bed->arena, n_bytes, 1);
    bed->x = (struct act){.n_cols = n, .f32_stride = n};
    bed->x.f32 = arena_alloc(&bed->arena, n * n, sizeof(float));
    bed->y = arena_alloc(&bed->arena, n * n, sizeof(float));
    if (source == NULL || panels == NULL || bed->x.f32 == NULL || bed->y == NULL)
        return false;
    fill(source, n * n);
    fill(bed->x.f32, n * n);
    fill(bed->y, n * n);
    memset(panels, 0, n_bytes);
    matrix_pack(&bed->w, WEIGHT_F32, n, n, source, panels);
    return true;
}

static void measure(struct square *bed, void (*run)(struct square *bed), struct profile_kernel *out)
{
    double sum = 0;
    run(bed); /* caches and clocks are warm then */
    for (int i = 0; i < ITERATIONS; i++) {
        uint64_t begin = ticks_monotonic();
        run(bed);
        double ns = (double)(ticks_monotonic() - begin);
        out->min_ns = i == 0 || ns < out->min_ns ? ns : out->min_ns;
        out->max_ns = ns > out->max_ns ? ns : out->max_ns;
        sum += ns;
    }
    out->iterations = ITERATIONS;
    out->mean_ns = sum / ITERATIONS;
}

enum status squares_measure(struct profile_kernel *out, const struct kernels *kernels,
                            struct error *err)
{
    static const size_t sizes[N_SIZES] = {128, 256, LARGEST};
    static const struct {
        const char *name;
        void (*run)(struct square *bed);
    } benches[] = {{"matmul", run_matmul}, {"softmax", run_softmax}, {"gelu", run_gelu}};
    struct square bed = {.kernels = kernels};
    size_t bytes = 3 * sizeof(float) * LARGEST * LARGEST +
                   matrix_packed_bytes(WEIGHT_F32, LARGEST, LARGEST) + 4 * ARENA_ALIGN;
    enum status status = arena_init(&bed.arena, bytes, "kernels to measure", err);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < N_SIZES; i++) {
        double n = (double)sizes[i];
        const double ops[] = {2 * n * n * n, SOFTMAX_OPS * n * n, GELU_OPS * n * n};
        const double moved[] = {12 * n * n, 4 * n * n, 8 * n * n};
        for (size_t k = 0; k < PROFILE_KERNELS / N_SIZES; k++) {
            struct profile_kernel *kernel = &out[k * N_SIZES + i];
            if (!make_bed(&bed, sizes[i])) {
                arena_free(&bed.arena);
                return error_no_memory(err, bytes, "kernels to measure");
            }
            *kernel = (struct profile_kernel){
                .name = benches[k].name, .size = sizes[i], .ops = ops[k], .bytes = moved[k]};
            measure(&bed, benches[k].run, kernel);
        }
    }
    arena_free(&bed.arena);
    return STATUS_OK;
}
