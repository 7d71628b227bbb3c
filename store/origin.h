/* origin.h - where a URL leads: scheme, host and port, and whether that is a place one may ask.
 *
 * https anywhere, http to this machine alone. Pure; any thread. Knows URLs, nothing else.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct sockaddr;

struct web_origin {
    bool tls, is_loopback; /* by its name or number */
    char host[256];        /* lower case, an IPv6 address in brackets */
    unsigned port;
};

/* STATUS_INVALID: another scheme, a user's name in it, http to another machine. err may be NULL. */
enum status origin_parse(struct web_origin *out, const char *url, struct error *err);
bool origin_equals(const struct web_origin *a, const struct web_origin *b);
/* Whether this very address is this machine's own. */
bool origin_is_loopback(const struct sockaddr *address);
