/* names.c - splits the setting, or takes the file's name apart. */
#include "server/names.h"

#include <stdio.h>
#include <string.h>

static const char option[] = "--served-model-name";

/* "-00001-of-00003": the mark of one part of a split file; its length, or 0. */
static size_t part_mark(const char *name, size_t n)
{
    static const char form[] = "-00000-of-00000";
    size_t n_form = sizeof form - 1;
    if (n <= n_form)
        return 0;
    const char *mark = name + n - n_form;
    for (size_t i = 0; i < n_form; i++) {
        bool fits = form[i] == '0' ? mark[i] >= '0' && mark[i] <= '9' : mark[i] == form[i];
        if (!fits)
            return 0;
    }
    return n_form;
}

/* The name of a path's file without its ending: its length, from *name on. */
static size_t stem(const char *path, const char **name)
{
    static const char ending[] = ".gguf";
    const char *slash = strrchr(path, '/');
    *name = slash != NULL ? slash + 1 : path;
    size_t n = strlen(*name), n_ending = sizeof ending - 1;
    if (n > n_ending && strcmp(*name + n - n_ending, ending) == 0)
        n -= n_ending;
    return n - part_mark(*name, n);
}

static enum status add(struct names *names, size_t *at, const char *name, size_t n,
                       struct error *err)
{
    if (n == 0)
        return error_set_param(err, STATUS_INVALID, option, "%s: a name must not be empty", option);
    if (names->n == NAMES_MAX || *at + n + 1 > sizeof names->text)
        return error_set_param(err, STATUS_INVALID, option,
                               "%s: at most %d names, of %d bytes together", option, NAMES_MAX,
                               NAMES_BYTES_MAX - NAMES_MAX);
    memcpy(names->text + *at, name, n);
    names->text[*at + n] = '\0';
    names->list[names->n++] = names->text + *at;
    *at += n + 1;
    return STATUS_OK;
}

enum status names_init(struct names *names, const char *given, const char *path,
                       const char *builtin, struct error *err)
{
    size_t at = 0;
    enum status status = STATUS_OK;
    names->n = 0;
    if (given == NULL) {
        const char *name = builtin;
        size_t n = strcmp(path, "builtin") == 0 ? strlen(builtin) : stem(path, &name);
        return add(names, &at, name, n, err);
    }
    for (const char *name = given; status == STATUS_OK; name++) {
        size_t n = strcspn(name, ",");
        status = add(names, &at, name, n, err);
        name += n;
        if (*name == '\0')
            break;
    }
    return status;
}

/* Its length without ":latest", which some clients put after every name that has no tag. */
static size_t untagged(const char *name)
{
    static const char tag[] = ":latest";
    size_t n = strlen(name), n_tag = sizeof tag - 1;
    return n > n_tag && strcmp(name + n - n_tag, tag) == 0 ? n - n_tag : n;
}

bool names_has(const struct names *names, const char *name)
{
    size_t n = untagged(name);
    for (size_t i = 0; i < names->n; i++)
        if (untagged(names->list[i]) == n && memcmp(names->list[i], name, n) == 0)
            return true;
    return false;
}

bool names_refuse(const struct names *names, bool strict, const char *asked, struct error *err)
{
    if (!strict || asked[0] == '\0' || names_has(names, asked))
        return false;
    error_set_param(err, STATUS_INVALID, "model", "the model '%s' is not served here; '%s' is",
                    asked, names->list[0]);
    return true;
}
