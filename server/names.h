/* names.h - what the served model is called: the name that answers carry, and its other names.
 *
 * Made at load from --served-model-name, or from the file's name; read-only from then on. Loop
 * thread. Knows nothing of requests.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum { NAMES_MAX = 16, NAMES_BYTES_MAX = 1024 };

struct names {
    char text[NAMES_BYTES_MAX]; /* one name after the other, each NUL-terminated */
    const char *list[NAMES_MAX];
    size_t n; /* at least one; the first is the one that answers carry */
};

/* given: NAME[,ALIAS...], or NULL; path: the model's file; builtin: the name of a model that has no
 * file (path "builtin"). STATUS_INVALID: an empty name, too many, too long. */
enum status names_init(struct names *names, const char *given, const char *path,
                       const char *builtin, struct error *err);
/* A name is the same with ":latest" after it. */
bool names_has(const struct names *names, const char *name);
/* Whether a request for this model ("": it named none) must be refused, and in which words; strict:
 * as --strict-model says. */
bool names_refuse(const struct names *names, bool strict, const char *asked, struct error *err);
