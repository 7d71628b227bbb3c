/* serve.c - `serve`: hands the settings and a loader to the service. Main thread, which
 * becomes the loop thread. */
#include "cli/verbs.h"

#include "cli/fetch.h"
#include "cli/load.h"
#include "cli/locate.h"
#include "server/afford.h"
#include "server/log.h"
#include "server/server.h"

#include <stdio.h>
#include <string.h>

struct serving {
    const struct settings *settings;
    struct loaded loaded;
};

static enum status load_for_server(void *ctx, struct loaded_model *out, struct error *err)
{
    struct serving *serving = ctx;
    enum status status = load_all(&serving->loaded, serving->settings, err);
    if (status != STATUS_OK)
        return status;
    *out = (struct loaded_model){.model = serving->loaded.model,
                                 .tokenizer = serving->loaded.tokenizer,
                                 .kernels = serving->loaded.kernels,
                                 .cpu = &serving->loaded.cpu,
                                 .files = serving->loaded.files,
                                 .n_files = serving->loaded.n_files,
                                 .template = serving->loaded.template,
                                 .tool_template = serving->loaded.tool_template,
                                 .rank_template = serving->loaded.rank_template};
    return STATUS_OK;
}

/* The last line of the log; and a word on standard error where the log is elsewhere. */
static int fail(const struct settings *settings, const struct error *err)
{
    log_line(LOG_ERROR, "%s", err->text);
    log_close();
    if (settings->log_file != NULL)
        log_line(LOG_ERROR, "%s", err->text);
    return verb_code(err);
}

static void log_info(const char *sentence)
{
    log_line(LOG_INFO, "%s", sentence);
}

/* A model of a name that `pull` takes, and that is not there yet, is got first. */
static enum status get_model(struct settings *settings, struct error *err)
{
    struct store_result got;
    if (!reference_has_source(settings->model) || locate_model(settings, err) == STATUS_OK)
        return locate_model(settings, err);
    enum status status = fetch_model(&got, settings, settings->model, false, log_info, err);
    return status == STATUS_OK ? settings_use_file(settings, got.path, err) : status;
}

int verb_serve(struct settings *settings, const char *notes)
{
    struct serving serving = {.settings = settings};
    struct error err = {0};
    log_setup((enum log_format)settings->log_format, (enum log_level)settings->log_level);
    if (afford_check(&err) != STATUS_OK || log_open(settings->log_file, &err) != STATUS_OK) {
        log_line(LOG_ERROR, "%s", err.text);
        return verb_code(&err);
    }
    while (notes[0] != '\0') { /* one line each */
        size_t n = strcspn(notes, "\n");
        log_line(LOG_INFO, "%.*s", (int)n, notes);
        notes += n + (notes[n] == '\n' ? 1 : 0);
    }
    enum status status = get_model(settings, &err);
    if (status == STATUS_OK)
        status = load_check(settings, &err); /* before a port is taken for nothing */
    if (status == STATUS_OK)
        status = server_run(settings, load_for_server, &serving, &err);
    load_free(&serving.loaded);
    if (status != STATUS_OK)
        return fail(settings, &err);
    log_close();
    return EXIT_DONE;
}
