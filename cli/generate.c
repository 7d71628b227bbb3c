/* generate.c - `generate`: one completion to standard output, as it is generated.
 *
 * The flags become the body that POST /generate would take and go through the same checks, so that
 * both give the same text for the same values. Main thread; the engine's worker computes, and
 * interrupt.h's thread sees Ctrl-C and shows how far the prompt is read.
 */
#include "cli/verbs.h"

#include "api/json/json.h"
#include "api/native/request.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "cli/bar.h"
#include "cli/interrupt.h"
#include "cli/load.h"
#include "cli/terminal.h"
#include "engine/engine.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

struct generation {
    const struct settings *settings;
    struct loaded loaded;
    struct engine *engine; /* owned */
    struct job *job;       /* owned */

    pthread_mutex_t lock; /* of what follows: main thread and interrupt's */
    bool running;         /* the job is submitted and not yet read to its end */
    struct bar bar;
    bool progress_over; /* the text has begun */
};

/* --- the interrupt thread's side --- */

static bool on_signal(void *ctx)
{
    struct generation *g = ctx;
    pthread_mutex_lock(&g->lock);
    bool running = g->running;
    if (running)
        engine_cancel(g->engine, g->job);
    pthread_mutex_unlock(&g->lock);
    return running;
}

static void on_tick(void *ctx)
{
    struct generation *g = ctx;
    pthread_mutex_lock(&g->lock);
    if (g->running && !g->progress_over) {
        struct engine_stats stats;
        engine_stats(g->engine, &stats); /* of this one job: it is alone */
        bar_show(&g->bar, stats.prompt_computed_tokens + stats.prompt_cached_tokens,
                 g->job->n_prompt, "");
    }
    pthread_mutex_unlock(&g->lock);
}

static void end_progress(struct generation *g)
{
    pthread_mutex_lock(&g->lock);
    g->progress_over = true;
    bar_end(&g->bar);
    pthread_mutex_unlock(&g->lock);
}

static void set_running(struct generation *g, bool running)
{
    pthread_mutex_lock(&g->lock);
    g->running = running;
    pthread_mutex_unlock(&g->lock);
}

/* --- the request --- */

static void write_number(struct json_writer *w, const char *name, double value)
{
    json_raw(w, ",\"");
    json_raw(w, name);
    json_raw(w, "\":");
    if (value == (double)(int64_t)value)
        json_int(w, (int64_t)value);
    else
        json_float(w, (float)value);
}

static void write_lists(struct json_writer *w, const struct settings *s)
{
    for (size_t i = 0; i < s->n_stop; i++) {
        json_raw(w, i == 0 ? ",\"stop\":[" : ",");
        json_string(w, s->stop[i], strlen(s->stop[i]));
    }
    json_raw(w, s->n_stop > 0 ? "]" : "");
    for (size_t i = 0; i < s->n_biases; i++) {
        json_raw(w, i == 0 ? ",\"logit_bias\":{\"" : ",\"");
        json_int(w, s->biases[i].id);
        json_raw(w, "\":");
        json_float(w, s->biases[i].bias);
    }
    json_raw(w, s->n_biases > 0 ? "}" : "");
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void write_body(struct json_writer *w, const struct generation *g, const char *prompt,
                       size_t n_prompt)
{
    const struct settings *s = g->settings;
    const struct model *model = g->loaded.model;
    json_raw(w, "{\"prompt\":");
    json_string(w, prompt, n_prompt);
    if (s->max_tokens > 0)
        write_number(w, "max_tokens", (double)s->max_tokens);
    write_number(w, "min_tokens", (double)s->min_tokens);
    write_number(w, "temperature", (double)s->temperature);
    /* As the API's own defaults: what a small model does not have is what it has. */
    write_number(w, "top_k", (double)least(s->top_k, model->shape.n_vocab));
    write_number(w, "repetition_window", (double)least(s->repetition_window, model->n_context));
    write_number(w, "top_p", (double)s->top_p);
    write_number(w, "min_p", (double)s->min_p);
    write_number(w, "typical_p", (double)s->typical_p);
    write_number(w, "repetition_penalty", (double)s->repetition_penalty);
    write_number(w, "presence_penalty", (double)s->presence_penalty);
    write_number(w, "frequency_penalty", (double)s->frequency_penalty);
    json_raw(w, s->ignore_eos ? ",\"ignore_eos\":true" : "");
    json_raw(w, s->parse_special ? ",\"parse_special\":true" : "");
    write_lists(w, s);
    json_raw(w, "}");
}

static enum status make_job(struct generation *g, const char *prompt, size_t n_prompt,
                            struct error *err)
{
    const struct settings *s = g->settings;
    size_t n_good = utf8_check(prompt, n_prompt);
    if (n_good < n_prompt)
        return error_set(err, STATUS_INVALID, "the prompt must be UTF-8; the byte at %zu is not",
                         n_good);
    size_t room = 4096 + json_string_bound(n_prompt) + 48 * s->n_biases;
    for (size_t i = 0; i < s->n_stop; i++)
        room += json_string_bound(strlen(s->stop[i])) + 1;
    struct json_writer w = {.out = malloc(room), .room = room};
    if (w.out == NULL)
        return error_no_memory(err, room, "the prompt");
    write_body(&w, g, prompt, n_prompt);
    const struct api_limits limits = {.n_context = g->loaded.model->n_context,
                                      .max_json_depth = 8,
                                      .max_json_nodes = 64 + SETTINGS_STOPS + 2 * SETTINGS_BIASES};
    struct generate_request request;
    enum status status =
        request_generate(&request, w.out, w.n, false, g->loaded.tokenizer, &limits, err);
    free(w.out);
    if (status != STATUS_OK)
        return status;
    g->job = request.job;
    g->job->sampling.seed = s->seed;
    if (!s->has_seed && getrandom(&g->job->sampling.seed, sizeof s->seed, 0) < 0)
        return error_errno(err, errno, "drawing a seed");
    g->job->arrived_ns = clock_now_ns();
    return STATUS_OK;
}

static enum status read_prompt(const struct settings *s, char **prompt, size_t *n,
                               struct error *err)
{
    if (s->argument == NULL) {
        if (isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1)
            fputs("Type the prompt; Ctrl-D at the start of a line ends it.\n", stderr);
        return terminal_read(NULL, prompt, n, err);
    }
    *n = strlen(s->argument);
    *prompt = strdup(s->argument);
    return *prompt != NULL ? STATUS_OK : error_no_memory(err, *n, "the prompt");
}

/* --- the run --- */

static enum status start_engine(struct generation *g, struct error *err)
{
    const struct settings *s = g->settings;
    const struct engine_options options = {
        .n_threads = s->threads,
        .n_workers = 1,
        .kernels = g->loaded.kernels,
        .kv_type = (enum kv_type)s->kv_type,
        .kv_bytes = s->kv_memory, /* 0: max_batch sequences, so one */
        .prefix_cache = false,    /* there is no later request */
        .step_tokens = s->step_tokens,
        .max_batch = 1,
        .max_queue = 1,
    };
    return engine_create(&g->engine, g->loaded.model, g->loaded.tokenizer, &g->loaded.cpu, &options,
                         err);
}

/* Writes text as it comes until the job has finished. When it can no longer be written the job is
 * ended, and the reason returned. */
static enum status stream(struct generation *g, struct error *err)
{
    struct job *job = g->job;
    enum status status = STATUS_OK;
    uint32_t n_seen = 0;
    size_t n_written = 0;
    for (bool finished = false; !finished;) {
        engine_wait(g->engine, job, n_seen);
        finished = atomic_load_explicit(&job->finished, memory_order_acquire);
        n_seen = atomic_load_explicit(&job->n_ready, memory_order_acquire);
        size_t n_text = finished ? job->n_text : n_seen > 0 ? job->tokens[n_seen - 1].text_end : 0;
        if (status != STATUS_OK || n_text == n_written)
            continue;
        end_progress(g);
        status = terminal_write(job->text + n_written, n_text - n_written, err);
        n_written = n_text;
        if (status != STATUS_OK)
            engine_cancel(g->engine, job);
    }
    end_progress(g);
    if (status == STATUS_OK && isatty(STDOUT_FILENO) == 1 && n_written > 0 &&
        job->text[n_written - 1] != '\n')
        status = terminal_write("\n", 1, err);
    return status;
}

/* Why nothing was printed: a line for a person, who would take it for a failure. */
static void explain_nothing(const struct generation *g)
{
    const struct job *job = g->job;
    if (job->n_text > 0 || isatty(STDERR_FILENO) != 1)
        return;
    if (job->finish == FINISH_LENGTH)
        fprintf(stderr, "smallmind: %zu tokens, and none of them has text\n", job->n_tokens);
    else if (job->finish == FINISH_STOP && job->n_completion == job->n_tokens)
        fputs("smallmind: a stop text came first\n", stderr);
    else if (job->finish == FINISH_STOP && g->loaded.has_template && !g->settings->parse_special)
        fputs(
            "smallmind: the model ended at once. It has a chat template, and a bare prompt is not "
            "in its format: write the format's tokens with --parse-special, or go on with "
            "--ignore-eos\n",
            stderr);
    else if (job->finish == FINISH_STOP)
        fputs("smallmind: the model ended at once; --ignore-eos goes on\n", stderr);
}

static enum status run(struct generation *g, struct error *err)
{
    char *prompt = NULL;
    size_t n_prompt = 0;
    uint64_t retry_ms;
    enum status status = read_prompt(g->settings, &prompt, &n_prompt, err);
    if (status == STATUS_OK)
        status = load_all(&g->loaded, g->settings, err);
    if (status == STATUS_OK)
        status = make_job(g, prompt, n_prompt, err);
    free(prompt);
    if (status == STATUS_OK)
        status = start_engine(g, err);
    if (status != STATUS_OK)
        return status;
    bar_begin(&g->bar, "reading the prompt", "tokens");
    status = engine_submit(g->engine, g->job, &retry_ms, err);
    if (status != STATUS_OK)
        return status;
    set_running(g, true);
    status = stream(g, err);
    set_running(g, false);
    if (status == STATUS_OK && g->job->finish == FINISH_ERROR) {
        *err = g->job->error;
        status = err->status;
    }
    if (status == STATUS_OK)
        explain_nothing(g);
    return status;
}

/* A field of the request that was a flag here is wrong usage, and is called as it was given. */
static void blame_option(struct error *err)
{
    char name[sizeof err->param];
    size_t n = 0;
    for (; err->param[n] != '\0'; n++)
        name[n] = err->param[n] == '_' ? '-' : err->param[n];
    name[n] = '\0';
    if (!settings_has_option(VERB_GENERATE, name))
        return;
    struct error cause = *err;
    snprintf(cause.param, sizeof cause.param, "--%.60s", name);
    error_set_param(err, cause.status, cause.param, "--%s: %s", name, cause.text);
}

int verb_generate(const struct settings *settings)
{
    struct generation g = {.settings = settings, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct interrupt *interrupt = NULL;
    struct error err = {0};
    const struct interrupt_calls calls = {
        .on_signal = on_signal,
        .on_tick = isatty(STDERR_FILENO) == 1 ? on_tick : NULL,
        .ctx = &g,
    };
    enum status status = interrupt_start(&interrupt, &calls, &err);
    if (status == STATUS_OK)
        status = run(&g, &err);
    int signal_number = interrupt_stop(interrupt);
    engine_destroy(g.engine);
    job_destroy(g.job);
    load_free(&g.loaded);
    if (signal_number != 0)
        return EXIT_INTERRUPTED;
    blame_option(&err);
    return status == STATUS_OK || status == STATUS_CANCELLED ? EXIT_DONE : verb_fail(&err);
}
