/* profile_document.c - from records to a document: costs, limits, the report, and its text in any
 * form. Any thread; holds no state. */
#include "report/profile_document.h"

#include "embed/embed.h"
#include "engine/profile.h"
#include "model/cost.h"
#include "profile/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- limits --- */

enum { ABSENT, PRESENT, BESIDE_OTHERS }; /* in one scope with matrices of other types */

static void note_type(unsigned char *types, const struct matrix *matrix, unsigned of_scope)
{
    if (matrix->n_rows > 0 && types[matrix->type] != BESIDE_OTHERS)
        types[matrix->type] = of_scope == SCOPE_MIXED ? BESIDE_OTHERS : PRESENT;
}

static void note_experts(unsigned char *types, const struct model *model, size_t layer)
{
    const struct layer_experts *e = &model->layers[layer].experts;
    const unsigned gate_up = cost_matrix_type(model, SCOPE_GATE_UP, layer);
    const unsigned down = cost_matrix_type(model, SCOPE_DOWN, layer);
    note_type(types, &e->router.w, SCOPE_NONE);
    note_type(types, &e->gate.first, gate_up);
    note_type(types, &e->up.first, gate_up);
    note_type(types, &e->down.first, down);
    note_type(types, &e->shared_gate.w, gate_up);
    note_type(types, &e->shared_up.w, gate_up);
    note_type(types, &e->shared_down.w, down);
}

/* How the types of the products' matrices occur. */
static void find_types(const struct model *model, unsigned char *types)
{
    for (size_t i = 0; i < model->shape.n_layers; i++) {
        const struct layer *l = &model->layers[i];
        const unsigned qkv = cost_matrix_type(model, SCOPE_QKV, i);
        const unsigned gate_up = cost_matrix_type(model, SCOPE_GATE_UP, i);
        note_type(types, &l->q.w, qkv);
        note_type(types, &l->k.w, qkv);
        note_type(types, &l->v.w, qkv);
        note_type(types, &l->attn_output.w, SCOPE_NONE);
        note_type(types, &l->gate.w, gate_up);
        note_type(types, &l->up.w, gate_up);
        note_type(types, &l->down.w, cost_matrix_type(model, SCOPE_DOWN, i));
        note_experts(types, model, i);
    }
    note_type(types, &model->output.w, SCOPE_NONE);
}

/* The rate at which a worker's threads read all of the weights: while all workers do, and alone. */
static enum status measure_reads(struct report_limits *out, struct limits *limits,
                                 const struct model *model, unsigned n_threads, unsigned n_workers,
                                 struct error *err)
{
    const unsigned own = n_threads / n_workers;
    const size_t set = model->weight_bytes, least = (size_t)4096 * own;
    const void *memory = set > least && model->arena.n_used >= set ? model->arena.base : NULL;
    out->working_set = (double)(set > least ? set : least);
    double all = 0;
    enum status status =
        limits_read(limits, memory, (size_t)out->working_set, own, n_workers, &all, err);
    out->read_bytes_s = out->alone_bytes_s = all / n_workers;
    if (status == STATUS_OK && n_workers > 1)
        status =
            limits_read(limits, memory, (size_t)out->working_set, own, 1, &out->alone_bytes_s, err);
    return status;
}

enum status profile_measure_limits(struct report_limits *out, struct limits *limits,
                                   const struct model *model, const struct engine_plan *plan,
                                   struct error *err)
{
    const unsigned n_threads = plan->n_threads;
    unsigned char types[WEIGHT_TYPES] = {ABSENT};
    double chains[LIMIT_CHAINS] = {0}, slowest = 0;
    struct report_limits found = {0};
    find_types(model, types);
    enum status status = measure_reads(&found, limits, model, n_threads, plan->n_workers, err);
    if (status == STATUS_OK)
        status = limits_chain(limits, LIMIT_FMA, n_threads, &chains[LIMIT_FMA], err);
    for (int type = 0; type < WEIGHT_TYPES && status == STATUS_OK; type++) {
        enum limit_chain chain = limits_chain_of((enum weight_type)type);
        if (types[type] == ABSENT)
            continue;
        if (chains[chain] == 0)
            status = limits_chain(limits, chain, n_threads, &chains[chain], err);
        found.ops_s[type] = 2 * chains[chain] / plan->n_workers;
        if (types[type] == BESIDE_OTHERS && (slowest == 0 || found.ops_s[type] < slowest))
            slowest = found.ops_s[type];
    }
    found.ops_s[SCOPE_MIXED] = slowest;
    found.float_ops_s = 2 * chains[LIMIT_FMA] / plan->n_workers;
    if (status == STATUS_OK)
        *out = found;
    return status;
}

/* --- the report --- */

static void fill_model(struct report_model *out, const struct model *model)
{
    const struct layer *last = &model->layers[model->shape.n_layers - 1];
    const bool experts = model->shape.layers[model->shape.n_layers - 1].has_experts;
    enum weight_type type = experts ? last->experts.up.first.type : last->up.w.type;
    *out = (struct report_model){
        .weights = model->weights,
        .weight_bytes = (double)model->bytes_per_token,
        .n_context = (double)model->n_context,
        .is_float = type == WEIGHT_F32 || type == WEIGHT_F16 || type == WEIGHT_BF16,
    };
    if (out->is_float)
        out->q8_bytes = out->weight_bytes * (double)weight_bytes(WEIGHT_Q8_0, 1024) /
                        (double)weight_bytes(type, 1024);
}

static void add_allocator(struct profile_document *doc, const char *name, const char *when,
                          double bytes, double calls)
{
    if (doc->n_allocators < PROFILE_ALLOCATORS)
        doc->allocators[doc->n_allocators++] = (struct profile_allocator){name, when, bytes, calls};
}

static void fill_allocators(struct profile_document *doc, const struct profile_parts *parts,
                            const struct engine *engine)
{
    struct engine_memory memory;
    engine_memory(engine, &memory);
    const struct record_totals *totals = &parts->total->totals;
    add_allocator(doc, "compute threads, recorded steps", "steady", (double)totals->allocated,
                  (double)totals->allocations);
    add_allocator(doc, "model weights", "start", (double)memory.weights, -1);
    add_allocator(doc, "KV pages", "start", (double)memory.kv, -1);
    add_allocator(doc, "activations", "start", (double)memory.activations, -1);
    add_allocator(doc, "worker tables", "start", (double)memory.tables, -1);
    add_allocator(doc, "profile records", "start", (double)memory.profile, -1);
}

static enum status sum_records(struct profile_parts *parts, struct error *err)
{
    if (parts->total == NULL) {
        enum status status = record_copy(&parts->total, parts->records[0], err);
        if (status != STATUS_OK)
            return status;
        for (size_t i = 1; i < parts->n_records; i++)
            record_add(parts->total, parts->records[i]);
    }
    record_extrapolate(parts->total);
    return STATUS_OK;
}

/* The rate at which a worker could read with as many others at work as there were on average; the
 * report is of one team. */
static double share_of_reading(const struct profile_parts *parts, unsigned n_workers)
{
    const struct report_limits *limits = &parts->limits;
    const struct record_totals *totals = &parts->total->totals;
    double stepped_ns = 0, wall_ns = (double)(totals->end_ns - totals->begin_ns);
    for (int kind = 0; kind < RECORD_KINDS; kind++)
        stepped_ns += totals->steps[kind].seen_ns;
    double together = wall_ns > 0 ? stepped_ns / wall_ns : 1;
    double share = limits->read_bytes_s * n_workers / (together > 1 ? together : 1);
    return share < limits->alone_bytes_s ? share : limits->alone_bytes_s;
}

enum status profile_build(struct profile_parts *parts, const struct loaded_model *subject,
                          const struct engine *engine, enum kv_type kv, struct error *err)
{
    static const char *const kv_names[KV_TYPES] = {
        [KV_F32] = "f32", [KV_F16] = "f16", [KV_Q8] = "q8"};
    const struct model *model = subject->model;
    const struct engine_plan *plan = engine_plan(engine);
    size_t n = (model->shape.n_layers + 1) * SCOPES;
    enum status status = sum_records(parts, err);
    if (status != STATUS_OK)
        return status;
    parts->costs = calloc(RECORD_KINDS * n, sizeof *parts->costs);
    parts->matrices = calloc(n, sizeof *parts->matrices);
    if (parts->costs == NULL || parts->matrices == NULL)
        return error_no_memory(err, RECORD_KINDS * n * sizeof *parts->costs, "the report");
    cost_of_record(model, kv, parts->total, parts->costs, parts->matrices);
    struct report_input input = {.record = parts->total,
                                 .costs = parts->costs,
                                 .matrices = parts->matrices,
                                 .limits = parts->limits,
                                 .sessions = parts->sessions,
                                 .n_sessions = parts->n_sessions,
                                 .counters = parts->has_counters ? &parts->counters : NULL,
                                 .overhead = &parts->overhead};
    input.limits.read_bytes_s = share_of_reading(parts, plan->n_workers);
    fill_model(&input.model, model);
    status = report_create(&parts->report, &input, err);
    if (status != STATUS_OK)
        return status;
    struct profile_document *doc = &parts->document;
    doc->version = SMALLMIND_VERSION;
    doc->created = (uint64_t)time(NULL);
    doc->machine = (struct profile_machine){subject->cpu, subject->kernels->name, plan->n_threads,
                                            plan->n_workers};
    doc->model = model;
    doc->kv_type = kv_names[kv];
    doc->report = parts->report;
    doc->records = parts->records;
    doc->n_records = parts->n_records;
    doc->limits_note = parts->limits_note;
    fill_allocators(doc, parts, engine);
    return STATUS_OK;
}

void profile_parts_free(struct profile_parts *parts)
{
    report_destroy(parts->report);
    for (size_t i = 0; i < parts->n_records; i++)
        record_destroy(parts->records[i]);
    record_destroy(parts->total);
    free(parts->records);
    free(parts->costs);
    free(parts->matrices);
    free(parts->sessions);
    *parts = (struct profile_parts){0};
}

/* --- its text --- */

typedef void write_fn(const struct profile_document *document, struct json_writer *w);

/* Grows the room until the text fits. */
static enum status write_text(const struct profile_document *document, write_fn *write, char **out,
                              size_t *n, struct error *err)
{
    for (size_t room = (size_t)1 << 18; room < (size_t)1 << 31; room *= 2) {
        char *text = malloc(room);
        if (text == NULL)
            return error_no_memory(err, room, "the report's text");
        struct json_writer w = {.out = text, .room = room - 1};
        write(document, &w);
        if (!w.full) {
            text[w.n] = '\0';
            *out = text;
            *n = w.n;
            return STATUS_OK;
        }
        free(text);
    }
    return error_set(err, STATUS_TOO_LARGE, "the report's text is larger than 1 GiB");
}

/* Numbers of the page's timeline, at most: what a browser draws without a pause. */
enum { TIMELINE_NUMBERS = 300000 };

static void write_page_data(const struct profile_document *document, struct json_writer *w)
{
    const struct record_shape *shape = &document->records[0]->shape;
    size_t per_step = 2 * shape->n_threads * shape->n_phases;
    size_t most = TIMELINE_NUMBERS / per_step;
    json_raw(w, "{\"report\":");
    profile_write_json(document, w);
    json_raw(w, ",\"timeline\":");
    profile_write_timeline(document,
                           most > 4 * document->n_records ? most : 4 * document->n_records, w);
    json_raw(w, "}");
}

/* The page with the data in the place that its comment marks. A '<' in the data, which only strings
 * have, is escaped, so that nothing in it can end the script's element. */
static enum status render_page(const struct profile_document *document, char **out, size_t *n,
                               struct error *err)
{
    static const char mark[] = "/*PROFILE*/";
    char *data;
    size_t n_data = 0, n_page = embed_profile_html_size, n_angles = 0;
    enum status status = write_text(document, write_page_data, &data, &n_data, err);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < n_data; i++)
        n_angles += data[i] == '<';
    const char *page = (const char *)embed_profile_html;
    const char *place = memmem(page, n_page, mark, sizeof mark - 1);
    char *text = malloc(n_page + n_data + 5 * n_angles + 1), *to = text;
    if (text == NULL || place == NULL) {
        free(data);
        free(text);
        return error_no_memory(err, n_page + n_data, "the report's page");
    }
    to = mempcpy(to, page, (size_t)(place - page));
    for (size_t i = 0; i < n_data; i++) {
        if (data[i] == '<')
            to = mempcpy(to, "\\u003c", 6);
        else
            *to++ = data[i];
    }
    place += sizeof mark - 1;
    to = mempcpy(to, place, (size_t)(page + n_page - place));
    *to = '\0';
    free(data);
    *out = text;
    *n = (size_t)(to - text);
    return STATUS_OK;
}

enum status profile_render(const struct profile_document *document, enum profile_form form,
                           char **out, size_t *n, struct error *err)
{
    if (form == PROFILE_HTML)
        return render_page(document, out, n, err);
    return write_text(document, form == PROFILE_TRACE ? profile_write_trace : profile_write_json,
                      out, n, err);
}
