/* print.c - a report as a table, and two reports side by side. Main thread. */
#include "cli/bench/bench.h"

#include "cli/fail.h"
#include "cli/markdown.h"
#include "cli/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The share of a report's time that other programs may take before its figures are doubtful. */
#define DOUBTFUL_PERCENT 2.0

static const char *const units[BENCH_UNITS] = {
    [BENCH_TOKENS] = "tokens/s", [BENCH_GMAC] = "GMAC/s", [BENCH_GB] = "GB/s"};

/* "matmul Q4_0 576x1536x8" */
static const char *label(const struct bench_result *r, char out[128])
{
    snprintf(out, 128, "%s%s%s", r->name, r->shape[0] != '\0' ? " " : "", r->shape);
    return out;
}

static int decimals(double rate)
{
    return rate < 100 ? 2 : rate < 10000 ? 1 : 0;
}

/* Places of the widest label, so that a table fits a terminal of 80 columns. */
static int label_width(const struct bench_report *report)
{
    char name[128];
    int width = 4;
    for (size_t i = 0; i < report->n_results; i++) {
        int n = (int)strlen(label(&report->results[i], name));
        width = n > width ? n : width;
    }
    return width;
}

static const char *plural(unsigned n)
{
    return n == 1 ? "" : "s";
}

static void print_report(const struct bench_report *report, FILE *out)
{
    char name[128];
    int width = label_width(report);
    fprintf(out, "SmallMind %s on %s: %u thread%s, %u worker%s, kernels %s\n", report->version,
            report->cpu, report->threads, plural(report->threads), report->workers,
            plural(report->workers), report->kernels);
    fprintf(out, "model: %s, %s, %.1f MB\n", report->model, report->weights,
            (double)report->model_bytes * 1e-6);
    fprintf(out,
            "limits: memory %.1f GB/s, cache %.1f GB/s; FMA %.0f GFLOP/s; integer chains of 8, 6 "
            "and 4 bits %.0f, %.0f and %.0f GMAC/s\n",
            report->dram_gb_s, report->cache_gb_s, report->fma_gflop_s, report->int8_gmac_s,
            report->int6_gmac_s, report->int4_gmac_s);
    fprintf(out,
            "while measuring: load average %.2f at the start, other programs %.1f %%, steal %.1f "
            "%%%s\n\n",
            report->load_average, report->others_percent, report->steal_percent,
            report->others_percent > DOUBTFUL_PERCENT || report->steal_percent > DOUBTFUL_PERCENT
                ? " (measure again on a quiet machine)"
                : "");
    fprintf(out, "%-*s %7s %10s %10s %9s\n", width, "cell", "threads", "measured", "limit",
            "of limit");
    for (size_t i = 0; i < report->n_results; i++) {
        const struct bench_result *r = &report->results[i];
        fprintf(out, "%-*s %7u %10.*f %10.*f %7.1f %% %s\n", width, label(r, name), r->threads,
                decimals(r->rate), r->rate, decimals(r->limit), r->limit, 100 * bench_fraction(r),
                units[r->unit]);
    }
}

enum status figures_print(const struct bench_report *report, struct error *err)
{
    struct markdown m;
    enum status status = markdown_begin(&m, err);
    if (status != STATUS_OK)
        return status;
    print_report(report, m.out);
    return markdown_end(&m, err);
}

/* --- comparing --- */

static enum status read_report(const char *path, struct bench_report *out, struct error *err)
{
    char *text;
    size_t n;
    enum status status = terminal_read(path, &text, &n, err);
    if (status != STATUS_OK)
        return status;
    status = bench_report_read(out, text, n, err);
    free(text);
    if (status != STATUS_OK) {
        struct error cause = *err;
        return error_set(err, status, "%s: %s", path, cause.text);
    }
    return status;
}

static const struct bench_result *find(const struct bench_report *report,
                                       const struct bench_result *like)
{
    for (size_t i = 0; i < report->n_results; i++) {
        const struct bench_result *r = &report->results[i];
        if (r->kind == like->kind && r->unit == like->unit && strcmp(r->name, like->name) == 0 &&
            strcmp(r->shape, like->shape) == 0)
            return r;
    }
    return NULL;
}

static void print_machine(const char *which, const struct bench_report *r, FILE *out)
{
    fprintf(out,
            "%s: %s, %s; %s on %s, %u threads, kernels %s; memory %.1f GB/s, int8 %.0f GMAC/s\n",
            which, r->model, r->weights, r->version, r->cpu, r->threads, r->kernels, r->dram_gb_s,
            r->int8_gmac_s);
}

static void print_comparison(const struct bench_report *a, const struct bench_report *b, FILE *out)
{
    char name[128];
    size_t only_a = 0, n_both = 0;
    int width = label_width(a);
    print_machine("A", a, out);
    print_machine("B", b, out);
    fprintf(out, "\n%-*s %10s %10s %7s  of limit: A, B\n", width, "cell", "A", "B", "B / A");
    for (size_t i = 0; i < a->n_results; i++) {
        const struct bench_result *ra = &a->results[i], *rb = find(b, ra);
        if (rb == NULL) {
            only_a++;
            continue;
        }
        n_both++;
        fprintf(out, "%-*s %10.*f %10.*f %7.3f %5.1f %% %5.1f %% %s\n", width, label(ra, name),
                decimals(ra->rate), ra->rate, decimals(rb->rate), rb->rate,
                ra->rate > 0 ? rb->rate / ra->rate : 0.0, 100 * bench_fraction(ra),
                100 * bench_fraction(rb), units[ra->unit]);
    }
    if (only_a > 0 || b->n_results > n_both)
        fprintf(out, "only in A: %zu cells, only in B: %zu\n", only_a, b->n_results - n_both);
}

static enum status show_comparison(const struct bench_report *a, const struct bench_report *b,
                                   struct error *err)
{
    struct markdown m;
    enum status status = markdown_begin(&m, err);
    if (status != STATUS_OK)
        return status;
    print_comparison(a, b, m.out);
    return markdown_end(&m, err);
}

int figures_compare(const struct settings *settings)
{
    struct bench_report a = {0}, b = {0};
    struct error err = {0};
    enum status status = read_report(settings->arguments[0], &a, &err);
    if (status == STATUS_OK)
        status = read_report(settings->arguments[1], &b, &err);
    if (status == STATUS_OK)
        status = show_comparison(&a, &b, &err);
    free(a.results);
    free(b.results);
    return status == STATUS_OK || status == STATUS_CANCELLED ? EXIT_DONE : verb_fail(&err);
}
