/* bench_report.c - writes and reads a bench report. Pure; see bench_report.h. */
#include "report/bench_report.h"

#include "api/json/json.h"

#include <cjson/cJSON.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 24, MAX_DEPTH = 8, MAX_NODES = 1 << 18, MAX_RESULTS = 1 << 14 };

const char *const bench_kind_names[BENCH_KINDS] = {
    [BENCH_PREFILL] = "prefill",
    [BENCH_DECODE] = "decode",
    [BENCH_BATCH] = "batch",
    [BENCH_KERNEL] = "kernel",
};

static const char *const bound_names[BOUNDS] = {
    [BOUND_UNSAID] = "",
    [BOUND_BANDWIDTH] = "bandwidth",
    [BOUND_ARITHMETIC] = "arithmetic",
};

/* The names of a unit's rate, limit and median. */
static const struct {
    const char *rate, *limit, *median;
} unit_names[BENCH_UNITS] = {
    [BENCH_TOKENS] = {"tokens_per_second", "limit_tokens_per_second", "median_tokens_per_second"},
    [BENCH_GMAC] = {"gmac_s", "limit_gmac_s", "median_gmac_s"},
    [BENCH_GB] = {"gb_s", "limit_gb_s", "median_gb_s"},
};

/* --- writing --- */

static void put_real(struct json_writer *w, const char *before, const char *name, double value)
{
    json_name_double(w, before, name, value, 4);
}

static void put_result(struct json_writer *w, const struct bench_result *r)
{
    json_name_text(w, "\n{", "kind", bench_kind_names[r->kind]);
    json_name_text(w, ",", "name", r->name);
    if (r->kind == BENCH_KERNEL)
        json_name_text(w, ",", "shape", r->shape);
    json_name_uint(w, ",", "tokens", r->tokens);
    json_name_uint(w, ",", "batch", r->batch);
    json_name_uint(w, ",", "context", r->context);
    json_name_uint(w, ",", "threads", r->threads);
    put_real(w, ",", unit_names[r->unit].rate, r->rate);
    if (r->median > 0)
        put_real(w, ",", unit_names[r->unit].median, r->median);
    put_real(w, ",", unit_names[r->unit].limit, r->limit);
    put_real(w, ",", "fraction", bench_fraction(r));
    if (r->bound != BOUND_UNSAID)
        json_name_text(w, ",", "bound", bound_names[r->bound]);
    json_raw(w, "}");
}

size_t bench_report_room(const struct bench_report *report)
{
    return 4096 + report->n_results * 1024;
}

size_t bench_report_write(const struct bench_report *report, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_name_text(&w, "{", "version", report->version);
    json_name(&w, ",\n", "machine");
    json_name_text(&w, "{", "cpu", report->cpu);
    json_name_uint(&w, ",", "threads", report->threads);
    json_name_uint(&w, ",", "workers", report->workers);
    json_name_text(&w, ",", "kernels", report->kernels);
    put_real(&w, ",", "dram_gb_s", report->dram_gb_s);
    put_real(&w, ",", "cache_gb_s", report->cache_gb_s);
    put_real(&w, ",", "fma_gflop_s", report->fma_gflop_s);
    put_real(&w, ",", "int8_gmac_s", report->int8_gmac_s);
    put_real(&w, ",", "int6_gmac_s", report->int6_gmac_s);
    put_real(&w, ",", "int4_gmac_s", report->int4_gmac_s);
    json_name(&w, "},\n", "model");
    json_name_text(&w, "{", "name", report->model);
    json_name_text(&w, ",", "weights", report->weights);
    json_name_uint(&w, ",", "bytes", report->model_bytes);
    json_name(&w, "},\n", "conditions");
    put_real(&w, "{", "load_average", report->load_average);
    put_real(&w, ",", "others_percent", report->others_percent);
    put_real(&w, ",", "steal_percent", report->steal_percent);
    json_name(&w, "},\n", "results");
    json_raw(&w, "[");
    for (size_t i = 0; i < report->n_results; i++) {
        json_raw(&w, i > 0 ? "," : "");
        put_result(&w, &report->results[i]);
    }
    json_raw(&w, "\n]}\n");
    return w.full ? 0 : w.n;
}

/* --- reading --- */

static enum status lacks(const char *name, struct error *err)
{
    return error_set(err, STATUS_FORMAT,
                     "this is not a report of `smallmind bench --json`: \"%s\" is missing", name);
}

static bool get_text(const cJSON *object, const char *name, char *out, size_t room)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsString(value))
        return false;
    size_t n = strlen(value->valuestring);
    n = n < room ? n : room - 1;
    memcpy(out, value->valuestring, n);
    out[n] = '\0';
    return true;
}

/* 0 when it is absent, which only some may be. */
static double get_number(const cJSON *object, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsNumber(value) ? value->valuedouble : 0;
}

static size_t get_count(const cJSON *object, const char *name)
{
    double value = get_number(object, name);
    return value >= 0 && value < 1e15 ? (size_t)value : 0;
}

static enum status read_result(struct bench_result *out, const cJSON *row, struct error *err)
{
    char kind[16], bound[16] = "";
    struct bench_result r = {.kind = BENCH_KINDS, .unit = BENCH_UNITS};
    if (!get_text(row, "kind", kind, sizeof kind))
        return lacks("kind", err);
    if (!get_text(row, "name", r.name, sizeof r.name))
        return lacks("name", err);
    get_text(row, "shape", r.shape, sizeof r.shape);
    get_text(row, "bound", bound, sizeof bound);
    for (int i = 0; i < BOUNDS; i++)
        if (strcmp(bound, bound_names[i]) == 0)
            r.bound = (enum bench_bound)i;
    for (int i = 0; i < BENCH_KINDS; i++)
        if (strcmp(kind, bench_kind_names[i]) == 0)
            r.kind = (enum bench_kind)i;
    for (int i = 0; i < BENCH_UNITS; i++)
        if (cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(row, unit_names[i].rate)))
            r.unit = (enum bench_unit)i;
    if (r.kind == BENCH_KINDS || r.unit == BENCH_UNITS)
        return error_set(err, STATUS_FORMAT, "\"%s\": a result of an unknown kind or unit", r.name);
    r.rate = get_number(row, unit_names[r.unit].rate);
    r.median = get_number(row, unit_names[r.unit].median);
    r.limit = get_number(row, unit_names[r.unit].limit);
    r.tokens = get_count(row, "tokens");
    r.batch = get_count(row, "batch");
    r.context = get_count(row, "context");
    r.threads = (unsigned)get_count(row, "threads");
    *out = r;
    return STATUS_OK;
}

static enum status read_root(struct bench_report *out, const cJSON *root, struct error *err)
{
    const cJSON *machine = cJSON_GetObjectItemCaseSensitive(root, "machine"),
                *model = cJSON_GetObjectItemCaseSensitive(root, "model"),
                *results = cJSON_GetObjectItemCaseSensitive(root, "results"), *row;
    if (!get_text(root, "version", out->version, sizeof out->version))
        return lacks("version", err);
    if (!get_text(machine, "cpu", out->cpu, sizeof out->cpu))
        return lacks("cpu", err);
    if (!get_text(model, "name", out->model, sizeof out->model))
        return lacks("model", err);
    if (!cJSON_IsArray(results))
        return lacks("results", err);
    get_text(machine, "kernels", out->kernels, sizeof out->kernels);
    get_text(model, "weights", out->weights, sizeof out->weights);
    out->threads = (unsigned)get_count(machine, "threads");
    out->workers = (unsigned)get_count(machine, "workers");
    out->dram_gb_s = get_number(machine, "dram_gb_s");
    out->cache_gb_s = get_number(machine, "cache_gb_s");
    out->fma_gflop_s = get_number(machine, "fma_gflop_s");
    out->int8_gmac_s = get_number(machine, "int8_gmac_s");
    out->int6_gmac_s = get_number(machine, "int6_gmac_s");
    out->int4_gmac_s = get_number(machine, "int4_gmac_s");
    out->model_bytes = get_count(model, "bytes");
    int n = cJSON_GetArraySize(results);
    if (n > MAX_RESULTS)
        return error_set(err, STATUS_TOO_LARGE, "a report has at most %d results, not %d",
                         MAX_RESULTS, n);
    out->results = calloc(n > 0 ? (size_t)n : 1, sizeof *out->results);
    if (out->results == NULL)
        return error_no_memory(err, (size_t)n * sizeof *out->results, "a report");
    enum status status = STATUS_OK;
    cJSON_ArrayForEach(row, results)
    {
        status = read_result(&out->results[out->n_results], row, err);
        if (status != STATUS_OK)
            break;
        out->n_results++;
    }
    return status;
}

enum status bench_report_read(struct bench_report *out, const char *text, size_t n,
                              struct error *err)
{
    if (n > MAX_BYTES)
        return error_set(err, STATUS_TOO_LARGE, "a report has at most %d bytes", MAX_BYTES);
    enum status status = json_check(text, n, MAX_DEPTH, MAX_NODES, err);
    if (status != STATUS_OK)
        return status;
    cJSON *root = cJSON_ParseWithLength(text, n);
    if (root == NULL)
        return error_no_memory(err, n, "a report");
    struct bench_report report = {0};
    status = read_root(&report, root, err);
    cJSON_Delete(root);
    if (status == STATUS_OK)
        *out = report;
    else
        free(report.results);
    return status;
}
