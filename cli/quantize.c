/* quantize.c - `quantize IN OUT TYPE`: a GGUF file in another weight type, with a line of
 * progress. Main thread. */
#include "model/quantize/quantize.h"
#include "base/cpu.h"
#include "cli/bar.h"
#include "cli/verbs.h"

#include <stdio.h>
#include <string.h>

static void show(void *ctx, const char *tensor, uint64_t n_done, uint64_t n_total)
{
    bar_show(ctx, (size_t)(n_done >> 20), (size_t)(n_total >> 20), tensor);
}

int verb_quantize(const struct settings *settings)
{
    struct cpu cpu;
    cpu_detect(&cpu);
    cpu_set_float_mode();
    struct bar bar;
    bar_begin(&bar, "quantizing", "MiB");
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
    enum status status = quantize_file(&job, &result, &err);
    bar_end(&bar);
    if (status != STATUS_OK)
        return strcmp(err.param, "TYPE") == 0 ? (verb_fail(&err), EXIT_USAGE) : verb_fail(&err);
    printf("%s: %zu tensors rounded to %s, %zu kept as they were", job.out, result.n_quantized,
           job.type, result.n_kept);
    if (result.n_fallback > 0)
        printf(", %zu too narrow for it and one type wider", result.n_fallback);
    printf("; %.1f MiB, from %.1f\n", (double)result.out_bytes / 1048576.0,
           (double)result.in_bytes / 1048576.0);
    return EXIT_DONE;
}
