/* spans.c - joins and begins traces, and notes what HTTP knows of a request. Loop thread. */
#include "server/http/spans.h"

#include "base/clock.h"
#include "server/http/request.h"
#include "server/service.h"
#include "server/trace/exporter.h"

#include <stdlib.h>
#include <string.h>

static uint64_t draw(struct service *service)
{
    uint64_t number = 0;
    while (number == 0)
        number = service_random(&service->random_ids);
    return number;
}

/* Probes, scrapes and preflights begin none: they would be most of all traces. */
static bool may_begin(const struct request *r)
{
    return r->service->traces != NULL && strcmp(r->method, "OPTIONS") != 0 &&
           (r->route == NULL || !(r->route->flags & ROUTE_QUIET));
}

void spans_begin(struct request *r)
{
    struct service *service = r->service;
    const char *parent = r->headers.traceparent;
    if (parent != NULL && trace_join(&r->trace, parent, draw(service)))
        return;
    if (!may_begin(r))
        return;
    const uint64_t id[2] = {draw(service), draw(service)};
    if (trace_drawn(id, trace_exporter_part(service->traces)))
        trace_begin(&r->trace, id, draw(service));
}

static void copy(char *out, size_t room, const char *text, size_t n)
{
    n = n < room ? n : room - 1;
    memcpy(out, text, n);
    out[n] = '\0';
}

/* "name:8080", "[::1]:8080" */
static void copy_host(struct trace_record *record, const struct headers *h)
{
    const char *text = h->authority != NULL ? h->authority : h->host;
    if (text == NULL)
        return;
    size_t n = h->authority != NULL ? h->n_authority : strlen(text), at = n;
    while (at > 0 && text[at - 1] >= '0' && text[at - 1] <= '9')
        at--;
    unsigned long port = 0;
    if (at > 1 && at < n && n - at <= 5 && text[at - 1] == ':' &&
        (text[0] != '[' || text[at - 2] == ']')) {
        port = strtoul(text + at, NULL, 10);
        n = at - 1;
    }
    if (n > 1 && text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    }
    record->port = port <= 65535 ? (unsigned)port : 0;
    copy(record->host, sizeof record->host, text, n);
}

struct trace_record *spans_record(const struct request *r, const struct log_request *line)
{
    struct service *service = r->service;
    if (service->traces == NULL || r->trace.trace_id[0] == '\0' ||
        !(r->trace.flags & TRACE_SAMPLED))
        return NULL;
    struct trace_record *record = trace_record_create();
    if (record == NULL) {
        trace_exporter_put(service->traces, NULL);
        return NULL;
    }
    record->trace = r->trace;
    record->begun_ns = r->begun_ns;
    record->ended_ns = clock_now_ns();
    record->unix_ns = clock_unix_ns();
    record->method = r->method;
    record->route = r->route != NULL ? r->route->path : NULL;
    record->status = r->status;
    record->old = r->old;
    record->error = r->status == CODE_CLIENT_LEFT ? "cancelled" : r->error_code;
    copy_host(record, &r->headers);
    copy(record->client, sizeof record->client, line->client, strlen(line->client));
    copy(record->path, sizeof record->path, line->path, strlen(line->path));
    copy(record->reason, sizeof record->reason, line->reason, strlen(line->reason));
    copy(record->id, sizeof record->id, r->id, strlen(r->id));
    return record;
}
