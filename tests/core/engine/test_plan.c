/* test_plan.c - what is decided from numbers alone: threads, workers, KV memory, a step's share of
 * prompt, waits. */
#include "engine/forecast.h"
#include "engine/plan.h"
#include "engine/rates.h"
#include "forward/kv.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

/* The best steps of a calibration, in ns. */
#define FOUND(alone, team)                                                                         \
    {                                                                                              \
        .alone_ns = (alone), .team_ns = (team), .n_rounds = 8                                      \
    }

static const uint64_t SECOND = 1000000000;

static struct model model_of(size_t weight_bytes, size_t n_context)
{
    struct model model = {.shape = {.n_layers = 30, .n_vocab = 49152},
                          .n_context = n_context,
                          .weight_bytes = weight_bytes};
    for (size_t i = 0; i < model.shape.n_layers; i++)
        model.shape.layers[i] = (struct layer_shape){.n_heads = 3, .n_kv_heads = 3, .head_dim = 64};
    return model;
}

static struct cpu cpu_of(unsigned n_usable, unsigned n_domains, size_t memory)
{
    return (struct cpu){.n_affinity = n_usable,
                        .n_physical = n_usable,
                        .n_usable = n_usable,
                        .n_domains = n_domains,
                        .l3_bytes = 32 * MIB,
                        .memory_bytes = memory};
}

static const struct engine_options automatic = {
    .kv_type = KV_F16, .step_tokens = 512, .max_batch = 32, .max_queue = 128};

static const struct calibration unmeasured = {0};

static struct engine_plan measured_plan(const struct model *model, const struct cpu *cpu,
                                        const struct engine_options *o,
                                        const struct calibration *measured)
{
    struct engine_plan plan;
    struct error err;
    enum status status = plan_choose(&plan, model, cpu, o, measured, &err);
    ck_assert_msg(status == STATUS_OK, "%s", err.text);
    ck_assert_uint_gt(strlen(plan.threads_why), 10);
    ck_assert_uint_gt(strlen(plan.kv_why), 10);
    return plan;
}

static struct engine_plan plan_of(const struct model *model, const struct cpu *cpu,
                                  const struct engine_options *o)
{
    return measured_plan(model, cpu, o, &unmeasured);
}

START_TEST(a_large_model_gets_one_worker_for_each_cache)
{
    struct model model = model_of(500 * MIB, 2048);
    struct cpu cpu = cpu_of(16, 2, 64 * GIB);
    struct engine_plan plan = plan_of(&model, &cpu, &automatic);
    ck_assert_uint_eq(plan.n_threads, 16);
    ck_assert_uint_eq(plan.n_workers, 2);
    ck_assert_ptr_nonnull(strstr(plan.threads_why, "last-level cache"));
}
END_TEST

START_TEST(each_core_works_alone_where_a_team_gains_little)
{
    struct model model = model_of(3 * MIB, 512);
    struct cpu cpu = cpu_of(4, 1, 8 * GIB);
    ck_assert(plan_wants_calibration(&model, &cpu, &automatic));
    struct engine_plan plan =
        measured_plan(&model, &cpu, &automatic, &(struct calibration)FOUND(50000, 45000));
    ck_assert_uint_eq(plan.n_threads, 4);
    ck_assert_uint_eq(plan.n_workers, 4);
    ck_assert_ptr_nonnull(strstr(plan.threads_why, "50 us alone, 45 us in a team"));
    /* equal starts have measured these: all of them must choose alike */
    plan = measured_plan(&model, &cpu, &automatic, &(struct calibration)FOUND(75000, 54000));
    ck_assert_uint_eq(plan.n_workers, 4);
    plan = measured_plan(&model, &cpu, &automatic, &(struct calibration)FOUND(86000, 56000));
    ck_assert_uint_eq(plan.n_workers, 4);
    plan = measured_plan(&model, &cpu, &automatic, &(struct calibration)FOUND(478000, 289000));
    ck_assert_uint_eq(plan.n_workers, 1);
    plan = measured_plan(&model, &cpu, &automatic, &(struct calibration)FOUND(50000, 30000));
    ck_assert_uint_eq(plan.n_workers, 1);
    ck_assert_ptr_nonnull(strstr(plan.threads_why, "50 us alone, 30 us in a team"));
}
END_TEST

START_TEST(only_an_open_question_is_measured)
{
    struct model small = model_of(3 * MIB, 512), large = model_of(500 * MIB, 512);
    struct cpu cpu = cpu_of(4, 1, 8 * GIB), one = cpu_of(1, 1, 8 * GIB);
    struct engine_options asked = automatic, threads = automatic;
    asked.n_workers = 2;
    threads.n_threads = 1;
    ck_assert(!plan_wants_calibration(&large, &cpu, &automatic));
    ck_assert(!plan_wants_calibration(&small, &one, &automatic));
    ck_assert(!plan_wants_calibration(&small, &cpu, &asked));
    ck_assert(!plan_wants_calibration(&small, &cpu, &threads));
    cpu.l3_bytes = 2 * MIB;
    ck_assert(!plan_wants_calibration(&small, &cpu, &automatic));
}
END_TEST

START_TEST(threads_that_follow_leave_room_for_more)
{
    struct model model = model_of(500 * MIB, 2048);
    struct cpu cpu = cpu_of(16, 2, 64 * GIB);
    struct engine_options o = automatic;
    cpu.n_machine = 16;
    cpu.n_usable = 2;
    cpu.quota = 2;
    struct engine_plan plan = plan_of(&model, &cpu, &o);
    ck_assert_uint_eq(plan.n_threads_most, 2);
    o.follows = true;
    plan = plan_of(&model, &cpu, &o);
    ck_assert_uint_eq(plan.n_threads, 2);
    ck_assert_uint_eq(plan.n_threads_most, 8); /* as scratch memory is taken for each */
    ck_assert_ptr_nonnull(strstr(plan.threads_why, "CPU quota"));
    cpu.n_machine = 3;
    ck_assert_uint_eq(plan_of(&model, &cpu, &o).n_threads_most, 3);
    o.n_threads = 2;
    ck_assert_uint_eq(plan_of(&model, &cpu, &o).n_threads_most, 2);
    cpu.n_machine = 0; /* unknown */
    o.n_threads = 0;
    ck_assert_uint_eq(plan_of(&model, &cpu, &o).n_threads_most, 2);
}
END_TEST

START_TEST(what_was_asked_is_done)
{
    struct model model = model_of(500 * MIB, 2048);
    struct cpu cpu = cpu_of(4, 1, 8 * GIB);
    struct engine_options o = automatic;
    o.n_workers = 6; /* more than there are cores: a thread each */
    struct engine_plan plan = plan_of(&model, &cpu, &o);
    ck_assert_uint_eq(plan.n_threads, 6);
    o.n_threads = 7;
    o.n_workers = 3;
    plan = plan_of(&model, &cpu, &o);
    ck_assert_uint_eq(plan.n_workers, 3);
    ck_assert_uint_eq(plan_worker_threads(&plan, plan.n_threads, 0), 3);
    ck_assert_uint_eq(plan_worker_threads(&plan, plan.n_threads, 1), 2);
    ck_assert_uint_eq(plan_worker_threads(&plan, plan.n_threads, 2), 2);
    struct error err;
    o.n_workers = 8;
    ck_assert_int_eq(plan_choose(&plan, &model, &cpu, &o, &unmeasured, &err), STATUS_INVALID);
    ck_assert_str_eq(err.param, "workers");
}
END_TEST

START_TEST(kv_memory_is_eight_contexts_or_a_gigabyte_at_most_a_quarter_and_at_least_one_context)
{
    struct model model = model_of(500 * MIB, 2048);
    size_t page = kv_page_bytes(&model.shape, KV_F16);
    struct cpu cpu = cpu_of(4, 1, 1024 * GIB);
    struct engine_plan plan = plan_of(&model, &cpu, &automatic);
    ck_assert_uint_eq(plan.page_bytes, page);
    ck_assert_uint_eq(plan.sequence_pages, 64);
    ck_assert_uint_eq(plan.kv_pages, 8 * 64);
    ck_assert_uint_eq(plan.kv_bytes, 8 * 64 * page);
    ck_assert_ptr_nonnull(strstr(plan.kv_why, "8 whole contexts"));
    struct model deep = model_of(500 * MIB, 32768); /* 720 MiB a context */
    plan = plan_of(&deep, &cpu, &automatic);
    ck_assert_uint_le(plan.kv_bytes, GIB);
    ck_assert_uint_gt(plan.kv_bytes, GIB - page);
    ck_assert_ptr_nonnull(strstr(plan.kv_why, "1 GB"));
    cpu.memory_bytes = 1 * GIB;
    plan = plan_of(&model, &cpu, &automatic);
    ck_assert_uint_le(plan.kv_bytes, 256 * MIB);
    ck_assert_uint_gt(plan.kv_bytes, 256 * MIB - page);
    ck_assert_ptr_nonnull(strstr(plan.kv_why, "a quarter"));
    cpu.memory_bytes = 8 * MIB;
    plan = plan_of(&model, &cpu, &automatic);
    ck_assert_uint_eq(plan.kv_pages, 64);
    ck_assert_ptr_nonnull(strstr(plan.kv_why, "the least"));
}
END_TEST

START_TEST(kv_memory_for_a_batch_that_was_asked_is_not_bound_by_the_default)
{
    struct model model = model_of(500 * MIB, 32768);
    size_t context = kv_pages_for(32768) * kv_page_bytes(&model.shape, KV_F16);
    struct cpu cpu = cpu_of(4, 1, 1024 * GIB);
    struct engine_options o = automatic;
    for (o.kv_contexts = 1; o.kv_contexts <= 32; o.kv_contexts *= 2)
        ck_assert_uint_eq(plan_of(&model, &cpu, &o).kv_bytes, o.kv_contexts * context);
    o.kv_contexts = SIZE_MAX;
    struct engine_plan plan = plan_of(&model, &cpu, &o);
    ck_assert_uint_le(plan.kv_bytes, 256 * GIB);
    ck_assert_uint_gt(plan.kv_bytes, 256 * GIB - context);
}
END_TEST

/* Whatever is measured: the memory stays, and each worker has room for a whole context. */
START_TEST(kv_memory_does_not_depend_on_the_choice_of_workers)
{
    static const unsigned cores[] = {2, 3, 4, 8, 16, 64};
    struct model model = model_of(3 * MIB, 512);
    for (size_t i = 0; i < sizeof cores / sizeof *cores; i++)
        for (size_t memory = 64 * MIB; memory <= 64 * GIB; memory *= 4) {
            struct cpu cpu = cpu_of(cores[i], 1, memory);
            struct calibration alone = FOUND(50000, 45000), team = FOUND(50000, 9000);
            struct engine_plan a = measured_plan(&model, &cpu, &automatic, &alone);
            struct engine_plan b = measured_plan(&model, &cpu, &automatic, &team);
            ck_assert_uint_eq(b.n_workers, 1);
            ck_assert_uint_le(a.n_workers, cores[i]);
            ck_assert_uint_ge(a.kv_pages / a.n_workers, a.sequence_pages);
            ck_assert_uint_le(b.kv_pages - a.kv_pages, a.n_workers - 1); /* whole pages each */
            if (memory >= 16 * GIB)
                ck_assert_uint_eq(a.n_workers, cores[i]);
        }
}
END_TEST

/* --- the calibration --- */

static uint64_t noise(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % below;
}

/* A trial's best step: a little longer than what the machine can do; and much longer where other
 * programs took a core, a team's more often. */
static uint64_t noisy(uint64_t *state, uint64_t ns, uint64_t busy_percent)
{
    uint64_t out = ns + noise(state, ns / 40);
    return noise(state, 100) < busy_percent ? out + noise(state, ns) : out;
}

static unsigned workers_found(uint64_t *state, uint64_t alone, uint64_t team, unsigned *n_rounds)
{
    struct model model = model_of(3 * MIB, 512);
    struct cpu cpu = cpu_of(2, 1, 8 * GIB);
    struct calibration c = {0};
    while (!calibration_settled(&c)) {
        uint64_t alone_ns = noisy(state, alone, 50);
        calibration_add(&c, alone_ns, noisy(state, team, 75));
    }
    *n_rounds = c.n_rounds;
    return measured_plan(&model, &cpu, &automatic, &c).n_workers;
}

START_TEST(equal_starts_choose_alike_however_noisy_the_machine)
{
    static const uint64_t teams[] = {100000, 85000, 80000, 76000, 72000, 55000, 51000};
    for (size_t k = 0; k < sizeof teams / sizeof *teams; k++) {
        uint64_t state = 17 + k;
        for (int start = 0; start < 1000; start++) {
            unsigned n_rounds, n = workers_found(&state, 100000, teams[k], &n_rounds);
            ck_assert_uint_eq(n, teams[k] > 66667 ? 2 : 1);
            ck_assert_uint_ge(n_rounds, 5);
            ck_assert_uint_le(n_rounds, 200);
        }
    }
}
END_TEST

START_TEST(a_calibration_settles_when_trials_agree)
{
    struct calibration c = {0};
    for (int i = 0; i < 5; i++) {
        ck_assert(!calibration_settled(&c));
        calibration_add(&c, 1000 + (uint64_t)i, 910 - (uint64_t)i);
    }
    ck_assert(calibration_settled(&c));
    ck_assert_uint_eq(c.alone_ns, 1000);
    ck_assert_uint_eq(c.team_ns, 906);
    calibration_add(&c, 1000, 700); /* a clearly better one: who agreed was disturbed */
    ck_assert(!calibration_settled(&c));
    for (int i = 0; i < 4; i++)
        calibration_add(&c, 2000, 710);
    ck_assert(calibration_settled(&c));
    ck_assert_uint_eq(c.team_ns, 700);
    c = (struct calibration){0};
    calibration_add(&c, 0, 0); /* no room for a trial */
    ck_assert_uint_eq(c.alone_ns, 0);
}
END_TEST

START_TEST(a_calibration_settles_when_nothing_better_is_found)
{
    struct calibration c = {0};
    calibration_add(&c, 1000, 900);
    for (int i = 1; i < 32; i++) {
        ck_assert(!calibration_settled(&c));
        calibration_add(&c, 1100, 990); /* never as good again */
    }
    ck_assert(calibration_settled(&c));
    calibration_add(&c, 1100, 700); /* a better one: look again */
    for (int i = 0; i < 16; i++) {
        ck_assert(!calibration_settled(&c));
        calibration_add(&c, 1100, 800);
    }
    ck_assert(calibration_settled(&c));
    ck_assert_uint_eq(c.n_rounds, 49);
}
END_TEST

START_TEST(kv_memory_as_asked_is_shared_out_in_whole_pages)
{
    struct model model = model_of(500 * MIB, 2048);
    struct cpu cpu = cpu_of(4, 1, 8 * GIB);
    size_t page = kv_page_bytes(&model.shape, KV_F16);
    struct engine_options o = automatic;
    o.n_workers = 2;
    o.kv_bytes = 7 * page;
    struct engine_plan plan = plan_of(&model, &cpu, &o);
    ck_assert_uint_eq(plan.kv_pages, 6);
    ck_assert_ptr_nonnull(strstr(plan.kv_why, "less than one full context"));
    struct error err;
    o.kv_bytes = 2 * page - 1;
    ck_assert_int_eq(plan_choose(&plan, &model, &cpu, &o, &unmeasured, &err), STATUS_INVALID);
    ck_assert_str_eq(err.param, "kv_memory");
}
END_TEST

/* --- rates --- */

static uint64_t linear_step(const void *ns_each, size_t n)
{
    return n * *(const uint64_t *)ns_each;
}

static size_t batch_of(const struct engine_plan *plan, const struct engine_options *o, uint64_t ns)
{
    struct engine_plan fitted = *plan;
    plan_fit_batch(&fitted, o, linear_step, &ns);
    ck_assert_uint_gt(strlen(fitted.batch_why), 10);
    return fitted.max_batch;
}

START_TEST(a_batch_is_what_memory_and_step_times_allow)
{
    struct model model = model_of(100 * MIB, 4096);
    struct cpu cpu = cpu_of(2, 1, 16 * GIB);
    struct engine_options o = automatic;
    o.max_batch = 0;
    struct engine_plan plan = plan_of(&model, &cpu, &o);
    ck_assert_uint_eq(plan.max_batch, 128);
    ck_assert_uint_eq(batch_of(&plan, &o, SECOND / 10 / 128), 128);
    ck_assert_uint_eq(batch_of(&plan, &o, SECOND / 10 / 127), 64);
    ck_assert_uint_eq(batch_of(&plan, &o, SECOND), 32);
    o.kv_bytes = plan.sequence_bytes * 2; /* 8192 positions */
    plan = plan_of(&model, &cpu, &o);
    ck_assert_uint_eq(plan.max_batch, 64);
    ck_assert_ptr_nonnull(strstr(plan.batch_why, "KV memory"));
    o.kv_bytes = plan.sequence_bytes / 2;
    ck_assert_uint_eq(plan_of(&model, &cpu, &o).max_batch, 32);
    o.kv_bytes = 0;
    cpu.memory_bytes = GIB; /* a 64th is 85 rows of 49,152 logits */
    plan = plan_of(&model, &cpu, &o);
    ck_assert_uint_eq(plan.max_batch, 85);
    ck_assert_uint_eq(batch_of(&plan, &o, SECOND / 10 / 64), 42);
    o.max_batch = 200; /* as asked, however long it takes */
    plan = plan_of(&model, &cpu, &o);
    ck_assert_uint_eq(batch_of(&plan, &o, SECOND), 200);
}
END_TEST

START_TEST(a_prompts_share_of_a_step_is_time)
{
    struct rates r = {0};
    rates_seed(&r, 1000000, 64, 6400000, NULL); /* 1 ms a step, 0.1 ms a prompt token */
    ck_assert_uint_eq(rates_prompt_budget(&r, 0, 2000), 1000); /* 100 ms alone */
    ck_assert_uint_eq(rates_prompt_budget(&r, 1, 1000), 9);    /* 0.9 steps of one sequence */
    ck_assert_uint_eq(rates_prompt_budget(&r, 0, 64), 64);
    r = (struct rates){0};
    rates_seed(&r, 100000000, 1, 100000000, NULL); /* 0.1 s a step, known of one token only */
    ck_assert_uint_eq(rates_prompt_budget(&r, 0, 64), 8);
    ck_assert_uint_eq(rates_prompt_budget(&r, 1, 64), 1);
}
END_TEST

/* A tile that rows do not fill takes as long as a full one. */
START_TEST(a_prompts_share_fills_tiles)
{
    struct rates r = {0};
    rates_seed(&r, 1000000, 64, 640000, NULL); /* 0.01 ms a prompt token: 90 */
    ck_assert_uint_eq(rates_prompt_budget(&r, 1, 1000), 95);
    ck_assert_uint_eq(rates_prompt_budget(&r, 1, 94), 79); /* no more than the cap */
    ck_assert_uint_eq(rates_prompt_budget(&r, 1, 64), 63);
    ck_assert_uint_eq(rates_prompt_budget(&r, 1, 7), 7);
}
END_TEST

/* Rows that go to experts of their own make a step read more. */
START_TEST(a_batch_not_seen_yet_is_taken_to_read_more_experts)
{
    struct rates r = {0};
    double growth[RATE_CLASSES];
    for (size_t i = 0; i < RATE_CLASSES; i++)
        growth[i] = 1 + 0.5 * (double)i;
    rates_seed(&r, 1000000, 64, 6400000, growth);
    ck_assert_uint_eq(rates_decode(&r, 1), 1000000);
    ck_assert_uint_eq(rates_decode(&r, 4), 2000000 + 3 * 100000);
    for (int i = 0; i < 100; i++)
        rates_step(&r, 4, 0, 3000000);
    ck_assert_uint_ge(rates_decode(&r, 4), 2990000);
}
END_TEST

/* A step that takes `fixed`, for the weights, and `each` for every token. */
static size_t prompt_steps(struct rates *r, size_t n_decode, int n_steps, uint64_t fixed,
                           uint64_t each)
{
    size_t n = 0;
    for (int i = 0; i < n_steps; i++) {
        n = rates_prompt_budget(r, n_decode, 512);
        rates_step(r, n_decode, n, fixed + (n_decode + n) * each);
    }
    return n;
}

START_TEST(rates_follow_what_is_measured)
{
    struct rates r = {0};
    rates_seed(&r, 1000000, 64, 6400000, NULL);
    for (int i = 0; i < 100; i++)
        rates_step(&r, 1, 0, 2000000);
    ck_assert_uint_ge(rates_decode(&r, 1), 1990000);
    size_t n = prompt_steps(&r, 1, 30, 1950000, 50000); /* 0.05 ms a token beside a decoding one */
    ck_assert_uint_eq(n, 31);                           /* 36: two tiles with the other one */
    n = prompt_steps(&r, 1, 12, 1950000, 100000);       /* each looks back at more */
    ck_assert_uint_eq(n, 15);                           /* 18: one tile */
    uint64_t before = rates_decode(&r, 1);
    rates_step(&r, 1, 0, 60 * SECOND); /* the machine slept */
    ck_assert_uint_lt(rates_decode(&r, 1), 2 * before);
}
END_TEST

START_TEST(reading_the_weights_is_shared_by_many_tokens)
{
    const uint64_t ms = 1000000;
    struct rates r = {0};
    rates_seed(&r, 100 * ms, 1, 100 * ms, NULL); /* longer than any step was meant to be */
    size_t n = prompt_steps(&r, 0, 20, 95 * ms, 5 * ms);
    ck_assert(n >= 120 && n <= 160); /* 0.8 s: 141 */

    prompt_steps(&r, 0, 100, 1000 * ms, 50 * ms); /* others took nine tenths of the machine */
    ck_assert_uint_ge(rates_prompt_budget(&r, 0, 512), 16);
    n = prompt_steps(&r, 0, 200, 95 * ms, 5 * ms); /* and gave them back */
    ck_assert(n >= 120 && n <= 160);

    struct rates beside = {0};
    rates_seed(&beside, 100 * ms, 1, 100 * ms, NULL);
    n = prompt_steps(&beside, 1, 100, 95 * ms, 5 * ms);
    ck_assert_uint_eq(n, 15);                          /* another 90 ms: 18, one tile */
    prompt_steps(&beside, 1, 300, 1000 * ms, 50 * ms); /* never a step without a prompt */
    n = rates_prompt_budget(&beside, 1, 512);
    ck_assert(n >= 3 && n <= 31);
}
END_TEST

START_TEST(a_larger_batch_is_never_predicted_to_be_faster)
{
    struct rates r = {0};
    rates_seed(&r, 1000000, 64, 6400000, NULL);
    ck_assert_uint_eq(rates_decode(&r, 11), 2000000); /* not seen: like a prompt's tokens */
    for (int i = 0; i < 100; i++) {
        rates_step(&r, 8, 0, 1500000);
        rates_step(&r, 2, 0, 1700000);
    }
    uint64_t before = 0;
    for (size_t n = 1; n <= 4096; n++) {
        uint64_t ns = rates_decode(&r, n);
        ck_assert_uint_ge(ns, before);
        before = ns;
    }
}
END_TEST

START_TEST(requests_that_stop_early_shorten_what_is_predicted)
{
    struct rates r = {0};
    rates_seed(&r, 1000000, 64, 6400000, NULL);
    ck_assert_uint_eq(rates_decode_all(&r, 100, 1), 100 * 1000000);
    for (int i = 0; i < 200; i++)
        rates_finished(&r, 25, 100);
    uint64_t ns = rates_decode_all(&r, 100, 1);
    ck_assert(ns >= 24 * 1000000 && ns <= 27 * 1000000);
}
END_TEST

/* --- the forecast --- */

START_TEST(the_next_in_line_takes_the_first_free_place)
{
    struct forecast f;
    struct error err;
    ck_assert_int_eq(forecast_init(&f, 3, &err), STATUS_OK);
    ck_assert_uint_eq(forecast_next(&f), 0);
    forecast_add_place(&f, 30);
    forecast_add_place(&f, 10);
    forecast_add_place(&f, 20);
    ck_assert_uint_eq(forecast_next(&f), 10);
    forecast_take(&f, 100); /* 10 .. 110 */
    ck_assert_uint_eq(forecast_next(&f), 20);
    forecast_take(&f, 5); /* 20 .. 25 */
    ck_assert_uint_eq(forecast_next(&f), 25);
    forecast_take(&f, 5);
    forecast_take(&f, 5); /* 30 .. 35, after 30 */
    ck_assert_uint_eq(forecast_next(&f), 30);
    forecast_clear(&f);
    ck_assert_uint_eq(forecast_next(&f), 0);
    forecast_free(&f);
}
END_TEST

START_TEST(a_longer_line_never_waits_less)
{
    struct forecast f;
    struct error err;
    ck_assert_int_eq(forecast_init(&f, 100, &err), STATUS_OK);
    uint64_t state = 5, before = 0;
    for (int i = 0; i < 100; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        forecast_add_place(&f, state >> 40);
    }
    for (int i = 0; i < 1000; i++) {
        ck_assert_uint_ge(forecast_next(&f), before);
        before = forecast_next(&f);
        state = state * 6364136223846793005u + 1442695040888963407u;
        forecast_take(&f, state >> 44);
    }
    forecast_free(&f);
}
END_TEST

START_TEST(no_second_is_promised_to_more_than_it_has_places_for)
{
    struct forecast f;
    struct error err;
    ck_assert_int_eq(forecast_init(&f, 1, &err), STATUS_OK);
    uint64_t now = 1000 * SECOND;
    for (uint64_t i = 0; i < 40; i++)
        ck_assert_uint_eq(forecast_tell(&f, now, 0, 16), 1 + i / 16);
    ck_assert_uint_eq(forecast_told(&f, now), 40);
    ck_assert_uint_eq(forecast_tell(&f, now, 4 * SECOND + 1, 16), 5);
    ck_assert_uint_eq(forecast_told(&f, now + 2 * SECOND), 9); /* those told 1 or 2 s are due */
    ck_assert_uint_eq(forecast_told(&f, now + 6 * SECOND), 0);
    ck_assert_uint_eq(forecast_tell(&f, now, 100000 * SECOND, 16), 100000); /* beyond the ledger */
    forecast_free(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plan");
    TCase *tc = tcase_create("plan");
    tcase_add_test(tc, a_large_model_gets_one_worker_for_each_cache);
    tcase_add_test(tc, each_core_works_alone_where_a_team_gains_little);
    tcase_add_test(tc, only_an_open_question_is_measured);
    tcase_add_test(tc, what_was_asked_is_done);
    tcase_add_test(tc, threads_that_follow_leave_room_for_more);
    tcase_add_test(
        tc, kv_memory_is_eight_contexts_or_a_gigabyte_at_most_a_quarter_and_at_least_one_context);
    tcase_add_test(tc, kv_memory_for_a_batch_that_was_asked_is_not_bound_by_the_default);
    tcase_add_test(tc, kv_memory_does_not_depend_on_the_choice_of_workers);
    tcase_add_test(tc, equal_starts_choose_alike_however_noisy_the_machine);
    tcase_add_test(tc, a_calibration_settles_when_trials_agree);
    tcase_add_test(tc, a_calibration_settles_when_nothing_better_is_found);
    tcase_add_test(tc, kv_memory_as_asked_is_shared_out_in_whole_pages);
    tcase_add_test(tc, a_batch_is_what_memory_and_step_times_allow);
    tcase_add_test(tc, a_prompts_share_of_a_step_is_time);
    tcase_add_test(tc, a_prompts_share_fills_tiles);
    tcase_add_test(tc, a_batch_not_seen_yet_is_taken_to_read_more_experts);
    tcase_add_test(tc, rates_follow_what_is_measured);
    tcase_add_test(tc, reading_the_weights_is_shared_by_many_tokens);
    tcase_add_test(tc, a_larger_batch_is_never_predicted_to_be_faster);
    tcase_add_test(tc, requests_that_stop_early_shorten_what_is_predicted);
    tcase_add_test(tc, the_next_in_line_takes_the_first_free_place);
    tcase_add_test(tc, a_longer_line_never_waits_less);
    tcase_add_test(tc, no_second_is_promised_to_more_than_it_has_places_for);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
