/* test_team.c - facts about the team: every chunk is done, phases follow each other, an idle team
 * wakes again. */
#include "base/team.h"

#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS = 4, PHASES = 2000, CHUNKS = 7 };

struct sums {
    unsigned values[CHUNKS];
    unsigned wrong[CHUNKS];
};

/* In every even phase each chunk raises its own number; in every odd one each checks that all were
 * raised. */
static void count_phases(void *arg, size_t phase, size_t chunk, unsigned rank)
{
    struct sums *s = arg;
    (void)rank;
    if (phase % 2 == 0) {
        s->values[chunk]++;
        return;
    }
    for (size_t i = 0; i < CHUNKS; i++)
        s->wrong[chunk] += s->values[i] != phase / 2 + 1;
}

static struct team *start(unsigned n, size_t max_phases, void (*on_start)(void))
{
    struct team *team = NULL;
    struct error err;
    ck_assert_int_eq(team_create(&team, n, max_phases, on_start, &err), STATUS_OK);
    return team;
}

START_TEST(a_phase_begins_when_the_one_before_is_done)
{
    static uint32_t n_chunks[PHASES];
    for (size_t i = 0; i < PHASES; i++)
        n_chunks[i] = CHUNKS;
    for (unsigned n = 1; n <= THREADS; n++) {
        struct sums s = {0};
        struct team *team = start(n, PHASES, NULL);
        ck_assert_uint_eq(team_size(team), n);
        team_run(team, &(struct team_work){count_phases, &s, n_chunks, PHASES});
        for (size_t i = 0; i < CHUNKS; i++) {
            ck_assert_uint_eq(s.values[i], PHASES / 2);
            ck_assert_uint_eq(s.wrong[i], 0);
        }
        team_destroy(team);
    }
}
END_TEST

struct tally {
    _Atomic unsigned chunks[4][9];
    _Atomic unsigned bad_rank;
};

static void tally_chunk(void *arg, size_t phase, size_t chunk, unsigned rank)
{
    struct tally *t = arg;
    atomic_fetch_add(&t->chunks[phase][chunk], 1);
    if (rank >= 3)
        atomic_fetch_add(&t->bad_rank, 1);
}

/* Short steps one after the other, with pauses longer than helpers spin: each chunk is done once,
 * whichever threads are awake. */
START_TEST(every_chunk_is_done_once_in_every_step)
{
    enum { STEPS = 20000 };
    static const uint32_t n_chunks[4] = {1, 9, 3, 2};
    struct team *team = start(3, 4, NULL);
    struct tally t = {0};
    for (int i = 0; i < STEPS; i++) {
        struct timespec pause = {.tv_nsec = 300000}; /* no result waits for it */
        if (i % 1000 == 0)
            nanosleep(&pause, NULL);
        team_run(team, &(struct team_work){tally_chunk, &t, n_chunks, 4});
    }
    for (size_t phase = 0; phase < 4; phase++) {
        for (size_t chunk = 0; chunk < 9; chunk++)
            ck_assert_uint_eq(t.chunks[phase][chunk], chunk < n_chunks[phase] ? STEPS : 0);
    }
    ck_assert_uint_eq(t.bad_rank, 0);
    team_destroy(team);
}
END_TEST

/* Helpers may do all of it, some or nothing while the leader is elsewhere. */
START_TEST(what_has_been_started_is_done_when_it_is_finished)
{
    static const uint32_t n_chunks[2] = {1, 9};
    for (unsigned n = 1; n <= 3; n++) {
        struct team *team = start(n, 2, NULL);
        struct tally t = {0};
        for (unsigned i = 1; i <= 2000; i++) {
            team_start(team, &(struct team_work){tally_chunk, &t, n_chunks, 2});
            for (unsigned pause = 0; pause < i % 300; pause++)
                atomic_signal_fence(memory_order_seq_cst);
            team_finish(team);
            ck_assert_uint_eq(t.chunks[0][0], i);
            for (size_t chunk = 0; chunk < 9; chunk++)
                ck_assert_uint_eq(t.chunks[1][chunk], i);
        }
        team_destroy(team);
    }
}
END_TEST

struct crew {
    _Atomic unsigned chunks[2][9];
    unsigned n_active; /* of this step */
    _Atomic unsigned beyond;
};

static void crew_chunk(void *arg, size_t phase, size_t chunk, unsigned rank)
{
    struct crew *c = arg;
    atomic_fetch_add(&c->chunks[phase][chunk], 1);
    if (rank >= c->n_active)
        atomic_fetch_add(&c->beyond, 1);
}

/* Threads leave and come back between steps: each chunk is done once, by one of those that work. */
START_TEST(those_that_work_may_change_between_steps)
{
    enum { STEPS = 6000 };
    static const uint32_t n_chunks[2] = {1, 9};
    static const unsigned sizes[] = {4, 1, 2, 3, 1, 4, 2};
    struct team *team = start(4, 2, NULL);
    struct crew c = {.n_active = 4};
    for (unsigned i = 1; i <= STEPS; i++) {
        if (i % 5 == 0) {
            c.n_active = sizes[i / 5 % 7];
            team_set_active(team, c.n_active);
            ck_assert_uint_eq(team_active(team), c.n_active);
        }
        team_run(team, &(struct team_work){crew_chunk, &c, n_chunks, 2});
        ck_assert_uint_eq(c.chunks[0][0], i);
        for (size_t chunk = 0; chunk < 9; chunk++)
            ck_assert_uint_eq(c.chunks[1][chunk], i);
    }
    ck_assert_uint_eq(c.beyond, 0);
    ck_assert_uint_eq(team_size(team), 4);
    team_set_active(team, 1); /* the others sleep, and end with the team */
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
    struct team *team = start(3, 1, note_start);
    struct tally t = {0};
    for (int i = 0; i < 10; i++)
        team_run(team, &(struct team_work){tally_chunk, &t, (const uint32_t[]){9}, 1});
    team_destroy(team); /* joins: a helper that no step waited for has started by then */
    ck_assert_uint_eq(n_started, 2);
    team_destroy(NULL);
}
END_TEST

/* A clock that never stands still. */
static uint64_t count_up(void)
{
    static _Atomic uint64_t now;
    return atomic_fetch_add(&now, 1) + 1;
}

START_TEST(marks_say_who_worked_on_what_in_order)
{
    enum { N_PHASES = 40 };
    static uint32_t n_chunks[N_PHASES];
    for (size_t i = 0; i < N_PHASES; i++)
        n_chunks[i] = (uint32_t)(1 + i % 5);
    for (unsigned n = 1; n <= THREADS; n++) {
        struct team_mark marks[THREADS * N_PHASES] = {0};
        struct sums s = {0};
        struct team *team = start(n, N_PHASES, NULL);
        team_set_marks(team, &(struct team_marks){count_up, marks, N_PHASES, 7});
        team_run(team, &(struct team_work){count_phases, &s, n_chunks, N_PHASES});
        team_set_marks(team, NULL);
        struct team_mark after[THREADS * N_PHASES];
        memcpy(after, marks, sizeof after);
        team_run(team, &(struct team_work){count_phases, &s, n_chunks, N_PHASES});
        ck_assert_int_eq(memcmp(after, marks, sizeof after), 0); /* these were not asked for */
        /* Any thread may be late, the leader too: another's next phase may begin before its own
         * look at a phase whose chunks are all done. None begins before the first has ended the
         * one before. */
        uint64_t first_end = 1, own_end[THREADS] = {0};
        for (size_t i = 0; i < N_PHASES; i++) {
            uint64_t begin = UINT64_MAX, end = UINT64_MAX;
            ck_assert_uint_gt(marks[i].end, 0); /* the leader sees all of them */
            for (unsigned rank = 0; rank < n; rank++) {
                const struct team_mark *mark = &marks[rank * N_PHASES + i];
                if (mark->end == 0)
                    continue;
                ck_assert_uint_eq(mark->run, 7);
                ck_assert_uint_gt(mark->end, mark->begin);
                ck_assert_uint_ge(mark->begin, own_end[rank]);
                own_end[rank] = mark->end;
                begin = begin < mark->begin ? begin : mark->begin;
                end = end < mark->end ? end : mark->end;
            }
            ck_assert_uint_ge(begin, first_end);
            first_end = end;
        }
        team_destroy(team);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("team");
    TCase *facts = tcase_create("facts");
    tcase_set_timeout(facts, 60);
    tcase_add_test(facts, a_phase_begins_when_the_one_before_is_done);
    tcase_add_test(facts, every_chunk_is_done_once_in_every_step);
    tcase_add_test(facts, what_has_been_started_is_done_when_it_is_finished);
    tcase_add_test(facts, those_that_work_may_change_between_steps);
    tcase_add_test(facts, on_start_runs_once_on_each_helper);
    tcase_add_test(facts, marks_say_who_worked_on_what_in_order);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
