/* probe.h - one GET of a service on this machine or near it: its status and first line.
 *
 * Unlike web.h's, for any address and without proxies, redirects or tokens. Any one thread. Knows
 * nothing of models.
 */
#pragma once

#include "base/error.h"

enum { PROBE_LINE_MAX = 64 };

struct probe_answer {
    long code;                 /* 200, ... */
    char line[PROBE_LINE_MAX]; /* the body's first, cut */
};

/* unix_path: the socket that is connected to; NULL: the URL's host. STATUS_IO: no answer within
 * some seconds, or none at all. */
enum status probe_get(struct probe_answer *out, const char *url, const char *unix_path,
                      struct error *err);
