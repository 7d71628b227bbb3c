/* sources.h - which files a reference means, where each is got from, and what is known of it
 * beforehand.
 *
 * The hub's and Ollama's interfaces over HTTP are asked by hub.c and registry.c, nowhere else. One
 * thread.
 */
#pragma once

#include "base/error.h"
#include "store/patience.h"
#include "store/reference.h"
#include "store/web.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SOURCES_MAX = 512 }; /* files of one model */

struct source {
    char url[WEB_URL_MAX / 2];
    char path[REFERENCE_PATH_MAX]; /* in a hub's repository; the file's name otherwise */
    char sha256[65];               /* "": not said */
    uint64_t n_bytes;              /* 0: not said */
};

struct sources {
    struct source *files; /* [n], owned: a split model's parts in their order */
    size_t n;
};

/* Endpoints and token, as the environment says. */
struct sources_place {
    char hub[512], ollama[512]; /* without a slash at their end */
    char token[512];            /* "": none */
};
/* STATUS_INVALID names the variable at fault. */
enum status sources_place_read(struct sources_place *out, struct error *err);

void sources_free(struct sources *sources); /* takes a zeroed one */

/* Room for n files, zeroed. */
enum status sources_make(struct sources *out, size_t n, struct error *err);
/* Whether that is a SHA-256 in lower-case hexadecimal. */
bool sources_is_sha256(const char *text);

/* An interface's answer as a tree, asked for as often as patience allows; the caller deletes it. */
struct cJSON;
enum status sources_ask(struct cJSON **out, const char *url, const char *accept, struct web *web,
                        struct patience *patience, struct web_answer *answer, struct error *err);

/* --- hub.c and registry.c: the files of hf: and ollama: --- */

enum status hub_find(struct sources *out, const struct reference *reference, const char *endpoint,
                     struct web *web, struct patience *patience, struct error *err);
enum status registry_find(struct sources *out, const struct reference *reference,
                          const char *endpoint, struct web *web, struct patience *patience,
                          struct error *err);
