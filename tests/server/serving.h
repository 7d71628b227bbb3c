/* serving.h - a service inside the test: the real loop and connections over Unix sockets, on the
 * test's own thread, with a table of routes of the test's choice.
 *
 * A client is a connected socket; reading from it runs the loop until there is something to read.
 * Nothing sleeps, and nothing depends on time but Check's own limit.
 */
#pragma once

#include "gguf/gguf.h"
#include "server/handlers/generate.h"
#include "server/handlers/live.h"
#include "server/log.h"
#include "server/routes.h"
#include "server/service.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct serving {
    struct service service;
    struct settings *settings;
    struct model *model;
    struct tokenizer *tokenizer;
    struct cpu cpu;
    struct sockaddr_un address;
    socklen_t n_address;
};

static struct serving serving;

static inline void must(enum status status, const struct error *err)
{
    ck_assert_msg(status == STATUS_OK, "%s", err->text);
}

static inline void serving_wake(void *ctx)
{
    struct service *service = ctx;
    if (service->engine != NULL && jobs_poll(&service->jobs))
        loop_drive(&service->loop);
}

static inline void serving_beat(void *ctx)
{
    struct service *service = ctx;
    uint64_t now_ms = loop_now_ms(&service->loop);
    http_beat(&service->http, now_ms);
    streams_beat(service, now_ms);
    loop_drive(&service->loop);
}

static inline void serving_signal(void *ctx, int number)
{
    (void)ctx, (void)number;
}

static inline void serving_nothing(void *ctx)
{
    (void)ctx;
}

static const struct loop_events serving_events = {.wake = serving_wake,
                                                  .beat = serving_beat,
                                                  .signal = serving_signal,
                                                  .settled = serving_nothing,
                                                  .paused = serving_nothing};

/* Words as after "smallmind". */
static inline void serving_open(const struct route_table *routes, int argc, char *const *argv)
{
    struct service *service = &serving.service;
    struct error err;
    char notes[256];
    char *const no_environment[] = {NULL};
    memset(&serving, 0, sizeof serving);
    log_setup(LOG_TEXT, LOG_ERROR);
    must(settings_resolve(&serving.settings, argc, argv, no_environment, notes, sizeof notes, &err),
         &err);
    service->settings = serving.settings;
    service->routes = *routes;
    service->state = HEALTH_OK;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    service->listener.fds[service->listener.n++] = fd;
    serving.address.sun_family = AF_UNIX; /* the system draws an abstract name */
    serving.n_address = sizeof serving.address;
    struct sockaddr *address = (struct sockaddr *)&serving.address;
    ck_assert_int_eq(bind(fd, address, sizeof(sa_family_t)), 0);
    ck_assert_int_eq(getsockname(fd, address, &serving.n_address), 0);
    ck_assert_int_eq(listen(fd, 64), 0);
    metrics_init(&service->metrics);
    must(loop_init(&service->loop, &serving_events, service, &err), &err);
    must(http_start(&service->http, service, &err), &err);
    must(loop_attach(&service->loop, service->http.daemon, &err), &err);
}

static inline void serving_on_worker(void *ctx)
{
    loop_wake(ctx);
}

/* The built-in model, one worker with one thread. */
static inline void serving_load(void)
{
    struct service *service = &serving.service;
    struct loaded_model *model = &service->model;
    struct gguf *gguf;
    struct error err;
    must(gguf_map(&gguf, TEST_SOURCE_DIR "/models/smallmind-tiny.gguf", &err), &err);
    must(model_load(&serving.model, gguf, 0, 1, &err), &err);
    must(tokenizer_create(&serving.tokenizer, gguf, &err), &err);
    gguf_close(gguf);
    cpu_detect(&serving.cpu);
    *model = (struct loaded_model){
        .model = serving.model, .tokenizer = serving.tokenizer, .cpu = &serving.cpu};
    must(kernels_select(&model->kernels, KERNELS_AUTO, &serving.cpu, &err), &err);
    struct engine_options options = {.n_threads = 1,
                                     .n_workers = 1,
                                     .kernels = model->kernels,
                                     .kv_type = KV_F16,
                                     .kv_bytes = (size_t)24 << 20,
                                     .prefix_cache = true,
                                     .step_tokens = 512,
                                     .max_batch = 8,
                                     .max_queue = 16,
                                     .wake = serving_on_worker,
                                     .wake_ctx = &service->loop};
    must(engine_create(&service->engine, serving.model, serving.tokenizer, &serving.cpu, &options,
                       &err),
         &err);
    must(names_init(&service->names, NULL, "builtin", serving.model->name, &err), &err);
    service->jobs.engine = service->engine;
    service->machine.measured = streams_measured;
    service->limits = (struct api_limits){.n_context = serving.model->n_context,
                                          .max_json_depth = 64,
                                          .max_json_nodes = 10000,
                                          .max_choices = 8};
    service->shaping = (struct shaping){.limits = grammar_limits_default,
                                        .vocabulary = engine_vocabulary,
                                        .engine = service->engine};
    must(grammar_cache_create(&service->shaping.cache, 1 << 20, &err), &err);
}

static inline void serving_turn(void)
{
    uv_run(&serving.service.loop.uv, UV_RUN_ONCE);
}

/* Every client has been closed. */
static inline void serving_close(void)
{
    struct service *service = &serving.service;
    while (service->http.n_conns > 0 || service->http.n_tasks > 0)
        serving_turn();
    ck_assert_uint_eq(service->http.body_bytes, 0);
    http_stop(&service->http);
    grammar_cache_destroy(service->shaping.cache);
    engine_destroy(service->engine);
    jobs_free(&service->jobs);
    loop_close(&service->loop);
    close(service->listener.fds[0]);
    metrics_free(&service->metrics);
    tokenizer_destroy(serving.tokenizer);
    model_destroy(serving.model);
    settings_free(serving.settings);
}

/* --- a client --- */

struct client {
    int fd;
    char text[65536]; /* what came, NUL-terminated */
    size_t n;
    bool ended;
};

static inline void client_open(struct client *client)
{
    *client = (struct client){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    ck_assert_int_eq(connect(client->fd, (struct sockaddr *)&serving.address, serving.n_address),
                     0);
}

static inline void client_send(struct client *client, const char *text)
{
    ck_assert_int_eq(send(client->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Takes what is there. */
static inline void client_take(struct client *client)
{
    ssize_t n;
    while ((n = recv(client->fd, client->text + client->n, sizeof client->text - 1 - client->n,
                     MSG_DONTWAIT)) > 0)
        client->n += (size_t)n;
    client->text[client->n] = '\0';
    client->ended |= n == 0 || (n < 0 && errno != EAGAIN);
}

/* Runs the loop until a text has come after `from` in what has come before; where it begins. */
static inline const char *client_await_from(struct client *client, const char *from,
                                            const char *text)
{
    const char *found;
    for (client_take(client); (found = strstr(from, text)) == NULL; client_take(client)) {
        ck_assert_msg(!client->ended, "the end came before \"%s\": %s", text, client->text);
        serving_turn();
    }
    return found;
}

static inline const char *client_await(struct client *client, const char *text)
{
    return client_await_from(client, client->text, text);
}

static inline void client_await_end(struct client *client)
{
    for (client_take(client); !client->ended; client_take(client))
        serving_turn();
}

static inline void client_close(struct client *client)
{
    close(client->fd);
    client->fd = -1;
}
