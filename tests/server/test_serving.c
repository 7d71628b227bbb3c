/* test_serving.c - facts about requests, tasks and generations, in one process over sockets. */
#include "server/serving.h"

#include "api/native/native.h"
#include "engine/stats.h"

#include <semaphore.h>

/* --- a handler that notes what is done to it --- */

struct noted {
    struct task task;
    bool ready; /* the answer is */
};

static struct {
    unsigned n_begun, n_resumed, n_left, n_ended, n_freed, n_worked;
    struct noted *last;
    sem_t go; /* for work on the pool */
} notes;

static enum MHD_Result answer_body(struct request *r, const char *body)
{
    union {
        const char *in;
        void *out;
    } text = {.in = body};
    return request_answer(
        r, &(struct answer){
               .status = 200, .body = text.out, .n_body = strlen(body), .memory = BODY_STATIC});
}

static enum MHD_Result begin_at_once(struct request *r)
{
    notes.n_begun++;
    return answer_body(r, "at once");
}

static enum MHD_Result begin_later(struct request *r)
{
    notes.n_begun++;
    notes.last = task_create(r, sizeof *notes.last);
    ck_assert_ptr_nonnull(notes.last);
    request_suspend(r);
    return MHD_YES;
}

static void work(struct task *task)
{
    (void)task;
    while (sem_wait(&notes.go) != 0)
        continue;
    notes.n_worked++;
}

static void after_work(struct task *task)
{
    ((struct noted *)task)->ready = true;
    task_wake(task);
}

static enum MHD_Result begin_pool(struct request *r)
{
    enum MHD_Result result = begin_later(r);
    ck_assert(task_work(&notes.last->task, work, after_work));
    return result;
}

static enum MHD_Result resume(struct request *r, struct task *task)
{
    notes.n_resumed++;
    if (((struct noted *)task)->ready)
        return answer_body(r, "later");
    request_suspend(r);
    return MHD_YES;
}

static void on_left(struct task *task)
{
    ck_assert_ptr_nonnull(task->request);
    notes.n_left++;
}

static void on_end(struct task *task)
{
    ck_assert_ptr_null(task->request);
    notes.n_ended++;
}

static void on_free(struct task *task)
{
    (void)task;
    notes.n_freed++;
}

static const struct handler at_once = {.begin = begin_at_once};
static const struct handler later = {
    .begin = begin_later, .resume = resume, .left = on_left, .end = on_end, .free = on_free};
static const struct handler pool = {
    .begin = begin_pool, .resume = resume, .left = on_left, .end = on_end, .free = on_free};

static const struct route stub_routes[] = {
    {"/at-once", "GET", "GET", ROUTE_OPEN, &at_once, NULL, NULL},
    {"/later", "POST", "POST", ROUTE_OPEN | ROUTE_BODY, &later, NULL, NULL},
    {"/pool", "POST", "POST", ROUTE_OPEN | ROUTE_BODY, &pool, NULL, NULL},
};
static const struct route_table stubs = {.routes = stub_routes, .n = 3, .dialect = &native_dialect};

static char program[] = "smallmind", verb[] = "serve";

static void open_stubs(void)
{
    char *argv[] = {program, verb, NULL};
    memset(&notes, 0, sizeof notes);
    sem_init(&notes.go, 0, 0);
    serving_open(&stubs, 2, argv);
}

static void open_service(void)
{
    char *argv[] = {program, verb, NULL};
    serving_open(&service_routes, 2, argv);
    serving_load();
}

#define AT_ONCE    "GET /at-once HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define POST(path) "POST " path " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody"

/* --- requests --- */

START_TEST(requests_are_answered_in_order_however_they_are_cut)
{
    static const char bytes[] = AT_ONCE AT_ONCE POST("/nowhere") AT_ONCE;
    open_stubs();
    for (size_t step = 1; step < sizeof bytes; step = step < 40 ? step + 13 : 2 * step) {
        struct client client;
        client_open(&client);
        for (size_t i = 0; i < sizeof bytes - 1; i += step) {
            char part[sizeof bytes] = "";
            memcpy(part, bytes + i, i + step < sizeof bytes - 1 ? step : sizeof bytes - 1 - i);
            client_send(&client, part);
            uv_run(&serving.service.loop.uv, UV_RUN_NOWAIT);
        }
        client_await(&client, "\"not_found\"");
        const char *rest = client.text; /* 200, 200, 404, 200 */
        for (int i = 0; i < 4; i++) {
            const char *status = client_await_from(&client, rest, "HTTP/1.1 ");
            ck_assert_int_eq(atoi(status + 9), i == 2 ? 404 : 200);
            rest = status + 9;
        }
        client_await_from(&client, rest, "at once");
        client_close(&client);
    }
    serving_close();
}
END_TEST

START_TEST(a_task_is_resumed_ended_and_freed_once)
{
    struct client client;
    open_stubs();
    client_open(&client);
    client_send(&client, POST("/later"));
    while (notes.last == NULL)
        serving_turn();
    ck_assert_uint_eq(notes.last->task.n_body, 4);
    ck_assert_mem_eq(notes.last->task.body, "body", 4);
    task_wake(&notes.last->task); /* not ready yet */
    ck_assert_uint_eq(notes.n_resumed, 1);
    notes.last->ready = true;
    task_wake(&notes.last->task);
    client_await(&client, "later");
    while (notes.n_freed == 0)
        serving_turn();
    client_close(&client);
    serving_close();
    ck_assert_uint_eq(notes.n_begun + notes.n_ended + notes.n_freed, 3);
    ck_assert_uint_eq(notes.n_resumed, 2);
    ck_assert_uint_eq(notes.n_left, 0);
}
END_TEST

START_TEST(a_client_that_leaves_is_noticed_while_its_request_waits)
{
    struct client client, idle;
    open_stubs();
    client_open(&idle); /* an older connection: what the library reaps must not depend on it */
    client_send(&idle, AT_ONCE);
    client_await(&idle, "at once");
    client_open(&client);
    client_send(&client, POST("/later"));
    while (notes.last == NULL)
        serving_turn();
    client_close(&client);
    while (notes.n_freed == 0)
        serving_turn();
    ck_assert_uint_eq(notes.n_left, 1);
    ck_assert_uint_eq(notes.n_ended, 1);
    while (serving.service.http.n_conns > 1)
        serving_turn();
    client_close(&idle);
    serving_close();
}
END_TEST

START_TEST(a_task_outlives_its_request_while_the_pool_or_its_handler_holds_it)
{
    struct client client;
    open_stubs();
    client_open(&client);
    client_send(&client, POST("/pool"));
    while (notes.last == NULL)
        serving_turn();
    struct task *task = &notes.last->task;
    task_hold(task);
    client_close(&client);
    while (notes.n_ended == 0)
        serving_turn();
    ck_assert_uint_eq(notes.n_freed + notes.n_worked, 0);
    ck_assert(task->left);
    sem_post(&notes.go);
    while (task->working)
        serving_turn();
    ck_assert_uint_eq(notes.n_worked, 1);
    ck_assert_uint_eq(notes.n_freed, 0);
    task_release(task);
    ck_assert_uint_eq(notes.n_freed, 1);
    ck_assert_uint_eq(serving.service.http.n_tasks, 0);
    serving_close();
}
END_TEST

START_TEST(what_the_guard_refuses_reaches_no_handler)
{
    struct client client;
    open_stubs();
    client_open(&client);
    client_send(&client, AT_ONCE "GET /at-once HTTP/1.1\r\n: x\r\nHost: localhost\r\n\r\n" AT_ONCE);
    client_await_end(&client);
    ck_assert_ptr_nonnull(strstr(client.text, "HTTP/1.1 400 "));
    ck_assert_uint_eq(notes.n_begun, 1);
    ck_assert_uint_eq(serving.service.metrics.requests[stubs.n][2], 1); /* 400, "other" */
    client_close(&client);
    serving_close();
}
END_TEST

/* --- generations --- */

static void send_generate(struct client *client, const char *fields)
{
    char text[1024];
    snprintf(text, sizeof text,
             "POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(fields), fields);
    client_send(client, text);
}

START_TEST(a_generation_is_a_whole_answer_or_a_stream_of_the_same_text)
{
    struct client client;
    open_service();
    client_open(&client);
    send_generate(&client, "{\"prompt\":\"Once\",\"max_tokens\":8,\"temperature\":0}");
    client_await(&client, "\"timings\"");
    ck_assert_ptr_nonnull(strstr(client.text, "\"completion_tokens\":8"));
    client.n = 0;
    send_generate(&client,
                  "{\"prompt\":\"Once\",\"max_tokens\":8,\"temperature\":0,\"stream\":true}");
    client_await(&client, "data: [DONE]");
    ck_assert_ptr_nonnull(strstr(client.text, "text/event-stream"));
    ck_assert_ptr_nonnull(strstr(client.text, "\"finish_reason\":\"length\""));
    client_close(&client);
    while (serving.service.jobs.n > 0)
        serving_turn();
    serving_close();
}
END_TEST

START_TEST(a_stream_whose_client_leaves_is_cancelled_and_its_job_goes)
{
    struct client client;
    open_service();
    client_open(&client);
    send_generate(&client, "{\"prompt\":\"Once\",\"max_tokens\":400,\"ignore_eos\":true,"
                           "\"stream\":true}");
    client_await(&client, "data: ");
    ck_assert_uint_eq(serving.service.jobs.n, 1);
    client_close(&client);
    while (serving.service.jobs.n > 0)
        serving_turn();
    struct engine_stats stats;
    engine_stats(serving.service.engine, &stats);
    ck_assert_uint_lt(stats.generated_tokens, 400);
    serving_close();
}
END_TEST

struct follower {
    struct job_reader reader;
    unsigned n_news, n_ends;
};

static bool on_news(struct job_reader *reader)
{
    ((struct follower *)reader)->n_news++;
    return false;
}

static bool on_job_end(struct job_reader *reader)
{
    ((struct follower *)reader)->n_ends++;
    return false;
}

START_TEST(a_kept_job_runs_on_without_its_client_and_can_be_read_again)
{
    struct client client;
    struct jobs *jobs = &serving.service.jobs;
    struct follower follower = {.reader = {.news = on_news, .end = on_job_end}}, late = follower;
    open_service();
    client_open(&client);
    send_generate(&client, "{\"prompt\":\"Once\",\"max_tokens\":200,\"ignore_eos\":true,"
                           "\"stream\":true}");
    client_await(&client, "data: ");
    struct job_entry *entry = jobs->first;
    ck_assert(jobs_keep(jobs, entry, "mine"));
    ck_assert(!jobs_keep(jobs, entry, "again"));
    jobs_attach(entry, &follower.reader);
    client_close(&client);
    while (follower.n_ends == 0)
        serving_turn();
    jobs_detach(jobs, &follower.reader);
    ck_assert_uint_eq(jobs->n, 1);
    ck_assert_ptr_eq(jobs_find(jobs, "mine"), entry);
    jobs_attach(entry, &late.reader);
    ck_assert(late.reader.ended);
    ck_assert_uint_eq(jobs_job(entry)->n_completion, 200);
    jobs_let_go(jobs, entry);
    ck_assert_uint_eq(jobs->n, 1); /* it is still read */
    jobs_detach(jobs, &late.reader);
    ck_assert_uint_eq(jobs->n, 0);
    serving_close();
}
END_TEST

START_TEST(no_more_jobs_are_kept_than_may_be)
{
    struct client client;
    struct jobs *jobs = &serving.service.jobs;
    char name[16];
    open_service();
    client_open(&client);
    for (int i = 0; i <= JOBS_KEPT_MAX; i++) {
        client.n = 0;
        client.text[0] = '\0';
        send_generate(&client, "{\"prompt\":\"Once\",\"max_tokens\":1}");
        struct job_entry *newest = jobs->first;
        while (jobs->first == newest)
            serving_turn();
        snprintf(name, sizeof name, "job-%d", i);
        ck_assert(jobs_keep(jobs, jobs->first, name));
        client_await(&client, "\"timings\"");
        while (serving.service.http.n_tasks > 0)
            serving_turn();
    }
    ck_assert_uint_eq(jobs->n, JOBS_KEPT_MAX);
    ck_assert_uint_eq(jobs->n_kept, JOBS_KEPT_MAX);
    ck_assert_ptr_null(jobs_find(jobs, "job-0")); /* the oldest has gone */
    ck_assert_ptr_nonnull(jobs_find(jobs, "job-1"));
    client_close(&client);
    serving_close();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("serving");
    TCase *tcase = tcase_create("serving");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, requests_are_answered_in_order_however_they_are_cut);
    tcase_add_test(tcase, a_task_is_resumed_ended_and_freed_once);
    tcase_add_test(tcase, a_client_that_leaves_is_noticed_while_its_request_waits);
    tcase_add_test(tcase, a_task_outlives_its_request_while_the_pool_or_its_handler_holds_it);
    tcase_add_test(tcase, what_the_guard_refuses_reaches_no_handler);
    tcase_add_test(tcase, a_generation_is_a_whole_answer_or_a_stream_of_the_same_text);
    tcase_add_test(tcase, a_stream_whose_client_leaves_is_cancelled_and_its_job_goes);
    tcase_add_test(tcase, a_kept_job_runs_on_without_its_client_and_can_be_read_again);
    tcase_add_test(tcase, no_more_jobs_are_kept_than_may_be);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
