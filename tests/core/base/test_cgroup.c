/* test_cgroup.c - facts about reading control groups: made-up trees of both versions. */
#include "base/cgroup.h"
#include "base/cpu.h"
#include "core/base/made_up_machine.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (INT64_C(1) << 20)

static struct cgroup found(void)
{
    struct cgroup group;
    cgroup_look(&group, root);
    return group;
}

START_TEST(without_files_nothing_is_limited)
{
    struct cgroup g = found();
    ck_assert(g.quota == 0 && g.hard.limit == 0 && g.soft.limit == 0 && g.n_periods == 0);
    put("0::/a\n", "proc/self/cgroup");
    put("max 100000\n", "sys/fs/cgroup/a/cpu.max");
    put("max\n", "sys/fs/cgroup/a/memory.max");
    put("garbage\n", "sys/fs/cgroup/a/memory.high");
    put("garbage\nnr_periods\nnr_throttled x\n", "sys/fs/cgroup/a/cpu.stat");
    put("some avg10=\n", "sys/fs/cgroup/a/memory.pressure");
    g = found();
    ck_assert(g.quota == 0 && g.hard.limit == 0 && g.soft.limit == 0 && g.n_periods == 0);
    ck_assert(g.pressure == 0);
}
END_TEST

/* The nearest limit decides, wherever it stands: by its own usage, without the file cache. */
START_TEST(memory_of_nested_groups)
{
    put("0::/a/b\n", "proc/self/cgroup");
    put("1073741824\n", "sys/fs/cgroup/a/b/memory.max");
    put("268435456\n", "sys/fs/cgroup/a/b/memory.current");
    put("anon 1\ninactive_file 67108864\nactive_file 5\n", "sys/fs/cgroup/a/b/memory.stat");
    put("536870912\n", "sys/fs/cgroup/a/memory.max");
    put("629145600\n", "sys/fs/cgroup/a/memory.high");
    put("524288000\n", "sys/fs/cgroup/a/memory.current");
    struct cgroup g = found();
    ck_assert_uint_eq(g.hard.limit, 512 * MIB);
    ck_assert_uint_eq(g.hard.used, 500 * MIB);
    ck_assert_int_eq(g.hard.room, 12 * MIB);
    ck_assert_uint_eq(g.soft.limit, 600 * MIB);
    ck_assert_int_eq(g.soft.room, 100 * MIB);
    put("134217728\n", "sys/fs/cgroup/a/b/memory.high"); /* 192 MiB are used of it: too much */
    g = found();
    ck_assert_uint_eq(g.soft.limit, 128 * MIB);
    ck_assert_uint_eq(g.soft.used, 192 * MIB);
    ck_assert_int_eq(g.soft.room, -64 * MIB);
    put("some avg10=12.50 avg60=1.00 avg300=0.00 total=7\nfull avg10=3.00 avg60=0 avg300=0\n",
        "sys/fs/cgroup/a/b/memory.pressure");
    ck_assert(found().pressure == 12.5);
}
END_TEST

START_TEST(memory_of_version_1)
{
    put("4:memory:/m/n\n", "proc/self/cgroup");
    put("9223372036854771712\n", "sys/fs/cgroup/memory/m/n/memory.limit_in_bytes");
    put("209715200\n", "sys/fs/cgroup/memory/m/n/memory.soft_limit_in_bytes");
    put("104857600\n", "sys/fs/cgroup/memory/m/n/memory.usage_in_bytes");
    put("inactive_file 9\ntotal_inactive_file 10485760\n", "sys/fs/cgroup/memory/m/n/memory.stat");
    put("314572800\n", "sys/fs/cgroup/memory/m/memory.limit_in_bytes");
    put("nothing\n", "sys/fs/cgroup/memory/m/memory.usage_in_bytes");
    struct cgroup g = found();
    ck_assert_uint_eq(g.hard.limit, 300 * MIB);
    ck_assert_uint_eq(g.hard.used, 0);
    ck_assert_uint_eq(g.soft.limit, 200 * MIB);
    ck_assert_uint_eq(g.soft.used, 90 * MIB);
    ck_assert_int_eq(g.soft.room, 110 * MIB);
}
END_TEST

START_TEST(throttling_of_all_levels_and_of_both_versions)
{
    put("0::/a/b\n", "proc/self/cgroup");
    put("50000 100000\n", "sys/fs/cgroup/a/b/cpu.max");
    put("usage_usec 5\nnr_periods 10\nnr_throttled 4\nthrottled_usec 1500000\n",
        "sys/fs/cgroup/a/b/cpu.stat");
    put("max 100000\n", "sys/fs/cgroup/a/cpu.max");
    put("nr_periods 5\nnr_throttled 1\nthrottled_usec 250000\n", "sys/fs/cgroup/a/cpu.stat");
    struct cgroup g = found();
    ck_assert(g.quota == 0.5);
    ck_assert_uint_eq(g.n_periods, 15);
    ck_assert_uint_eq(g.n_throttled, 5);
    ck_assert_uint_eq(g.throttled_ns, 1750000000);
    const uint64_t place = g.place;
    put("3:cpu,cpuacct:/s\n", "proc/self/cgroup");
    /* One hierarchy under two names, as systemd mounts it. */
    static const char *const mounts[] = {"sys/fs/cgroup/cpu", "sys/fs/cgroup/cpu,cpuacct"};
    for (size_t i = 0; i < 2; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s/s/cpu.cfs_quota_us", mounts[i]);
        put("150000\n", "%s", name);
        snprintf(name, sizeof name, "%s/s/cpu.cfs_period_us", mounts[i]);
        put("100000\n", "%s", name);
        snprintf(name, sizeof name, "%s/s/cpu.stat", mounts[i]);
        put("nr_periods 7\nnr_throttled 2\nthrottled_time 900\n", "%s", name);
    }
    g = found();
    ck_assert(g.quota == 1.5 && g.place != place);
    ck_assert_uint_eq(g.n_periods, 7);
    ck_assert_uint_eq(g.n_throttled, 2);
    ck_assert_uint_eq(g.throttled_ns, 900);
}
END_TEST

/* A part of a processor counts when it is most of one; there is always one thread. */
START_TEST(the_least_of_affinity_cores_and_quota_is_usable)
{
    static const struct {
        unsigned n_physical, n_usable;
        double quota, cores;
    } cases[] = {{8, 8, 0, 8},       {8, 2, 1.5, 1.5},  {8, 1, 1.2, 1.2},
                 {8, 1, 0.25, 0.25}, {2, 2, 3.75, 2},   {1, 1, 64, 1},
                 {8, 4, 4, 4},       {16, 16, 1e9, 16}, {4, 1, 0.001, 0.001}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cpu cpu = {.n_physical = cases[i].n_physical};
        cpu_take_limits(&cpu, &(struct cgroup){.quota = cases[i].quota});
        ck_assert_uint_eq(cpu.n_usable, cases[i].n_usable);
        ck_assert(cpu_cores(&cpu) == cases[i].cores);
    }
    struct cpu cpu = {.n_affinity = 4, .n_physical = 2};
    char text[CPU_TEXT_MAX];
    cpu_take_limits(&cpu, &(struct cgroup){.quota = 0.5, .hard = {.limit = 64 << 20}});
    cpu_describe(&cpu, text);
    ck_assert_str_eq(text, "4 processors (2 cores, a quota of 0.50) and 64 MiB of memory");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cgroup");
    TCase *tc = tcase_create("facts");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, without_files_nothing_is_limited);
    tcase_add_test(tc, memory_of_nested_groups);
    tcase_add_test(tc, memory_of_version_1);
    tcase_add_test(tc, throttling_of_all_levels_and_of_both_versions);
    tcase_add_test(tc, the_least_of_affinity_cores_and_quota_is_usable);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
