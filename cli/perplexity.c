/* perplexity.c - `perplexity FILE`: how well the model predicts a text.
 *
 * The text's ids are cut into windows of the context's size, each read from an empty cache; the
 * second half of each window is scored: exp of the mean of -log p(id | the ids before it), and its
 * standard error by the delta method (the mean's, times the perplexity). Main thread, with the team
 * that it leads; no engine.
 */
#include "cli/verbs.h"

#include "base/clock.h"
#include "cli/bar.h"
#include "cli/load.h"
#include "cli/terminal.h"
#include "forward/forward.h"
#include "math/fmath.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK_ROWS = 64 }; /* most positions computed together: bounds the logits kept */

struct scorer {
    const struct forward *forward;
    size_t n_vocab;
    const int32_t *targets; /* [n] */
    size_t n;               /* rows with logits, in order */
    double nll[CHUNK_ROWS]; /* of each */
};

struct evaluation {
    struct loaded loaded;
    struct team *team;
    struct kv *kv;
    struct forward *forward;
    int32_t *ids; /* [n_ids] */
    size_t n_ids, n_window;
    size_t n_rows;           /* computed together: --step-tokens, at most CHUNK_ROWS */
    double sum, sum_squares; /* of the negative log-likelihoods so far */
    size_t n_scored;
    uint64_t begun_ns;
};

/* log(sum(exp(logits))) - logits[target], in double throughout and in ascending order. */
static double negative_log_likelihood(const float *logits, size_t n_vocab, int32_t target)
{
    float max = logits[0];
    for (size_t i = 1; i < n_vocab; i++)
        max = logits[i] > max ? logits[i] : max;
    double sum = 0;
    for (size_t i = 0; i < n_vocab; i++)
        sum += fmath_exp_d((double)logits[i] - (double)max);
    return fmath_log_d(sum) + (double)max - (double)logits[target];
}

/* Any thread scores any row; rows are added up in their order afterwards. */
static void score_row(void *arg, size_t phase, size_t i, unsigned rank)
{
    struct scorer *s = arg;
    (void)phase, (void)rank;
    s->nll[i] = negative_log_likelihood(forward_logits(s->forward, i), s->n_vocab, s->targets[i]);
}

/* Rows [first, end) of a window: computes them and scores those that predict its second half. */
static enum status run_chunk(struct evaluation *e, const int32_t *window, struct kv_seq *seq,
                             size_t first, size_t end, struct error *err)
{
    struct row rows[CHUNK_ROWS];
    int32_t targets[CHUNK_ROWS];
    struct scorer scorer = {
        .forward = e->forward, .n_vocab = e->loaded.model->shape.n_vocab, .targets = targets};
    kv_extend(e->kv, seq, end - first);
    for (size_t i = first; i < end; i++) {
        bool wanted = i >= e->n_window / 2 && i + 1 < e->n_window; /* it predicts position i + 1 */
        rows[i - first] = (struct row){
            .token = window[i], .position = (uint32_t)i, .seq = seq, .wants_logits = wanted};
        if (wanted)
            targets[scorer.n++] = window[i + 1];
    }
    forward_run(e->forward, rows, end - first);
    kv_commit(e->kv, seq, window, end);
    uint32_t n_scored = (uint32_t)scorer.n;
    team_run(e->team, &(struct team_work){score_row, &scorer, &n_scored, 1});
    for (size_t i = 0; i < scorer.n; i++) {
        if (!isfinite(scorer.nll[i]))
            return error_set(err, STATUS_INTERNAL,
                             "the model's logits are not finite: its weights are damaged");
        e->sum += scorer.nll[i];
        e->sum_squares += scorer.nll[i] * scorer.nll[i];
    }
    e->n_scored += scorer.n;
    return STATUS_OK;
}

static enum status run_window(struct evaluation *e, const int32_t *window, struct error *err)
{
    struct kv_seq seq = {0};
    size_t n_cached;
    if (!kv_begin(e->kv, &seq, 0, SIZE_MAX, window, e->n_window, e->n_window, &n_cached))
        return error_set(err, STATUS_INTERNAL, "the KV memory does not hold one window");
    enum status status = STATUS_OK;
    for (size_t first = 0, n; first < e->n_window && status == STATUS_OK; first += n) {
        n = e->n_window - first < e->n_rows ? e->n_window - first : e->n_rows;
        n = kv_room(e->kv, &seq, n);
        status = run_chunk(e, window, &seq, first, first + n, err);
    }
    kv_end(e->kv, &seq);
    return status;
}

static double perplexity(const struct evaluation *e)
{
    return fmath_exp_d(e->sum / (double)e->n_scored);
}

/* The mean's standard error, times the perplexity; NAN: one token has none. */
static double uncertainty(const struct evaluation *e)
{
    double n = (double)e->n_scored, mean = e->sum / n;
    double variance = e->sum_squares / n - mean * mean;
    return n < 2 ? NAN : variance > 0 ? sqrt(variance / (n - 1)) * perplexity(e) : 0;
}

/* The running value: a line that changes on a terminal, about ten lines otherwise. */
static void show(const struct evaluation *e, struct bar *bar, size_t done, size_t total)
{
    char note[64];
    snprintf(note, sizeof note, "perplexity so far %.4f", perplexity(e));
    if (bar->on_terminal)
        bar_show(bar, done, total, note);
    else if (done * 10 / total != (done - 1) * 10 / total || done == total)
        fprintf(stderr, "window %zu of %zu: %s\n", done, total, note);
}

static enum status run_windows(struct evaluation *e, struct error *err)
{
    const struct tokenizer *tokenizer = e->loaded.tokenizer;
    size_t n_windows = e->n_ids / e->n_window;
    struct bar bar;
    bar_begin(&bar, "reading the text", "windows");
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n_windows && status == STATUS_OK; i++) {
        int32_t *window = e->ids + i * e->n_window;
        if (tokenizer_adds_bos(tokenizer))
            window[0] = tokenizer_bos(tokenizer);
        status = run_window(e, window, err);
        if (status == STATUS_OK)
            show(e, &bar, i + 1, n_windows);
    }
    bar_end(&bar);
    return status;
}

/* --- preparing --- */

static enum status read_ids(struct evaluation *e, const char *path, struct error *err)
{
    const struct tokenizer *tokenizer = e->loaded.tokenizer;
    char *text;
    size_t n_text = 0;
    enum status status = terminal_read(path, &text, &n_text, err);
    if (status != STATUS_OK)
        return status;
    size_t room = tokenizer_max_ids(tokenizer, n_text);
    e->ids = calloc(room > 0 ? room : 1, sizeof *e->ids);
    if (e->ids == NULL)
        status = error_no_memory(err, room * sizeof *e->ids, "the text's ids");
    else
        status = tokenizer_encode(tokenizer, text, n_text, TOKENIZER_ADD_SPECIAL, e->ids, &e->n_ids,
                                  err);
    free(text);
    if (status != STATUS_OK && err->status == STATUS_INVALID) {
        struct error cause = *err;
        error_set(err, STATUS_INVALID, "%s: %s", path, cause.text);
    }
    if (status == STATUS_OK && e->n_ids < e->n_window)
        return error_set(
            err, STATUS_INVALID,
            "%s: its %zu tokens do not fill one window of %zu; give a longer text or a "
            "smaller --context",
            path, e->n_ids, e->n_window);
    return status;
}

static enum status prepare(struct evaluation *e, const struct settings *s, struct error *err)
{
    enum status status = load_all(&e->loaded, s, err);
    if (status != STATUS_OK)
        return status;
    const struct model *model = e->loaded.model;
    e->n_window = model->n_context;
    e->n_rows = s->step_tokens < CHUNK_ROWS ? s->step_tokens : CHUNK_ROWS;
    if (e->n_window < 4)
        return error_set_param(err, STATUS_INVALID, "--context",
                               "--context: a window has at least 4 ids");
    status = read_ids(e, s->argument, err);
    if (status != STATUS_OK)
        return status;
    enum kv_type type = (enum kv_type)s->kv_type;
    size_t kv_bytes = kv_bytes_for(&model->shape, type, e->n_window, 1);
    if (s->kv_memory != 0 && s->kv_memory < kv_bytes)
        return error_set_param(err, STATUS_INVALID, "--kv-memory",
                               "--kv-memory: one window of %zu positions needs %zu bytes",
                               e->n_window, kv_bytes);
    unsigned n_threads = s->threads != 0 ? s->threads : e->loaded.cpu.n_usable;
    cpu_set_float_mode();
    status = team_create(&e->team, n_threads, forward_max_phases(e->loaded.model),
                         cpu_set_float_mode, err);
    if (status == STATUS_OK)
        status = kv_create(&e->kv, model, type, kv_bytes, 1, false, err);
    if (status == STATUS_OK)
        status = forward_create(&e->forward, model, e->loaded.kernels, e->kv, e->team, CHUNK_ROWS,
                                CHUNK_ROWS, err);
    return status;
}

/* The run, before the work: the facts without which a figure is worth nothing. */
static void print_plan(const struct evaluation *e, const struct settings *s)
{
    static const char *const types[KV_TYPES] = {"F32", "F16", "Q8"};
    const struct model *model = e->loaded.model;
    size_t n_windows = e->n_ids / e->n_window, n_left = e->n_ids % e->n_window;
    fprintf(stderr,
            "%s, %s, keys and values in %s; %zu tokens: %zu %s of %zu, the second half of each is "
            "scored",
            model->name, model->weights, types[s->kv_type], e->n_ids, n_windows,
            n_windows == 1 ? "window" : "windows", e->n_window);
    if (n_left > 0)
        fprintf(stderr, "; the last %zu %s left out", n_left,
                n_left == 1 ? "token is" : "tokens are");
    fputc('\n', stderr);
}

/* The last line of standard output is the result: scripts read it. */
static enum status print_result(const struct evaluation *e, struct error *err)
{
    char line[96];
    double margin = uncertainty(e);
    int n = isnan(margin)
                ? snprintf(line, sizeof line, "perplexity: %.4f +- n/a\n", perplexity(e))
                : snprintf(line, sizeof line, "perplexity: %.4f +- %.4f\n", perplexity(e), margin);
    const double seconds = (double)(clock_now_ns() - e->begun_ns) * 1e-9;
    const size_t n_read = e->n_ids - e->n_ids % e->n_window;
    fprintf(stderr, "%zu token%s scored, %zu read in %.1f s: %.0f tokens/s\n", e->n_scored,
            e->n_scored == 1 ? "" : "s", n_read, seconds, (double)n_read / seconds);
    return terminal_write(line, (size_t)n, err);
}

int verb_perplexity(const struct settings *settings)
{
    struct evaluation e = {0};
    struct error err = {0};
    enum status status = prepare(&e, settings, &err);
    if (status == STATUS_OK) {
        print_plan(&e, settings);
        e.begun_ns = clock_now_ns();
        status = run_windows(&e, &err);
    }
    if (status == STATUS_OK)
        status = print_result(&e, &err);
    int code = status == STATUS_OK || status == STATUS_CANCELLED ? EXIT_DONE : verb_fail(&err);
    forward_destroy(e.forward);
    kv_destroy(e.kv);
    team_destroy(e.team);
    free(e.ids);
    load_free(&e.loaded);
    return code;
}
