/* test_report.c - facts about the report of a known load: its tree adds up, its hot paths stand in
 * order, its limits are those that were given, and its insights speak of its numbers. */
#include "core/profile/known_load.h"
#include "profile/report.h"

#include <math.h>
#include <stdio.h>

static struct recorder *recorder;
static struct record *record;
static struct record_cost costs[RECORD_KINDS * (LOAD_LAYERS + 1) * SCOPES];
static unsigned matrices[(LOAD_LAYERS + 1) * SCOPES];
static struct report *report;

static void begin_load(void)
{
    recorder = load_recorder();
    recorder_start(recorder, &(struct record_options){.every = 1});
}

static void end_load(void)
{
    struct error err;
    recorder_stop(recorder);
    ck_assert_int_eq(recorder_take(recorder, &record, &err), STATUS_OK);
    for (size_t i = 0; i < (LOAD_LAYERS + 1) * SCOPES; i++)
        matrices[i] = SCOPE_NONE;
    memset(costs, 0, sizeof costs);
}

static void open_load(void)
{
    begin_load();
    for (int i = 0; i < 25; i++)
        load_step(recorder, i < 20 ? RECORD_DECODE : RECORD_PREFILL, false);
    end_load();
}

static void open_one_step(void)
{
    static const struct load_run ends_alone = {{0, LOAD_PHASES - 1}, 2};
    begin_load();
    load_step_of(recorder, RECORD_PREFILL, false, LOAD_BOTH, &ends_alone);
    end_load();
}

static void build(struct report_input *input)
{
    struct error err;
    input->record = record;
    input->costs = costs;
    input->matrices = matrices;
    ck_assert_int_eq(report_create(&report, input, &err), STATUS_OK);
}

static void close_load(void)
{
    report_destroy(report);
    record_destroy(record);
    recorder_destroy(recorder);
}

START_TEST(the_tree_adds_up)
{
    build(&(struct report_input){0});
    ck_assert(fabs(report->attributed - 1) < 1e-9);
    ck_assert_int_eq(report->nodes[0].role, NODE_ENGINE);
    for (size_t i = 0; i < report->n_nodes; i++) {
        const struct report_node *node = &report->nodes[i];
        double children = 0;
        for (size_t k = i + 1; k < report->n_nodes && report->nodes[k].depth > node->depth; k++)
            if (report->nodes[k].depth == node->depth + 1)
                children += report->nodes[k].total;
        double slack = 1e-9 * node->total;
        ck_assert_msg(children <= node->total + slack, "%s: %f in %f", report_node_name(node),
                      children, node->total);
        ck_assert_msg(fabs(node->self + children - node->total) <= slack, "%s: %f + %f is not %f",
                      report_node_name(node), node->self, children, node->total);
        if (node->role == NODE_LAYER)
            ck_assert_uint_eq(node->calls, node->kind == RECORD_DECODE ? 20 : 5);
    }
}
END_TEST

START_TEST(hot_paths_stand_in_order_with_their_counts)
{
    build(&(struct report_input){0});
    double shares = 0;
    for (size_t i = 0; i < report->n_paths; i++) {
        const struct report_path *path = &report->paths[i];
        ck_assert(i == 0 || path->total <= report->paths[i - 1].total);
        ck_assert(path->self <= path->total && path->min <= path->mean && path->mean <= path->max);
        ck_assert(path->min <= path->p50 && path->p50 <= path->p95 && path->p95 <= path->max);
        shares += path->share;
        bool of_layer = scope_infos[path->scope].place == PLACE_LAYER;
        ck_assert_uint_eq(path->calls, of_layer ? 50 : 25);
    }
    ck_assert(fabs(shares - 1) < 1e-9);
    ck_assert_int_eq(report->paths[0].scope, SCOPE_QKV);
    ck_assert(fabs(report->paths[0].share - 400.0 / (double)LOAD_TICKS) < 1e-9);
    ck_assert(fabs(report->layers[0].share - 500.0 / (double)LOAD_TICKS) < 1e-9);
    ck_assert_uint_eq(report->layers[1].calls, 25);
}
END_TEST

static struct record_cost *cost(enum record_kind kind, size_t layer, enum scope scope)
{
    return &costs[((size_t)kind * (LOAD_LAYERS + 1) + layer) * SCOPES + scope];
}

START_TEST(bounds_follow_from_costs_and_limits)
{
    /* Decoding, each QKV moves 1000 bytes a ns of limit; at 1 byte a ns the machine needs 1000 ns.
     */
    for (size_t layer = 0; layer < LOAD_LAYERS; layer++) {
        matrices[layer * SCOPES + SCOPE_QKV] = WEIGHT_Q4_0;
        *cost(RECORD_DECODE, layer, SCOPE_QKV) =
            (struct record_cost){.weight_bytes = 20000, .ops = 100};
        *cost(RECORD_PREFILL, layer, SCOPE_QKV) =
            (struct record_cost){.weight_bytes = 100, .ops = 30000};
    }
    struct report_input input = {
        .limits = {.read_bytes_s = 1e9, .ops_s = {[WEIGHT_Q4_0] = 2e9}, .float_ops_s = 1e9}};
    build(&input);
    const struct report_bound *decode = &report->kinds[RECORD_DECODE].scopes[SCOPE_QKV];
    const struct report_bound *prefill = &report->kinds[RECORD_PREFILL].scopes[SCOPE_QKV];
    ck_assert(decode->by_memory && !prefill->by_memory);
    ck_assert(fabs(decode->limit_ns - 40000) < 1e-6);
    ck_assert(fabs(prefill->limit_ns - 30000) < 1e-6);
    double took = report->kinds[RECORD_DECODE].scope_ns[SCOPE_QKV];
    ck_assert(fabs(decode->fraction - 40000 / took) < 1e-9);
    ck_assert(fabs(decode->bytes_s - 40000 / took * 1e9) < 1);
    ck_assert(report->kinds[RECORD_DECODE].scopes[SCOPE_EMBED].limit_ns == 0);
    ck_assert(fabs(report->kinds[RECORD_DECODE].bound.limit_ns - 40000) < 1e-6);
    ck_assert(fabs(report->moved_per_token - 2000) < 1e-9);
}
END_TEST

static const struct report_insight *insight(const char *name)
{
    for (size_t i = 0; i < report->n_insights; i++)
        if (strcmp(report->insights[i].name, name) == 0)
            return &report->insights[i];
    return NULL;
}

START_TEST(insights_speak_of_what_the_numbers_show)
{
    build(&(struct report_input){0});
    ck_assert_ptr_nonnull(insight("hottest"));
    ck_assert_ptr_nonnull(strstr(insight("hottest")->text, "QKV"));
    ck_assert_ptr_nonnull(insight("waiting"));
    ck_assert(fabs(insight("waiting")->gain - report->waiting_ns / report->total_ns) < 1e-12);
    ck_assert_ptr_nonnull(insight("layer")); /* 500 ticks against 300 */
    ck_assert_ptr_nonnull(strstr(insight("layer")->text, "Layer 0 takes 1.67 times"));
    ck_assert_ptr_nonnull(insight("allocations"));
    ck_assert_ptr_null(insight("decode_limit")); /* no limits were measured */
    ck_assert_ptr_null(insight("weights"));
    ck_assert_ptr_null(insight("crowded"));
    for (size_t i = 1; i < report->n_insights; i++)
        ck_assert(report->insights[i].gain <= report->insights[i - 1].gain);
}
END_TEST

/* Decoding took as many ns: of 20 steps. */
static double decoding(void)
{
    return record_cell(record, RECORD_DECODE, LOAD_LAYERS, SCOPES)->total;
}

static void says(const char *name, const char *words)
{
    ck_assert_ptr_nonnull(insight(name));
    ck_assert_msg(strstr(insight(name)->text, words) != NULL, "%s", insight(name)->text);
}

static void never_says(const char *name, const char *words)
{
    ck_assert_msg(strstr(insight(name)->text, words) == NULL, "%s", insight(name)->text);
}

START_TEST(calls_are_counted_in_words)
{
    build(&(struct report_input){0});
    says("hottest", "of the time in 50 calls.");
}
END_TEST

START_TEST(one_call_is_a_call)
{
    build(&(struct report_input){0});
    says("hottest", "The hottest path is embedding:");
    says("hottest", "of the time in 1 call.");
}
END_TEST

/* Weights at 1 GB/s and products at 1 GOP/s against limits of so many. */
static void build_bound(double read_gb_s, double gop_s, bool beside_work)
{
    cost(RECORD_DECODE, 0, SCOPE_QKV)->weight_bytes = cost(RECORD_DECODE, 0, SCOPE_QKV)->ops =
        decoding();
    matrices[SCOPE_QKV] = WEIGHT_Q4_0;
    struct report_input input = {
        .limits = {.read_bytes_s = read_gb_s * 1e9, .beside_work = beside_work}};
    input.limits.ops_s[WEIGHT_Q4_0] = gop_s * 1e9;
    build(&input);
}

START_TEST(the_nearer_limit_bounds_a_step_that_is_near_it)
{
    static const struct {
        double read_gb_s, gop_s;
        const char *words;
    } cases[] = {
        {1.25, 4, "bound by memory: it streams"},
        {1.25, 4, "at 1.0 GB/s, 80% of the 1.2 GB/s"},
        {4, 1.25, "bound by arithmetic: it does 1.0 GOP/s, 80% of"},
        {10, 5, "far from both limits: 10% of the memory's rate, 20% of that"},
    };
    build_bound(cases[_i].read_gb_s, cases[_i].gop_s, false);
    says("decode_limit", cases[_i].words);
    const double fraction = 1 / fmin(cases[_i].read_gb_s, cases[_i].gop_s);
    const bool near = fraction > 0.5;
    ck_assert((strstr(insight("decode_limit")->text, "at the limit it would take") != NULL) ==
              near);
    ck_assert((insight("decode_limit")->gain > 0) == near);
    ck_assert(fabs(report->kinds[RECORD_DECODE].bound.fraction - fraction) < 1e-9);
}
END_TEST

START_TEST(what_is_faster_than_its_limit_has_nothing_to_win)
{
    build_bound(0.5, 4, false);
    says("decode_limit", "200% of the 0.5 GB/s");
    never_says("decode_limit", "it would take");
    ck_assert(insight("decode_limit")->gain <= 0);
    never_says("hottest", "can be won");
}
END_TEST

START_TEST(limits_measured_beside_work_bound_nothing)
{
    build_bound(1.25, 4, true);
    ck_assert_ptr_null(insight("decode_limit"));
    ck_assert_ptr_null(insight("attention"));
    never_says("hottest", "can be won");
}
END_TEST

/* All 20 decoding steps took about as long in that scope. */
static void always(enum scope scope, uint64_t ns)
{
    uint32_t *counts = record_histogram(record, RECORD_DECODE, scope);
    memset(counts, 0, HISTOGRAM_BUCKETS * sizeof *counts);
    counts[histogram_bucket(ns)] = 20;
}

START_TEST(one_preemption_is_nobodys_nature)
{
    struct record_cell *steps = record_cell(record, RECORD_DECODE, LOAD_LAYERS, SCOPES);
    steps->min = 0;
    steps->max = 2e6;
    always(SCOPES, 1000000);
    always(SCOPE_SCHEDULE, 20000);
    always(SCOPE_TEXT, 30000);
    record_cell(record, RECORD_DECODE, LOAD_LAYERS, SCOPE_PUBLISH)->total += decoding();
    steps->total *= 2;
    struct record_cell *first = record_cell(record, RECORD_DECODE, 0, SCOPES);
    first->min = record_cell(record, RECORD_DECODE, 1, SCOPES)->min;
    build(&(struct report_input){0});
    double part;
    ck_assert_ptr_nonnull(insight("serial"));
    ck_assert_int_eq(
        sscanf(insight("serial")->text, "Scheduling, text and publishing take %lf%%", &part), 1);
    ck_assert_msg(part > 4.8 && part < 5.2, "%f", part);
    ck_assert_ptr_null(insight("layer"));
}
END_TEST

START_TEST(attention_grows_by_what_it_reads)
{
    struct record_cell *cell = record_cell(record, RECORD_DECODE, 0, SCOPE_ATTENTION);
    const double whole = decoding();
    *cell = (struct record_cell){.n = 20, .total = 0.1 * whole, .busy = 0.1 * whole};
    cost(RECORD_DECODE, 0, SCOPE_ATTENTION)->kv_bytes =
        0.05 * whole; /* half of its time at 1 GB/s */
    record->totals.steps[RECORD_DECODE].work.n_positions =
        100 * record->totals.steps[RECORD_DECODE].work.n_rows;
    build(&(struct report_input){.limits = {.read_bytes_s = 1e9}, .model = {.n_context = 300}});
    says("attention", "Attention takes 10.0% of a decoding step at 100 positions");
    says("attention", "at the whole context of 300 it would take at least 18%"); /* 20 of 110 */
    says("attention", "the step 1.1 times as long");
}
END_TEST

/* A row more costs what prompts show: (4 - 1) ms / 30, and its logits: 0.1 of a step of 1 ms. */
START_TEST(what_more_rows_cost_is_seen_in_prompts)
{
    struct record_steps *prefill = &record->totals.steps[RECORD_PREFILL];
    static const double ns[] = {1e6, 4e6};
    for (int kind = RECORD_DECODE; kind <= RECORD_PREFILL; kind++) {
        struct record_cell *steps =
            record_cell(record, (enum record_kind)kind, LOAD_LAYERS, SCOPES);
        uint32_t *counts = record_histogram(record, (enum record_kind)kind, SCOPES);
        memset(counts, 0, HISTOGRAM_BUCKETS * sizeof *counts);
        counts[histogram_bucket((uint64_t)ns[kind])] = 5;
        steps->min = steps->max = ns[kind];
    }
    for (int scope = 0; scope < SCOPES; scope++)
        record_cell(record, RECORD_DECODE, LOAD_LAYERS, (size_t)scope)->total = 0;
    record_cell(record, RECORD_DECODE, LOAD_LAYERS, SCOPE_HEAD)->total = 20 * 1e5;
    prefill->work.n_rows = 31 * prefill->work.n_steps;
    build(&(struct report_input){0});
    says("batch", "all weights for 1.0 rows on the average. By the steps of 31 prompt tokens");
    says("batch", "8 rows would take about 2.400 ms instead of 1.000");
    says("batch", "3.3 times the tokens a second");
}
END_TEST

START_TEST(what_was_not_recorded_is_told_by_its_kind)
{
    struct record_steps *steps = &record->totals.steps[RECORD_PREFILL];
    const struct record_cell before = *record_cell(record, RECORD_PREFILL, 0, SCOPE_QKV);
    const double decode = record_cell(record, RECORD_DECODE, 0, SCOPE_QKV)->total;
    steps->n_seen = 4 * steps->n_recorded;
    steps->seen_ns = 5 * record_cell(record, RECORD_PREFILL, LOAD_LAYERS, SCOPES)->total;
    steps->seen_work.n_rows = 40;
    for (int twice = 0; twice < 2; twice++) {
        record_extrapolate(record);
        const struct record_cell *after = record_cell(record, RECORD_PREFILL, 0, SCOPE_QKV);
        ck_assert_uint_eq(after->n, 4 * before.n);
        ck_assert(fabs(after->total / before.total - 5) < 1e-9);
        ck_assert(fabs(after->busy / before.busy - 5) < 1e-9);
        ck_assert(after->max <= before.max && after->min >= before.min);
        ck_assert(steps->work.n_rows == 40);
    }
    ck_assert(record_cell(record, RECORD_DECODE, 0, SCOPE_QKV)->total == decode);
    ck_assert_uint_eq(steps->n_recorded, 5);
    build(&(struct report_input){0});
    ck_assert(fabs(report->attributed - 1) < 1e-9);
}
END_TEST

START_TEST(float_weights_say_what_q8_would_take)
{
    for (size_t layer = 0; layer < LOAD_LAYERS; layer++)
        matrices[layer * SCOPES + SCOPE_QKV] = matrices[layer * SCOPES + SCOPE_GATE_UP] =
            WEIGHT_F32;
    build(&(struct report_input){
        .limits = {.read_bytes_s = 1e9},
        .model = {.weights = "F32", .weight_bytes = 4e6, .q8_bytes = 1e6, .is_float = true}});
    ck_assert_ptr_null(insight("weights")); /* not bound by memory: it reads nothing */
    report_destroy(report);
    cost(RECORD_DECODE, 0, SCOPE_QKV)->weight_bytes = decoding();
    build(&(struct report_input){
        .limits = {.read_bytes_s = 1e9},
        .model = {.weights = "F32", .weight_bytes = 4e6, .q8_bytes = 1e6, .is_float = true}});
    says("weights", "as Q8_0 a token would read 1.0 MB instead of 4.0");
    /* QKV 300 ticks a step, gate/up without its activation 337.5: three quarters of them. */
    ck_assert(fabs(insight("weights")->gain / (decoding() / report->total_ns) -
                   0.75 * (200 + 200 + 225 + 75) / (double)LOAD_TICKS) < 1e-9);
}
END_TEST

START_TEST(a_long_tail_is_told_by_its_length)
{
    uint32_t *counts = record_histogram(record, RECORD_DECODE, SCOPES);
    struct record_cell *steps = record_cell(record, RECORD_DECODE, LOAD_LAYERS, SCOPES);
    memset(counts, 0, HISTOGRAM_BUCKETS * sizeof *counts);
    counts[histogram_bucket(1000000)] = 18;
    counts[histogram_bucket(3000000)] = 2;
    steps->min = 1000000;
    steps->max = 3000000;
    build(&(struct report_input){0});
    says("tail", "2.9 times the median of 1.0"); /* within a thirtieth */
    says("tail", "(the longest: 3.000 ms)");
}
END_TEST

START_TEST(what_the_system_took_is_said)
{
    const struct counters counters = {.has_schedule = true,
                                      .run_ns = 3e9,
                                      .wait_ns = 1e9,
                                      .has_throttle = true,
                                      .throttled_ns = 5e7,
                                      .has_hardware = true,
                                      .cycles = 4e9,
                                      .instructions = 8e9,
                                      .cache_misses = 4e7};
    build(&(struct report_input){.counters = &counters});
    ck_assert_ptr_nonnull(strstr(insight("crowded")->text, "25.0%"));
    ck_assert_ptr_nonnull(strstr(insight("throttled")->text, "50.0 ms"));
    ck_assert_ptr_nonnull(strstr(insight("processor")->text, "2.00 instructions a cycle"));
}
END_TEST

START_TEST(rates_are_those_of_the_sessions)
{
    const struct report_session sessions[] = {
        {.wall_ns = 1e9, .prompt_ns = 2e8, .decode_ns = 8e8, .n_prompt = 100, .n_tokens = 50},
        {.wall_ns = 3e9, .prompt_ns = 3e8, .decode_ns = 2e9, .n_prompt = 100, .n_tokens = 50},
    };
    build(&(struct report_input){.sessions = sessions, .n_sessions = 2});
    ck_assert(fabs(report->tokens_s - 25) < 1e-9);
    ck_assert(fabs(report->prompt_tokens_s - 400) < 1e-9);
    ck_assert(fabs(report->ms_per_token - 40) < 1e-9);
    ck_assert(report->allocated_per_token == 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report");
    TCase *facts = tcase_create("facts");
    tcase_add_checked_fixture(facts, open_load, close_load);
    tcase_add_test(facts, the_tree_adds_up);
    tcase_add_test(facts, hot_paths_stand_in_order_with_their_counts);
    tcase_add_test(facts, bounds_follow_from_costs_and_limits);
    tcase_add_test(facts, insights_speak_of_what_the_numbers_show);
    tcase_add_loop_test(facts, the_nearer_limit_bounds_a_step_that_is_near_it, 0, 4);
    tcase_add_test(facts, what_is_faster_than_its_limit_has_nothing_to_win);
    tcase_add_test(facts, limits_measured_beside_work_bound_nothing);
    tcase_add_test(facts, one_preemption_is_nobodys_nature);
    tcase_add_test(facts, attention_grows_by_what_it_reads);
    tcase_add_test(facts, what_more_rows_cost_is_seen_in_prompts);
    tcase_add_test(facts, what_was_not_recorded_is_told_by_its_kind);
    tcase_add_test(facts, float_weights_say_what_q8_would_take);
    tcase_add_test(facts, a_long_tail_is_told_by_its_length);
    tcase_add_test(facts, what_the_system_took_is_said);
    tcase_add_test(facts, rates_are_those_of_the_sessions);
    tcase_add_test(facts, calls_are_counted_in_words);
    suite_add_tcase(suite, facts);
    TCase *one = tcase_create("one step");
    tcase_add_checked_fixture(one, open_one_step, close_load);
    tcase_add_test(one, one_call_is_a_call);
    suite_add_tcase(suite, one);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
