/* fetch.c - the face of a download in the terminal and in the log. State: struct view, one call's.
 */
#include "cli/fetch.h"

#include "base/append.h"
#include "base/clock.h"
#include "cli/bar.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const uint64_t line_gap_ns = 10000000000;

struct view {
    void (*line)(const char *sentence);
    bool with_bar;
    struct bar bar;
    char what[32];
    unsigned number;   /* of the file that the bar is for; 0: none */
    uint64_t last_ns;  /* of the last line */
    uint64_t begin_ns; /* of this file */
    atomic_bool cancelled;
};

static void begin_file(struct view *v, const struct store_progress *p)
{
    char sentence[REFERENCE_PATH_MAX + 96];
    v->number = p->number;
    v->begin_ns = v->last_ns = clock_now_ns();
    if (p->n_files > 1)
        snprintf(v->what, sizeof v->what, "pulling %u of %u", p->number, p->n_files);
    else
        snprintf(v->what, sizeof v->what, "pulling");
    if (v->with_bar) {
        bar_end(&v->bar);
        bar_begin(&v->bar, v->what, "MiB");
        v->bar.base = (size_t)(p->n_start >> 20);
        return;
    }
    size_t n = 0;
    append_text(sentence, sizeof sentence, &n, "%s %s: %.1f MiB", v->what, p->file,
                (double)p->n_total / 1048576);
    if (p->n_start > 0)
        append_text(sentence, sizeof sentence, &n, ", of which %.1f MiB are there",
                    (double)p->n_start / 1048576);
    v->line(sentence);
}

static void say_progress(struct view *v, const struct store_progress *p)
{
    char sentence[REFERENCE_PATH_MAX + 128];
    uint64_t now = clock_now_ns();
    if (now - v->last_ns < line_gap_ns)
        return;
    v->last_ns = now;
    double seconds = (double)(now - v->begin_ns) * 1e-9;
    double rate = (double)(p->n_done - p->n_start) / seconds;
    snprintf(sentence, sizeof sentence, "%s %s: %.1f %%, %.2f MiB/s, %.0f s left", v->what, p->file,
             100.0 * (double)p->n_done / (double)p->n_total, rate / 1048576,
             rate > 0 ? (double)(p->n_total - p->n_done) / rate : 0);
    v->line(sentence);
}

static void on_progress(void *ctx, const struct store_progress *p)
{
    struct view *v = ctx;
    if (v->number != p->number)
        begin_file(v, p);
    if (v->with_bar)
        bar_show(&v->bar, (size_t)(p->n_done >> 20), (size_t)(p->n_total >> 20), p->file);
    else
        say_progress(v, p);
}

static void on_say(void *ctx, const char *sentence)
{
    struct view *v = ctx;
    if (v->with_bar)
        bar_end(&v->bar);
    v->line(sentence);
}

static bool on_signal(void *ctx)
{
    struct view *v = ctx;
    atomic_store(&v->cancelled, true);
    return true;
}

enum status fetch_model(struct store_result *out, const struct settings *settings,
                        const char *reference, bool with_bar, void (*line)(const char *sentence),
                        struct error *err)
{
    struct view view = {.line = line, .with_bar = with_bar && terminal_escapes(STDERR_FILENO)};
    const struct interrupt_calls calls = {.on_signal = on_signal, .ctx = &view};
    struct interrupt *interrupt;
    char folder[PATH_MAX];
    sigset_t before;
    enum status status = store_folder(folder, settings->models_dir, err);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    if (status != STATUS_OK || (status = interrupt_start(&interrupt, &calls, err)) != STATUS_OK)
        return status;
    const struct store_options options = {.folder = folder,
                                          .stall_seconds = settings->pull_stall_seconds,
                                          .tries = settings->pull_tries,
                                          .cancel = &view.cancelled,
                                          .events = {on_progress, on_say, &view}};
    status = store_pull(out, reference, &options, err);
    if (view.with_bar)
        bar_end(&view.bar);
    if (interrupt_stop(interrupt) != 0 && status == STATUS_OK)
        status = error_set(err, STATUS_CANCELLED, "stopped");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status;
}
