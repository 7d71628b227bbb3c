/* test_recorder.c - facts about the recorder: a known load gives known sums, steps are recorded
 * whole or not at all, and what is not asked for costs nothing and leaves nothing. */
#include "core/profile/known_load.h"

#include <math.h>

static struct record *record;

static void take(struct recorder *r)
{
    struct error err;
    record_destroy(record);
    ck_assert_int_eq(recorder_take(r, &record, &err), STATUS_OK);
}

static void start(struct recorder *r, unsigned every)
{
    recorder_start(r, &(struct record_options){.every = every});
}

/* Parts of the whole: the clock's ticks have no length of their own. */
static void is_part(double value, double ticks)
{
    double whole = record_cell(record, RECORD_DECODE, LOAD_LAYERS, SCOPES)->total;
    ck_assert_msg(fabs(value / whole - ticks / (double)LOAD_TICKS) < 1e-9, "%f of %f, not %f of %d",
                  value, whole, ticks, LOAD_TICKS);
}

static const struct record_cell *cell(size_t layer, size_t scope)
{
    return record_cell(record, RECORD_DECODE, layer, scope);
}

START_TEST(a_known_step_is_told_apart)
{
    struct recorder *r = load_recorder();
    start(r, 1);
    const struct step_times *times = load_step(r, RECORD_DECODE, false);
    ck_assert_ptr_nonnull(times);
    take(r);
    is_part(cell(LOAD_LAYERS, SCOPES)->total, LOAD_TICKS);
    is_part(cell(0, SCOPES)->total, 500);
    is_part(cell(1, SCOPES)->total, 300);
    /* Leader for all of it, helper for half: busy for three quarters of the time. */
    is_part(cell(0, SCOPE_QKV)->total, 200);
    is_part(cell(0, SCOPE_QKV)->busy, 150);
    /* Both threads set 75 ticks of gate/up's 300 apart. */
    is_part(cell(0, SCOPE_ACTIVATION)->total, 75);
    is_part(cell(0, SCOPE_ACTIVATION)->busy, 75);
    is_part(cell(0, SCOPE_GATE_UP)->total, 225);
    is_part(cell(0, SCOPE_GATE_UP)->busy, 150);
    /* The leader alone: half of the team. */
    is_part(cell(LOAD_LAYERS, SCOPE_SCHEDULE)->total, 20);
    is_part(cell(LOAD_LAYERS, SCOPE_SCHEDULE)->busy, 10);
    is_part(cell(LOAD_LAYERS, SCOPE_SAMPLE)->total, 50);
    is_part(cell(LOAD_LAYERS, SCOPE_TEXT)->total, 30);
    is_part(cell(LOAD_LAYERS, SCOPE_RECORD)->total, 50);
    recorder_destroy(r);
}
END_TEST

START_TEST(all_of_a_step_stands_in_its_scopes)
{
    struct recorder *r = load_recorder();
    start(r, 1);
    for (int i = 0; i < 10; i++)
        load_step(r, RECORD_DECODE, false);
    take(r);
    double sum = 0, layers = 0;
    for (size_t layer = 0; layer <= LOAD_LAYERS; layer++)
        for (size_t scope = 0; scope < SCOPES; scope++)
            sum += cell(layer, scope)->total;
    for (size_t layer = 0; layer < LOAD_LAYERS; layer++) {
        layers += cell(layer, SCOPES)->total;
        ck_assert_uint_eq(cell(layer, SCOPES)->n, 10);
        ck_assert_uint_eq(cell(layer, SCOPE_QKV)->n, 10);
    }
    is_part(sum, LOAD_TICKS);
    is_part(layers, 800);
    ck_assert_uint_eq(record->totals.steps[RECORD_DECODE].n_recorded, 10);
    ck_assert_uint_eq(record->totals.n_lines, 10);
    uint64_t counted = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        counted += record_histogram(record, RECORD_DECODE, SCOPE_QKV)[i];
    ck_assert_uint_eq(counted, 20);
    recorder_destroy(r);
}
END_TEST

/* A helper's work before the leader came is that phase's all the same, not that of the one at
 * which the leader lost its processor. */
START_TEST(a_late_leader_changes_no_phase)
{
    struct recorder *r = load_recorder();
    start(r, 1);
    load_step_of(r, RECORD_DECODE, false, LOAD_LEADER_LATE, &load_all);
    take(r);
    for (size_t layer = 0; layer < LOAD_LAYERS; layer++) {
        ck_assert_uint_eq(cell(layer, SCOPE_GATE_UP)->n, 1);
        ck_assert_uint_eq(cell(layer, SCOPE_ACTIVATION)->n, 1);
        is_part(cell(layer, SCOPE_QKV)->total, 200);
        is_part(cell(layer, SCOPE_GATE_UP)->total + cell(layer, SCOPE_ACTIVATION)->total,
                layer == 0 ? 300 : 100);
        is_part(cell(layer, SCOPE_ACTIVATION)->busy, (layer == 0 ? 75 : 25) / 2.0);
    }
    recorder_destroy(r);
}
END_TEST

START_TEST(marks_of_an_earlier_step_count_for_nothing)
{
    struct recorder *r = load_recorder();
    start(r, 1);
    load_step(r, RECORD_DECODE, false);
    start(r, 1); /* forgets the sums; the marks are still there */
    load_step_of(r, RECORD_DECODE, false, LOAD_LEADER_ONLY, &load_all);
    take(r);
    is_part(cell(0, SCOPE_QKV)->busy, 200 / 2.0);
    is_part(cell(0, SCOPE_ACTIVATION)->busy, 75 / 2.0);
    for (size_t i = 0; i < LOAD_PHASES; i++) {
        ck_assert_uint_gt(record->spans[i].end, 0);
        ck_assert_uint_eq(record->spans[LOAD_PHASES + i].end, 0);
    }
    recorder_destroy(r);
}
END_TEST

START_TEST(a_phase_left_out_has_no_time_and_no_count)
{
    static const struct load_run run = {{0, 1, 2, 5}, 4}; /* a layer of nothing */
    struct recorder *r = load_recorder();
    start(r, 1);
    load_step(r, RECORD_DECODE, false); /* leaves marks */
    load_step_of(r, RECORD_DECODE, false, LOAD_BOTH, &run);
    take(r);
    ck_assert_uint_eq(cell(0, SCOPE_QKV)->n, 2);
    ck_assert_uint_eq(cell(1, SCOPE_QKV)->n, 1);
    ck_assert_uint_eq(cell(1, SCOPE_ACTIVATION)->n, 1);
    ck_assert_uint_eq(cell(1, SCOPES)->n, 1);
    ck_assert_uint_eq(cell(LOAD_LAYERS, SCOPE_HEAD)->n, 2);
    double sum = 0;
    for (size_t layer = 0; layer <= LOAD_LAYERS; layer++)
        for (size_t scope = 0; scope < SCOPES; scope++)
            sum += cell(layer, scope)->total;
    ck_assert(fabs(sum / cell(LOAD_LAYERS, SCOPES)->total - 1) < 1e-9);
    recorder_destroy(r);
}
END_TEST

START_TEST(a_jobs_times_are_those_of_the_step)
{
    struct recorder *r = load_recorder();
    const struct step_times *t = load_step(r, RECORD_DECODE, true); /* wanted, and not recorded */
    ck_assert_ptr_nonnull(t);
    double sum = 0, matrices = 0;
    for (size_t i = 0; i < SCOPES; i++)
        sum += t->total[i];
    for (size_t i = 0; i < SCOPE_NONE; i++)
        matrices += t->matrix[i];
    const double wall = LOAD_TICKS - 25; /* up to its text */
    ck_assert(fabs(sum / t->wall - 1) < 1e-9);
    ck_assert(fabs(t->matrix[WEIGHT_Q4_0] / t->wall - (200 + 225 + 200.0) / wall) < 1e-9);
    ck_assert(fabs(t->matrix[WEIGHT_Q6_K] / t->wall - 75.0 / wall) < 1e-9);
    ck_assert(fabs(t->matrix[SCOPE_MIXED] / t->wall - 50.0 / wall) < 1e-9);
    ck_assert(matrices < t->wall);
    take(r);
    ck_assert_uint_eq(record->totals.steps[RECORD_DECODE].n_seen, 0);
    recorder_destroy(r);
}
END_TEST

START_TEST(off_it_records_nothing)
{
    struct recorder *r = load_recorder();
    ck_assert_ptr_null(load_step(r, RECORD_DECODE, false));
    ck_assert(!recorder_is_active(r) && recorder_forward_marks(r) == NULL);
    start(r, 1);
    load_step(r, RECORD_DECODE, false);
    recorder_stop(r);
    load_step(r, RECORD_DECODE, false);
    take(r);
    ck_assert_uint_eq(record->totals.steps[RECORD_DECODE].n_seen, 1);
    start(r, 1); /* forgets */
    take(r);
    ck_assert_uint_eq(record->totals.steps[RECORD_DECODE].n_seen, 0);
    ck_assert_uint_eq(cell(0, SCOPE_QKV)->n, 0);
    recorder_destroy(r);
}
END_TEST

/* Both of two kinds in turns are met: no stride of the steps is the recorder's. */
START_TEST(one_step_in_four_is_recorded_and_all_are_seen)
{
    struct recorder *r = load_recorder();
    start(r, 4);
    for (int i = 0; i < 1000; i++)
        load_step(r, i % 2 == 0 ? RECORD_DECODE : RECORD_PREFILL, false);
    take(r);
    for (int kind = RECORD_DECODE; kind <= RECORD_PREFILL; kind++) {
        ck_assert_uint_eq(record->totals.steps[kind].n_seen, 500);
        ck_assert_uint_ge(record->totals.steps[kind].n_recorded, 125 - 25);
        ck_assert_uint_le(record->totals.steps[kind].n_recorded, 125 + 25);
    }
    ck_assert_uint_eq(record->totals.every_min, 4);
    ck_assert_uint_eq(record->totals.every_max, 4);
    recorder_destroy(r);
}
END_TEST

START_TEST(a_step_that_is_wanted_itself_is_recorded)
{
    struct recorder *r = load_recorder();
    start(r, 4);
    int n_others = 0;
    for (int i = 0; i < 100; i++) {
        recorder_begin(r, i % 4 == 2 ? WISH_THIS : WISH_SOME);
        ck_assert(recorder_is_recording(r) || i % 4 != 2);
        n_others += recorder_is_recording(r) && i % 4 != 2;
        recorder_end(r);
    }
    ck_assert_int_lt(n_others, 50);
    recorder_destroy(r);
}
END_TEST

/* These steps take almost no time of the system's clock. */
START_TEST(short_steps_are_sampled_by_themselves)
{
    struct recorder *r = load_recorder();
    start(r, 0);
    for (int i = 0; i < 2000; i++)
        load_step(r, RECORD_DECODE, false);
    take(r);
    const struct record_steps *steps = &record->totals.steps[RECORD_DECODE];
    ck_assert_uint_eq(steps->n_seen, 2000);
    ck_assert_uint_lt(steps->n_recorded, 1000);
    ck_assert_uint_gt(steps->n_recorded, 2000 / 65);
    ck_assert_uint_gt(record->totals.every_max, 1);
    recorder_destroy(r);
}
END_TEST

START_TEST(records_add_up)
{
    struct recorder *r = load_recorder();
    start(r, 1);
    load_step(r, RECORD_DECODE, false);
    take(r);
    struct record *sum;
    struct error err;
    ck_assert_int_eq(record_copy(&sum, record, &err), STATUS_OK);
    record_add(sum, record);
    ck_assert_uint_eq(sum->totals.steps[RECORD_DECODE].n_recorded, 2);
    ck_assert(record_cell(sum, RECORD_DECODE, 0, SCOPE_QKV)->total ==
              2 * cell(0, SCOPE_QKV)->total);
    ck_assert(record_cell(sum, RECORD_DECODE, 0, SCOPE_QKV)->max == cell(0, SCOPE_QKV)->max);
    ck_assert_uint_eq(sum->totals.n_lines, 1);
    record_destroy(sum);
    recorder_destroy(r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recorder");
    TCase *facts = tcase_create("facts");
    tcase_add_test(facts, a_known_step_is_told_apart);
    tcase_add_test(facts, all_of_a_step_stands_in_its_scopes);
    tcase_add_test(facts, a_late_leader_changes_no_phase);
    tcase_add_test(facts, marks_of_an_earlier_step_count_for_nothing);
    tcase_add_test(facts, a_phase_left_out_has_no_time_and_no_count);
    tcase_add_test(facts, a_jobs_times_are_those_of_the_step);
    tcase_add_test(facts, off_it_records_nothing);
    tcase_add_test(facts, one_step_in_four_is_recorded_and_all_are_seen);
    tcase_add_test(facts, a_step_that_is_wanted_itself_is_recorded);
    tcase_add_test(facts, short_steps_are_sampled_by_themselves);
    tcase_add_test(facts, records_add_up);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    record_destroy(record);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
