/* test_allowance.c - facts about what is counted and shown of the system's limits. */
#include "server/allowance.h"

#include <check.h>
#include <stdlib.h>

START_TEST(counts_grow_by_what_looks_in_one_place_find)
{
    struct allowance_counts counts = {0};
    const struct cgroup first = {.n_periods = 100, .n_throttled = 50, .throttled_ns = 7000};
    const struct cgroup second = {.n_periods = 110, .n_throttled = 53, .throttled_ns = 7500};
    allowance_count(&counts, &first, &second);
    ck_assert_uint_eq(counts.n_periods, 10);
    ck_assert_uint_eq(counts.n_throttled, 3);
    ck_assert_uint_eq(counts.throttled_ns, 500);
    struct cgroup moved = {.n_periods = 900, .n_throttled = 900, .throttled_ns = 9, .place = 2};
    allowance_count(&counts, &second, &moved); /* another group's past is not ours */
    ck_assert_uint_eq(counts.n_periods, 10);
    struct cgroup later = moved;
    later.n_periods = 901;
    later.n_throttled = 5; /* begun anew */
    allowance_count(&counts, &moved, &later);
    ck_assert_uint_eq(counts.n_periods, 11);
    ck_assert_uint_eq(counts.n_throttled, 3);
}
END_TEST

START_TEST(the_nearest_limit_of_memory_is_shown)
{
    struct allowance a = {.cpu = {.memory_bytes = 1000}};
    uint64_t limit, used;
    allowance_memory(&a, 30, &limit, &used);
    ck_assert(limit == 1000 && used == 30);
    a.group.hard = (struct cgroup_memory){.limit = 500, .used = 100};
    allowance_memory(&a, 30, &limit, &used);
    ck_assert(limit == 500 && used == 100);
    a.group.soft = (struct cgroup_memory){.limit = 600, .used = 200};
    allowance_memory(&a, 30, &limit, &used);
    ck_assert(limit == 500 && used == 100);
    a.group.soft.limit = 400;
    allowance_memory(&a, 30, &limit, &used);
    ck_assert(limit == 400 && used == 200);
}
END_TEST

/* Away from each limit, further from the soft one; nothing is bounded without one. */
START_TEST(the_kv_cache_keeps_away_from_limits)
{
    const int64_t mib = 1 << 20;
    struct cgroup group = {.quota = 1};
    struct allowance_memory m = allowance_bounds(&group, 80);
    ck_assert(m.ahead == UINT64_MAX && m.need == UINT64_MAX && m.back == 0);
    group.hard = (struct cgroup_memory){.limit = 1000 << 20, .room = 300 * mib};
    m = allowance_bounds(&group, 80);
    ck_assert(m.ahead == 250 << 20 && m.need == 280 << 20 && m.back == 0);
    group.soft = (struct cgroup_memory){.limit = 800 << 20, .room = 100 * mib};
    m = allowance_bounds(&group, 80);
    ck_assert(m.ahead == 60 << 20 && m.need == 280 << 20 && m.back == 0);
    group.soft.room = -50 * mib; /* jobs that wait still get memory: slowly, but they are served */
    m = allowance_bounds(&group, 80);
    ck_assert(m.ahead == 0 && m.need == 280 << 20 && m.back == 90 << 20);
    group.hard.room = 10 * mib;
    m = allowance_bounds(&group, 80);
    ck_assert(m.ahead == 0 && m.need == 0 && m.back == 90 << 20);
    group = (struct cgroup){.pressure = 9.9};
    ck_assert(allowance_bounds(&group, 80).back == 0);
    group.pressure = 10;
    m = allowance_bounds(&group, 80);
    ck_assert(m.ahead == 0 && m.need == UINT64_MAX && m.back == 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("allowance");
    TCase *tc = tcase_create("facts");
    tcase_add_test(tc, counts_grow_by_what_looks_in_one_place_find);
    tcase_add_test(tc, the_nearest_limit_of_memory_is_shown);
    tcase_add_test(tc, the_kv_cache_keeps_away_from_limits);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
