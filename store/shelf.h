/* shelf.h - where models lie on the disk, and what is known of each file beside it.
 *
 *   ROOT/hf/OWNER/REPO[@REVISION]/[FOLDER/]FILE.gguf
 *   ROOT/ollama/NAMESPACE/NAME/NAME-TAG.gguf
 *   ROOT/https/HOST/HASH-OF-THE-URL/FILE.gguf      (http/ for this machine's)
 *     .FILE.gguf.json        what it is: reference, SHA-256, ETag, size
 *     .FILE.gguf.part        a download under way, or one that goes on next time
 *     .FILE.gguf.part.json   of what
 *
 * ROOT may be a link; below it none is followed. Any thread; the files are the only state. Knows no
 * network.
 */
#pragma once

#include "base/error.h"
#include "store/reference.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The folder of all models: the setting, or XDG_CACHE_HOME's or HOME's. STATUS_INVALID: none is
 * set. */
enum status shelf_root(char out[PATH_MAX], const char *setting, struct error *err);

struct shelf_place {
    char folder[REFERENCE_MAX]; /* below the root */
    char file[REFERENCE_PATH_MAX];
};
/* Where a reference's file lies; path: of a file in a hub's repository. */
enum status shelf_place_of(struct shelf_place *out, const struct reference *reference,
                           const char *path, struct error *err);
/* The reference of a file that lies there; "": only its label can say. */
void shelf_reference_of(char out[REFERENCE_MAX], const struct shelf_place *place);
/* Its name in `list`. */
void shelf_name_of(char out[REFERENCE_PATH_MAX], const struct shelf_place *place);

/* Opens a place's folder, made where it is missing if create; STATUS_IO. */
enum status shelf_open(int *fd, const char *root, const char *folder, bool create,
                       struct error *err);
/* Removes the folder and those above it, below the root, as far as they are empty. */
void shelf_prune(const char *root, const char *folder);

/* ".FILE.gguf" and an ending */
void shelf_hidden(char out[NAME_MAX + 1], const char *file, const char *ending);
#define SHELF_PART       ".part"
#define SHELF_LABEL      ".json"
#define SHELF_PART_LABEL ".part.json"

struct shelf_label {
    char reference[REFERENCE_MAX], sha256[65], etag[256], last_modified[64];
    uint64_t n_bytes; /* 0: not known */
};
/* False: there is none, or it cannot be read: *out is empty. */
bool shelf_read_label(int folder, const char *file, const char *ending, struct shelf_label *out);
enum status shelf_write_label(int folder, const char *file, const char *ending,
                              const struct shelf_label *label, struct error *err);
