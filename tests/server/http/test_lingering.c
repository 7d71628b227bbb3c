/* test_lingering.c - facts about sockets that are left. */
#include "server/http/lingering.h"

#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uv_loop_t loop;
static struct lingering lingering;
static int ours, theirs; /* a socket's two ends */
static unsigned n_ended;

static void on_ended(void *ctx)
{
    (void)ctx;
    n_ended++;
}

static void setup(void)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    ours = pair[0];
    theirs = pair[1];
    n_ended = 0;
    lingering = (struct lingering){.loop = NULL};
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    lingering_init(&lingering, &loop, on_ended, NULL);
}

static void teardown(void)
{
    lingering_close(&lingering);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    close(theirs);
}

/* As the library does: it is closed right after. */
static bool leave(uint64_t now_ms)
{
    bool stays = lingering_take(&lingering, ours, now_ms);
    close(ours);
    return stays;
}

static ssize_t send_all_there_is_room_for(void)
{
    static const char bytes[4096];
    ssize_t n, total = 0;
    while ((n = send(theirs, bytes, sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
        total += n;
    return total;
}

START_TEST(a_client_in_mid_send_reads_the_answer_and_sends_on)
{
    char text[16] = "";
    ck_assert_int_gt(send_all_there_is_room_for(), 0);
    ck_assert_int_eq(send(ours, "answer", 6, 0), 6);
    ck_assert(leave(1));
    for (int i = 0; i < 20; i++) {
        ck_assert_int_gt(send_all_there_is_room_for(), 0);
        uv_run(&loop, UV_RUN_ONCE);
    }
    ck_assert_int_eq(recv(theirs, text, sizeof text, 0), 6);
    ck_assert_str_eq(text, "answer");
    ck_assert_int_eq(recv(theirs, text, sizeof text, 0), 0); /* our end, and no reset */
    shutdown(theirs, SHUT_WR);
    while (n_ended == 0)
        uv_run(&loop, UV_RUN_ONCE);
}
END_TEST

START_TEST(a_client_that_has_ended_is_not_waited_for)
{
    ck_assert_int_eq(send(theirs, "rest", 4, 0), 4);
    shutdown(theirs, SHUT_WR);
    ck_assert(!leave(1));
    ck_assert_uint_eq(n_ended, 0);
}
END_TEST

START_TEST(silence_and_time_are_bounded)
{
    ck_assert(leave(1000));
    lingering_beat(&lingering, 1000 + LINGER_SILENCE_MS);
    ck_assert_uint_eq(n_ended, 0);
    uint64_t now_ms = 1000;
    while (now_ms < 1000 + LINGER_TOTAL_MS) { /* a byte now and then */
        ck_assert_int_eq(send(theirs, "x", 1, 0), 1);
        uv_run(&loop, UV_RUN_ONCE);
        lingering_beat(&lingering, now_ms);
        ck_assert_uint_eq(n_ended, 0);
        now_ms += LINGER_SILENCE_MS;
    }
    lingering_beat(&lingering, 1001 + LINGER_TOTAL_MS);
    ck_assert_uint_eq(n_ended, 1);
    ck_assert_int_eq(send(theirs, "x", 1, MSG_NOSIGNAL), -1);
}
END_TEST

START_TEST(a_silent_client_is_closed)
{
    ck_assert(leave(1000));
    lingering_beat(&lingering, 1001 + LINGER_SILENCE_MS);
    ck_assert_uint_eq(n_ended, 1);
}
END_TEST

START_TEST(bytes_are_bounded)
{
    ck_assert(leave(1));
    size_t n = 0;
    while (n_ended == 0) {
        ssize_t sent = send_all_there_is_room_for();
        ck_assert(sent > 0);
        n += (size_t)sent;
        uv_run(&loop, UV_RUN_ONCE);
    }
    ck_assert_uint_gt(n, LINGER_BYTES);
    ck_assert_uint_lt(n, LINGER_BYTES + (8u << 20));
}
END_TEST

START_TEST(the_oldest_gives_way)
{
    int pair[2];
    ck_assert(leave(1));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    ck_assert(lingering_take(&lingering, pair[0], 2));
    close(pair[0]);
    ck_assert(lingering_give_way(&lingering));
    ck_assert_int_eq(send(theirs, "x", 1, MSG_NOSIGNAL), -1);
    ck_assert_int_eq(send(pair[1], "x", 1, MSG_NOSIGNAL), 1);
    ck_assert(lingering_give_way(&lingering));
    ck_assert(!lingering_give_way(&lingering));
    ck_assert_uint_eq(n_ended, 2);
    close(pair[1]);
}
END_TEST

START_TEST(a_closed_one_takes_nothing)
{
    lingering_close(&lingering);
    ck_assert(!leave(1));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lingering");
    TCase *tests = tcase_create("sockets");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_client_in_mid_send_reads_the_answer_and_sends_on);
    tcase_add_test(tests, a_client_that_has_ended_is_not_waited_for);
    tcase_add_test(tests, silence_and_time_are_bounded);
    tcase_add_test(tests, a_silent_client_is_closed);
    tcase_add_test(tests, bytes_are_bounded);
    tcase_add_test(tests, the_oldest_gives_way);
    tcase_add_test(tests, a_closed_one_takes_nothing);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
