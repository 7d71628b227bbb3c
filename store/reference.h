/* reference.h - names of models: where one comes from (hf:, ollama:, https:), or what it is called
 * here.
 *
 * A reference is text from a command line or a file; what it names becomes a path below one folder,
 * so every part of it is checked here once: no "..", no separators, no control characters. Pure;
 * any thread. Knows no disk and no network.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    REFERENCE_MAX = 1024, /* bytes, with the NUL */
    REFERENCE_NAME_MAX = 97,
    REFERENCE_PATH_MAX = 512,
    REFERENCE_FILE_MAX = 201,
};

enum reference_kind {
    REFERENCE_NAME,   /* what `list` shows: no source */
    REFERENCE_HUB,    /* hf:owner/repo[@revision]/file.gguf, :tag, or neither */
    REFERENCE_OLLAMA, /* ollama:[namespace/]name[:tag] */
    REFERENCE_URL,    /* https://..., or http:// to this machine */
};

struct reference {
    enum reference_kind kind;
    char text[REFERENCE_MAX];          /* in its one spelling; a URL without its query */
    char owner[REFERENCE_NAME_MAX];    /* of a repository; Ollama's namespace, "library" */
    char name[REFERENCE_NAME_MAX];     /* repository; Ollama's model */
    char revision[REFERENCE_NAME_MAX]; /* of a repository; "": main */
    char tag[REFERENCE_NAME_MAX];      /* "Q4_K_M", "135m"; "": none */
    char path[REFERENCE_PATH_MAX];     /* of a file in a repository; "": not said */
    char url[REFERENCE_MAX];           /* of REFERENCE_URL: whole */
    char host[256];                    /* its host and port as a folder's name */
    char file[REFERENCE_FILE_MAX];     /* its last part, decoded; of REFERENCE_NAME: the name */
};

/* STATUS_INVALID, of param "REF", says which part is wrong and what would be right. */
enum status reference_parse(struct reference *out, const char *text, struct error *err);

/* Whether the text names a source: it begins with hf:, ollama:, https: or http:. */
bool reference_has_source(const char *text);

/* One part of a path: not empty, of printable ASCII without separators and what shells and URLs
 * take for their own, not hidden, no "..". */
bool reference_is_part(const char *part, size_t n);

/* Whether a file of a repository is what a tag means: the tag stands in its path as a word
 * ("model-Q4_K_M.gguf", "Q4_K_M/model-00001-of-00002.gguf"), whatever the case. Projectors and
 * importance matrices are no models. tag "": any model. */
bool reference_tag_means(const char *tag, const char *path);

/* The number in NAME-00002-of-00005.gguf (2) and how many (5), the name's length without them;
 * false: the name says nothing of it. */
bool reference_is_split(const char *file, unsigned *part, unsigned *n_parts, size_t *n_stem);
/* The name of another part; out: [REFERENCE_PATH_MAX]. False: too long. */
bool reference_part_name(char *out, const char *file, unsigned part);
