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

#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

/* After a drain's time is over: for the last events to reach their clients, before connections are
 * cut. */
enum { FAREWELL_MS = 2000 };
/* Retry-After while the model is loaded. */
enum { LOADING_BACK_MS = 2000 };

struct life { /* of one server_run */
    struct service service;
    uv_work_t work;
    server_load_fn *load;
    void *ctx;
    uv_timer_t limit; /* of a drain */
    bool draining, overtime;
    struct { /* the loader's, until on_loaded */
        struct loaded_model model;
        struct engine *engine;
        enum status status;
        struct error error;
    } loaded;
    uint64_t begun_ns;
};

uint64_t service_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t service_back_ms(const struct service *service)
{
    uint64_t now = loop_now_ms(&service->loop);
    if (service->state == HEALTH_DRAINING)
        return service->drain_end_ms > now ? service->drain_end_ms - now : 1;
    return LOADING_BACK_MS;
}

/* --- loading --- */

static void on_worker(void *ctx)
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
    if (life->loaded.status != STATUS_OK)
        return;
    struct engine_options options = {
        .n_threads = s->threads,
        .n_workers = s->workers,
        .kernels = model->kernels,
        .kv_type = (enum kv_type)s->kv_type,
        .kv_type_open = settings_is_default(s, "kv-type"),
        .kv_bytes = s->kv_memory,
        .kv_contexts = settings_is_default(s, "max-batch") ? 0 : s->max_batch,
        .prefix_cache = s->prefix_cache,
        .step_tokens = s->step_tokens,
        .max_batch = s->max_batch,
        .max_queue = s->max_queue,
        .max_wait_ms = (uint64_t)s->max_wait_seconds * 1000,
        .wake = on_worker,
        .wake_ctx = &life->service.loop,
    };
    life->loaded.status = engine_create(&life->loaded.engine, model->model, model->tokenizer,
                                        model->cpu, &options, err);
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
    service->limits = (struct api_limits){
        .n_context = service->model.model->n_context,
        .max_prompt_tokens = s->max_prompt_tokens,
        .max_output_tokens = s->max_output_tokens,
        .max_json_depth = s->max_json_depth,
        .max_json_nodes = s->max_json_nodes,
    };
    service->state = HEALTH_OK;
    const struct greeting greeting = {
        .model = service->model.model,
        .tokenizer = service->model.tokenizer,
        .plan = engine_plan(service->engine),
        .kernels = service->model.kernels->name,
        .url = service->listener.url,
        .unix_path = service->listener.n_tcp == 0 ? s->unix_path : NULL,
        .needs_key = service->keys != NULL,
        .seconds = (double)(clock_now_ns() - life->begun_ns) * 1e-9,
    };
    greeting_log(&greeting);
}

/* --- draining --- */

void service_settled(struct service *service)
{
    if (service->state == HEALTH_DRAINING && service->http.n_tasks == 0 &&
        !service->machine.measuring && service->http.n_answering == 0)
        loop_stop(&service->loop);
}

static void on_limit(uv_timer_t *timer)
{
    struct life *life = timer->data;
    struct service *service = &life->service;
    if (!life->overtime) {
        life->overtime = true;
        log_line(LOG_WARN, "the drain's time is over: ending what is left");
        engine_abort_all(service->engine, "the server is stopping");
        uv_timer_start(timer, on_limit, FAREWELL_MS, 0);
    } else {
        streams_cut(service);
        live_cut(service);
        for (struct conn *conn = service->http.conns; conn != NULL; conn = conn->next)
            conn_cut(conn);
        loop_drive(&service->loop);
    }
}

static void on_signal(void *ctx, int number)
{
    struct life *life = ctx;
    struct service *service = &life->service;
    const char *name = number == SIGINT ? "SIGINT" : "SIGTERM";
    if (life->draining) {
        log_line(LOG_WARN, "%s again: ending at once", name);
        listener_close(&service->listener);
        _exit(1);
    }
    if (service->state ==
        HEALTH_LOADING) { /* a load cannot be called off, and there is nothing to finish */
        log_line(LOG_INFO, "%s while loading: ending", name);
        listener_close(&service->listener);
        _exit(0);
    }
    life->draining = true;
    service->state = HEALTH_DRAINING;
    uint64_t wait_ms = (uint64_t)service->settings->drain_seconds * 1000;
    service->drain_end_ms = loop_now_ms(&service->loop) + wait_ms;
    uv_timer_start(&life->limit, on_limit, wait_ms, 0);
    log_line(LOG_INFO, "%s: finishing what was taken, for at most %u s", name,
             service->settings->drain_seconds);
    live_stop(service);
    service_settled(service);
}

/* --- the loop's events --- */

static void on_wake(void *ctx)
{
    struct life *life = ctx;
    struct service *service = &life->service;
    if (service->engine == NULL) /* still warming up */
        return;
    metrics_progress(&service->metrics, service->engine, clock_now_ns());
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

static enum status start(struct life *life, const struct settings *settings, struct error *err)
{
    struct service *service = &life->service;
    service->settings = settings;
    service->routes = service_routes;
    service->state = HEALTH_LOADING;
    metrics_init(&service->metrics);
    if (getrandom(&service->random_ids, sizeof service->random_ids, 0) < 0 ||
        getrandom(&service->random_seeds, sizeof service->random_seeds, 0) < 0)
        return error_set(err, STATUS_IO, "the system has no random numbers");
    if (settings->has_seed)
        service->random_seeds = settings->seed;
    enum status status = STATUS_OK;
    status =
        names_init(&service->names, settings->served_model_name, settings->model, "builtin", err);
    if (status == STATUS_OK && settings->api_key_file != NULL)
        status = keys_load(&service->keys, settings->api_key_file, err);
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
    uv_timer_init(&service->loop.uv, &life->limit);
    life->limit.data = life->work.data = life;
    int code = uv_queue_work(&service->loop.uv, &life->work, load, on_loaded);
    if (code != 0)
        return error_errno(err, -code, "the loader's thread");
    log_line(LOG_INFO, "smallmind %s listening on %s", SMALLMIND_VERSION, service->listener.urls);
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
    signal(SIGPIPE, SIG_IGN);
    enum status status = loop_init(&service->loop, &events, life, err);
    if (status == STATUS_OK)
        status = start(life, settings, err);
    if (status == STATUS_OK) {
        loop_run(&service->loop);
        if (life->loaded.status != STATUS_OK) {
            status = life->loaded.status;
            *err = life->loaded.error;
        } else if (life->overtime) {
            status = error_set(err, STATUS_CANCELLED,
                               "the drain's time was over before all requests were finished");
        }
    }
    http_stop(&service->http);
    engine_destroy(service->engine); /* its workers may wake the loop until here */
    jobs_free(&service->jobs);
    loop_close(&service->loop);
    listener_close(&service->listener);
    keys_free(service->keys);
    free(life);
    if (status == STATUS_OK)
        log_line(LOG_INFO, "stopped");
    return status;
}
