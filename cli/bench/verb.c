/* verb.c - `bench`: this machine's limits, and how near the model's steps and single kernels
 * come to them; or two such reports side by side.
 *
 * Measures, then prints a table or JSON. Says what else the machine did meanwhile, since a figure
 * from a busy machine is none. Main thread; the engine's workers compute.
 */
#include "cli/verbs.h"

#include "base/append.h"
#include "cli/bench/bench.h"
#include "cli/terminal.h"
#include "cli/usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* --- what else the machine does --- */

struct conditions { /* since it started, in the kernel's ticks and in seconds */
    double total, idle, steal, own;
};

static void read_conditions(struct conditions *out)
{
    *out = (struct conditions){0};
    double v[8] = {0}; /* user nice system idle iowait irq softirq steal: proc(5) */
    FILE *stat = fopen("/proc/stat", "r");
    if (stat != NULL) {
        if (fscanf(stat, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &v[0], &v[1], &v[2], &v[3], &v[4],
                   &v[5], &v[6], &v[7]) != 8)
            memset(v, 0, sizeof v);
        fclose(stat);
    }
    for (size_t i = 0; i < 8; i++)
        out->total += v[i];
    out->idle = v[3] + v[4];
    out->steal = v[7];
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        out->own = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

/* In hundredths of what all processors had to give. A tick of the kernel's tables is 1/100 s to
 * every program (USER_HZ). */
static void settle_conditions(struct bench_report *report, const struct conditions *before)
{
    struct conditions after;
    read_conditions(&after);
    double total = after.total - before->total, steal = after.steal - before->steal;
    double busy = total - (after.idle - before->idle) - steal;
    double others = busy - (after.own - before->own) * 100;
    report->steal_percent = total > 0 ? 100 * steal / total : 0;
    report->others_percent = total > 0 && others > 0 ? 100 * others / total : 0;
}

/* --- the run --- */

static void join_names(char *out, size_t room, char names[][BENCH_NAME], size_t n)
{
    size_t n_out = 0;
    for (size_t i = 0; i < n; i++)
        append_text(out, room, &n_out, "%s%s", i > 0 ? ", " : "", names[i]);
}

/* "prefill" of "prefill 512": other models may have such a cell. */
static bool is_kind(const char *word, size_t n, char names[][BENCH_NAME], size_t n_names)
{
    size_t n_kind = 0;
    while (n_kind < n && word[n_kind] != ' ')
        n_kind++;
    for (size_t i = 0; i < n_names; i++)
        if (wanted_begins(names[i], word, n_kind))
            return true;
    return wanted_begins(bench_kind_names[BENCH_PREFILL], word,
                         n_kind); /* a context may have none */
}

/* A word of --cells that no model has a cell for is refused, and so are words that leave nothing;
 * a word that this model alone has no cell for is told. */
static enum status check_wanted(const struct bench *bench, struct error *err)
{
    char names[2 * BENCH_NAMES_MAX][BENCH_NAME], list[256];
    const char *words = bench->settings->cells, *word;
    size_t n, n_found = 0, n_names = cells_names(bench, names);
    n_names += singles_names(bench, names + n_names);
    join_names(list, sizeof list, names, n_names);
    if (words == NULL)
        return STATUS_OK;
    while (wanted_next(&words, &word, &n)) {
        size_t n_of_word = 0;
        for (size_t i = 0; i < n_names; i++)
            n_of_word += wanted_begins(names[i], word, n);
        n_found += n_of_word;
        if (!is_kind(word, n, names, n_names))
            return error_set_param(err, STATUS_INVALID, "--cells",
                                   "--cells: no cell's name begins with \"%.*s\"; there are: %s",
                                   (int)(n < 40 ? n : 40), word, list);
        if (n_of_word == 0)
            fprintf(stderr, "smallmind: --cells: no \"%.*s\" for this model and these options\n",
                    (int)(n < 40 ? n : 40), word);
    }
    if (n_found == 0)
        return error_set_param(err, STATUS_INVALID, "--cells",
                               "--cells leaves nothing to measure; there are: %s", list);
    return STATUS_OK;
}

static enum status prepare(struct bench *bench, struct error *err)
{
    const struct settings *s = bench->settings;
    struct bench_report *report = &bench->report;
    enum status status = load_all(&bench->loaded, s, err);
    if (status == STATUS_OK)
        status = limits_create(&bench->limits, &bench->loaded.cpu, bench->loaded.kernels, err);
    if (status != STATUS_OK)
        return status;
    const struct model *model = bench->loaded.model;
    snprintf(report->version, sizeof report->version, "%s", SMALLMIND_VERSION);
    snprintf(report->cpu, sizeof report->cpu, "%s", bench->loaded.cpu.name);
    snprintf(report->kernels, sizeof report->kernels, "%s", bench->loaded.kernels->name);
    snprintf(report->model, sizeof report->model, "%s", model->name);
    snprintf(report->weights, sizeof report->weights, "%s", model->weights);
    report->model_bytes = model->file_bytes;
    report->results = bench->results;
    bench->n_planned = cells_count(bench);
    return check_wanted(bench, err);
}

static enum status measure(struct bench *bench, struct error *err)
{
    struct conditions before;
    double load = 0;
    if (getloadavg(&load, 1) == 1)
        bench->report.load_average = load;
    read_conditions(&before);
    cpu_set_float_mode();
    bar_begin(&bench->bar, "measuring", "cells");
    enum status status = cells_run(bench, err);
    bar_end(&bench->bar);
    engine_destroy(bench->engine); /* its memory and threads are not the kernels' business */
    bench->engine = NULL;
    if (status == STATUS_OK)
        status = singles_run(bench, err);
    if (status == STATUS_OK)
        status = demand_settle(bench, err);
    settle_conditions(&bench->report, &before);
    return status;
}

static enum status write_json(const struct bench_report *report, struct error *err)
{
    size_t room = bench_report_room(report);
    char *text = malloc(room);
    if (text == NULL)
        return error_no_memory(err, room, "the report");
    size_t n = bench_report_write(report, text, room);
    enum status status = n > 0 ? terminal_write(text, n, err)
                               : error_set(err, STATUS_INTERNAL, "the report does not fit");
    free(text);
    return status;
}

static enum status check_usage(const struct settings *s, struct error *err)
{
    static const char *const shown[] = {"json", NULL};
    if (s->compare) {
        enum status status = usage_compare(s, err);
        return status == STATUS_OK ? usage_refuse(s, "--compare", shown, err) : status;
    }
    if (s->argument != NULL)
        return error_set_param(err, STATUS_INVALID, "--compare",
                               "\"%s\": bench takes reports with --compare only; a model is given "
                               "with --model",
                               s->argument);
    return STATUS_OK;
}

int verb_bench(const struct settings *settings)
{
    struct error err = {0};
    if (check_usage(settings, &err) != STATUS_OK)
        return verb_fail(&err);
    if (settings->compare)
        return figures_compare(settings);
    struct bench *bench = calloc(1, sizeof *bench);
    if (bench == NULL) {
        error_no_memory(&err, sizeof *bench, "the report");
        return verb_fail(&err);
    }
    bench->settings = settings;
    enum status status = prepare(bench, &err);
    if (status == STATUS_OK)
        status = measure(bench, &err);
    if (status == STATUS_OK && settings->json)
        status = write_json(&bench->report, &err);
    else if (status == STATUS_OK)
        status = figures_print(&bench->report, &err);
    limits_destroy(bench->limits);
    load_free(&bench->loaded);
    free(bench);
    return status == STATUS_OK || status == STATUS_CANCELLED ? EXIT_DONE : verb_fail(&err);
}
