/* store.h - models by name: got from a hub, a registry or a URL into one folder, listed, found and
 * removed.
 *
 * The folder is the only state, and safe for several processes at once. Network calls run on the
 * caller's thread, which no request must wait for. Knows no settings, no terminal and no service.
 */
#pragma once

#include "base/error.h"
#include "store/reference.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct store_progress {
    const char *file;                  /* its name */
    unsigned number, n_files;          /* it is the 2nd of 5 */
    uint64_t n_done, n_total, n_start; /* bytes; there before this run */
};

struct store_events { /* any may be NULL */
    void (*progress)(void *ctx, const struct store_progress *progress);
    void (*say)(void *ctx,
                const char *sentence); /* waiting, trying again, a doubt about the file */
    void *ctx;
};

struct store_options {
    const char *folder;        /* of the models (store_folder) */
    unsigned stall_seconds;    /* with hardly a byte, until a connection is given up */
    unsigned tries;            /* in a row without progress */
    const atomic_bool *cancel; /* NULL: never */
    struct store_events events;
};

struct store_result {
    char path[PATH_MAX]; /* of the model's first file */
    char name[REFERENCE_PATH_MAX];
    uint64_t n_bytes;
    bool is_new;  /* false: all of it was there */
    bool checked; /* its SHA-256 was named by the source, and agrees */
};

/* The models' folder: the setting, else below XDG_CACHE_HOME or HOME. */
enum status store_folder(char out[PATH_MAX], const char *setting, struct error *err);

/* Gets what the reference names. STATUS_INVALID (the reference, an environment variable),
 * STATUS_IO, STATUS_FORMAT, STATUS_CANCELLED. */
enum status store_pull(struct store_result *out, const char *reference,
                       const struct store_options *options, struct error *err);

struct stored_model {
    char reference[REFERENCE_MAX]; /* "": not known */
    char name[REFERENCE_PATH_MAX];
    char folder[REFERENCE_MAX];    /* below the models' */
    char file[REFERENCE_PATH_MAX]; /* the first */
    char sha256[65];               /* "": not known, or several files */
    unsigned n_files, n_whole;     /* of the model; of those that are whole */
    uint64_t n_bytes;              /* there */
    time_t when;                   /* the last file came */
};

/* Every model in the folder, by name; unfinished ones too. malloc'ed. No folder: none. */
enum status store_list(struct stored_model **out, size_t *n, const char *folder, struct error *err);
/* The one whole model of that name or reference: its first file's path. STATUS_INVALID: the name is
 * none, or means several. STATUS_IO: there is none. */
enum status store_find(char path[PATH_MAX], const char *folder, const char *name,
                       struct error *err);
/* Removes a model, unfinished ones too. STATUS_FULL: it is being got right now. */
enum status store_remove(struct stored_model *removed, const char *folder, const char *name,
                         struct error *err);
