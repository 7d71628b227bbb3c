/* ops.c - the handlers that answer at once: probes, /info, /metrics, /openapi.yaml. Loop thread. */
#include "server/handlers/ops.h"

#include "api/chat/chat.h"
#include "api/openai/openai.h"
#include "base/clock.h"
#include "embed/embed.h"
#include "server/log.h"
#include "server/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum MHD_Result answer_word(struct request *r, unsigned status, const char *text)
{
    char body[64];
    size_t n = (size_t)snprintf(body, sizeof body, "%s\n", text);
    uint64_t retry_ms = status == MHD_HTTP_OK ? 0 : service_back_ms(r->service);
    return request_answer(r, &(struct answer){.status = status,
                                              .type = "text/plain; charset=utf-8",
                                              .body = body,
                                              .n_body = n,
                                              .memory = BODY_COPY,
                                              .retry_ms = retry_ms});
}

static enum MHD_Result answer_livez(struct request *r)
{
    bool alive = service_is_alive(r->service);
    return answer_word(r, alive ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                       health_name(alive ? HEALTH_OK : HEALTH_STALLED));
}

static enum health health_of(const struct service *service)
{
    return service->state == HEALTH_OK && !service_is_alive(service) ? HEALTH_STALLED
                                                                     : service->state;
}

static enum MHD_Result answer_readyz(struct request *r)
{
    enum health health = health_of(r->service);
    return answer_word(r, health == HEALTH_OK ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                       health_name(health));
}

static enum MHD_Result answer_health(struct request *r)
{
    struct service *service = r->service;
    struct engine_stats stats = {0};
    if (service->engine != NULL)
        engine_stats(service->engine, &stats);
    struct health_report report = {
        .health = health_of(service),
        .running = stats.running,
        .queued = stats.queued,
        .queue_limit = service->settings->max_queue,
        .uptime_seconds = (double)(clock_now_ns() - service->metrics.start_ns) * 1e-9,
    };
    char body[INFO_ROOM];
    bool ok = report.health == HEALTH_OK;
    return request_answer(
        r, &(struct answer){.status = ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
                            .type = "application/json",
                            .body = body,
                            .n_body = health_write(&report, body, sizeof body),
                            .memory = BODY_COPY,
                            .retry_ms = ok ? 0 : service_back_ms(service)});
}

static enum MHD_Result answer_info(struct request *r)
{
    const struct service *service = r->service;
    const struct settings *s = service->settings;
    struct info info = {
        .version = SMALLMIND_VERSION,
        .kernels = service->model.kernels->name,
        .kv_type = service_kv_type(service),
        .model_print = service->fingerprint.model,
        .arithmetic_print = service->fingerprint.arithmetic,
        .prefix_cache = s->prefix_cache,
        .cpu = service->model.cpu,
        .names = service->names.list,
        .n_names = service->names.n,
        .model = service->model.model,
        .tokenizer = service->model.tokenizer,
        .plan = engine_plan(service->engine),
        .n_threads = engine_threads(service->engine),
        .threads_why = service->allowance.threads_why[0] != '\0'
                           ? service->allowance.threads_why
                           : engine_plan(service->engine)->threads_why,
        .allowed = service->allowance.known ? &service->allowance.cpu : service->model.cpu,
        .group = &service->allowance.group,
        .pooling = service->limits.pooling,
        .template_fault = chat_template_fault(service->chat),
        .limits = {.max_connections = s->max_connections,
                   .max_header_bytes = s->max_header_bytes,
                   .max_body_bytes = s->max_body_bytes,
                   .max_json_depth = s->max_json_depth,
                   .max_json_nodes = s->max_json_nodes,
                   .max_choices = s->max_choices,
                   .max_inputs = s->max_inputs,
                   .max_prompt_tokens = s->max_prompt_tokens,
                   .max_output_tokens = s->max_output_tokens,
                   .max_queue = s->max_queue,
                   .max_batch = engine_plan(service->engine)->max_batch,
                   .step_tokens = s->step_tokens,
                   .max_wait_seconds = s->max_wait_seconds},
    };
    char body[INFO_ROOM];
    return request_answer(r, &(struct answer){.status = MHD_HTTP_OK,
                                              .type = "application/json",
                                              .body = body,
                                              .n_body = info_write(&info, body, sizeof body),
                                              .memory = BODY_COPY});
}

static void fill_allowance(struct metrics_view *view, const struct service *service)
{
    const struct allowance *a = &service->allowance;
    uint64_t resident = 0;
    (void)process_resident_bytes(&service->metrics.process, &resident);
    view->cores = cpu_cores(&a->cpu);
    view->n_periods = a->counts.n_periods;
    view->n_throttled = a->counts.n_throttled;
    view->throttled_ns = a->counts.throttled_ns;
    allowance_memory(a, resident, &view->memory_limit, &view->memory_used);
}

static enum MHD_Result answer_metrics(struct request *r)
{
    struct service *service = r->service;
    const struct loaded_model *loaded = &service->model;
    const char *labels[METRICS_ROUTES_MAX];
    struct engine_stats stats = {0};
    const struct route_table *table = &service->routes;
    for (size_t i = 0; i < table->n; i++)
        labels[i] = route_label(&table->routes[i]);
    labels[table->n] = route_label(NULL);
    struct metrics_view view = {.routes = labels,
                                .n_routes = table->n + 1,
                                .stats = &stats,
                                .queue_limit = service->settings->max_queue,
                                .vllm_names = service->settings->metrics_names == METRICS_VLLM,
                                .connections = service->http.n_conns,
                                .connections_limit = service->http.limit,
                                .body_bytes = service->http.body_bytes,
                                .body_bytes_limit = service->settings->max_body_memory,
                                .log_lines_dropped = log_dropped(),
                                .version = SMALLMIND_VERSION};
    trace_exporter_stats(service->traces, &view.spans);
    grammar_cache_stats(service->shaping.cache, &view.grammars);
    if (service->engine != NULL) {
        engine_stats(service->engine, &stats);
        view.kernels = loaded->kernels->name;
        view.model = service->names.list[0];
        view.architecture = loaded->model->shape.arch;
        view.weights = loaded->model->weights;
        view.step_weight_bytes = loaded->model->bytes_per_token;
        view.n_threads = engine_threads(service->engine);
    }
    fill_allowance(&view, service);
    char *body = malloc(METRICS_ROOM);
    if (body == NULL)
        return MHD_NO;
    size_t n = metrics_write(&service->metrics, &view, clock_now_ns(), body, METRICS_ROOM);
    return request_answer(r, &(struct answer){.status = MHD_HTTP_OK,
                                              .type = "text/plain; version=0.0.4; charset=utf-8",
                                              .body = body,
                                              .n_body = n,
                                              .memory = BODY_OWNED});
}

static struct model_card card_of(const struct service *service)
{
    return (struct model_card){.names = service->names.list,
                               .n_names = service->names.n,
                               .created = (uint64_t)service->metrics.start_unix,
                               .model = service->model.model,
                               .n_vocab = tokenizer_n_vocab(service->model.tokenizer)};
}

static enum MHD_Result answer_card(struct request *r, size_t (*write)(const struct model_card *card,
                                                                      char *out, size_t room))
{
    struct model_card card = card_of(r->service);
    char *body = malloc(MODELS_ROOM);
    if (body == NULL)
        return MHD_NO;
    return request_answer(r, &(struct answer){.status = MHD_HTTP_OK,
                                              .type = "application/json",
                                              .body = body,
                                              .n_body = write(&card, body, MODELS_ROOM),
                                              .memory = BODY_OWNED});
}

static enum MHD_Result answer_models(struct request *r)
{
    return answer_card(r, openai_models);
}

static enum MHD_Result answer_model(struct request *r)
{
    const char *name = strrchr(r->path, '/') + 1;
    struct error why;
    if (names_has(&r->service->names, name))
        return answer_card(r, openai_model);
    error_set_param(&why, STATUS_INVALID, "model", "the model '%s' is not served here; '%s' is",
                    name, r->service->names.list[0]);
    return request_refuse(r, errors_of_refusal(REFUSAL_MODEL), &why, 0);
}

static enum MHD_Result answer_openapi(struct request *r)
{
    union { /* the library takes what it only reads as not const */
        const void *in;
        void *out;
    } text = {.in = embed_openapi_yaml};
    return request_answer(r, &(struct answer){.status = MHD_HTTP_OK,
                                              .type = "application/yaml",
                                              .body = text.out,
                                              .n_body = embed_openapi_yaml_size,
                                              .memory = BODY_STATIC});
}

const struct handler ops_models = {.begin = answer_models};
const struct handler ops_model = {.begin = answer_model};
const struct handler ops_livez = {.begin = answer_livez};
const struct handler ops_readyz = {.begin = answer_readyz};
const struct handler ops_health = {.begin = answer_health};
const struct handler ops_info = {.begin = answer_info};
const struct handler ops_metrics = {.begin = answer_metrics};
const struct handler ops_openapi = {.begin = answer_openapi};
