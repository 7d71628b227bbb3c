/* test_engine_groups.c - the jobs of one request: admitted all or none, each equal to itself alone.
 */
#include "engine_test.h"

enum { GROUP = 6 };

/* Choices 0, 1, ... of one prompt. */
static void make_group(struct job **jobs, size_t n, const struct request *r)
{
    for (size_t i = 0; i < n; i++) {
        jobs[i] = job_of(r);
        jobs[i]->sampling.choice = (uint32_t)i;
    }
}

static void destroy_group(struct job **jobs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        job_destroy(jobs[i]);
}

static enum status submit_group(struct engine *engine, struct job **jobs, size_t n,
                                struct error *err)
{
    uint64_t retry_ms = 0;
    enum status status = engine_submit_all(engine, jobs, n, &retry_ms, err);
    ck_assert((status == STATUS_FULL || status == STATUS_TOO_LATE) == (retry_ms >= 1000));
    return status;
}

START_TEST(each_choice_equals_itself_alone)
{
    struct engine_options o = options_of(2, 2);
    struct engine *engine = engine_open(&o);
    struct request r = simple(20, 12, 5);
    struct job *together[GROUP], *alone[GROUP];
    struct error err;
    r.temperature = 1.2f;
    make_group(together, GROUP, &r);
    make_group(alone, GROUP, &r);
    ok(submit_group(engine, together, GROUP, &err), &err);
    for (size_t i = 0; i < GROUP; i++)
        wait_finished(engine, together[i]);
    size_t n_other = 0;
    for (size_t i = 0; i < GROUP; i++) {
        submit(engine, alone[i]);
        wait_finished(engine, alone[i]);
        same_answer(alone[i], together[i]);
        n_other += i > 0 && (together[i]->n_text != together[0]->n_text ||
                             memcmp(together[i]->text, together[0]->text, together[0]->n_text));
    }
    ck_assert_uint_ge(n_other, 1); /* each has draws of its own */
    destroy_group(together, GROUP);
    destroy_group(alone, GROUP);
    engine_destroy(engine);
}
END_TEST

START_TEST(none_is_admitted_where_not_all_are)
{
    struct engine_options o = options_of(1, 1);
    o.max_batch = 2;
    o.max_queue = 3;
    struct engine *engine = engine_open(&o);
    struct request hold = simple(8, 300, 9), r = simple(8, 4, 7);
    struct job *held[2], *jobs[GROUP];
    struct error err;
    make_group(held, 2, &hold);
    make_group(jobs, GROUP, &r);
    ck_assert_int_eq(submit_group(engine, jobs, GROUP, &err), STATUS_INVALID); /* 2 + 3 at most */
    ck_assert_ptr_nonnull(strstr(err.text, "6"));
    ok(submit_group(engine, held, 2, &err), &err);
    ck_assert_int_eq(submit_group(engine, jobs, 4, &err), STATUS_FULL);
    struct engine_stats stats;
    engine_stats(engine, &stats);
    ck_assert_uint_eq(stats.queued, 0);
    ck_assert_uint_eq(stats.running, 2);
    ok(submit_group(engine, jobs, 3, &err), &err); /* the line takes three */
    ck_assert_int_eq(submit_group(engine, jobs + 3, 1, &err), STATUS_FULL);
    for (size_t i = 0; i < 2; i++)
        engine_cancel(engine, held[i]);
    for (size_t i = 0; i < 3; i++)
        wait_finished(engine, jobs[i]);
    for (size_t i = 0; i < 2; i++)
        wait_finished(engine, held[i]);
    destroy_group(held, 2);
    destroy_group(jobs, GROUP);
    engine_destroy(engine);
}
END_TEST

START_TEST(an_idle_engine_takes_slots_and_line_together)
{
    struct engine_options o = options_of(1, 1);
    o.max_batch = 2;
    o.max_queue = 3;
    struct engine *engine = engine_open(&o);
    struct request r = simple(8, 4, 11);
    struct job *jobs[5];
    struct error err;
    make_group(jobs, 5, &r);
    ok(submit_group(engine, jobs, 5, &err), &err);
    for (size_t i = 0; i < 5; i++) {
        wait_finished(engine, jobs[i]);
        ck_assert_uint_eq(jobs[i]->n_completion, 4);
    }
    destroy_group(jobs, 5);
    engine_destroy(engine);
}
END_TEST

START_TEST(one_that_never_fits_keeps_all_out)
{
    struct engine_options o = options_of(1, 1);
    struct engine *engine = engine_open(&o);
    struct request r = simple(8, 4, 13), large = simple(500, 100, 13);
    struct job *jobs[2] = {job_of(&r), job_of(&large)};
    struct error err;
    ck_assert_int_eq(submit_group(engine, jobs, 2, &err), STATUS_INVALID);
    struct engine_stats stats;
    engine_stats(engine, &stats);
    ck_assert_uint_eq(stats.running + stats.queued, 0);
    destroy_group(jobs, 2);
    engine_destroy(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("engine/groups");
    TCase *tcase = tcase_create("groups");
    tcase_add_unchecked_fixture(tcase, world_open, world_close);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, each_choice_equals_itself_alone);
    tcase_add_test(tcase, none_is_admitted_where_not_all_are);
    tcase_add_test(tcase, an_idle_engine_takes_slots_and_line_together);
    tcase_add_test(tcase, one_that_never_fits_keeps_all_out);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
