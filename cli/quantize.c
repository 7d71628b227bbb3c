/* quantize.c - `quantize IN OUT TYPE`: a GGUF file in another weight type, with a bar of progress.
 * Main thread. */
#include "model/quantize/quantize.h"
#include "base/cpu.h"
#include "cli/bar.h"
#include "cli/verbs.h"
#include "gguf/gguf.h"
#include "math/quant.h"
#include "model/weights.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static void show(void *ctx, const char *tensor, uint64_t n_done, uint64_t n_total)
{
    bar_show(ctx, (size_t)(n_done >> 20), (size_t)(n_total >> 20), tensor);
}

static double bits_of(enum weight_type type)
{
    return 8.0 * (double)weight_infos[type].block_bytes / (double)weight_infos[type].block_values;
}

/* The type that a name such as Q4_K_M begins with; WEIGHT_TYPES: none. */
static size_t type_of_name(const char *name)
{
    size_t n = strlen(name), type = 0;
    if (n > 2 && (strcasecmp(name + n - 2, "_S") == 0 || strcasecmp(name + n - 2, "_M") == 0))
        n -= 2;
    while (type < WEIGHT_TYPES && (strncasecmp(weight_infos[type].name, name, n) != 0 ||
                                   weight_infos[type].name[n] != '\0'))
        type++;
    return type;
}

/* One line where the source has lost already what a new type cannot give back. */
static void warn_of_rounded(const char *in, const char *wanted)
{
    struct gguf *gguf;
    if (gguf_map(&gguf, in, NULL) != STATUS_OK) /* quantize_file will say why */
        return;
    size_t from = weights_main_type(gguf), to = type_of_name(wanted);
    gguf_close(gguf);
    if (from == WEIGHT_TYPES || to == WEIGHT_TYPES || from == WEIGHT_F32 || from == WEIGHT_F16 ||
        from == WEIGHT_BF16)
        return;
    bool narrower = bits_of((enum weight_type)to) < bits_of((enum weight_type)from);
    fprintf(stderr, "%s is already rounded to %s: %s\n", in, weight_infos[from].name,
            narrower ? "rounding it again loses more than rounding the original would"
                     : "a type as wide or wider takes more bytes, and nothing is gained");
}

/* "45.2 MiB" */
static const char *size_text(char out[32], uint64_t bytes)
{
    const double mib = (double)bytes / 1048576.0;
    if (mib < 1)
        snprintf(out, 32, "%.1f KiB", mib * 1024);
    else if (mib < 1024)
        snprintf(out, 32, "%.1f MiB", mib);
    else
        snprintf(out, 32, "%.2f GiB", mib / 1024);
    return out;
}

static void print_result(const struct quantize_job *job, const struct quantize_result *result)
{
    char out_size[32], in_size[32];
    printf("%s: %zu tensors rounded to %s, %zu kept as they were", job->out, result->n_quantized,
           job->type, result->n_kept);
    if (result->n_fallback > 0)
        printf(", %zu too narrow for it and one type wider", result->n_fallback);
    printf("; %s, from %s\n", size_text(out_size, result->out_bytes),
           size_text(in_size, result->in_bytes));
}

int verb_quantize(const struct settings *settings)
{
    struct cpu cpu;
    cpu_detect(&cpu);
    cpu_set_float_mode();
    struct bar bar;
    struct quantize_job job = {
        .in = settings->arguments[0],
        .out = settings->arguments[1],
        .type = settings->arguments[2],
        .n_threads = settings->threads > 0 ? settings->threads : cpu.n_usable,
        .force = settings->force,
        .progress = show,
        .ctx = &bar,
    };
    struct quantize_result result;
    struct error err = {0};
    warn_of_rounded(job.in, job.type);
    bar_begin(&bar, "quantizing", "MiB");
    enum status status = quantize_file(&job, &result, &err);
    bar_end(&bar);
    if (status != STATUS_OK)
        return verb_fail(&err);
    print_result(&job, &result);
    return EXIT_DONE;
}
