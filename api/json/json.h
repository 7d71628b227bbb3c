/* json.h - a strict check of JSON text before any library sees it, and a bounded writer.
 *
 * json_check accepts exactly RFC 8259 in UTF-8 (a repeated name and the escape \u0000 are
 * well-formed there; request.h refuses those). The other readers are for text that json_check has
 * accepted. The writer appends to the caller's memory and never allocates: a model's text goes
 * through it token by token. Pure; any thread.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_DEPTH_MAX = 512 }; /* whatever max_depth says */

/* STATUS_FORMAT names the byte's offset and what was expected there, or the depth that is passed;
 * STATUS_TOO_LARGE: more than max_nodes values. Iterative: the text decides no stack depth. */
enum status json_check(const char *text, size_t n, size_t max_depth, size_t max_nodes,
                       struct error *err);

struct json_span { /* a part of the text, as it stands there; borrowed */
    const char *at;
    size_t n;
};

/* Walks the members of the object that checked text is: *at begins at 0. name is without its
 * quotes, still escaped; value is whole. False when there are no more, or the text is no object. */
bool json_next_member(const char *text, size_t n, size_t *at, struct json_span *name,
                      struct json_span *value);

/* The same for the elements of an array. */
bool json_next_element(const char *text, size_t n, size_t *at, struct json_span *value);
/* Whether a value is the string of this text, which needs no escapes. */
bool json_is_string(struct json_span value, const char *text);

/* Does an escape in this part of checked text stand for the NUL character? */
bool json_has_nul(struct json_span part);

enum json_integer { JSON_INTEGER, JSON_FRACTION, JSON_HUGE /* beyond 64 bits */ };
/* The exact value of a checked number: 5, 5.0 and 50e-1 are the integer 5. */
enum json_integer json_integer(struct json_span number, bool *negative, uint64_t *magnitude);

struct json_writer {
    char *out; /* borrowed */
    size_t n, room;
    bool full; /* something did not fit: nothing is written from there on, n is the last whole write
                */
};

/* Whether all since `before`, w->n of then, was written: what did not fit is taken back whole. */
bool json_keep(struct json_writer *w, size_t before);
void json_raw(struct json_writer *w, const char *text);               /* as it is */
void json_bytes(struct json_writer *w, const char *bytes, size_t n);  /* the same */
void json_string(struct json_writer *w, const char *bytes, size_t n); /* with quotes, escaped; each
                                                      maximal ill-formed part becomes one U+FFFD */
/* Two texts as one string. */
void json_string2(struct json_writer *w, const char *first, size_t n_first, const char *second,
                  size_t n_second);
/* The inside of a string, without quotes; whole characters. */
void json_inside(struct json_writer *w, const char *bytes, size_t n);
void json_int(struct json_writer *w, int64_t value);
void json_uint(struct json_writer *w, uint64_t value);
void json_double(struct json_writer *w, double value, int decimals); /* not finite: null */
void json_float(struct json_writer *w, float value); /* 9 digits give the same float back; not
                                                        finite: null */
void json_bool(struct json_writer *w, bool value);

/* A member: what stands before it ("{" or ","), its name, a colon and its value. */
void json_name(struct json_writer *w, const char *before, const char *name); /* up to the colon */
void json_name_text(struct json_writer *w, const char *before, const char *name, const char *text);
void json_name_uint(struct json_writer *w, const char *before, const char *name, uint64_t value);
void json_name_bool(struct json_writer *w, const char *before, const char *name, bool value);
void json_name_double(struct json_writer *w, const char *before, const char *name, double value,
                      int decimals);

/* The most bytes json_string writes for n bytes. */
size_t json_string_bound(size_t n);
