/* compare_json.c - a comparison as JSON. No state. */
#include "cli/profile/compare.h"

#include <math.h>
#include <string.h>

static void put_side(struct json_writer *w, const char *key, const char *file,
                     const struct profile_summary *s)
{
    json_name(w, ",", key);
    json_name_text(w, "{", "file", file);
    json_name_text(w, ",", "version", s->version);
    json_name_text(w, ",", "model", s->model);
    json_name_text(w, ",", "architecture", s->architecture);
    json_name_double(w, ",", "parameters", s->parameters, 0);
    json_name_text(w, ",", "weights", s->weights);
    json_name_text(w, ",", "kv_type", s->kv_type);
    json_name_uint(w, ",", "context", s->context);
    json_name_text(w, ",", "cpu", s->cpu);
    json_name_text(w, ",", "kernels", s->kernels);
    json_name_uint(w, ",", "threads", s->n_threads);
    json_name_uint(w, ",", "workers", s->n_workers);
    json_name_uint(w, ",", "sessions", s->n_sessions);
    json_name_uint(w, ",", "tokens", s->tokens);
    json_name_uint(w, ",", "prompt", s->prompt);
    json_name_uint(w, ",", "batch", s->batch);
    json_name_double(w, ",", "temperature", s->temperature, 2);
    json_name_double(w, ",", "read_gb_s", s->read_gb_s, 3);
    json_raw(w, "}");
}

static void put_names(struct json_writer *w, const char *key, const struct compared_names *list)
{
    json_name(w, ",", key);
    json_raw(w, "[");
    for (size_t i = 0; i < list->n; i++) {
        json_raw(w, i > 0 ? "," : "");
        json_string(w, list->names[i], strlen(list->names[i]));
    }
    json_raw(w, "]");
}

static void put_row(struct json_writer *w, const struct change *row, bool of_scopes)
{
    static const char *const verdicts[] = {
        [WITHIN_NOISE] = "within_noise", [SLOWER] = "slower", [FASTER] = "faster"};
    json_name_text(w, "{", "name", row->name);
    json_name_double(w, ",", "before_ms", row->before, 6);
    json_name_double(w, ",", "after_ms", row->after, 6);
    json_name_double(w, ",", "change", row->ratio - 1, 6);
    if (of_scopes)
        json_name_double(w, ",", "of_token", row->part, 6);
    json_name(w, ",", "interval");
    json_raw(w, "[");
    json_double(w, row->interval.low - 1, 6);
    json_raw(w, ",");
    json_double(w, row->interval.high - 1, 6);
    json_raw(w, "]");
    json_name_double(w, ",", "p", row->p, 6);
    json_name_double(w, ",", "adjusted_p", row->adjusted_p, 6);
    json_name_text(w, ",", "verdict", verdicts[row->verdict]);
    json_name_bool(w, ",", "regression", row->regression);
    json_raw(w, "}");
}

static void put_table(struct json_writer *w, const char *key, const struct table *table)
{
    json_name(w, ",", key);
    json_name_text(w, "{", "test", compare_test_name(table));
    json_name(w, ",", "rows");
    json_raw(w, "[");
    for (size_t i = 0; i < table->n; i++) {
        json_raw(w, i > 0 ? "," : "");
        put_row(w, &table->rows[i], table->of_scopes);
    }
    json_raw(w, "]}");
}

static void put_regressions(struct json_writer *w, const struct comparison *c)
{
    struct compared_names list = {.n = 0};
    const struct table *const tables[] = {&c->whole, &c->scopes};
    for (size_t t = 0; t < 2; t++)
        for (size_t i = 0; i < tables[t]->n && list.n < PROFILE_SCOPES; i++)
            if (tables[t]->rows[i].regression)
                list.names[list.n++] = tables[t]->rows[i].name;
    put_names(w, "regressions", &list);
}

void compare_write_json(const struct comparison *c, struct json_writer *w)
{
    json_name_uint(w, "{", "format", 1);
    put_side(w, "a", c->file_a, &c->a);
    put_side(w, "b", c->file_b, &c->b);
    put_names(w, "differences", &c->differences);
    json_name_bool(w, ",", "comparable", c->comparable);
    put_table(w, "whole", &c->whole);
    put_table(w, "scopes", &c->scopes);
    put_names(w, "came", &c->came);
    put_names(w, "gone", &c->gone);
    json_name(w, ",", "method");
    json_name_double(w, "{", "adjusted_p_below", COMPARE_SIGNIFICANT, 3);
    json_name_double(w, ",", "change_above", COMPARE_SMALLEST, 4);
    json_name_text(w, ",", "caution", compare_caution);
    json_raw(w, "}");
    json_name_double(w, ",", "allowed", c->asked ? c->allowed : NAN, 6);
    put_regressions(w, c);
    json_name_bool(w, ",", "failed", c->failed);
    json_raw(w, "}");
}
