/* profile_document.c - from records to a document: costs, limits, the report, and its text in any
 * form. Any thread; holds no state. */
#include "server/profile_run.h"

#include "model/cost.h"
#include "profile/limits.h"
#include "server/embed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- limits --- */

/* Marks the types of the products' matrices. */
static void find_types(const struct model *model, bool *present)
{
    for (size_t i = 0; i < model->shape.n_layers; i++) {
        const struct layer *l = &model->layers[i];
        const struct matrix *const matrices[] = {&l->q.w,    &l->k.w,  &l->v.w,   &l->attn_output.w,
                                                 &l->gate.w, &l->up.w, &l->down.w};
        for (size_t k = 0; k < sizeof matrices / sizeof matrices[0]; k++)
            if (matrices[k]->n_rows > 0)
                present[matrices[k]->type] = true;
    }
    present[model->output.w.type] = true;
}

enum status profile_measure_limits(struct report_limits *out, struct limits *limits,
                                   const struct model *model, unsigned n_threads, struct error *err)
{
    bool present[WEIGHT_TYPES] = {false};
    double chains[LIMIT_CHAINS] = {0}, slowest = 0;
    size_t set = model->bytes_per_token, least = (size_t)4096 * n_threads;
    const void *memory = model->arena.n_used >= set ? model->arena.base : NULL;
    struct report_limits found = {.working_set = (double)(set > least ? set : least)};
    find_types(model, present);
    enum status status = limits_read(limits, set > least ? memory : NULL, set > least ? set : least,
                                     n_threads, &found.read_bytes_s, err);
    if (status == STATUS_OK)
        status = limits_chain(limits, LIMIT_FMA, n_threads, &chains[LIMIT_FMA], err);
    for (int type = 0; type < WEIGHT_TYPES && status == STATUS_OK; type++) {
        enum limit_chain chain = limits_chain_of((enum weight_type)type);
        if (!present[type])
            continue;
        if (chains[chain] == 0)
            status = limits_chain(limits, chain, n_threads, &chains[chain], err);
        found.ops_s[type] = 2 * chains[chain];
        slowest = slowest == 0 || found.ops_s[type] < slowest ? found.ops_s[type] : slowest;
    }
    found.ops_s[SCOPE_MIXED] = slowest;
    found.float_ops_s = 2 * chains[LIMIT_FMA];
    if (status == STATUS_OK)
        *out = found;
    return status;
}

/* --- the report --- */

static void fill_model(struct report_model *out, const struct model *model)
{
    enum weight_type type = model->layers[0].up.w.type;
    *out = (struct report_model){
        .weights = model->weights,
        .weight_bytes = (double)model->bytes_per_token,
        .n_params = (double)model->n_params,
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
    if (parts->total != NULL)
        return STATUS_OK;
    enum status status = record_copy(&parts->total, parts->records[0], err);
    for (size_t i = 1; i < parts->n_records && status == STATUS_OK; i++)
        record_add(parts->total, parts->records[i]);
    return status;
}

enum status profile_build(struct profile_parts *parts, const struct server_model *subject,
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
                                 .overhead = &parts->overhead,
                                 .n_workers = plan->n_workers};
    /* Workers share the machine; each record is of one worker's team. */
    input.limits.read_bytes_s /= plan->n_workers;
    input.limits.float_ops_s /= plan->n_workers;
    for (size_t i = 0; i < SCOPE_NONE; i++)
        input.limits.ops_s[i] /= plan->n_workers;
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
