/* server.c - the service's life: listening, loading, serving, draining. Loop thread, but for the
 * load, on libuv's pool. */
#include "server/server.h"

#include "base/clock.h"
#include "server/greeting.h"
#include "server/handlers/generate.h"
#include "server/handlers/live.h"
#include "server/http/http.h"
#include "server/log.h"
#include "server/routes.h"
#include "server/service.h"
#include "server/signals.h"
#include "server/supervisor.h"
#include "server/templates.h"
#include "server/trace/exporter.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* After a drain's time is over: for the last events to reach their clients, before connections are
 * cut. */
enum { FAREWELL_MS = 2000 };
/* How long the end of the process waits for the last spans to be delivered. */
enum { LAST_SPANS_MS = 3000 };

/* How far the end has come. */
enum ending {
    ENDING_NOT,
    ENDING_LEAVING,  /* --drain-delay */
    ENDING_HANDOVER, /* --drain-seconds, with sockets that a supervisor keeps */
    ENDING_DRAINING, /* --drain-seconds */
    ENDING_OVERTIME, /* what was left has been aborted */
};

struct life { /* of one server_run */
    struct service service;
    uv_work_t work;
    server_load_fn *load;
    void *ctx;
    struct signals signals;
    struct supervisor supervisor;
    uv_timer_t limit; /* of the ending's step */
    enum ending ending;
    struct { /* the loader's, until on_loaded */
        struct loaded_model model;
        struct engine *engine;
        struct chat_template *chat;
        char template[FINGERPRINT_TEXT]; /* the digest of its text */
        enum status status;
        struct error error;
    } loaded;
    uint64_t begun_ns;
};

/* --- what the supervisor hears --- */

static void say_status(struct service *service, char out[SUPERVISOR_TEXT_MAX])
{
    if (service->engine == NULL) {
        snprintf(out, SUPERVISOR_TEXT_MAX, "loading the model");
        return;
    }
    struct engine_stats stats;
    engine_stats(service->engine, &stats);
    double rate = metrics_generated_rate(&service->metrics, clock_now_ns(), stats.generated_tokens);
    bool alive = service_is_alive(service);
    snprintf(out, SUPERVISOR_TEXT_MAX, "%s: %zu running, %zu queued, %.1f tokens/s",
             health_name(alive ? service->state : HEALTH_STALLED), stats.running, stats.queued,
             rate);
}

static void on_supervisor(void *ctx)
{
    struct life *life = ctx;
    struct service *service = &life->service;
    char status[SUPERVISOR_TEXT_MAX];
    say_status(service, status);
    supervisor_beat(&life->supervisor, status, service_is_alive(service),
                    service->state == HEALTH_LOADING);
}

/* --- loading --- */

static void wake_loop(void *ctx)
{
    loop_wake(ctx);
}

static void load(uv_work_t *work) /* on libuv's pool */
{
    struct life *life = work->data;
    const struct settings *s = life->service.settings;
    struct loaded_model *model = &life->loaded.model;
    struct error *err = &life->loaded.error;
    life->loaded.status = life->load(life->ctx, model, err);
    if (life->loaded.status == STATUS_OK)
        life->loaded.status = templates_load(&life->loaded.chat, s, model, err);
    if (life->loaded.status == STATUS_OK && s->pooling == POOLING_RANK + 1 &&
        model->model->shape.n_scores == 0)
        life->loaded.status =
            error_set_param(err, STATUS_INVALID, "pooling",
                            "pooling is rank; this model's file has no head that gives scores");
    if (life->loaded.status == STATUS_OK)
        life->loaded.status = templates_digest(life->loaded.template, s, model, err);
    if (life->loaded.status != STATUS_OK)
        return;
    struct engine_options options = {
        .n_threads = s->threads,
        .follows = s->threads == 0,
        .n_workers = s->workers,
        .kernels = model->kernels,
        .kv_type = (enum kv_type)s->kv_type,
        .kv_type_open = settings_is_default(s, "kv-type"),
        .kv_bytes = s->kv_memory,
        .kv_contexts = s->max_batch,
        .prefix_cache = s->prefix_cache,
        .step_tokens = s->step_tokens,
        .max_batch = s->max_batch,
        .max_queue = s->max_queue,
        .max_wait_ms = (uint64_t)s->max_wait_seconds * 1000,
        .wake = wake_loop,
        .wake_ctx = &life->service.loop,
    };
    life->loaded.status = engine_create(&life->loaded.engine, model->model, model->tokenizer,
                                        model->cpu, &options, err);
}

/* How texts become vectors. */
static enum pooling pooling_of(const struct settings *s, const struct model *model)
{
    if (s->pooling > 0)
        return (enum pooling)(s->pooling - 1);
    if (model->shape.pooling == POOLING_RANK && model->shape.n_scores == 0)
        return POOLING_NONE;
    bool silent = model->shape.encoder && model->shape.pooling == POOLING_NONE;
    return silent ? POOLING_MEAN : model->shape.pooling;
}

static void on_loaded(uv_work_t *work, int status)
{
    struct life *life = work->data;
    struct service *service = &life->service;
    const struct settings *s = service->settings;
    (void)status; /* never cancelled */
    if (life->loaded.status != STATUS_OK) {
        loop_stop(&service->loop);
        return;
    }
    service->model = life->loaded.model;
    if (s->served_model_name == NULL) /* the built-in model has no file: its name is known now */
        (void)names_init(&service->names, NULL, s->model, service->model.model->name, NULL);
    service->engine = service->jobs.engine = life->loaded.engine;
    service->chat = life->loaded.chat;
    const enum pooling pooling = pooling_of(s, service->model.model);
    service->limits = (struct api_limits){
        .n_context = service->model.model->n_context,
        .max_prompt_tokens = s->max_prompt_tokens,
        .max_output_tokens = s->max_output_tokens,
        .max_json_depth = s->max_json_depth,
        .max_json_nodes = s->max_json_nodes,
        .max_choices = s->max_choices,
        .pooling = pooling,
        .n_vector = pooling == POOLING_RANK ? service->model.model->shape.n_scores
                                            : service->model.model->shape.n_embd,
        .max_inputs = s->max_inputs,
        .vectors_alone = service->model.model->shape.encoder,
        .reasoning = s->reasoning == REASONING_AUTO,
        .step_tokens = s->step_tokens,
        .request_templates = s->request_templates,
    };
    service->shaping.vocabulary = engine_vocabulary;
    service->shaping.engine = service->engine;
    service->state = HEALTH_OK;
    allowance_follow(&service->allowance, service->engine);
    const struct arithmetic arithmetic = {
        .kv_type = service_kv_type(service),
        .template = life->loaded.template,
        .reasoning = service->limits.reasoning,
    };
    fingerprint_begin(&service->fingerprint, &service->model, &arithmetic, wake_loop,
                      &service->loop);
    const struct greeting greeting = {
        .model = service->model.model,
        .tokenizer = service->model.tokenizer,
        .plan = engine_plan(service->engine),
        .cpu = service->model.cpu,
        .kernels = service->model.kernels->name,
        .url = service->listener.url,
        .unix_path = service->listener.n_tcp == 0 ? service->listener.url + strlen("unix:") : NULL,
        .needs_key = service->keys != NULL,
        .seconds = (double)(clock_now_ns() - life->begun_ns) * 1e-9,
    };
    greeting_log(&greeting);
    packs_begin(service);
    acceptor_release(&service->http.acceptor); /* a supervisor's clients have waited for this */
    char status_text[SUPERVISOR_TEXT_MAX];
    say_status(service, status_text);
    supervisor_ready(&life->supervisor, status_text);
}

/* --- draining --- */

static void on_limit(uv_timer_t *timer);

static void begin_drain(struct life *life)
{
    struct service *service = &life->service;
    unsigned seconds = service->settings->drain_seconds;
    life->ending = ENDING_DRAINING;
    service->state = HEALTH_DRAINING;
    uv_timer_start(&life->limit, on_limit, (uint64_t)seconds * 1000, 0);
    log_line(LOG_INFO, "finishing what was taken, for at most %u s", seconds);
    live_stop(service);
    service_settled(service);
}

/* Clients that come from now on wait in the sockets' queues for the next process, and none of those
 * that are here is refused: each is answered, and its connection ends with that. */
static void begin_handover(struct life *life)
{
    struct service *service = &life->service;
    unsigned seconds = service->settings->drain_seconds;
    life->ending = ENDING_HANDOVER;
    service->state = HEALTH_LEAVING;
    service->handing_over = true;
    service->handover_ms = loop_now_ms(&service->loop);
    acceptor_hold(&service->http.acceptor);
    uv_timer_start(&life->limit, on_limit, (uint64_t)seconds * 1000, 0);
    log_line(LOG_INFO,
             "new clients wait for the next process; answering those that are connected, for at "
             "most %u s",
             seconds);
    live_stop(service);
    service_settled(service);
}

static void begin_last_work(struct life *life)
{
    if (life->service.listener.inherited)
        begin_handover(life);
    else
        begin_drain(life);
}

static void begin_overtime(struct life *life)
{
    life->ending = ENDING_OVERTIME;
    life->service.state = HEALTH_DRAINING;
    log_line(LOG_WARN, "the drain's time is over: ending what is left");
    engine_abort_all(life->service.engine, "the server is stopping");
    uv_timer_start(&life->limit, on_limit, FAREWELL_MS, 0);
}

static void cut_all(struct service *service)
{
    streams_cut(service);
    live_cut(service);
    for (struct conn *conn = service->http.conns; conn != NULL; conn = conn->next)
        conn_cut(conn);
    loop_drive(&service->loop);
}

static void on_limit(uv_timer_t *timer)
{
    struct life *life = timer->data;
    if (life->ending == ENDING_LEAVING)
        begin_last_work(life);
    else if (life->ending == ENDING_DRAINING || life->ending == ENDING_HANDOVER)
        begin_overtime(life);
    else
        cut_all(&life->service);
}

/* Without a drain; the socket's file and the port file are removed. */
static void end_at_once(struct life *life, int code)
{
    listener_close(&life->service.listener);
    log_close();
    _exit(code);
}

static void begin_ending(struct life *life, const char *name)
{
    struct service *service = &life->service;
    const struct settings *s = service->settings;
    if (service->state == HEALTH_LOADING) { /* a load cannot be called off, and there is no work */
        log_line(LOG_INFO, "%s while loading: ending", name);
        end_at_once(life, 0);
    }
    packs_stop(service);
    uint64_t delay_ms = (uint64_t)s->drain_delay * 1000;
    uint64_t most_ms = delay_ms + (uint64_t)s->drain_seconds * 1000;
    service->drain_end_ms = loop_now_ms(&service->loop) + most_ms;
    supervisor_stopping(&life->supervisor, "draining", most_ms + 2 * FAREWELL_MS);
    if (delay_ms == 0) {
        log_line(LOG_INFO, "%s: draining", name);
        begin_last_work(life);
        return;
    }
    life->ending = ENDING_LEAVING;
    service->state = HEALTH_LEAVING;
    uv_timer_start(&life->limit, on_limit, delay_ms, 0);
    log_line(LOG_INFO, "%s: not ready any more; new work is taken for %u s, then drained", name,
             s->drain_delay);
}

/* --- signals --- */

static void reload_keys(struct service *service)
{
    const char *path = service->settings->api_key_file;
    struct error err;
    if (keys_reload(&service->keys, path, &err) == STATUS_OK)
        log_line(LOG_INFO, "SIGHUP: %zu API keys read from %s", keys_count(service->keys), path);
    else
        log_line(LOG_ERROR, "SIGHUP: %s; the %zu API keys in use stay", err.text,
                 keys_count(service->keys));
}

static void reload(struct service *service)
{
    const struct settings *s = service->settings;
    struct error err;
    if (s->log_file != NULL) {
        if (log_reopen(&err) == STATUS_OK)
            log_line(LOG_INFO, "SIGHUP: the log goes on in %s, opened anew", s->log_file);
        else
            log_line(LOG_ERROR, "SIGHUP: %s; the open file stays in use", err.text);
    }
    if (s->api_key_file != NULL)
        reload_keys(service);
    if (s->log_file == NULL && s->api_key_file == NULL)
        log_line(LOG_INFO, "SIGHUP: nothing to reload (--api-key-file, --log-file)");
}

static void on_hangup(struct life *life)
{
    bool tells = life->service.state == HEALTH_OK; /* else it would say that it is ready again */
    char status[SUPERVISOR_TEXT_MAX];
    if (tells)
        supervisor_reloading(&life->supervisor);
    reload(&life->service);
    say_status(&life->service, status);
    if (tells)
        supervisor_ready(&life->supervisor, status);
}

static void on_signal(void *ctx, int number)
{
    struct life *life = ctx;
    const char *name = signals_name(number);
    if (number == SIGHUP && !signals_is_hangup(&life->signals)) {
        on_hangup(life);
    } else if (life->ending == ENDING_NOT) {
        begin_ending(life, number == SIGHUP ? "the terminal was closed" : name);
    } else if (number != SIGHUP && number != SIGXCPU) { /* those come again by themselves */
        log_line(LOG_WARN, "%s again: ending at once", name);
        end_at_once(life, 1);
    }
}

/* --- the loop's events --- */

static void on_wake(void *ctx)
{
    struct life *life = ctx;
    struct service *service = &life->service;
    if (service->engine == NULL) /* still warming up */
        return;
    metrics_progress(&service->metrics, service->engine, clock_now_ns());
    if (fingerprint_poll(&service->fingerprint))
        streams_known(service);
    if (jobs_poll(&service->jobs))
        loop_drive(&service->loop);
}

static void on_beat(void *ctx)
{
    struct life *life = ctx;
    struct service *service = &life->service;
    uint64_t now_ms = loop_now_ms(&service->loop);
    http_beat(&service->http, now_ms);
    streams_beat(service, now_ms);
    service_settled(service);
    /* Always, at this rate: whatever wake-up the library may have lost costs a quarter of a second
     * at most. */
    loop_drive(&service->loop);
}

static void on_settled(void *ctx)
{
    struct life *life = ctx;
    service_settled(&life->service);
}

static void on_paused(void *ctx)
{
    struct life *life = ctx;
    http_paused(&life->service.http);
}

static const struct loop_events events = {.wake = on_wake,
                                          .beat = on_beat,
                                          .signal = on_signal,
                                          .settled = on_settled,
                                          .paused = on_paused};

/* --- the whole --- */

static enum status read_proxies(struct peer_networks *out, const struct setting_list *texts,
                                struct error *err)
{
    for (size_t i = 0; i < texts->n; i++)
        if (!peer_networks_add(out, texts->items[i]))
            return error_set_param(err, STATUS_INVALID, "--trusted-proxy",
                                   "--trusted-proxy: \"%.60s\" must be an address, a network such "
                                   "as 10.0.0.0/8 or fd00::/8, or unix",
                                   texts->items[i]);
    return STATUS_OK;
}

static const char *lookup_variable(const char *name)
{
    return getenv(name);
}

/* Where an endpoint is named; else nothing runs for traces. */
static enum status open_traces(struct service *service, const struct settings *s, struct error *err)
{
    const struct trace_wishes wishes = {.endpoint = s->otlp_endpoint,
                                        .headers = s->otlp_headers,
                                        .part = (double)s->otlp_sample,
                                        .part_given = !settings_is_default(s, "otlp-sample")};
    struct trace_options options;
    enum status status = trace_options_read(&options, &wishes, lookup_variable, err);
    if (status != STATUS_OK || options.url == NULL)
        return status;
    log_line(LOG_INFO, "traces: spans go to %.*s", (int)strcspn(options.url, "?"), options.url);
    status = trace_exporter_create(&service->traces, &options, &trace_usual_pace, err);
    trace_options_free(&options);
    return status;
}

/* Those that need more than their value's form. */
static enum status read_settings(struct service *service, const struct settings *s,
                                 struct error *err)
{
    enum status status =
        names_init(&service->names, s->served_model_name, s->model, "builtin", err);
    if (status == STATUS_OK)
        status = read_proxies(&service->proxies, &s->trusted_proxies, err);
    service->shaping.limits = (struct grammar_limits){.n_bytes = s->grammar_memory,
                                                      .n_states = s->grammar_states,
                                                      .depth = (unsigned)s->grammar_depth};
    if (status == STATUS_OK)
        status = grammar_cache_create(&service->shaping.cache, s->grammar_cache, err);
    if (status == STATUS_OK && s->api_key_file != NULL)
        status = keys_load(&service->keys, s->api_key_file, err);
    if (status == STATUS_OK)
        status = open_traces(service, s, err);
    return status;
}

/* Profiles that waited for the machine's limits go on. */
static void on_measured(struct service *service)
{
    live_measured(service);
    streams_measured(service);
}

static enum status start(struct life *life, const struct settings *settings, struct error *err)
{
    struct service *service = &life->service;
    service->settings = settings;
    service->routes = service_routes;
    service->machine.measured = on_measured;
    service->state = HEALTH_LOADING;
    metrics_init(&service->metrics);
    if (getrandom(&service->random_ids, sizeof service->random_ids, 0) < 0 ||
        getrandom(&service->random_seeds, sizeof service->random_seeds, 0) < 0)
        return error_set(err, STATUS_IO, "the system has no random numbers");
    if (settings->has_seed)
        service->random_seeds = settings->seed;
    enum status status = read_settings(service, settings, err);
    if (status == STATUS_OK)
        status = listener_open(&service->listener, settings, err);
    if (status != STATUS_OK)
        return status;
    service->origins = (struct origin_rules){service->listener.loopback, &settings->allow_origins,
                                             &settings->allow_hosts};
    status = http_start(&service->http, service, err);
    if (status == STATUS_OK)
        status = loop_attach(&service->loop, service->http.daemon, err);
    if (status == STATUS_OK)
        status = listener_announce(&service->listener, err);
    if (status != STATUS_OK)
        return status;
    if (service->listener.inherited) /* until the model is there: a 503 would lose a client */
        acceptor_hold(&service->http.acceptor);
    uv_timer_init(&service->loop.uv, &life->limit);
    allowance_init(&service->allowance, &service->loop.uv, settings, on_settled, life);
    supervisor_init(&life->supervisor, &service->loop.uv, on_supervisor, life);
    life->limit.data = life->work.data = life;
    int code = uv_queue_work(&service->loop.uv, &life->work, load, on_loaded);
    if (code != 0)
        return error_errno(err, -code, "the loader's thread");
    log_line(LOG_INFO, "smallmind %s listening on %s%s", SMALLMIND_VERSION, service->listener.urls,
             service->listener.inherited ? " (the supervisor's sockets)" : "");
    if (service->keys == NULL && service->listener.remote)
        log_line(LOG_WARN, "reachable from other machines without an API key (--api-key-file)");
    return STATUS_OK;
}

enum status server_run(const struct settings *settings, server_load_fn *load_fn, void *ctx,
                       struct error *err)
{
    struct life *life = calloc(1, sizeof *life);
    if (life == NULL)
        return error_no_memory(err, sizeof *life, "the service");
    struct service *service = &life->service;
    life->load = load_fn;
    life->ctx = ctx;
    life->begun_ns = clock_now_ns();
    signals_init(&life->signals);
    enum status status = loop_init(&service->loop, &events, life, err);
    if (status == STATUS_OK)
        status = start(life, settings, err);
    if (status == STATUS_OK) {
        loop_run(&service->loop);
        if (life->loaded.status != STATUS_OK) {
            status = life->loaded.status;
            *err = life->loaded.error;
        } else if (life->ending == ENDING_OVERTIME) {
            status = error_set(err, STATUS_CANCELLED,
                               "the drain's time was over before all requests were finished");
        }
    }
    allowance_close(&service->allowance);
    fingerprint_end(&service->fingerprint);
    http_stop(&service->http);
    grammar_cache_destroy(service->shaping.cache); /* its grammars have the engine's vocabulary */
    engine_destroy(service->engine);               /* its workers may wake the loop until here */
    jobs_free(&service->jobs);
    trace_exporter_destroy(service->traces, LAST_SPANS_MS);
    loop_close(&service->loop);
    supervisor_close(&life->supervisor);
    listener_close(&service->listener);
    metrics_free(&service->metrics);
    keys_free(service->keys);
    chat_template_destroy(life->loaded.chat);
    free(life);
    if (status == STATUS_OK)
        log_line(LOG_INFO, "stopped");
    return status;
}
