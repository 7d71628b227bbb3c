/* greeting.c - what a person who starts the service wants to read first. No state. */
#include "server/greeting.h"

#include "base/append.h"
#include "server/log.h"

#include <stdio.h>
#include <string.h>

/* An address that means every address of the machine is not one to connect to. */
static const char *local_url(const char *url, char out[320])
{
    static const char *const any[][2] = {{"http://0.0.0.0:", "http://127.0.0.1:"},
                                         {"http://[::]:", "http://[::1]:"}};
    for (size_t i = 0; i < sizeof any / sizeof *any; i++) {
        size_t n = strlen(any[i][0]);
        if (strncmp(url, any[i][0], n) == 0) {
            snprintf(out, 320, "%s%s", any[i][1], url + n);
            return out;
        }
    }
    return url;
}

void greeting_command(const struct greeting *g, char out[GREETING_COMMAND_MAX])
{
    char url[320], socket[320] = "";
    const char *base = local_url(g->url, url);
    if (g->unix_path != NULL) {
        snprintf(socket, sizeof socket, "--unix-socket '%s' ", g->unix_path);
        base = "http://localhost";
    }
    snprintf(
        out, GREETING_COMMAND_MAX,
        "curl -N %s%s-H 'Accept: text/plain' -d '{\"prompt\":\"Once upon a time\"}' %s/generate",
        socket, g->needs_key ? "-H 'Authorization: Bearer KEY' " : "", base);
}

/* Ends that no key of the file names: a reader who misses a text's rest finds the reason. */
static void log_ends(const struct tokenizer *t)
{
    char list[512] = "";
    const int32_t *ids;
    size_t n = tokenizer_ends(t, &ids), n_list = 0;
    for (size_t i = 0; i < n; i++) {
        struct gguf_string entry = tokenizer_entry(t, ids[i]);
        if (tokenizer_is_end_by_text(t, ids[i]))
            append_text(list, sizeof list, &n_list, "%s%d %.*s", n_list > 0 ? ", " : "",
                        (int)ids[i], (int)entry.n, entry.bytes);
    }
    if (n_list > 0)
        log_line(LOG_INFO, "tokens that end a text by their own text, which no key names: %s",
                 list);
}

void greeting_log(const struct greeting *g)
{
    char command[GREETING_COMMAND_MAX];
    greeting_command(g, command);
    log_line(LOG_INFO, "model: %s, %s, %.4g M parameters in %s, context %zu", g->model->name,
             g->model->shape.arch, (double)g->model->n_params * 1e-6, g->model->weights,
             g->model->n_context);
    log_ends(g->tokenizer);
    char machine[CPU_TEXT_MAX];
    cpu_describe(g->cpu, machine);
    log_line(LOG_INFO, "this process may use %s", machine);
    log_line(LOG_INFO, "%s; kernels: %s", g->plan->threads_why, g->kernels);
    log_line(LOG_INFO, "%s; %s", g->plan->kv_why, g->plan->batch_why);
    log_line(LOG_INFO, "ready after %.2f s; try: %s", g->seconds, command);
}
