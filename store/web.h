/* web.h - one GET at a time over libcurl, within rules that no server can talk it out of.
 *
 * https, or http to this very machine; a redirect keeps to the same rule, and leads from another
 * machine never back to this one's http. A token goes to one origin alone. Headers, redirects,
 * waiting for bytes and answers kept in memory are bounded; proxies are what the environment says.
 * Used by one thread. Knows nothing of models.
 */
#pragma once

#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WEB_URL_MAX = 8192, WEB_TAG_MAX = 256, WEB_NO_SIZE = -1 };

struct web_options {
    const char *token;         /* "": none; borrowed */
    const char *token_url;     /* whose scheme, host and port alone get it; NULL: where this asks,
                                  no token is known; borrowed */
    unsigned stall_seconds;    /* with hardly a byte, until a GET fails */
    const atomic_bool *cancel; /* looked at once a second; NULL: never */
};

/* The answers' heads. Of a redirect only linked_etag and linked_bytes are kept (a hub
 * says there what the file is), and what the last answer says itself wins. */
struct web_answer {
    long code;                        /* 200, ...; 0: there was none */
    int64_t n_bytes;                  /* of the body; WEB_NO_SIZE: not said */
    int64_t range_start, range_total; /* of a 206 or 416; WEB_NO_SIZE: not said */
    int64_t linked_bytes;
    char etag[WEB_TAG_MAX], linked_etag[WEB_TAG_MAX]; /* as sent; "": none */
    char last_modified[64];
    char message[160];          /* the server's own words on an error, printable */
    char next[WEB_URL_MAX / 4]; /* Link: <...>; rel="next", as sent */
    unsigned retry_after;       /* seconds; 0: not said */
    bool encoded;               /* a Content-Encoding */
    bool retry;                 /* what failed may work later */
};

struct web;
enum status web_create(struct web **out, const struct web_options *options, struct error *err);
void web_destroy(struct web *web); /* takes NULL */

/* Each ends the transfer with its status when that is not STATUS_OK, and has filled err. head: the
 * answer that is not a redirect, its body about to come. body: the next bytes. */
struct web_reader {
    enum status (*head)(void *ctx, const struct web_answer *answer, struct error *err);
    enum status (*body)(void *ctx, const char *bytes, size_t n, struct error *err);
    void *ctx;
};

/* Headers: lines such as "Range: bytes=5-", ended by NULL. The answer is filled as far as it came,
 * also on failure. STATUS_INVALID (a URL that is not allowed), STATUS_IO, STATUS_CANCELLED, or what
 * the reader said. */
enum status web_get(struct web *web, const char *url, const char *const *headers,
                    const struct web_reader *reader, struct web_answer *answer, struct error *err);

/* The whole body of an answer of 200 in memory, malloc'ed, with a NUL after it; at most max bytes.
 * Any other answer is STATUS_IO. */
enum status web_get_text(struct web *web, const char *url, const char *const *headers, size_t max,
                         char **out, size_t *n, struct web_answer *answer, struct error *err);

/* STATUS_IO with a sentence for a status that is no success: "the server answers 404: there is no
 * such file". */
enum status web_refusal(const struct web *web, const struct web_answer *answer, const char *url,
                        struct error *err);

/* Whether a URL may be asked at all; STATUS_INVALID says why not. */
enum status web_check_url(const char *url, struct error *err);
/* The part of a URL in front of its query, for messages. */
int web_shown_length(const char *url);
