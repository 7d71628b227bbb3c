/* download.h - one file from a URL to its place: whole and right, or not at all.
 *
 * Bytes go into a hidden .part beside the place, which goes on after an interruption if the server
 * still has the same file (its SHA-256, else its ETag or date), is checked, synced and renamed. One
 * process at a time has the part's lock; others wait. One thread.
 */
#pragma once

#include "base/error.h"
#include "store/patience.h"
#include "store/sources.h"
#include "store/web.h"

#include <stdbool.h>
#include <stdint.h>

struct download {
    struct web *web;
    struct patience *patience;
    int folder;            /* open; borrowed */
    const char *file;      /* its name there */
    const char *shown;     /* the folder's path, for messages */
    const char *reference; /* for the label */
    const struct source *source;
    const char *first; /* of a split model the first file, which is removed before another one is
                          replaced: old and new parts are never read together; NULL: not split */
    /* Looks at the whole file, still under its hidden name; what is not STATUS_OK removes it. NULL:
     * not looked at. */
    enum status (*check)(void *ctx, const char *path, bool checked, struct error *err);
    /* done of total; start: what was there before this run. NULL: silent */
    void (*progress)(void *ctx, uint64_t done, uint64_t total, uint64_t start);
    void *ctx;
};

struct download_result {
    bool is_new;  /* false: the file was there already, the same */
    bool checked; /* its SHA-256 was named by the source */
    uint64_t n_bytes;
};

/* STATUS_IO, STATUS_FORMAT (what came is not what it should be, and was removed), STATUS_CANCELLED.
 * Where a part is kept, the sentence says so. */
enum status download_file(const struct download *download, struct download_result *result,
                          struct error *err);

/* Opens the part and takes its lock, waiting for another process that has it if wait, else
 * STATUS_FULL. */
enum status download_lock(int *fd, int folder, const char *file, const struct patience *patience,
                          bool wait, struct error *err);
/* Removes the part and its label; its lock must be held. */
void download_discard(int folder, const char *file);
