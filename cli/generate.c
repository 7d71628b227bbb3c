/* generate.c - `generate`: one completion to standard output, as it is generated.
 *
 * The flags go through the request builder like the fields of POST /generate, so that both give the
 * same text for the same values. Main thread; the engine's worker computes, and
 * interrupt.h's thread sees Ctrl-C and shows how far the prompt is read.
 */
#include "cli/verbs.h"

#include "base/clock.h"
#include "cli/bar.h"
#include "cli/flags.h"
#include "cli/interrupt.h"
#include "cli/load.h"
#include "cli/shaped.h"
#include "cli/terminal.h"
#include "engine/engine.h"
#include "engine/stats.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

struct completion {
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
    struct completion *c = ctx;
    pthread_mutex_lock(&c->lock);
    bool running = c->running;
    if (running)
        engine_cancel(c->engine, c->job);
    pthread_mutex_unlock(&c->lock);
    return running;
}

static void on_tick(void *ctx)
{
    struct completion *c = ctx;
    pthread_mutex_lock(&c->lock);
    if (c->running && !c->progress_over) {
        struct engine_stats stats;
        engine_stats(c->engine, &stats); /* of this one job: it is alone */
        bar_show(&c->bar, stats.prompt_computed_tokens + stats.prompt_cached_tokens,
                 c->job->n_prompt, "");
    }
    pthread_mutex_unlock(&c->lock);
}

static void end_progress(struct completion *c)
{
    pthread_mutex_lock(&c->lock);
    c->progress_over = true;
    bar_end(&c->bar);
    pthread_mutex_unlock(&c->lock);
}

static void set_running(struct completion *c, bool running)
{
    pthread_mutex_lock(&c->lock);
    c->running = running;
    pthread_mutex_unlock(&c->lock);
}

/* --- the request --- */

static enum status make_job(struct completion *c, const char *prompt, size_t n_prompt,
                            struct error *err)
{
    const struct settings *s = c->settings;
    const struct api_limits limits = {.n_context = c->loaded.model->n_context, .max_choices = 1};
    struct flags flags = {.biases = NULL};
    struct generation g = {.choices = NULL};
    struct grammar *grammar = NULL;
    enum status status = flags_read(&flags, s, tokenizer_n_vocab(c->loaded.tokenizer), err);
    flags.values.text = prompt;
    flags.values.n_text = n_prompt;
    if (status == STATUS_OK)
        status = shaped_grammar(&grammar, s, c->engine, err);
    flags.values.grammar = grammar;
    if (status == STATUS_OK)
        status = builder_add(&g, &flags.values, &flags_names, c->loaded.tokenizer, &limits, err);
    grammar_release(grammar); /* the job has its own */
    flags_free(&flags);
    if (status == STATUS_OK) {
        c->job = g.choices[0].job;
        c->job->arrived_ns = clock_now_ns();
    }
    generation_free(&g, false);
    if (status == STATUS_OK && !s->has_seed &&
        getrandom(&c->job->sampling.seed, sizeof s->seed, 0) < 0)
        status = error_errno(err, errno, "drawing a seed");
    return status;
}

static enum status read_prompt(const struct settings *s, char **prompt, size_t *n,
                               struct error *err)
{
    if (s->argument == NULL) {
        terminal_invite("the prompt");
        return terminal_read(NULL, prompt, n, err);
    }
    *n = strlen(s->argument);
    *prompt = strdup(s->argument);
    return *prompt != NULL ? STATUS_OK : error_no_memory(err, *n, "the prompt");
}

/* --- the run --- */

static enum status start_engine(struct completion *c, struct error *err)
{
    const struct settings *s = c->settings;
    const struct engine_options options = {
        .n_threads = s->threads,
        .n_workers = 1,
        .kernels = c->loaded.kernels,
        .kv_type = (enum kv_type)s->kv_type,
        .kv_type_open = settings_is_default(s, "kv-type"),
        .kv_bytes = s->kv_memory,
        .kv_contexts = 1,
        .prefix_cache = false, /* there is no later request */
        .step_tokens = s->step_tokens,
        .max_batch = 1,
        .max_queue = 1,
    };
    return engine_create(&c->engine, c->loaded.model, c->loaded.tokenizer, &c->loaded.cpu, &options,
                         err);
}

/* Writes text as it comes until the job has finished. When it can no longer be written the job is
 * ended, and the reason returned. */
static enum status stream(struct completion *c, struct error *err)
{
    struct job *job = c->job;
    enum status status = STATUS_OK;
    uint32_t n_seen = 0;
    size_t n_written = 0;
    for (bool finished = false; !finished;) {
        engine_wait(c->engine, job, n_seen);
        finished = atomic_load_explicit(&job->finished, memory_order_acquire);
        n_seen = atomic_load_explicit(&job->n_ready, memory_order_acquire);
        size_t n_text = finished ? job->n_text : n_seen > 0 ? job->tokens[n_seen - 1].text_end : 0;
        if (status != STATUS_OK || n_text == n_written)
            continue;
        end_progress(c);
        status = terminal_write(job->text + n_written, n_text - n_written, err);
        n_written = n_text;
        if (status != STATUS_OK)
            engine_cancel(c->engine, job);
    }
    end_progress(c);
    if (status == STATUS_OK && isatty(STDOUT_FILENO) == 1 && n_written > 0 &&
        job->text[n_written - 1] != '\n')
        status = terminal_write("\n", 1, err);
    return status;
}

/* Why nothing was printed: a line for a person, who would take it for a failure. */
static void explain_nothing(const struct completion *c)
{
    const struct job *job = c->job;
    if (job->n_text > 0 || isatty(STDERR_FILENO) != 1)
        return;
    if (job->finish == FINISH_LENGTH)
        fprintf(stderr, "smallmind: %zu tokens, and none of them has text\n", job->n_tokens);
    else if (job->finish == FINISH_STOP && job->n_completion == job->n_tokens)
        fputs("smallmind: a stop text came first\n", stderr);
    else if (job->finish == FINISH_STOP && c->loaded.has_template && !c->settings->parse_special)
        fputs(
            "smallmind: the model ended at once. It has a chat template, and a bare prompt is not "
            "in its format: write the format's tokens with --parse-special, or go on with "
            "--ignore-eos\n",
            stderr);
    else if (job->finish == FINISH_STOP)
        fputs("smallmind: the model ended at once; --ignore-eos goes on\n", stderr);
}

static enum status run(struct completion *c, struct error *err)
{
    char *prompt = NULL;
    size_t n_prompt = 0;
    uint64_t retry_ms;
    enum status status = read_prompt(c->settings, &prompt, &n_prompt, err);
    if (status == STATUS_OK)
        status = load_all(&c->loaded, c->settings, err);
    if (status == STATUS_OK)
        status = start_engine(c, err);
    if (status == STATUS_OK)
        status = make_job(c, prompt, n_prompt, err);
    free(prompt);
    if (status != STATUS_OK)
        return status;
    bar_begin(&c->bar, "reading the prompt", "tokens");
    status = engine_submit(c->engine, c->job, &retry_ms, err);
    if (status != STATUS_OK)
        return status;
    set_running(c, true);
    status = stream(c, err);
    set_running(c, false);
    if (status == STATUS_OK && c->job->finish == FINISH_ERROR) {
        *err = c->job->error;
        status = err->status;
    }
    if (status == STATUS_OK)
        explain_nothing(c);
    return status;
}

int verb_generate(const struct settings *settings)
{
    struct completion c = {.settings = settings, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct interrupt *interrupt = NULL;
    struct error err = {0};
    const struct interrupt_calls calls = {
        .on_signal = on_signal,
        .on_tick = isatty(STDERR_FILENO) == 1 ? on_tick : NULL,
        .ctx = &c,
    };
    enum status status = interrupt_start(&interrupt, &calls, &err);
    if (status == STATUS_OK)
        status = run(&c, &err);
    int signal_number = interrupt_stop(interrupt);
    engine_destroy(c.engine);
    job_destroy(c.job);
    load_free(&c.loaded);
    if (signal_number != 0)
        return EXIT_INTERRUPTED;
    flags_blame(VERB_GENERATE, &err);
    return status == STATUS_OK || status == STATUS_CANCELLED ? EXIT_DONE : verb_fail(&err);
}
