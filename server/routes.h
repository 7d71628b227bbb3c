/* routes.h - what can be asked for: one table of paths, methods and handlers. Loop thread. */
#pragma once

#include "server/http/request.h"

enum route_flags {
    ROUTE_OPEN = 1,   /* needs no key */
    ROUTE_BODY = 2,   /* must have one */
    ROUTE_MODEL = 4,  /* needs the model: 503 while it is loaded */
    ROUTE_WORK = 8,   /* new work: 503 while draining */
    ROUTE_LOCAL = 16, /* without keys, for clients on this machine alone */
};

struct route {
    const char *path;   /* its label in metrics and log, too */
    const char *method; /* "GET" (HEAD comes with it) or "POST" */
    const char *allow;  /* what 405 and OPTIONS say */
    unsigned flags;
    enum MHD_Result (*handle)(struct request *r);
};

extern const struct route routes[];
extern const size_t routes_n;

const struct route *route_find(const char *path); /* byte by byte; NULL: none has it */
bool route_allows(const struct route *route, const char *method);

/* Its place among the metrics' routes; NULL: one after the last, "other". */
size_t route_index(const struct route *route);
const char *route_label(const struct route *route);
