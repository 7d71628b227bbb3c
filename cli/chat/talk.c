/* talk.c - from messages to an answer: template, tokens, a job, its text. State: struct talk. */
#include "cli/chat/talk.h"

#include "api/chat/chat.h"
#include "base/clock.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/load.h"
#include "engine/engine.h"
#include "server/templates.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct talk {
    const struct settings *settings;
    struct loaded loaded;
    struct chat_template *template; /* owned */
    struct engine *engine;          /* owned */
    struct flags flags;
    struct job *job; /* owned; the last answer's */
    pthread_mutex_t lock;
    bool running; /* the job is submitted and not yet read to its end */
};

/* --- the model --- */

static enum status start_engine(struct talk *talk, struct error *err)
{
    const struct settings *s = talk->settings;
    const struct engine_options options = {
        .n_threads = s->threads,
        .n_workers = 1,
        .kernels = talk->loaded.kernels,
        .kv_type = (enum kv_type)s->kv_type,
        .kv_type_open = settings_is_default(s, "kv-type"),
        .kv_bytes = s->kv_memory,
        .kv_contexts = 1,
        .prefix_cache = true,
        .step_tokens = s->step_tokens,
        .max_batch = 1,
        .max_queue = 1,
    };
    return engine_create(&talk->engine, talk->loaded.model, talk->loaded.tokenizer,
                         &talk->loaded.cpu, &options, err);
}

static enum status load_template(struct talk *talk, struct error *err)
{
    const struct loaded_model model = {.model = talk->loaded.model,
                                       .tokenizer = talk->loaded.tokenizer,
                                       .kernels = talk->loaded.kernels,
                                       .cpu = &talk->loaded.cpu,
                                       .template = talk->loaded.template,
                                       .tool_template = talk->loaded.tool_template};
    enum status status = templates_load(&talk->template, talk->settings, &model, err);
    const char *fault = status == STATUS_OK ? chat_template_fault(talk->template) : NULL;
    if (fault != NULL)
        status =
            error_set(err, STATUS_UNABLE, "%s; --chat-template chatml gives it a usual one", fault);
    return status;
}

enum status talk_create(struct talk **out, const struct settings *settings, struct error *err)
{
    struct talk *talk = calloc(1, sizeof *talk);
    if (talk == NULL)
        return error_no_memory(err, sizeof *talk, "a conversation");
    talk->settings = settings;
    pthread_mutex_init(&talk->lock, NULL);
    enum status status = load_all(&talk->loaded, settings, err);
    if (status == STATUS_OK)
        status = load_template(talk, err);
    if (status == STATUS_OK)
        status = flags_read(&talk->flags, settings, tokenizer_n_vocab(talk->loaded.tokenizer), err);
    /* The engine's threads never take a signal: interrupt.h's does, or at the prompt this one. */
    sigset_t signals, before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    if (status == STATUS_OK)
        status = start_engine(talk, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == STATUS_OK)
        *out = talk;
    else
        talk_destroy(talk);
    return status;
}

void talk_destroy(struct talk *talk)
{
    if (talk == NULL)
        return;
    engine_destroy(talk->engine);
    job_destroy(talk->job);
    flags_free(&talk->flags);
    chat_template_destroy(talk->template);
    load_free(&talk->loaded);
    pthread_mutex_destroy(&talk->lock);
    free(talk);
}

/* --- one answer --- */

static bool on_signal(void *ctx)
{
    struct talk *talk = ctx;
    pthread_mutex_lock(&talk->lock);
    bool running = talk->running;
    if (running)
        engine_cancel(talk->engine, talk->job);
    pthread_mutex_unlock(&talk->lock);
    return running;
}

static void set_running(struct talk *talk, bool running)
{
    pthread_mutex_lock(&talk->lock);
    talk->running = running;
    pthread_mutex_unlock(&talk->lock);
}

static enum status make_ids(struct talk *talk, const char *messages, size_t n, int32_t **ids,
                            size_t *n_ids, struct error *err)
{
    const struct chat_request request = {
        .messages = {messages, n}, .add_generation_prompt = true, .join_parts = true};
    struct chat_prompt prompt = {0};
    enum status status = chat_render(talk->template, &request, &prompt, err);
    if (status == STATUS_OK)
        status =
            chat_tokenize(&prompt, "the conversation", talk->loaded.tokenizer, ids, n_ids, err);
    chat_prompt_free(&prompt);
    return status;
}

static enum status make_job(struct talk *talk, const int32_t *ids, size_t n_ids, struct error *err)
{
    const struct settings *s = talk->settings;
    const struct api_limits limits = {.n_context = talk->loaded.model->n_context, .max_choices = 1};
    struct builder_values values = talk->flags.values;
    struct generation g = {.choices = NULL};
    values.ids = ids;
    values.n_ids = n_ids;
    values.default_tokens = limits.n_context; /* what the context leaves */
    values.answer_only = true;
    enum status status =
        builder_add(&g, &values, &flags_names, talk->loaded.tokenizer, &limits, err);
    if (status == STATUS_OK) {
        job_destroy(talk->job);
        talk->job = g.choices[0].job;
        talk->job->arrived_ns = clock_now_ns();
    }
    generation_free(&g, false);
    if (status == STATUS_OK && !s->has_seed &&
        getrandom(&talk->job->sampling.seed, sizeof s->seed, 0) < 0)
        status = error_errno(err, errno, "drawing a seed");
    return status;
}

static enum status run(struct talk *talk, talk_show *show, void *ctx, struct talk_answer *out,
                       struct error *err)
{
    struct job *job = talk->job;
    uint64_t retry_ms;
    uint32_t n_seen = 0;
    size_t n_shown = 0;
    enum status status = engine_submit(talk->engine, job, &retry_ms, err);
    if (status != STATUS_OK)
        return status;
    set_running(talk, true);
    for (bool finished = false; !finished;) {
        engine_wait(talk->engine, job, n_seen);
        finished = atomic_load_explicit(&job->finished, memory_order_acquire);
        n_seen = atomic_load_explicit(&job->n_ready, memory_order_acquire);
        size_t n_text = finished ? job->n_text : n_seen > 0 ? job->tokens[n_seen - 1].text_end : 0;
        if (n_text > n_shown && !show(ctx, job->text + n_shown, n_text - n_shown))
            engine_cancel(talk->engine, job);
        n_shown = n_text;
    }
    set_running(talk, false);
    if (job->finish == FINISH_ERROR) {
        *err = job->error;
        return err->status;
    }
    out->text = job->text;
    out->n_text = job->n_text;
    out->finish = job->finish;
    out->n_prompt = job->n_prompt;
    out->n_cached = job->n_cached;
    out->n_tokens = job->n_tokens;
    if (job->first_token_ns != 0) {
        out->first_ms = (double)(job->first_token_ns - job->arrived_ns) * 1e-6;
        out->decode_ms = (double)(job->last_token_ns - job->first_token_ns) * 1e-6;
    }
    return STATUS_OK;
}

enum status talk_ask(struct talk *talk, const char *messages, size_t n, talk_show *show, void *ctx,
                     struct talk_answer *out, struct error *err)
{
    const struct interrupt_calls calls = {.on_signal = on_signal, .ctx = talk};
    struct interrupt *interrupt;
    sigset_t before;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    *out = (struct talk_answer){.text = NULL};
    enum status status = make_ids(talk, messages, n, &ids, &n_ids, err);
    if (status == STATUS_OK)
        status = make_job(talk, ids, n_ids, err);
    free(ids);
    if (status != STATUS_OK)
        return status;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    if ((status = interrupt_start(&interrupt, &calls, err)) != STATUS_OK)
        return status;
    status = run(talk, show, ctx, out, err);
    out->interrupted = interrupt_stop(interrupt) != 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}
