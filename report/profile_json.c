/* profile_json.c - a profile's report as JSON. Pure. */
#include "report/profile.h"

#include <math.h>

#include <string.h>

/* --- small parts --- */

static void count(struct json_writer *w, const char *before, const char *key, double value)
{
    json_name_double(w, before, key, value, 0);
}

static void ms(struct json_writer *w, const char *before, const char *key, double ns)
{
    json_name_double(w, before, key, ns * 1e-6, 6);
}

static void us(struct json_writer *w, const char *before, const char *key, double ns)
{
    json_name_double(w, before, key, ns * 1e-3, 3);
}

/* Bytes, operations, what was achieved and how near the limit that is. */
static void put_bound(struct json_writer *w, const struct report_bound *bound)
{
    count(w, ",", "bytes", record_cost_bytes(&bound->cost));
    count(w, ",", "weight_bytes", bound->cost.weight_bytes);
    count(w, ",", "kv_bytes", bound->cost.kv_bytes);
    count(w, ",", "ops", bound->cost.ops);
    json_name_double(w, ",", "gb_s", bound->bytes_s * 1e-9, 3);
    json_name_double(w, ",", "gop_s", bound->ops_s * 1e-9, 3);
    if (bound->limit_ns > 0) {
        json_name_text(w, ",", "bound", bound->by_memory ? "memory" : "compute");
        ms(w, ",", "limit_ms", bound->limit_ns);
        json_name_double(w, ",", "fraction", bound->fraction, 4);
    }
}

/* --- sections --- */

static void put_machine(struct json_writer *w, const struct profile_machine *m)
{
    json_name(w, ",", "machine");
    json_name_text(w, "{", "cpu", m->cpu->name);
    json_name_text(w, ",", "kernels", m->kernels);
    count(w, ",", "threads", m->n_threads);
    count(w, ",", "workers", m->n_workers);
    count(w, ",", "cores", m->cpu->n_physical);
    count(w, ",", "l2_bytes", (double)m->cpu->l2_bytes);
    count(w, ",", "l3_bytes", (double)m->cpu->l3_bytes);
    json_raw(w, "}");
}

static void put_model(struct json_writer *w, const struct profile_document *doc)
{
    const struct model *model = doc->model;
    const struct shape *s = &model->shape;
    json_name(w, ",", "model");
    json_name_text(w, "{", "name", model->name);
    json_name_text(w, ",", "architecture", s->arch);
    json_name_text(w, ",", "weights", model->weights);
    json_name_text(w, ",", "kv_type", doc->kv_type);
    count(w, ",", "parameters", (double)model->n_params);
    count(w, ",", "vocabulary", (double)s->n_vocab);
    count(w, ",", "context", (double)model->n_context);
    count(w, ",", "embedding", (double)s->n_embd);
    count(w, ",", "layers", (double)s->n_layers);
    count(w, ",", "heads", (double)s->n_heads);
    count(w, ",", "kv_heads", (double)s->n_kv_heads);
    count(w, ",", "feed_forward", (double)s->n_ff);
    json_raw(w, "}");
}

static void put_workload(struct json_writer *w, const struct profile_workload *load)
{
    json_name(w, ",", "workload");
    json_name_text(w, "{", "source", load->source);
    if (strcmp(load->source, "live") == 0) {
        json_name_double(w, ",", "seconds", load->seconds, 3);
    } else {
        count(w, ",", "sessions", (double)load->sessions);
        count(w, ",", "tokens", (double)load->tokens);
        count(w, ",", "prompt", (double)load->prompt);
        count(w, ",", "batch", (double)load->batch);
        json_name_double(w, ",", "temperature", load->temperature, 2);
        json_name(w, ",", "seed");
        json_uint(w, load->seed);
    }
    json_raw(w, "}");
}

static void put_steps(struct json_writer *w, const struct report *r)
{
    bool first = true;
    json_name(w, ",", "steps");
    json_raw(w, "[");
    for (int kind = 0; kind < RECORD_KINDS; kind++) {
        const struct report_steps *steps = &r->kinds[kind];
        if (steps->steps.n_seen == 0)
            continue;
        json_name_text(w, first ? "{" : ",{", "kind", record_kind_names[kind]);
        count(w, ",", "seen", (double)steps->steps.n_seen);
        count(w, ",", "recorded", (double)steps->steps.n_recorded);
        ms(w, ",", "seen_ms", steps->steps.seen_ns);
        ms(w, ",", "total_ms", steps->mean * steps->n);
        us(w, ",", "mean_us", steps->mean);
        us(w, ",", "min_us", steps->min);
        us(w, ",", "p50_us", steps->p50);
        us(w, ",", "p95_us", steps->p95);
        us(w, ",", "max_us", steps->max);
        count(w, ",", "rows", steps->steps.seen_work.n_rows);
        count(w, ",", "sampled", steps->steps.seen_work.n_sampled);
        count(w, ",", "sequences", steps->steps.seen_work.n_sequences);
        put_bound(w, &steps->bound);
        json_raw(w, "}");
        first = false;
    }
    json_raw(w, "]");
}

static void put_paths(struct json_writer *w, const struct report *r)
{
    json_name(w, ",", "hot_paths");
    json_raw(w, "[");
    for (size_t i = 0; i < r->n_paths; i++) {
        const struct report_path *p = &r->paths[i];
        json_name_text(w, i == 0 ? "{" : ",{", "scope", scope_infos[p->scope].name);
        json_name_text(w, ",", "label", scope_infos[p->scope].label);
        ms(w, ",", "total_ms", p->total);
        ms(w, ",", "self_ms", p->self);
        json_name_double(w, ",", "share", p->share, 6);
        count(w, ",", "calls", (double)p->calls);
        us(w, ",", "mean_us", p->mean);
        us(w, ",", "min_us", p->min);
        us(w, ",", "p50_us", p->p50);
        us(w, ",", "p95_us", p->p95);
        us(w, ",", "max_us", p->max);
        count(w, ",", "allocated_bytes", (double)p->allocated);
        put_bound(w, &p->bound);
        json_raw(w, "}");
    }
    json_raw(w, "]");
}

static void put_node(struct json_writer *w, const struct report *r, const struct report_node *node)
{
    json_name_text(w, "{", "name", report_node_name(node));
    if (node->role == NODE_SCOPE)
        json_name_text(w, ",", "label", scope_infos[node->scope].label);
    if (node->role == NODE_STEP)
        json_name_text(w, ",", "kind", record_kind_names[node->kind]);
    if (node->role == NODE_LAYER)
        count(w, ",", "layer", (double)node->layer);
    ms(w, ",", "total_ms", node->total);
    ms(w, ",", "self_ms", node->self);
    json_name_double(w, ",", "share", r->total_ns > 0 ? node->total / r->total_ns : 0, 6);
    count(w, ",", "calls", (double)node->calls);
    json_name(w, ",", "children");
    json_raw(w, "[");
}

static void put_tree(struct json_writer *w, const struct report *r)
{
    json_name(w, ",", "tree");
    for (size_t i = 0; i < r->n_nodes; i++) {
        if (i > 0 && r->nodes[i].depth <= r->nodes[i - 1].depth) {
            for (unsigned d = r->nodes[i].depth; d <= r->nodes[i - 1].depth; d++)
                json_raw(w, "]}");
            json_raw(w, ",");
        }
        put_node(w, r, &r->nodes[i]);
    }
    for (unsigned d = 0; r->n_nodes > 0 && d <= r->nodes[r->n_nodes - 1].depth; d++)
        json_raw(w, "]}");
}

/* Scopes with time, as {"name": ms}. */
static void put_scopes(struct json_writer *w, const double *ns)
{
    bool first = true;
    json_raw(w, "{");
    for (int scope = 0; scope < SCOPES; scope++) {
        if (ns[scope] <= 0)
            continue;
        ms(w, first ? "" : ",", scope_infos[scope].name, ns[scope]);
        first = false;
    }
    json_raw(w, "}");
}

static void put_layers(struct json_writer *w, const struct report *r)
{
    json_name(w, ",", "layers");
    json_raw(w, "[");
    for (size_t i = 0; i < r->in.record->shape.n_layers; i++) {
        const struct report_layer *layer = &r->layers[i];
        count(w, i == 0 ? "{" : ",{", "layer", (double)i);
        ms(w, ",", "total_ms", layer->total);
        json_name_double(w, ",", "share", layer->share, 6);
        count(w, ",", "calls", (double)layer->calls);
        json_name(w, ",", "scopes");
        put_scopes(w, layer->scopes);
        json_raw(w, "}");
    }
    json_raw(w, "]");
}

static void put_allocators(struct json_writer *w, const struct profile_document *doc)
{
    json_name(w, ",", "allocators");
    json_raw(w, "[");
    for (size_t i = 0; i < doc->n_allocators; i++) {
        const struct profile_allocator *a = &doc->allocators[i];
        json_name_text(w, i == 0 ? "{" : ",{", "name", a->name);
        json_name_text(w, ",", "when", a->when);
        count(w, ",", "bytes", a->bytes);
        if (a->calls >= 0)
            count(w, ",", "calls", a->calls);
        json_raw(w, "}");
    }
    json_raw(w, "]");
}

static void put_kernels(struct json_writer *w, const struct profile_document *doc)
{
    json_name(w, ",", "kernels");
    json_raw(w, "[");
    for (size_t i = 0; i < doc->n_kernels; i++) {
        const struct profile_kernel *k = &doc->kernels[i];
        json_name_text(w, i == 0 ? "{" : ",{", "name", k->name);
        count(w, ",", "size", (double)k->size);
        count(w, ",", "iterations", k->iterations);
        us(w, ",", "mean_us", k->mean_ns);
        us(w, ",", "min_us", k->min_ns);
        us(w, ",", "max_us", k->max_ns);
        json_name_double(w, ",", "gop_s", k->mean_ns > 0 ? k->ops / k->mean_ns : 0, 3);
        json_name_double(w, ",", "gb_s", k->mean_ns > 0 ? k->bytes / k->mean_ns : 0, 3);
        json_raw(w, "}");
    }
    json_raw(w, "]");
}

static void put_distribution(struct json_writer *w, const struct report *r)
{
    bool first = true;
    json_name(w, ",", "distribution");
    json_raw(w, "[");
    for (int kind = 0; kind < RECORD_KINDS; kind++) {
        const uint32_t *counts = record_histogram(r->in.record, (enum record_kind)kind, SCOPES);
        for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
            if (counts[i] == 0)
                continue;
            json_name_text(w, first ? "{" : ",{", "kind", record_kind_names[kind]);
            us(w, ",", "step_us", histogram_middle(i));
            count(w, ",", "count", counts[i]);
            json_raw(w, "}");
            first = false;
        }
    }
    json_raw(w, "]");
}

static void put_roofline(struct json_writer *w, const struct report *r)
{
    bool first = true;
    json_name(w, ",", "roofline");
    json_raw(w, "[");
    for (int kind = 0; kind < RECORD_KINDS; kind++) {
        const struct report_steps *steps = &r->kinds[kind];
        for (int scope = 0; scope < SCOPES && steps->steps.n_recorded > 0; scope++) {
            if (record_cost_bytes(&steps->scopes[scope].cost) <= 0 || steps->scope_ns[scope] <= 0)
                continue;
            json_name_text(w, first ? "{" : ",{", "kind", record_kind_names[kind]);
            json_name_text(w, ",", "scope", scope_infos[scope].name);
            ms(w, ",", "total_ms", steps->scope_ns[scope]);
            put_bound(w, &steps->scopes[scope]);
            json_raw(w, "}");
            first = false;
        }
    }
    json_raw(w, "]");
}

static void put_limits(struct json_writer *w, const struct profile_document *doc)
{
    const struct report_limits *limits = &doc->report->in.limits;
    json_name(w, ",", "limits");
    json_name_double(w, "{", "read_gb_s", limits->read_bytes_s * 1e-9, 3);
    count(w, ",", "working_set_bytes", limits->working_set);
    json_name_double(w, ",", "float_gop_s", limits->float_ops_s * 1e-9, 3);
    json_name(w, ",", "weights_gop_s");
    bool first = true;
    json_raw(w, "{");
    for (int type = 0; type < WEIGHT_TYPES; type++) {
        if (limits->ops_s[type] <= 0)
            continue;
        json_name_double(w, first ? "" : ",", weight_infos[type].name, limits->ops_s[type] * 1e-9,
                         3);
        first = false;
    }
    json_raw(w, "}");
    json_name_bool(w, ",", "beside_work", limits->beside_work);
    json_name_text(w, ",", "note", doc->limits_note);
    json_raw(w, "}");
}

static void put_sessions(struct json_writer *w, const struct report *r)
{
    json_name(w, ",", "sessions");
    json_raw(w, "[");
    for (size_t i = 0; i < r->in.n_sessions; i++) {
        const struct report_session *s = &r->in.sessions[i];
        double seconds = s->wall_ns * 1e-9;
        ms(w, i == 0 ? "{" : ",{", "wall_ms", s->wall_ns);
        ms(w, ",", "prompt_ms", s->prompt_ns);
        ms(w, ",", "decode_ms", s->decode_ns);
        count(w, ",", "prompt_tokens", s->n_prompt);
        count(w, ",", "tokens", s->n_tokens);
        json_name_double(w, ",", "tokens_per_second", seconds > 0 ? s->n_tokens / seconds : 0, 3);
        json_name(w, ",", "scopes_per_token_ms");
        put_scopes(w, s->scope_ns);
        json_raw(w, "}");
    }
    json_raw(w, "]");
}

static void put_sizes(struct json_writer *w, const struct profile_document *doc)
{
    if (doc->n_sizes == 0)
        return;
    json_name(w, ",", "sizes");
    for (size_t i = 0; i < doc->n_sizes; i++) {
        const struct profile_size *s = &doc->sizes[i];
        json_name_text(w, i == 0 ? "[{" : ",{", "name", s->name);
        count(w, ",", "parameters", s->parameters);
        count(w, ",", "weight_bytes", s->weight_bytes);
        json_name_double(w, ",", "ms_per_token", s->ms_per_token, 6);
        json_name_double(w, ",", "tokens_per_second", s->tokens_s, 3);
        json_name_double(w, ",", "prompt_tokens_per_second", s->prompt_tokens_s, 3);
        count(w, ",", "moved_bytes_per_token", s->moved_per_token);
        json_name_double(w, ",", "limit_gb_s", s->limit_bytes_s * 1e-9, 3);
        json_name_double(w, ",", "fraction", s->fraction, 4);
        json_raw(w, "}");
    }
    json_raw(w, "]");
}

static void put_counters(struct json_writer *w, const struct counters *c)
{
    json_name(w, ",", "counters");
    if (c == NULL) {
        json_raw(w, "null");
        return;
    }
    count(w, "{", "threads", (double)c->n_threads);
    if (c->has_hardware) {
        count(w, ",", "cycles", c->cycles);
        count(w, ",", "instructions", c->instructions);
        count(w, ",", "cache_misses", c->cache_misses);
    } else {
        json_name_text(w, ",", "hardware", c->why_not);
    }
    if (c->has_schedule) {
        ms(w, ",", "running_ms", c->run_ns);
        ms(w, ",", "waiting_for_processor_ms", c->wait_ns);
    }
    if (c->has_throttle)
        ms(w, ",", "throttled_ms", c->throttled_ns);
    json_raw(w, "}");
}

static void put_insights(struct json_writer *w, const struct report *r)
{
    json_name(w, ",", "insights");
    json_raw(w, "[");
    for (size_t i = 0; i < r->n_insights; i++) {
        json_name_text(w, i == 0 ? "{" : ",{", "name", r->insights[i].name);
        json_name_double(w, ",", "gain", r->insights[i].gain, 4);
        json_name_text(w, ",", "text", r->insights[i].text);
        json_raw(w, "}");
    }
    json_raw(w, "]");
}

static void put_method(struct json_writer *w, const struct report *r)
{
    const struct record_totals *totals = &r->in.record->totals;
    const struct report_overhead *overhead = r->in.overhead;
    json_name(w, ",", "method");
    count(w, "{", "one_step_in_min", (double)totals->every_min);
    count(w, ",", "one_step_in_max", (double)totals->every_max);
    count(w, ",", "short_step_us", RECORD_SHORT_NS * 1e-3);
    json_name_double(w, ",", "attributed", r->attributed, 6);
    ms(w, ",", "recorded_ms", r->total_ns);
    ms(w, ",", "waiting_ms", r->waiting_ns);
    ms(w, ",", "between_steps_ms", totals->idle_ns);
    json_name(w, ",", "overhead");
    if (overhead == NULL || !overhead->measured) {
        json_raw(w, "null}");
        return;
    }
    json_name_double(w, "{", "fraction", overhead->part, 6);
    json_name_double(w, ",", "low", overhead->interval.low, 6);
    json_name_double(w, ",", "high", overhead->interval.high, 6);
    count(w, ",", "pairs", (double)overhead->n_pairs);
    count(w, ",", "starts", (double)overhead->n_starts);
    us(w, ",", "step_us", overhead->step_ns);
    json_raw(w, "}}");
}

void profile_write_json(const struct profile_document *doc, struct json_writer *w)
{
    const struct report *r = doc->report;
    count(w, "{", "format", 1);
    json_name_text(w, ",", "version", doc->version);
    json_name(w, ",", "created");
    json_uint(w, doc->created);
    put_machine(w, &doc->machine);
    put_model(w, doc);
    put_workload(w, &doc->workload);
    json_name_double(w, ",", "tokens_per_second", r->tokens_s, 3);
    json_name_double(w, ",", "prompt_tokens_per_second",
                     r->prompt_tokens_s > 0 ? r->prompt_tokens_s : NAN, 3);
    json_name_double(w, ",", "ms_per_token", r->ms_per_token, 6);
    json_name_double(w, ",", "bytes_per_token", r->allocated_per_token, 1);
    count(w, ",", "moved_bytes_per_token", r->moved_per_token);
    put_steps(w, r);
    put_paths(w, r);
    put_tree(w, r);
    put_layers(w, r);
    put_allocators(w, doc);
    put_kernels(w, doc);
    put_distribution(w, r);
    put_roofline(w, r);
    put_limits(w, doc);
    put_sessions(w, r);
    put_sizes(w, doc);
    put_counters(w, r->in.counters);
    put_insights(w, r);
    put_method(w, r);
    json_raw(w, "}");
}
