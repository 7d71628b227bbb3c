/* request.c - a request's checks, body and answer. Loop thread. */
#include "server/http/request.h"

#include "api/dialect.h"
#include "base/append.h"
#include "base/clock.h"
#include "server/http/access.h"
#include "server/http/spans.h"
#include "server/log.h"
#include "server/service.h"
#include "server/trace/exporter.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* The body of a request that is refused is still read, up to this much more than the limit, and the
 * connection stays of use; with more to come it is answered at once, and ends. */
static const uint64_t drop_bytes = 8u << 20;

void request_drop_body(struct request *r)
{
    free(r->body);
    r->service->http.body_bytes -= r->body_room;
    r->body = NULL;
    r->n_body = r->body_room = 0;
}

static const char *method_name(const char *method)
{
    static const char *const names[] = {"GET",   "HEAD",  "POST",    "OPTIONS", "PUT",
                                        "PATCH", "TRACE", "CONNECT", "DELETE"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], method) == 0)
            return names[i];
    return "other";
}

static enum MHD_Result take_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                   size_t n_name, const char *value, size_t n_value)
{
    (void)kind;
    headers_take(cls, name, n_name, value, n_value);
    return MHD_YES;
}

struct request *request_begin(struct conn *conn, const char *method)
{
    struct request *r = calloc(1, sizeof *r);
    if (r == NULL)
        return NULL;
    r->service = conn->service;
    r->conn = conn;
    r->mhd = conn->mhd;
    r->method = method_name(method);
    r->begun_ns = clock_now_ns();
    return r;
}

static void draw_id(struct service *service, char *id)
{
    snprintf(id, REQUEST_ID_MAX + 1, "%016llx",
             (unsigned long long)service_random(&service->random_ids));
}

static void set_id(struct request *r)
{
    const char *own = r->headers.request_id;
    if (own != NULL && request_id_valid(own))
        memcpy(r->id, own, strlen(own) + 1);
    else
        draw_id(r->service, r->id);
}

/* --- what is wrong with a request --- */

static void refuse_later(struct request *r, enum refusal refusal, const char *param,
                         const char *why)
{
    r->refused = true;
    r->refusal = errors_of_refusal(refusal);
    error_set_param(&r->why, STATUS_INVALID, param, "%s", why);
}

/* The service's state may forbid it: work while it is loading or draining. */
static void check_state(struct request *r)
{
    enum health state = r->service->state;
    if (state == HEALTH_LOADING && (r->route->flags & ROUTE_MODEL))
        refuse_later(r, REFUSAL_LOADING, "", "the model is being loaded; try again soon");
    else if (state == HEALTH_DRAINING && (r->route->flags & ROUTE_WORK))
        refuse_later(r, REFUSAL_DRAINING, "", "the server is stopping and takes no new work");
    if (r->refused && state == HEALTH_DRAINING)
        metrics_reject(&r->service->metrics, REJECT_DRAINING);
}

/* Bytes that one body may have. */
static size_t body_limit(const struct service *service)
{
    const struct settings *s = service->settings;
    return s->max_body_bytes < s->max_body_memory ? s->max_body_bytes : s->max_body_memory;
}

/* Whether so many more bytes of bodies find room beside all the others. */
static bool body_fits(const struct service *service, uint64_t n_more)
{
    size_t taken = service->http.body_bytes, limit = service->settings->max_body_memory;
    return taken <= limit && n_more <= limit - taken;
}

static void refuse_for_memory(struct request *r)
{
    request_drop_body(r);
    metrics_reject(&r->service->metrics, REJECT_BODY_MEMORY);
    refuse_later(r, REFUSAL_BODY_MEMORY, "",
                 "other requests' bodies take up all of --max-body-memory; try again soon");
}

static void check_body(struct request *r)
{
    const struct headers *h = &r->headers;
    size_t limit = body_limit(r->service);
    if (h->content_encoding != NULL && strcasecmp(h->content_encoding, "identity") != 0)
        refuse_later(r, REFUSAL_ENCODING, "",
                     "the body must not be compressed: send it without a Content-Encoding");
    else if ((r->route->flags & ROUTE_BODY) && h->length == NULL && !h->chunked)
        refuse_later(r, REFUSAL_NO_LENGTH, "",
                     "a body is needed, with its Content-Length, or chunked");
    else if (h->n_body > limit) {
        refuse_later(r, REFUSAL_BODY, "", "");
        error_set(&r->why, STATUS_TOO_LARGE,
                  "the body has %llu bytes; at most %zu are accepted (--max-body-bytes)",
                  (unsigned long long)h->n_body, limit);
    } else if ((r->route->flags & ROUTE_BODY) && !body_fits(r->service, h->n_body)) {
        refuse_for_memory(r);
    }
}

/* OPTIONS for the whole server, as load balancers ask it. */
static bool is_for_server(const struct request *r, const char *path)
{
    return strcmp(r->method, "OPTIONS") == 0 && strcmp(path, "*") == 0;
}

/* Everything that the headers decide and that leaves the connection usable. */
static void check_access(struct request *r, const char *path)
{
    const struct service *service = r->service;
    struct origin_rules rules = service->origins;
    bool has_unix = service->listener.n > service->listener.n_tcp;
    if (rules.loopback && has_unix && listener_is_unix(r->conn->fd))
        rules.loopback = false; /* no page gets there */
    bool reads = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
    const char *foreign = headers_foreign(&r->headers, &rules, reads && strcmp(path, "/") == 0);
    bool asks = strcmp(r->method, "OPTIONS") != 0; /* a preflight carries no key */
    bool open = r->route != NULL && (r->route->flags & ROUTE_OPEN);
    if (foreign != NULL)
        refuse_later(r, REFUSAL_ORIGIN, "", foreign);
    else if (asks && service->keys != NULL && !open &&
             !keys_match(service->keys, headers_key(&r->headers), &r->salt))
        refuse_later(r, REFUSAL_NO_KEY, "",
                     "a valid API key is needed: Authorization: Bearer KEY, or X-Api-Key: KEY");
    else if (asks && r->route != NULL && (r->route->flags & ROUTE_LOCAL) && service->keys == NULL &&
             !listener_is_local(r->conn->fd))
        refuse_later(
            r, REFUSAL_REMOTE, "",
            "without API keys (--api-key-file) only clients on this machine may use this path");
    else if (r->route == NULL && is_for_server(r, path))
        return;
    else if (r->route == NULL)
        refuse_later(r, REFUSAL_NOT_FOUND, "",
                     "there is nothing at this path; /openapi.yaml describes what there is");
    else if (!route_allows(r->route, r->method))
        refuse_later(r, REFUSAL_METHOD, "",
                     "this path does not take this method; the Allow header says which it takes");
    else if (asks) {
        check_body(r);
        if (!r->refused)
            check_state(r);
    }
}

static enum MHD_Result refuse_now(struct request *r)
{
    r->last = true;
    return request_refuse(r, r->refusal, &r->why, 0);
}

enum MHD_Result request_admit(struct request *r, const char *url, const char *version)
{
    struct headers *h = &r->headers;
    const char *path = headers_target(h, url), *why = NULL;
    enum refusal refusal;
    MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, take_header, h);
    set_id(r);
    access_find_client(r);
    r->route = route_find(&r->service->routes, path, r->method);
    spans_begin(r);
    if (r->route == NULL || route_is_open(r->route))
        snprintf(r->path, sizeof r->path, "%s", path);
    r->old = strcmp(version, "HTTP/1.0") == 0;
    if (!headers_check(h, version, &refusal, &why))
        refuse_later(r, refusal, "", why);
    else if (conn_is_over(r->conn) && (r->route == NULL || !(r->route->flags & ROUTE_PROBE)))
        refuse_later(r, REFUSAL_CONNECTIONS, "", "too many connections (--max-connections)");
    if (r->refused) /* nothing of such a request, or of what follows it, is read */
        return refuse_now(r);
    r->last = conn_is_over(r->conn); /* its place is for the next probe */
    check_access(r, path);
    bool droppable = h->n_body <= body_limit(r->service) + drop_bytes && h->expect == NULL;
    if (r->refused && h->has_body && !droppable)
        return refuse_now(r);
    return MHD_YES;
}

/* --- the body --- */

static double ms_since(uint64_t ns)
{
    return (double)(clock_now_ns() - ns) * 1e-6;
}

static void count_refusal(struct request *r, unsigned status)
{
    if (status == MHD_HTTP_CONTENT_TOO_LARGE)
        metrics_reject(&r->service->metrics, REJECT_TOO_LARGE);
    request_count(r, status);
}

static const struct dialect *dialect_of(const struct request *r)
{
    return r->dialect != NULL ? r->dialect : route_dialect(&r->service->routes, r->route, r->path);
}

/* While the library reads it takes no answers. */
static void answer_past_library(struct request *r)
{
    r->past = r->last = true;
    request_refuse(r, r->refusal, &r->why, 0);
}

void request_refuse_unread(struct request *r, enum refusal refusal, const char *why)
{
    if (r->counted)
        return;
    if (!r->refused)
        refuse_later(r, refusal, "", why);
    answer_past_library(r);
}

void request_refuse_unparsed(struct conn *conn, const char *method, enum refusal refusal,
                             const char *why)
{
    struct request *r = request_begin(conn, method);
    if (r == NULL) {
        conn_cut(conn);
        return;
    }
    draw_id(r->service, r->id);
    r->client = conn->client;
    refuse_later(r, refusal, "", why);
    answer_past_library(r);
    request_end(r);
}

static bool too_long(struct request *r, size_t limit)
{
    if (r->n_received <= limit || !r->headers.chunked)
        return false;
    if (!r->refused) {
        refuse_later(r, REFUSAL_BODY, "", "");
        error_set(&r->why, STATUS_TOO_LARGE,
                  "the body has more than the %zu bytes that are accepted (--max-body-bytes)",
                  limit);
    }
    if (!r->counted)
        answer_past_library(r);
    return true;
}

enum MHD_Result request_take(struct request *r, const char *data, size_t n)
{
    r->n_received += n;
    if (too_long(r, body_limit(r->service)))
        return MHD_NO;
    if (r->refused || r->route == NULL || !(r->route->flags & ROUTE_BODY))
        return MHD_YES;
    if (r->n_body + n > r->body_room) {
        /* Grows with what has come, not with what was announced. */
        size_t room = 2 * (r->n_body + n);
        if (!r->headers.chunked && room > r->headers.n_body)
            room = (size_t)r->headers.n_body;
        if (!body_fits(r->service, room - r->body_room)) {
            refuse_for_memory(r);
            return MHD_YES;
        }
        char *body = realloc(r->body, room);
        if (body == NULL)
            return MHD_NO;
        r->service->http.body_bytes += room - r->body_room;
        r->body = body;
        r->body_room = room;
    }
    memcpy(r->body + r->n_body, data, n);
    r->n_body += n;
    return MHD_YES;
}

/* A page of an allowed origin may send the headers that it asks for. */
static bool add_preflight_headers(const struct headers *h, struct MHD_Response *response,
                                  const char *allow)
{
    char asked[HEADERS_ASKED_MAX] = "Authorization, Content-Type, X-Api-Key, X-Request-Id";
    headers_asked(h, asked);
    bool private_network = h->asked_private != NULL && strcasecmp(h->asked_private, "true") == 0;
    return response_header(response, "Access-Control-Allow-Methods", allow) &&
           response_header(response, "Access-Control-Allow-Headers", asked) &&
           response_header(response, "Access-Control-Max-Age", "600") &&
           response_header(response, "Vary",
                           "Access-Control-Request-Headers, "
                           "Access-Control-Request-Private-Network") &&
           (!private_network ||
            response_header(response, "Access-Control-Allow-Private-Network", "true"));
}

static enum MHD_Result answer_options(struct request *r)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    const char *allow = r->route != NULL ? r->route->allow : "GET, HEAD, POST, OPTIONS";
    bool ok = response != NULL && response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
    if (ok && headers_origin_allowed(&r->headers, &r->service->origins))
        ok = add_preflight_headers(&r->headers, response, allow);
    if (!ok) {
        if (response != NULL)
            MHD_destroy_response(response);
        return MHD_NO;
    }
    enum MHD_Result result = request_queue(r, MHD_HTTP_NO_CONTENT, response, NULL);
    if (result == MHD_YES)
        request_count(r, MHD_HTTP_NO_CONTENT);
    return result;
}

enum MHD_Result request_whole(struct request *r)
{
    if (r->whole_ns == 0) {
        r->whole_ns = clock_now_ns();
        r->service->http.n_answering++;
        conn_enter(r->conn, CONN_ANSWERING);
        if (!r->refused && strcmp(r->method, "OPTIONS") != 0)
            check_state(r); /* a drain may have begun while the body came in */
    }
    if (r->counted) /* answered past the library */
        return MHD_NO;
    if (r->refused)
        return request_refuse(r, r->refusal, &r->why, 0);
    if (strcmp(r->method, "OPTIONS") == 0)
        return answer_options(r);
    if (r->task == NULL)
        return r->route->handler->begin(r);
    return r->task->left ? MHD_NO : r->task->handler->resume(r, r->task);
}

/* --- the answer --- */

unsigned retry_after_seconds(uint64_t ms)
{
    uint64_t seconds = ms / 1000 + (ms % 1000 != 0);
    return seconds < 1 ? 1 : seconds > 86400 ? 86400 : (unsigned)seconds;
}

bool response_header(struct MHD_Response *response, const char *name, const char *value)
{
    return MHD_add_response_header(response, name, value) == MHD_YES;
}

/* While it is leaving, so that clients which keep connections come to another server. */
static bool ends_connection(const struct request *r)
{
    enum health state = r->service->state;
    return r->last || state == HEALTH_LEAVING || state == HEALTH_DRAINING;
}

/* By which a client can have its answer go on elsewhere. */
static bool add_generation_headers(const struct request *r, struct MHD_Response *response)
{
    const char *print = r->service->fingerprint.header;
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRIu64, r->seed);
    if (print[0] != '\0' && r->route != NULL && r->route->dialect != NULL &&
        !response_header(response, "X-Model-Fingerprint", print))
        return false;
    return !r->seeded || response_header(response, "X-Seed", seed);
}

static bool add_common_headers(const struct request *r, struct MHD_Response *response,
                               const char *timing)
{
    char text[256];
    snprintf(text, sizeof text, "%s%stotal;dur=%.3f", timing != NULL ? timing : "",
             timing != NULL ? ", " : "", ms_since(r->begun_ns));
    const char *id_header = dialect_of(r)->id_header;
    bool ok = response_header(response, "X-Request-Id", r->id) &&
              response_header(response, "Server-Timing", text) &&
              (id_header == NULL || response_header(response, id_header, r->id));
    if (r->trace.trace_id[0] != '\0') {
        char place[TRACE_HEADER_MAX + 1];
        trace_write(&r->trace, place);
        ok = ok && response_header(response, "traceresponse", place);
    }
    ok = ok && add_generation_headers(r, response);
    const struct origin_rules *rules = &r->service->origins;
    if (rules->allow_origins != NULL &&
        rules->allow_origins->n > 0) /* what is answered depends on it, even where it is absent */
        ok = ok && response_header(response, "Vary", "Origin");
    if (headers_origin_allowed(&r->headers, rules))
        ok = ok && response_header(response, "Access-Control-Allow-Origin", r->headers.origin) &&
             response_header(response, "Access-Control-Expose-Headers",
                             "X-Request-Id, X-Seed, X-Model-Fingerprint, Retry-After, "
                             "Server-Timing, traceresponse");
    if (ends_connection(r))
        ok = ok && response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    return ok;
}

enum MHD_Result request_queue(struct request *r, unsigned status, struct MHD_Response *response,
                              const char *timing)
{
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    if (add_common_headers(r, response, timing))
        result = MHD_queue_response(r->mhd, status, response);
    MHD_destroy_response(response); /* our share of it */
    if (result == MHD_YES) {
        r->status = status;
        if (ends_connection(r)) /* what follows it is not read any more */
            guard_end(&r->conn->guard);
    }
    return result;
}

struct past { /* an answer as it goes over the wire */
    char bytes[4096];
    size_t n;
};

static enum MHD_Result write_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct past *past = cls;
    (void)kind;
    if (strlen(value) < 512) /* an origin may be long: its page gets no answer then */
        append_text(past->bytes, sizeof past->bytes, &past->n, "%s: %s\r\n", name, value);
    return MHD_YES;
}

/* As request_queue, past the library; the connection ends with it. */
static enum MHD_Result send_past(struct request *r, const struct answer *a,
                                 struct MHD_Response *response)
{
    struct past past = {.n = 0};
    char date[40];
    struct tm utc;
    time_t now = time(NULL);
    add_common_headers(r, response, a->timing); /* without memory for one, it goes without */
    append_text(past.bytes, sizeof past.bytes, &past.n, "HTTP/1.1 %u %s\r\n", a->status,
                MHD_get_reason_phrase_for(a->status));
    if (gmtime_r(&now, &utc) != NULL &&
        strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc) > 0)
        write_header(&past, MHD_HEADER_KIND, MHD_HTTP_HEADER_DATE, date);
    MHD_get_response_headers(response, write_header, &past);
    append_text(past.bytes, sizeof past.bytes, &past.n, "Content-Length: %zu\r\n\r\n%.*s",
                a->n_body, (int)a->n_body, (const char *)a->body);
    MHD_destroy_response(response);
    conn_answer_last(r->conn, past.bytes, past.n);
    return MHD_YES;
}

enum MHD_Result request_answer(struct request *r, const struct answer *a)
{
    static const enum MHD_ResponseMemoryMode modes[] = {[BODY_STATIC] = MHD_RESPMEM_PERSISTENT,
                                                        [BODY_COPY] = MHD_RESPMEM_MUST_COPY,
                                                        [BODY_OWNED] = MHD_RESPMEM_MUST_FREE};
    struct MHD_Response *response =
        MHD_create_response_from_buffer(a->n_body, a->body, modes[a->memory]);
    if (response == NULL) {
        if (a->memory == BODY_OWNED)
            free(a->body);
        return MHD_NO;
    }
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%u", retry_after_seconds(a->retry_ms));
    bool ok =
        response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") &&
        (a->type == NULL || response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, a->type)) &&
        (a->allow == NULL || response_header(response, MHD_HTTP_HEADER_ALLOW, a->allow)) &&
        (a->retry_ms == 0 || response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds)) &&
        /* Clients of OpenAI's and Anthropic's try again at any other 5xx. */
        (a->status != MHD_HTTP_NOT_IMPLEMENTED ||
         response_header(response, "X-Should-Retry", "false")) &&
        (a->status != MHD_HTTP_UNAUTHORIZED ||
         response_header(response, "WWW-Authenticate", "Bearer"));
    if (!ok) {
        MHD_destroy_response(response);
        return MHD_NO;
    }
    enum MHD_Result result =
        r->past ? send_past(r, a, response) : request_queue(r, a->status, response, a->timing);
    if (result == MHD_YES)
        request_count(r, a->status);
    return result;
}

enum MHD_Result request_refuse(struct request *r, struct api_error what, const struct error *why,
                               uint64_t retry_ms)
{
    char body[2048];
    if (why != &r->why)
        r->why = *why;
    struct answer answer = {.status = what.http,
                            .type = "application/json",
                            .body = body,
                            .memory = BODY_COPY,
                            .retry_ms = retry_ms};
    r->error_code = what.code;
    what.id = r->id;
    what.have = why->have;
    what.most = why->most;
    answer.n_body = dialect_of(r)->error(&what, why->text, why->param, body, sizeof body);
    if (what.http == MHD_HTTP_METHOD_NOT_ALLOWED)
        answer.allow = r->route->allow;
    if (what.http == MHD_HTTP_SERVICE_UNAVAILABLE && retry_ms == 0)
        answer.retry_ms = service_back_ms(r->service);
    count_refusal(r, what.http);
    return request_answer(r, &answer);
}

void request_suspend(struct request *r)
{
    if (r->task != NULL)
        task_watch(r->task);
    r->suspended = true;
    MHD_suspend_connection(r->mhd);
}

void request_count(struct request *r, unsigned status)
{
    if (r->counted)
        return;
    r->counted = true;
    metrics_request(&r->service->metrics, route_index(&r->service->routes, r->route), status);
    r->status = status;
}

void request_end(struct request *r)
{
    request_count(r, CODE_CLIENT_LEFT); /* where it ended before its answer was complete */
    struct log_request line = {
        .id = r->id,
        .method = r->method,
        .route = route_label(r->route),
        .status = r->status,
        .bytes_in = (size_t)r->n_received,
        .total_ms = ms_since(r->begun_ns),
    };
    access_describe(r, &line);
    struct trace_record *record = spans_record(r, &line);
    if (r->task != NULL) {
        task_end(r->task, &line, record);
    } else {
        log_access(&line);
        if (record != NULL)
            trace_exporter_put(r->service->traces, record);
    }
    if (r->whole_ns != 0)
        r->service->http.n_answering--;
    request_drop_body(r);
    free(r);
}
