/* test_supervisor.c - facts about what a supervisor is told, over a real datagram socket. */
#include "server/supervisor.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char folder[64], path[96];
static int listening;
static uv_loop_t loop;
static struct supervisor supervisor;
static unsigned n_beats;

static void on_beat(void *ctx)
{
    (void)ctx;
    n_beats++;
    uv_stop(&loop);
}

static void setup(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(folder, sizeof folder, "/tmp/smallmind-notify-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/notify", folder);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    listening = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(listening, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", path, 1);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    uv_close(handle, NULL);
}

static void teardown(void)
{
    uv_walk(&loop, close_handle, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    supervisor_close(&supervisor);
    close(listening);
    unlink(path);
    rmdir(folder);
}

static void begin(const char *watchdog_us)
{
    if (watchdog_us != NULL)
        setenv("WATCHDOG_USEC", watchdog_us, 1);
    supervisor_init(&supervisor, &loop, on_beat, NULL);
}

/* The next message; "" where there is none. */
static const char *heard(void)
{
    static char text[SUPERVISOR_TEXT_MAX];
    ssize_t n = recv(listening, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

START_TEST(without_a_socket_nothing_is_done)
{
    unsetenv("NOTIFY_SOCKET");
    begin("1000");
    supervisor_ready(&supervisor, "ok");
    supervisor_beat(&supervisor, "ok", true, true);
    ck_assert(!supervisor.open);
    ck_assert_str_eq(heard(), "");
}
END_TEST

START_TEST(a_status_is_told_once)
{
    begin(NULL);
    supervisor_ready(&supervisor, "one");
    ck_assert_str_eq(heard(), "READY=1\nSTATUS=one");
    supervisor_beat(&supervisor, "one", true, false);
    ck_assert_str_eq(heard(), "");
    supervisor_beat(&supervisor, "two", true, false);
    ck_assert_str_eq(heard(), "STATUS=two");
}
END_TEST

START_TEST(only_one_that_lives_gives_signs_of_life)
{
    begin("20000");
    supervisor_beat(&supervisor, "ok", true, false);
    ck_assert_str_eq(heard(), "WATCHDOG=1\nSTATUS=ok");
    supervisor_beat(&supervisor, "stalled", false, false);
    ck_assert_str_eq(heard(), "STATUS=stalled");
    supervisor_beat(&supervisor, "stalled", false, false);
    ck_assert_str_eq(heard(), "");
    uv_run(&loop, UV_RUN_DEFAULT); /* until the timer's beat */
    ck_assert_uint_eq(n_beats, 1);
}
END_TEST

START_TEST(a_start_asks_for_more_time)
{
    begin("2000000");
    supervisor_beat(&supervisor, "loading", true, true);
    ck_assert_str_eq(heard(), "WATCHDOG=1\nSTATUS=loading\nEXTEND_TIMEOUT_USEC=60000000");
    supervisor_beat(&supervisor, "loading", true, true);
    ck_assert_str_eq(heard(), "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=60000000");
}
END_TEST

START_TEST(what_finds_the_queue_full_is_told_later)
{
    begin("2000000");
    while (supervisor.waiting[0] == '\0')
        supervisor_reloading(&supervisor);
    supervisor_ready(&supervisor, "ok");
    supervisor_beat(&supervisor, "ok", true, false); /* still full */
    ck_assert_str_eq(supervisor.waiting, "READY=1\nSTATUS=ok");
    while (heard()[0] != '\0')
        continue;
    supervisor_beat(&supervisor, "ok", true, false);
    ck_assert_str_eq(heard(), "READY=1\nSTATUS=ok");
    ck_assert_str_eq(heard(), "WATCHDOG=1\n");
}
END_TEST

START_TEST(a_wrong_time_of_the_watchdog_is_none)
{
    static const char *const wrong[] = {"", "-1", "x", "10s", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        begin(wrong[i]);
        ck_assert_uint_eq(supervisor.watchdog_ms, 0);
        uv_close((uv_handle_t *)&supervisor.timer, NULL);
        uv_run(&loop, UV_RUN_DEFAULT);
        supervisor_close(&supervisor);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("supervisor");
    TCase *facts = tcase_create("facts");
    tcase_add_checked_fixture(facts, setup, teardown);
    tcase_add_test(facts, without_a_socket_nothing_is_done);
    tcase_add_test(facts, a_status_is_told_once);
    tcase_add_test(facts, only_one_that_lives_gives_signs_of_life);
    tcase_add_test(facts, a_start_asks_for_more_time);
    tcase_add_test(facts, what_finds_the_queue_full_is_told_later);
    tcase_add_test(facts, a_wrong_time_of_the_watchdog_is_none);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
