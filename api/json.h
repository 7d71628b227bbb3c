/* json.h - a strict check of JSON text before any library sees it, and a bounded writer.
 *
 * json_check accepts exactly RFC 8259 with UTF-8 and refuses what cJSON would let through: NUL bytes and \u0000, unpaired
 * surrogates, control characters, ill-formed UTF-8, trailing text, too deep or too many values. The writer appends to the
 * caller's memory and never allocates: text of a model goes through it token by token. Pure; any thread.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* STATUS_INVALID names the byte and what was expected there; STATUS_TOO_LARGE the limit. */
enum status json_check(const char *text, size_t n, size_t max_depth, size_t max_nodes, struct error *err);

struct json_writer {
    char *out; /* borrowed */
    size_t n, room;
    bool full; /* something did not fit: n stays at the last whole write */
};

void json_raw(struct json_writer *w, const char *text);              /* as it is */
void json_string(struct json_writer *w, const char *utf8, size_t n); /* with quotes, escaped; utf8 must be well-formed */
void json_int(struct json_writer *w, int64_t value);
void json_uint(struct json_writer *w, uint64_t value);
void json_double(struct json_writer *w, double value, int decimals); /* not finite: null */

/* The most bytes json_string writes for n bytes of text. */
size_t json_string_bound(size_t n);
