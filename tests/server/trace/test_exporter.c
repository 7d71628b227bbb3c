/* test_exporter.c - facts about delivery: what is tried again, what is given up, what is dropped,
 * and that putting a record waits for nobody. Against an endpoint of a script on a thread of its
 * own.
 */
#include "server/trace/exporter.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER(status, headers, body) "HTTP/1.1 " status "\r\n" headers "\r\n" body
#define TAKEN                         ANSWER("200 OK", "Content-Length: 2\r\n", "{}")
#define EMPTY(status, headers)        ANSWER(status, headers "Content-Length: 0\r\n", "")

static struct endpoint {
    int fd;
    unsigned port;
    pthread_t thread;
    const char *const *script; /* ended by NULL: then all is taken. "": the connection is cut */
    _Atomic size_t n_asked;
    _Atomic uint64_t asked_ns[64]; /* when */
    _Atomic bool held;             /* no answers until it is false */
    char head[4096];               /* of the last request */
} endpoint;

/* One request, body included. False: the connection has ended. */
static bool read_request(int fd)
{
    static char bytes[4 << 20];
    size_t n = 0, n_whole = SIZE_MAX;
    while (n < n_whole) {
        ssize_t got = recv(fd, bytes + n, sizeof bytes - 1 - n, 0);
        if (got <= 0)
            return false;
        n += (size_t)got;
        bytes[n] = '\0';
        char *end = strstr(bytes, "\r\n\r\n");
        char *length = end != NULL ? strstr(bytes, "Content-Length: ") : NULL;
        if (length == NULL)
            continue;
        n_whole = (size_t)(end - bytes) + 4 + strtoul(length + 16, NULL, 10);
        snprintf(endpoint.head, sizeof endpoint.head, "%.*s", (int)(end - bytes), bytes);
    }
    return true;
}

static void *serve(void *arg)
{
    (void)arg;
    for (int fd; (fd = accept(endpoint.fd, NULL, NULL)) >= 0; close(fd)) {
        while (read_request(fd)) {
            const size_t i = atomic_load(&endpoint.n_asked);
            atomic_store(&endpoint.asked_ns[i], clock_now_ns());
            atomic_store(&endpoint.n_asked, i + 1);
            while (atomic_load(&endpoint.held))
                sched_yield();
            const char *answer = *endpoint.script != NULL ? *endpoint.script++ : TAKEN;
            if (answer[0] == '\0' || send(fd, answer, strlen(answer), MSG_NOSIGNAL) < 0)
                break;
        }
    }
    return NULL;
}

/* A port that refuses connections until it is listened on. */
static void take_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    memset(&endpoint, 0, sizeof endpoint);
    endpoint.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(endpoint.fd, (struct sockaddr *)&address, n), 0);
    ck_assert_int_eq(getsockname(endpoint.fd, (struct sockaddr *)&address, &n), 0);
    endpoint.port = ntohs(address.sin_port);
}

static void open_endpoint(const char *const *script)
{
    take_port();
    endpoint.script = script;
    ck_assert_int_eq(listen(endpoint.fd, 8), 0);
    ck_assert_int_eq(pthread_create(&endpoint.thread, NULL, serve, NULL), 0);
}

static void close_endpoint(void)
{
    shutdown(endpoint.fd, SHUT_RDWR);
    pthread_join(endpoint.thread, NULL);
    close(endpoint.fd);
}

static const char *no_variable(const char *name)
{
    (void)name;
    return NULL;
}

static const struct trace_pace quick = {
    .linger_ms = 0, .backoff_ms = 1, .backoff_max_ms = 4, .give_up_ms = 60000};

static struct trace_exporter *open_exporter(unsigned port, const struct trace_pace *pace)
{
    struct trace_exporter *x = NULL;
    struct trace_options options;
    struct error err;
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
    const struct trace_wishes wishes = {.endpoint = url, .headers = "x-key=SECRET", .part = 0.25};
    ck_assert_int_eq(trace_options_read(&options, &wishes, no_variable, &err), STATUS_OK);
    ck_assert_int_eq(trace_exporter_create(&x, &options, pace, &err), STATUS_OK);
    trace_options_free(&options);
    return x;
}

static struct trace_record *make(size_t n_choices)
{
    struct trace_record *r = trace_record_create();
    ck_assert(r != NULL && trace_record_reserve(&r, n_choices));
    trace_begin(&r->trace, (const uint64_t[]){1, 2}, 3);
    r->begun_ns = 1;
    r->ended_ns = 2;
    r->unix_ns = 1700000000000000000;
    r->method = "GET";
    for (size_t i = 0; i < n_choices; i++)
        r->choices[i] =
            (struct trace_choice){.arrived_ns = 1, .ended_ns = 2, .finish = "cancelled"};
    return r;
}

/* Once so many spans are sent or failed, or so many tries have. */
static struct trace_stats settled(struct trace_exporter *x, uint64_t n_spans, uint64_t n_failures)
{
    struct trace_stats stats;
    do {
        sched_yield();
        trace_exporter_stats(x, &stats);
    } while (stats.n_sent + stats.n_failed < n_spans || stats.n_failures < n_failures);
    return stats;
}

START_TEST(records_are_delivered_with_the_headers_asked_for)
{
    open_endpoint((const char *const[]){NULL});
    struct trace_exporter *x = open_exporter(endpoint.port, &quick);
    ck_assert_double_eq(trace_exporter_part(x), 0.25);
    trace_exporter_put(x, make(1)); /* a request and its queue */
    struct trace_stats stats = settled(x, 2, 0);
    ck_assert_uint_eq(stats.n_sent, 2);
    ck_assert_uint_eq(atomic_load(&endpoint.n_asked), 1); /* and with it the head is there */
    ck_assert_ptr_nonnull(strstr(endpoint.head, "POST /v1/traces HTTP/1.1\r\n"));
    ck_assert_ptr_nonnull(strstr(endpoint.head, "Content-Type: application/json\r\n"));
    ck_assert_ptr_nonnull(strstr(endpoint.head, "x-key: SECRET"));
    ck_assert_ptr_null(strstr(endpoint.head, "Expect"));
    trace_exporter_destroy(x, 60000);
    close_endpoint();
}
END_TEST

START_TEST(what_may_be_tried_again_is)
{
    open_endpoint((const char *const[]){EMPTY("429 Too Many Requests", ""),
                                        EMPTY("502 Bad Gateway", ""), "",
                                        EMPTY("503 Service Unavailable", "Retry-After: soon\r\n"),
                                        EMPTY("504 Gateway Timeout", "Retry-After: -1\r\n"), NULL});
    struct trace_exporter *x = open_exporter(endpoint.port, &quick);
    trace_exporter_put(x, make(0));
    struct trace_stats stats = settled(x, 1, 0);
    ck_assert_uint_eq(stats.n_sent, 1);
    ck_assert_uint_ge(stats.n_failures, 4); /* libcurl tries a cut kept connection again itself */
    ck_assert_uint_eq(atomic_load(&endpoint.n_asked), 6);
    trace_exporter_destroy(x, 60000);
    close_endpoint();
}
END_TEST

START_TEST(what_is_refused_is_not_tried_again)
{
    open_endpoint((const char *const[]){EMPTY("400 Bad Request", "Retry-After: 1\r\n"),
                                        EMPTY("401 Unauthorized", ""), EMPTY("404 Not Found", ""),
                                        EMPTY("500 Internal Server Error", ""),
                                        EMPTY("307 Temporary Redirect", "Location: /x\r\n"), NULL});
    struct trace_exporter *x = open_exporter(endpoint.port, &quick);
    for (size_t i = 1; i <= 5; i++) {
        trace_exporter_put(x, make(0));
        settled(x, i, i);
    }
    trace_exporter_put(x, make(0));
    struct trace_stats stats = settled(x, 6, 0);
    ck_assert_uint_eq(stats.n_sent, 1);
    ck_assert_uint_eq(stats.n_failed, 5);
    ck_assert_uint_eq(atomic_load(&endpoint.n_asked), 6);
    trace_exporter_destroy(x, 60000);
    close_endpoint();
}
END_TEST

START_TEST(retry_after_is_kept_by_later_records_too)
{
    /* All but full batches wait for the end, which alone has patience. */
    const struct trace_pace hasty = {
        .linger_ms = 3600000, .backoff_ms = 1, .backoff_max_ms = 1, .give_up_ms = 1};
    enum { FULL = 4, ITS_SPANS = FULL * (1 + 64 + 64) };
    open_endpoint(
        (const char *const[]){EMPTY("503 Service Unavailable", "Retry-After: 2\r\n"), NULL});
    struct trace_exporter *x = open_exporter(endpoint.port, &hasty);
    for (size_t i = 0; i < FULL; i++)
        trace_exporter_put(x, make(64)); /* given up: their time is over before the endpoint's */
    struct trace_stats stats = settled(x, ITS_SPANS, 1);
    ck_assert_uint_eq(stats.n_failed, ITS_SPANS);
    trace_exporter_put(x, make(0));
    trace_exporter_destroy(x, 60000); /* which waits that long, too */
    ck_assert_uint_eq(atomic_load(&endpoint.n_asked), 2);
    ck_assert_uint_ge(atomic_load(&endpoint.asked_ns[1]) - atomic_load(&endpoint.asked_ns[0]),
                      1900000000);
    close_endpoint();
}
END_TEST

START_TEST(a_partial_success_counts_what_was_rejected)
{
    static const char partial[] =
        ANSWER("200 OK", "Content-Length: 70\r\n",
               "{\"partialSuccess\":{\"rejectedSpans\":\"2\",\"errorMessage\":\"two too many\"}} ");
    open_endpoint((const char *const[]){partial, NULL});
    struct trace_exporter *x = open_exporter(endpoint.port, &quick);
    trace_exporter_put(x, make(2)); /* 1 + 2 + 2 spans */
    struct trace_stats stats = settled(x, 5, 0);
    ck_assert_uint_eq(stats.n_sent, 3);
    ck_assert_uint_eq(stats.n_failed, 2);
    trace_exporter_destroy(x, 60000);
    close_endpoint();
}
END_TEST

START_TEST(a_full_ring_drops_and_counts_and_makes_nobody_wait)
{
    enum { N = 4000, BATCH_MAX = 512 + 1 };
    open_endpoint((const char *const[]){NULL});
    atomic_store(&endpoint.held, true);
    struct trace_exporter *x = open_exporter(endpoint.port, &quick);
    for (int i = 0; i < N; i++)
        trace_exporter_put(x, make(0)); /* returns while the endpoint answers nothing */
    struct trace_stats stats;
    trace_exporter_stats(x, &stats);
    ck_assert_uint_le(stats.n_dropped, N - TRACE_RING_RECORDS);
    ck_assert_uint_ge(stats.n_dropped, N - TRACE_RING_RECORDS - 2 * BATCH_MAX);
    ck_assert_uint_eq(stats.n_sent + stats.n_failed, 0);
    const uint64_t n_kept = N - stats.n_dropped;
    atomic_store(&endpoint.held, false);
    stats = settled(x, n_kept, 0);
    ck_assert_uint_eq(stats.n_sent, n_kept);
    trace_exporter_put(x, NULL); /* there was no memory for it */
    trace_exporter_stats(x, &stats);
    ck_assert_uint_eq(stats.n_dropped + n_kept, N + 1);
    trace_exporter_destroy(x, 60000);
    close_endpoint();
}
END_TEST

START_TEST(the_ring_counts_spans_too)
{
    enum { N = 64, EACH = 1 + 2 * TRACE_CHOICES_MAX };
    open_endpoint((const char *const[]){NULL});
    atomic_store(&endpoint.held, true);
    struct trace_exporter *x = open_exporter(endpoint.port, &quick);
    for (int i = 0; i < 2 * N; i++)
        trace_exporter_put(x, make(TRACE_CHOICES_MAX));
    struct trace_stats stats;
    trace_exporter_stats(x, &stats);
    ck_assert_uint_ge(stats.n_dropped, 2 * N * EACH - TRACE_RING_SPANS - 2 * (512 + EACH));
    ck_assert_uint_eq(stats.n_dropped % EACH, 0);
    atomic_store(&endpoint.held, false);
    trace_exporter_destroy(x, 60000);
    close_endpoint();
}
END_TEST

START_TEST(the_end_sends_what_is_left)
{
    const struct trace_pace slow = {.linger_ms = 3600000, .give_up_ms = 3600000};
    open_endpoint((const char *const[]){NULL});
    struct trace_exporter *x = open_exporter(endpoint.port, &slow);
    for (int i = 0; i < 10; i++)
        trace_exporter_put(x, make(0));
    trace_exporter_destroy(x, 60000);
    ck_assert_uint_ge(atomic_load(&endpoint.n_asked), 1);
    close_endpoint();
}
END_TEST

START_TEST(the_end_does_not_wait_for_who_is_not_there)
{
    const struct trace_pace slow = {
        .backoff_ms = 3600000, .backoff_max_ms = 3600000, .give_up_ms = 3600000};
    take_port();
    struct trace_exporter *x = open_exporter(endpoint.port, &slow);
    trace_exporter_put(x, make(0));
    settled(x, 0, 1); /* it waits for an hour now */
    for (int i = 0; i < 600; i++)
        trace_exporter_put(x, make(0));
    trace_exporter_destroy(x, 3600000);
    close(endpoint.fd);
}
END_TEST

START_TEST(the_end_does_not_wait_for_who_does_not_answer)
{
    open_endpoint((const char *const[]){NULL});
    atomic_store(&endpoint.held, true);
    struct trace_exporter *x = open_exporter(endpoint.port, &quick);
    trace_exporter_put(x, make(0));
    while (atomic_load(&endpoint.n_asked) == 0)
        sched_yield();
    trace_exporter_destroy(x, 10);
    atomic_store(&endpoint.held, false);
    close_endpoint();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("exporter");
    TCase *tests = tcase_create("exporter");
    tcase_add_test(tests, records_are_delivered_with_the_headers_asked_for);
    tcase_add_test(tests, what_may_be_tried_again_is);
    tcase_add_test(tests, what_is_refused_is_not_tried_again);
    tcase_add_test(tests, retry_after_is_kept_by_later_records_too);
    tcase_add_test(tests, a_partial_success_counts_what_was_rejected);
    tcase_add_test(tests, a_full_ring_drops_and_counts_and_makes_nobody_wait);
    tcase_add_test(tests, the_ring_counts_spans_too);
    tcase_add_test(tests, the_end_sends_what_is_left);
    tcase_add_test(tests, the_end_does_not_wait_for_who_is_not_there);
    tcase_add_test(tests, the_end_does_not_wait_for_who_does_not_answer);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
