/* serve.c - `serve`: hands the settings and a loader to the service. Main thread, which
 * becomes the loop thread. */
#include "cli/verbs.h"

#include "cli/load.h"
#include "server/log.h"
#include "server/server.h"

#include <stdio.h>
#include <string.h>

struct service {
    const struct settings *settings;
    struct loaded loaded;
};

static enum status load_for_server(void *ctx, struct loaded_model *out, struct error *err)
{
    struct service *service = ctx;
    enum status status = load_all(&service->loaded, service->settings, err);
    if (status != STATUS_OK)
        return status;
    *out = (struct loaded_model){.model = service->loaded.model,
                                 .tokenizer = service->loaded.tokenizer,
                                 .kernels = service->loaded.kernels,
                                 .cpu = &service->loaded.cpu};
    return STATUS_OK;
}

int verb_serve(const struct settings *settings, const char *notes)
{
    log_setup((enum log_format)settings->log_format, (enum log_level)settings->log_level);
    while (notes[0] != '\0') { /* one line each */
        size_t n = strcspn(notes, "\n");
        log_line(LOG_INFO, "%.*s", (int)n, notes);
        notes += n + (notes[n] == '\n' ? 1 : 0);
    }
    struct service service = {.settings = settings};
    struct error err = {0};
    enum status status = server_run(settings, load_for_server, &service, &err);
    load_free(&service.loaded);
    return status == STATUS_OK ? EXIT_DONE : verb_fail(&err);
}
