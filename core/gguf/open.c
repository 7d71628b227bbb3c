/* open.c - opens a model: one file, or all of a split one (NAME-00001-of-0000N.gguf, as gguf-split
 * writes them) as if they were one.
 *
 * Keys are the first file's. The others say which part of how many they are, and bring tensors. A
 * file that is missing, that belongs to another model or that comes twice is an error which names
 * it. Any thread; holds no state.
 */
#include "gguf/gguf.h"

#include "gguf/internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct split {
    uint64_t n_parts, part, n_tensors; /* n_tensors 0: not said */
};

static enum status read_split(struct split *out, const struct gguf *g, struct error *err)
{
    enum status status;
    bool found;
    *out = (struct split){.n_parts = 1};
    if ((status = gguf_get_u64(g, "split.count", &out->n_parts, &found, err)) != STATUS_OK ||
        (status = gguf_get_u64(g, "split.no", &out->part, &found, err)) != STATUS_OK ||
        (status = gguf_get_u64(g, "split.tensors.count", &out->n_tensors, &found, err)) !=
            STATUS_OK)
        return status;
    if (out->n_parts > GGUF_MAX_PARTS)
        return error_set_param(err, STATUS_FORMAT, "split.count",
                               "key 'split.count' is %llu; a model has at most %d files",
                               (unsigned long long)out->n_parts, GGUF_MAX_PARTS);
    if (out->n_parts > 1 && out->part >= out->n_parts)
        return error_set_param(err, STATUS_FORMAT, "split.no",
                               "key 'split.no' is %llu; with %llu files it counts from 0 to %llu",
                               (unsigned long long)out->part, (unsigned long long)out->n_parts,
                               (unsigned long long)out->n_parts - 1);
    return STATUS_OK;
}

/* How a part's name ends; part counts from 0. */
static void end_of_part(char out[32], uint64_t part, uint64_t n_parts)
{
    snprintf(out, 32, "-%05u-of-%05u.gguf", (unsigned)part + 1, (unsigned)n_parts);
}

/* The length of path without this part's ending; 0: it ends otherwise. */
static size_t stem_length(const char *path, uint64_t part, uint64_t n_parts)
{
    char end[32];
    end_of_part(end, part, n_parts);
    size_t n = strlen(path), n_end = strlen(end);
    return n > n_end && strcmp(path + n - n_end, end) == 0 ? n - n_end : 0;
}

static enum status open_part(struct gguf **out, const char *path, const struct split *first,
                             uint64_t part, struct error *err)
{
    struct gguf *g = NULL;
    struct split split;
    struct error cause = {0};
    enum status status = gguf_map_alone(&g, path, &cause);
    if (status == STATUS_OK && (status = read_split(&split, g, &cause)) == STATUS_OK &&
        (split.n_parts != first->n_parts || split.part != part))
        status = error_set(&cause, STATUS_FORMAT,
                           "it says that it is file %llu of %llu; by its name it is %llu of %llu",
                           (unsigned long long)split.part + 1, (unsigned long long)split.n_parts,
                           (unsigned long long)part + 1, (unsigned long long)first->n_parts);
    if (status == STATUS_OK) {
        *out = g;
        return status;
    }
    gguf_close(g);
    if (strstr(cause.text, path) != NULL)
        return error_set_param(err, status, cause.param, "part %llu of %llu: %s",
                               (unsigned long long)part + 1, (unsigned long long)first->n_parts,
                               cause.text);
    return error_set_param(err, status, cause.param, "%s: %s", path, cause.text);
}

/* Moves a part's tensors into the first file's list. */
static enum status take_tensors(struct gguf *first, struct gguf *part, size_t index,
                                struct error *err)
{
    size_t n = first->n_tensors + part->n_tensors;
    if (n > GGUF_MAX_RECORDS)
        return error_set(err, STATUS_FORMAT,
                         "the files together have more than %d tensors, which is the most",
                         GGUF_MAX_RECORDS);
    struct gguf_tensor *tensors = realloc(first->tensors, (n + 1) * sizeof *tensors);
    if (tensors == NULL)
        return error_no_memory(err, n * sizeof *tensors, "the file's tables");
    for (size_t i = 0; i < part->n_tensors; i++) {
        tensors[first->n_tensors + i] = part->tensors[i];
        tensors[first->n_tensors + i].part = index;
    }
    first->tensors = tensors;
    first->n_tensors = n;
    free(part->tensors);
    free(part->tensors_by_name);
    part->tensors = NULL;
    part->tensors_by_name = NULL;
    part->n_tensors = 0;
    return STATUS_OK;
}

static enum status open_others(struct gguf *first, const char *path, size_t n_stem,
                               const struct split *split, struct error *err)
{
    enum status status = STATUS_OK;
    char name[PATH_MAX], end[32];
    first->others = calloc(split->n_parts, sizeof *first->others);
    if (first->others == NULL)
        return error_no_memory(err, split->n_parts * sizeof *first->others, "a model's files");
    for (uint64_t part = 1; part < split->n_parts && status == STATUS_OK; part++) {
        end_of_part(end, part, split->n_parts);
        if ((size_t)snprintf(name, sizeof name, "%.*s%s", (int)n_stem, path, end) >= sizeof name)
            return error_set(err, STATUS_INVALID, "%s: the path is too long", path);
        struct gguf *g;
        if ((status = open_part(&g, name, split, part, err)) != STATUS_OK)
            return status;
        first->others[first->n_others++] = g;
        status = take_tensors(first, g, first->n_others, err);
    }
    return status;
}

/* Takes the tensors of a split model's other files over into its first one, which was opened from
 * path (NULL: from memory, where other files cannot be found). */
static enum status join(struct gguf *first, const char *path, struct error *err)
{
    struct split split;
    char end[32];
    enum status status = read_split(&split, first, err);
    if (status != STATUS_OK || split.n_parts <= 1)
        return status;
    size_t n_stem = path != NULL ? stem_length(path, split.part, split.n_parts) : 0;
    end_of_part(end, 0, split.n_parts);
    if (split.part != 0 && n_stem != 0)
        return error_set_param(err, STATUS_FORMAT, "split.no",
                               "it is file %llu of a model in %llu files; name the first one: "
                               "%.*s%s",
                               (unsigned long long)split.part + 1,
                               (unsigned long long)split.n_parts, (int)n_stem, path, end);
    if (n_stem == 0)
        return error_set_param(err, STATUS_FORMAT, "split.count",
                               "it is file %llu of a model in %llu files, which are found by their "
                               "names: the first must end with %s",
                               (unsigned long long)split.part + 1,
                               (unsigned long long)split.n_parts, end);
    if ((status = open_others(first, path, n_stem, &split, err)) != STATUS_OK)
        return status;
    if (split.n_tensors != 0 && split.n_tensors != first->n_tensors)
        return error_set_param(err, STATUS_FORMAT, "split.tensors.count",
                               "key 'split.tensors.count' is %llu; the %llu files have %zu tensors",
                               (unsigned long long)split.n_tensors,
                               (unsigned long long)split.n_parts, first->n_tensors);
    return gguf_index_tensors(first, err);
}

static enum status finish(struct gguf **out, struct gguf *g, const char *path, struct error *err)
{
    enum status status = join(g, path, err);
    if (status == STATUS_OK)
        *out = g;
    else
        gguf_close(g);
    return status;
}

enum status gguf_open(struct gguf **out, const uint8_t *bytes, size_t size, struct error *err)
{
    struct gguf *g;
    enum status status = gguf_open_alone(&g, bytes, size, err);
    return status == STATUS_OK ? finish(out, g, NULL, err) : status;
}

enum status gguf_map(struct gguf **out, const char *path, struct error *err)
{
    struct gguf *g;
    enum status status = gguf_map_alone(&g, path, err);
    return status == STATUS_OK ? finish(out, g, path, err) : status;
}
