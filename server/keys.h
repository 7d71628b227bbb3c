/* keys.h - the API keys that requests may present.
 *
 * Read at start, and again when asked to, from a file with one key a line; compared in a time that
 * does not depend on how much of a key is right. Loop thread. Knows nothing of HTTP.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEY_BYTES_MAX = 256, KEYS_MAX = 4096 };

struct keys;

/* Empty lines and lines that begin with '#' are skipped, blanks around a key are cut. STATUS_IO,
 * STATUS_INVALID (no key at all, a key with blanks or control characters in it or longer than
 * KEY_BYTES_MAX: with its line), STATUS_NO_MEMORY. */
enum status keys_load(struct keys **out, const char *path, struct error *err);
/* The same from memory; name is for messages. */
enum status keys_parse(struct keys **out, const char *text, size_t n, const char *name,
                       struct error *err);
/* Puts what the file holds now in the place of *keys; a key that stays keeps its salt. On failure
 * *keys stays as it is. */
enum status keys_reload(struct keys **keys, const char *path, struct error *err);
void keys_free(struct keys *keys); /* takes NULL */

size_t keys_count(const struct keys *keys);

/* Whether the presented key (NULL: none) is one of them. *salt: another number than 0 for each key,
 * the same for the same key while the process lives: whose cached prefixes a request may share. */
bool keys_match(const struct keys *keys, const char *presented, uint64_t *salt);
