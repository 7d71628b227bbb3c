/* locate.c - from a model's name to its file. Holds no state. */
#include "cli/locate.h"

#include "store/store.h"

#include <string.h>
#include <unistd.h>

static enum status find(char path[PATH_MAX], const struct settings *settings, const char *name,
                        struct error *err)
{
    char folder[PATH_MAX];
    enum status status = store_folder(folder, settings->models_dir, err);
    return status == STATUS_OK ? store_find(path, folder, name, err) : status;
}

enum status locate_model(struct settings *settings, struct error *err)
{
    const char *name = settings->verb == VERB_INSPECT                 ? settings->argument
                       : settings_has_option(settings->verb, "model") ? settings->model
                                                                      : NULL;
    char path[PATH_MAX];
    struct error cause = {0};
    if (name == NULL || strcmp(name, "builtin") == 0)
        return STATUS_OK;
    bool has_source = reference_has_source(name);
    if (!has_source && (strchr(name, '/') != NULL || access(name, F_OK) == 0))
        return STATUS_OK; /* a file's path */
    enum status status = find(path, settings, name, &cause);
    if (status == STATUS_OK)
        return settings_use_file(settings, path, err);
    /* A plain name may be a file's that is not there: what opens files says so. */
    if (!has_source && (status == STATUS_IO || cause.param[0] != '\0') && strchr(name, '.') != NULL)
        return STATUS_OK;
    return error_set_param(err, status, cause.param, "%s", cause.text);
}
