/* test_team.c - facts about the team: everybody runs, the barrier separates phases, an idle team
 * wakes again. */
#include "base/team.h"

#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { THREADS = 4, PHASES = 2000 };

struct sums {
    struct team *team;
    unsigned values[THREADS];
    unsigned wrong[THREADS];
};

/* In every phase each thread raises its own number, then checks that it sees all of them raised. */
static void count_phases(void *arg, unsigned rank)
{
    struct sums *s = arg;
    unsigned n = team_size(s->team);
    for (unsigned phase = 1; phase <= PHASES; phase++) {
        s->values[rank]++;
        team_barrier(s->team, rank);
        for (unsigned i = 0; i < n; i++)
            s->wrong[rank] += s->values[i] != phase;
        team_barrier(s->team, rank);
    }
}

START_TEST(barrier_separates_phases)
{
    for (unsigned n = 1; n <= THREADS; n++) {
        struct sums s = {0};
        struct error err;
        ck_assert_int_eq(team_create(&s.team, n, NULL, &err), STATUS_OK);
        ck_assert_uint_eq(team_size(s.team), n);
        team_run(s.team, count_phases, &s);
        for (unsigned i = 0; i < n; i++) {
            ck_assert_uint_eq(s.values[i], PHASES);
            ck_assert_uint_eq(s.wrong[i], 0);
        }
        team_destroy(s.team);
    }
}
END_TEST

static void add_rank(void *arg, unsigned rank)
{
    atomic_fetch_add((_Atomic unsigned *)arg, rank + 1);
}

START_TEST(team_runs_again_after_its_helpers_went_to_sleep)
{
    struct team *team;
    struct error err;
    _Atomic unsigned total = 0;
    ck_assert_int_eq(team_create(&team, 3, NULL, &err), STATUS_OK);
    for (int i = 0; i < 50; i++) {
        struct timespec pause = {
            .tv_nsec =
                i % 10 == 0 ? 1000000 : 0}; /* longer than helpers spin: no result waits for it */
        nanosleep(&pause, NULL);
        team_run(team, add_rank, &total);
    }
    ck_assert_uint_eq(total, 50 * 6);
    team_destroy(team);
}
END_TEST

static _Atomic unsigned n_started;

static void note_start(void)
{
    atomic_fetch_add(&n_started, 1);
}

START_TEST(on_start_runs_once_on_each_helper)
{
    struct team *team;
    struct error err;
    _Atomic unsigned total = 0;
    ck_assert_int_eq(team_create(&team, 3, note_start, &err), STATUS_OK);
    team_run(team, add_rank, &total);
    team_run(team, add_rank, &total);
    ck_assert_uint_eq(n_started, 2);
    team_destroy(team);
    team_destroy(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("team");
    TCase *facts = tcase_create("facts");
    tcase_set_timeout(facts, 60);
    tcase_add_test(facts, barrier_separates_phases);
    tcase_add_test(facts, team_runs_again_after_its_helpers_went_to_sleep);
    tcase_add_test(facts, on_start_runs_once_on_each_helper);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
