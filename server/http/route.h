/* route.h - what a path is to the HTTP side: its methods, what it needs, its handler.
 *
 * The table itself belongs to the service (server/routes.c) and is handed down with it. Pure; any
 * thread.
 */
#pragma once

#include "server/http/handler.h"

#include <stdbool.h>
#include <stddef.h>

enum route_flags {
    ROUTE_OPEN = 1,   /* needs no key */
    ROUTE_BODY = 2,   /* must have one */
    ROUTE_MODEL = 4,  /* needs the model: 503 while it is loaded */
    ROUTE_WORK = 8,   /* new work: 503 while draining */
    ROUTE_LOCAL = 16, /* without keys, for clients on this machine alone */
    ROUTE_PROBE = 32, /* is answered even when every connection is taken */
    ROUTE_QUIET = 64, /* is asked all the time by machines: logged at debug */
};

struct dialect;

struct route {
    const char *path; /* its label in metrics and log, mostly; a last '*' stands for one segment */
    const char *method; /* "GET" (HEAD comes with it) or "POST" */
    const char *allow;  /* what 405 and OPTIONS say */
    unsigned flags;
    const struct handler *handler;
    const struct dialect *dialect; /* NULL: the table's */
    const char *label;             /* where another route has the path, too; NULL: the path */
};

struct route_realm {  /* paths of one API, those that have no route among them */
    const char *path; /* itself, and all below it */
    const struct dialect *dialect;
};

struct route_table {
    const struct route *routes; /* [n] */
    size_t n;
    const struct dialect *dialect;    /* of errors where neither route nor realm has one */
    const struct route_realm *realms; /* [n_realms] */
    size_t n_realms;
};

/* Byte by byte; of several with this path the one that allows the method, else the first. NULL:
 * none has it. */
const struct route *route_find(const struct route_table *table, const char *path,
                               const char *method);
/* Its path ends in '*'. */
bool route_is_open(const struct route *route);
bool route_allows(const struct route *route, const char *method);

/* Its place among the metrics' routes; NULL: one after the last, "other". */
size_t route_index(const struct route_table *table, const struct route *route);
const char *route_label(const struct route *route);
/* The language of its answers, errors included; route NULL: that of the path's realm. */
const struct dialect *route_dialect(const struct route_table *table, const struct route *route,
                                    const char *path);
