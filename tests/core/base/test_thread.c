/* test_thread.c - threads without signals, and how long their ends are waited for. */
#include "base/thread.h"

#include <check.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>

static sem_t may_end;

static void *note_signals(void *arg)
{
    pthread_sigmask(SIG_SETMASK, NULL, arg);
    return NULL;
}

static void *stay(void *arg)
{
    sem_wait(&may_end);
    return arg;
}

START_TEST(a_thread_gets_no_signals_and_its_starter_keeps_its_own)
{
    pthread_t thread;
    sigset_t in_thread, before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    ck_assert_int_eq(thread_start(&thread, note_signals, &in_thread), 0);
    ck_assert_int_eq(thread_join_within(thread, 60000), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    ck_assert_int_eq(sigismember(&in_thread, SIGTERM), 1);
    ck_assert_int_eq(sigismember(&in_thread, SIGHUP), 1);
    ck_assert_int_eq(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}
END_TEST

START_TEST(one_that_stays_is_let_go)
{
    pthread_t thread;
    ck_assert_int_eq(sem_init(&may_end, 0, 0), 0);
    ck_assert_int_eq(thread_start(&thread, stay, NULL), 0);
    ck_assert_int_eq(thread_join_within(thread, 1), ETIMEDOUT);
    sem_post(&may_end);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("thread");
    TCase *c = tcase_create("thread");
    tcase_add_test(c, a_thread_gets_no_signals_and_its_starter_keeps_its_own);
    tcase_add_test(c, one_that_stays_is_let_go);
    suite_add_tcase(s, c);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
