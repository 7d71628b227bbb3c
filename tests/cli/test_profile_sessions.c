/* test_profile_sessions.c - facts about the workload of `profile`: each group of requests has an
 * engine of its own, the recorder's cost is found on others, and the last one is handed over. */
#include "cli/profile/run.h"
#include "forward/kv.h"

#include <check.h>
#include <stdlib.h>

static struct settings *settings;
static struct loaded loaded;
static struct engine *engine;
static struct profile_parts parts;
static struct error err;

static void setup(void)
{
    char program[] = "smallmind", verb[] = "profile", threads[] = "--threads", two[] = "2";
    char *argv[] = {program, verb, threads, two}, *env[] = {NULL};
    ck_assert_int_eq(settings_resolve(&settings, 4, argv, env, NULL, 0, &err), STATUS_OK);
    ck_assert_int_eq(load_all(&loaded, settings, &err), STATUS_OK);
}

static void teardown(void)
{
    profile_parts_free(&parts);
    engine_destroy(engine);
    engine = NULL;
    load_free(&loaded);
    settings_free(settings);
}

static enum status run(const struct profile_plan *plan)
{
    struct bar bar;
    bar_begin(&bar, "profiling", "sessions");
    enum status status = sessions_measure(&parts, &loaded, settings, plan, &engine, &bar, &err);
    bar_end(&bar);
    return status;
}

static const struct profile_plan plan = {
    .sessions = 5, .tokens = 6, .prompt = 4, .batch = 2, .temperature = 0.8f, .overhead = true};

START_TEST(the_last_engine_is_the_callers)
{
    ck_assert_msg(run(&plan) == STATUS_OK, "%s", err.text);
    ck_assert_uint_eq(engine_plan(engine)->n_workers, 1);
    ck_assert_uint_eq(engine_plan(engine)->n_threads, 2);
    const struct loaded_model model = {.model = loaded.model,
                                       .tokenizer = loaded.tokenizer,
                                       .kernels = loaded.kernels,
                                       .cpu = &loaded.cpu};
    ck_assert_int_eq(profile_build(&parts, &model, engine, KV_F16, &err), STATUS_OK);
    ck_assert(parts.report->tokens_s > 0);
}
END_TEST

START_TEST(groups_are_samples_and_the_cost_is_found_on_many_starts)
{
    ck_assert_msg(run(&plan) == STATUS_OK, "%s", err.text);
    ck_assert_uint_eq(parts.n_sessions, 3); /* 2, 2 and 1 request */
    ck_assert(parts.sessions[0].n_tokens == 12 && parts.sessions[2].n_tokens == 6);
    ck_assert(parts.overhead.measured);
    ck_assert_uint_gt(parts.overhead.n_starts, 1);
    ck_assert(parts.overhead.interval.low <= parts.overhead.part &&
              parts.overhead.part <= parts.overhead.interval.high);
}
END_TEST

/* No room for a session long enough: the sessions' own report comes all the same. */
START_TEST(a_small_cache_leaves_the_cost_out)
{
    struct settings small = *settings;
    small.kv_memory = kv_page_bytes(&loaded.model->shape, KV_F16);
    const struct profile_plan one = {
        .sessions = 1, .tokens = 5, .prompt = 5, .batch = 1, .overhead = true};
    struct settings *all = settings;
    settings = &small;
    enum status status = run(&one);
    settings = all;
    ck_assert_msg(status == STATUS_OK, "%s", err.text);
    ck_assert(!parts.overhead.measured);
    ck_assert_uint_eq(parts.n_sessions, 1);
}
END_TEST

START_TEST(what_cannot_start_leaves_nothing)
{
    struct settings none = *settings;
    none.kv_memory = 1;
    struct settings *all = settings;
    settings = &none;
    enum status status = run(&plan);
    settings = all;
    ck_assert_int_ne(status, STATUS_OK);
    ck_assert_ptr_null(engine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("profile_sessions");
    TCase *facts = tcase_create("facts");
    tcase_set_timeout(facts, 300);
    tcase_add_checked_fixture(facts, setup, teardown);
    tcase_add_test(facts, the_last_engine_is_the_callers);
    tcase_add_test(facts, groups_are_samples_and_the_cost_is_found_on_many_starts);
    tcase_add_test(facts, a_small_cache_leaves_the_cost_out);
    tcase_add_test(facts, what_cannot_start_leaves_nothing);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
