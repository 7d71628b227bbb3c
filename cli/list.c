/* list.c - `list`: the models that `pull` has got, as a table or as JSON. Main thread; of each the
 * header is read. */
#include "api/json/json.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "gguf/gguf.h"
#include "math/quant.h"
#include "model/weights.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct list_row { /* of one model */
    const struct stored_model *model;
    char path[PATH_MAX];
    char type[16]; /* "Q4_K"; "": not whole, or not understood */
    char when[32]; /* ISO 8601, UTC */
};

static void look(struct list_row *out, const struct stored_model *m, const char *folder)
{
    struct gguf *gguf = NULL;
    struct tm tm;
    *out = (struct list_row){.model = m};
    if (snprintf(out->path, sizeof out->path, "%s/%s/%s", folder, m->folder, m->file) >= PATH_MAX)
        out->path[0] = '\0';
    if (m->n_whole == m->n_files && gguf_map(&gguf, out->path, NULL) == STATUS_OK) {
        size_t type = weights_main_type(gguf);
        if (type < WEIGHT_TYPES)
            snprintf(out->type, sizeof out->type, "%s", weight_infos[type].name);
    }
    gguf_close(gguf);
    strftime(out->when, sizeof out->when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&m->when, &tm));
}

static void size_text(char out[24], uint64_t bytes)
{
    double mib = (double)bytes / 1048576;
    snprintf(out, 24, mib < 1024 ? "%.1f MiB" : "%.2f GiB", mib < 1024 ? mib : mib / 1024);
}

static void print_row(const struct list_row *row, int n_name)
{
    char size[24];
    const struct stored_model *m = row->model;
    size_text(size, m->n_bytes);
    printf("%-*s  %10s  %-10s  %.10s  %s\n", n_name, m->name, size,
           m->n_whole < m->n_files ? "unfinished"
           : row->type[0] != '\0'  ? row->type
                                   : "unknown",
           row->when, m->reference);
}

static void print_table(const struct stored_model *models, size_t n, const char *folder)
{
    int n_name = (int)sizeof "NAME" - 1;
    for (size_t i = 0; i < n; i++)
        if ((int)strlen(models[i].name) > n_name)
            n_name = (int)strlen(models[i].name);
    if (n == 0) {
        fprintf(stderr, "There are none in %s; `smallmind pull REF` gets one.\n", folder);
        return;
    }
    printf("%-*s  %10s  %-10s  %-10s  %s\n", n_name, "NAME", "SIZE", "TYPE", "SINCE", "REFERENCE");
    for (size_t i = 0; i < n; i++) {
        struct list_row row;
        look(&row, &models[i], folder);
        print_row(&row, n_name);
    }
}

static void put_model(struct json_writer *w, const struct list_row *row)
{
    const struct stored_model *m = row->model;
    json_name_text(w, "{", "name", m->name);
    json_name_text(w, ",", "reference", m->reference);
    json_name_text(w, ",", "path", row->path);
    json_name_uint(w, ",", "bytes", m->n_bytes);
    json_name_text(w, ",", "type", row->type);
    json_name_uint(w, ",", "files", m->n_files);
    json_name_bool(w, ",", "whole", m->n_whole == m->n_files);
    json_name_text(w, ",", "sha256", m->sha256);
    json_name_text(w, ",", "modified", row->when);
    json_raw(w, "}");
}

static enum status print_json(const struct stored_model *models, size_t n, const char *folder,
                              struct error *err)
{
    size_t each = json_string_bound(sizeof *models + PATH_MAX) + 1024;
    size_t room = (n + 1) * each;
    struct json_writer w = {.out = malloc(room), .room = room};
    if (w.out == NULL)
        return error_no_memory(err, room, "the list");
    json_name_text(&w, "{", "folder", folder);
    json_name(&w, ",", "models");
    json_raw(&w, "[");
    for (size_t i = 0; i < n; i++) {
        struct list_row row;
        look(&row, &models[i], folder);
        json_raw(&w, i > 0 ? "," : "");
        put_model(&w, &row);
    }
    json_raw(&w, "]}\n");
    enum status status = terminal_write(w.out, w.n, err);
    free(w.out);
    return status == STATUS_CANCELLED ? STATUS_OK : status;
}

int verb_list(const struct settings *settings)
{
    char folder[PATH_MAX];
    struct stored_model *models = NULL;
    size_t n = 0;
    struct error err = {0};
    enum status status = store_folder(folder, settings->models_dir, &err);
    if (status == STATUS_OK)
        status = store_list(&models, &n, folder, &err);
    if (status == STATUS_OK && settings->json)
        status = print_json(models, n, folder, &err);
    else if (status == STATUS_OK)
        print_table(models, n, folder);
    free(models);
    return status == STATUS_OK ? EXIT_DONE : verb_fail(&err);
}
