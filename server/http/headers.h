/* headers.h - what a request's header fields must be, and what they say about where it comes from.
 *
 * libmicrohttpd's parser is lenient; whatever could make two HTTP parsers disagree about a
 * request's borders is refused here, before anything else is looked at. Pure functions over a list
 * of fields: no sockets, no library. Loop thread.
 */
#pragma once

#include "api/errors.h"
#include "config/settings.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEADERS_TRIMMED_MAX = 512 };

struct headers { /* zero it, take every field, then check; not to be moved. Strings: borrowed for
                    the request; NULL: absent */
    const char *host, *origin, *fetch_site, *fetch_mode;
    const char *authorization, *api_key;
    const char *accept, *content_type, *content_encoding, *expect, *request_id;
    const char *traceparent; /* two of them are as good as none: "" */
    const char *if_none_match, *last_event_id;
    const char *length, *transfer;
    const char *asked_headers, *asked_private; /* by a preflight */
    const char *authority;                     /* of a target that is a whole URL; wins over Host */
    size_t n_authority;
    const char *twice;        /* the name of one that must stand alone and does not */
    bool bad_name, bad_value; /* a name that is no token, a value with control characters */
    bool padded;              /* more blanks after values than there is room to leave out */

    char trimmed[HEADERS_TRIMMED_MAX]; /* copies of values that blanks follow, without these */
    size_t n_trimmed;

    bool has_body; /* set by headers_check: a length above 0, or chunked */
    bool chunked;
    uint64_t n_body; /* Content-Length; 0 when chunked */
};

void headers_take(struct headers *h, const char *name, size_t n_name, const char *value,
                  size_t n_value);

/* version: "HTTP/1.1". False when the request must be refused and its connection closed: *refusal
 * and *why then say so. */
bool headers_check(struct headers *h, const char *version, enum refusal *refusal, const char **why);

bool headers_is_token(const char *text, size_t n);          /* of one byte or more */
bool headers_parse_length(const char *text, uint64_t *out); /* decimal digits, nothing else */

/* The path of a request's target; the authority of one that is a whole URL is remembered. */
const char *headers_target(struct headers *h, const char *target);

struct origin_rules {
    bool loopback; /* the service listens on loopback addresses alone */
    const struct setting_list *allow_origins, *allow_hosts; /* NULL: none */
};
/* True when the Origin field names one of the allowed ones. */
bool headers_origin_allowed(const struct headers *h, const struct origin_rules *rules);
/* Why a request is foreign: it would let some web page use a service that it cannot reach by
 * itself. NULL when it is not. page: the request is for the page itself, which may be navigated to
 * from anywhere. */
const char *headers_foreign(const struct headers *h, const struct origin_rules *rules, bool page);

/* The names that a preflight asks for, as the answer lists them. False, with out untouched: none,
 * or they are not all tokens, or longer than room. */
enum { HEADERS_ASKED_MAX = 1024 };
bool headers_asked(const struct headers *h, char out[HEADERS_ASKED_MAX]);

/* The key that a request presents (X-Api-Key, or Authorization: Bearer); NULL: none. */
const char *headers_key(const struct headers *h);

/* Whether an If-None-Match names the entity tag; they are compared weakly. list NULL: it does
 * not. */
bool headers_has_etag(const char *list, const char *etag);

bool headers_plain_text(const struct headers *h); /* Content-Type is text/plain */

enum { REQUEST_ID_MAX = 64 };
bool request_id_valid(const char *id); /* [A-Za-z0-9._-]{1,64} */
