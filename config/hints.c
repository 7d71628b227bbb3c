/* hints.c - what an unknown name most likely meant: a slip of a known one, or what another program
 * calls it. Pure; main thread. */
#include "config/table.h"

#include "base/nearest.h"

#include <string.h>

/* Other programs' names for our settings. */
static const char *const other_names[][2] = {
    {"alias", "served-model-name"},
    {"alias", "served-model-name"},
    {"api-key", "api-key-file"},
    {"bind", "host"},
    {"cache-type-k", "kv-type"},
    {"cors-origin", "allow-origin"},
    {"ctx-size", "context"},
    {"kv-cache-dtype", "kv-type"},
    {"listen", "host"},
    {"max-input-length", "max-prompt-tokens"},
    {"max-model-len", "context"},
    {"max-new-tokens", "max-tokens"},
    {"max-num-seqs", "max-batch"},
    {"n-ctx", "context"},
    {"n-predict", "max-tokens"},
    {"n-threads", "threads"},
    {"num-ctx", "context"},
    {"num-predict", "max-tokens"},
    {"parallel", "max-batch"},
    {"repeat-last-n", "repetition-window"},
    {"repeat-penalty", "repetition-penalty"},
    {"temp", "temperature"},
    {"threads-batch", "threads"},
    {"typical", "typical-p"},
    {"verbose", "log-level"},
};

/* The known name that one that is not known most likely means, as in the table; NULL: none. */
static const char *meant_setting(const char *name, enum place_kind kind)
{
    const char *names[128];
    size_t n = 0;
    for (size_t i = 0; i < sizeof other_names / sizeof *other_names; i++)
        if (strcmp(name, other_names[i][0]) == 0 && settings_find(other_names[i][1]) != NULL)
            return other_names[i][1];
    for (size_t i = 0; i < settings_table_n && n < 127; i++)
        if (kind != PLACE_INI || settings_table[i].section != NULL)
            names[n++] = settings_table[i].name;
    if (kind == PLACE_FLAG)
        names[n++] = "version";
    return nearest_name(name, names, n);
}

/* "; nearest: --max-queue", the name spelt as its place spells it; "" where none is near. */
void hint_setting(const char *name, enum place_kind kind, char out[SETTING_NAME_MAX + 32])
{
    const char *meant = meant_setting(name, kind);
    char spelt[SETTING_NAME_MAX + 16];
    out[0] = '\0';
    if (meant == NULL)
        return;
    if (kind == PLACE_FLAG)
        snprintf(spelt, sizeof spelt, "--%s", meant);
    else if (kind == PLACE_ENV)
        settings_env_name(settings_find(meant), spelt);
    else
        settings_ini_name(settings_find(meant), spelt);
    snprintf(out, SETTING_NAME_MAX + 32, "; nearest: %s", spelt);
}
