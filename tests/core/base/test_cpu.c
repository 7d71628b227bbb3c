/* test_cpu.c - facts about reading the machine: made-up machines in a folder, and this one. */
#include "base/cgroup.h"
#include "base/cpu.h"
#include "base/cpu_sysfs.h"
#include "core/base/made_up_machine.h"

#include <check.h>
#include <fenv.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* n processors, two to a core (i and i + n / 2), with `share` neighbours on a last-level cache. */
static void put_machine(unsigned n, unsigned share)
{
    for (unsigned i = 0; i < n; i++) {
        char text[64];
        unsigned core = i % (n / 2);
        snprintf(text, sizeof text, "%u,%u\n", core, core + n / 2);
        put(text, "sys/devices/system/cpu/cpu%u/topology/core_cpus_list", i);
        static const char *const levels[] = {"1", "1", "2", "3"};
        static const char *const kinds[] = {"Data", "Instruction", "Unified", "Unified"};
        static const char *const sizes[] = {"32K", "32K", "1024K", "32M"};
        for (unsigned k = 0; k < 4; k++) {
            put(levels[k], "sys/devices/system/cpu/cpu%u/cache/index%u/level", i, k);
            put(kinds[k], "sys/devices/system/cpu/cpu%u/cache/index%u/type", i, k);
            put(sizes[k], "sys/devices/system/cpu/cpu%u/cache/index%u/size", i, k);
        }
        snprintf(text, sizeof text, "%u-%u\n", core / share * share,
                 core / share * share + share - 1);
        put(text, "sys/devices/system/cpu/cpu%u/cache/index3/shared_cpu_list", i);
    }
}

static struct cpu_mask mask_of(unsigned first, unsigned n)
{
    struct cpu_mask mask = {0};
    for (unsigned i = first; i < first + n; i++)
        mask.bits[i / 64] |= (uint64_t)1 << i % 64;
    return mask;
}

static double quota(void)
{
    struct cgroup group;
    cgroup_look(&group, root);
    return group.quota;
}

static uint64_t memory_limit(void)
{
    struct cgroup group;
    cgroup_look(&group, root);
    return group.hard.limit;
}

START_TEST(siblings_count_once_and_domains_by_their_cache)
{
    struct cpu cpu = {0};
    put_machine(16, 4);
    struct cpu_mask all = mask_of(0, 16);
    cpu_sysfs_topology(root, &all, &cpu);
    ck_assert_uint_eq(cpu.n_affinity, 16);
    ck_assert_uint_eq(cpu.n_physical, 8);
    ck_assert_uint_eq(cpu.n_domains, 2);
    ck_assert_uint_eq(cpu.l2_bytes, 1 << 20);
    ck_assert_uint_eq(cpu.l3_bytes, 32 << 20);
}
END_TEST

START_TEST(only_processors_of_the_mask_count)
{
    struct cpu cpu = {0};
    put_machine(16, 4);
    struct cpu_mask some = mask_of(9, 3); /* second threads of cores 1, 2, 3 */
    cpu_sysfs_topology(root, &some, &cpu);
    ck_assert_uint_eq(cpu.n_affinity, 3);
    ck_assert_uint_eq(cpu.n_physical, 3);
    ck_assert_uint_eq(cpu.n_domains, 1);
}
END_TEST

START_TEST(an_older_name_of_the_siblings_serves)
{
    struct cpu cpu = {0};
    put("0-1\n", "sys/devices/system/cpu/cpu0/topology/thread_siblings_list");
    put("0-1\n", "sys/devices/system/cpu/cpu1/topology/thread_siblings_list");
    struct cpu_mask all = mask_of(0, 2);
    cpu_sysfs_topology(root, &all, &cpu);
    ck_assert_uint_eq(cpu.n_physical, 1);
}
END_TEST

START_TEST(a_machine_that_says_nothing_has_its_processors_and_one_domain)
{
    struct cpu cpu = {0};
    struct cpu_mask all = mask_of(62, 4);
    cpu_sysfs_topology(root, &all, &cpu);
    ck_assert_uint_eq(cpu.n_affinity, 4);
    ck_assert_uint_eq(cpu.n_physical, 4);
    ck_assert_uint_eq(cpu.n_domains, 1);
    ck_assert(cpu.l2_bytes == 0 && cpu.l3_bytes == 0);
    ck_assert(quota() == 0 && memory_limit() == 0);
    char name[8];
    ck_assert(!cpu_sysfs_name(root, name, sizeof name));
}
END_TEST

START_TEST(odd_files_are_as_good_as_none)
{
    struct cpu cpu = {0};
    put("what?", "sys/devices/system/cpu/cpu0/topology/core_cpus_list");
    put("99999999", "sys/devices/system/cpu/cpu1/topology/core_cpus_list");
    put("", "sys/devices/system/cpu/cpu1/topology/thread_siblings_list");
    put("three", "sys/devices/system/cpu/cpu0/cache/index3/level");
    put("3", "sys/devices/system/cpu/cpu1/cache/index3/level");
    put("-1", "sys/devices/system/cpu/cpu1/cache/index3/shared_cpu_list");
    put("99999999999999999999G", "sys/devices/system/cpu/cpu1/cache/index3/size");
    struct cpu_mask all = mask_of(0, 2);
    cpu_sysfs_topology(root, &all, &cpu);
    ck_assert_uint_eq(cpu.n_physical, 2);
    ck_assert_uint_eq(cpu.n_domains, 1);
    ck_assert_uint_eq(cpu.l3_bytes, 0);
    put("garbage\n:::\n0:\n0::relative\n\n", "proc/self/cgroup");
    put("a b", "sys/fs/cgroup/cpu.max");
    put("9999999999999999999999", "sys/fs/cgroup/memory.max");
    ck_assert(quota() == 0);
    ck_assert_uint_eq(memory_limit(), 0);
}
END_TEST

START_TEST(the_tightest_quota_on_the_way_up_holds)
{
    put("0::/pod/container\n", "proc/self/cgroup");
    put("max 100000\n", "sys/fs/cgroup/pod/container/cpu.max");
    ck_assert(quota() == 0);
    put("400000 100000\n", "sys/fs/cgroup/pod/container/cpu.max");
    ck_assert(quota() == 4);
    put("150000 100000\n", "sys/fs/cgroup/pod/cpu.max");
    ck_assert(quota() == 1.5);
    put("300000 0\n", "sys/fs/cgroup/cpu.max"); /* no period: nothing said */
    ck_assert(quota() == 1.5);
    put("50000 100000\n", "sys/fs/cgroup/cpu.max");
    ck_assert(quota() == 0.5);
    put("25000 100000\n", "sys/fs/cgroup/other/cpu.max"); /* not ours */
    ck_assert(quota() == 0.5);
}
END_TEST

START_TEST(version_1_quotas_are_read)
{
    put("12:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/\n", "proc/self/cgroup");
    put("-1\n", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us");
    put("100000\n", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us");
    ck_assert(quota() == 0);
    put("200000\n", "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us");
    put("100000\n", "sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us");
    ck_assert(quota() == 2);
    put("50000\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us"); /* a container's own root, where its path
                                                             is not to be seen */
    put("50000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us");
    ck_assert(quota() == 1);
}
END_TEST

START_TEST(the_tightest_memory_limit_holds)
{
    put("0::/a/b\n5:memory:/m\n", "proc/self/cgroup");
    put("max\n", "sys/fs/cgroup/a/b/memory.max");
    put("9223372036854771712\n", "sys/fs/cgroup/memory/m/memory.limit_in_bytes");
    ck_assert_uint_eq(memory_limit(), 0);
    put("536870912\n", "sys/fs/cgroup/a/memory.max");
    ck_assert_uint_eq(memory_limit(), 536870912);
    put("268435456\n", "sys/fs/cgroup/memory/memory.limit_in_bytes");
    ck_assert_uint_eq(memory_limit(), 268435456);
}
END_TEST

START_TEST(a_path_that_leads_out_is_the_root)
{
    put("0::/../../etc\n", "proc/self/cgroup");
    put("100000 100000\n", "sys/fs/cgroup/cpu.max");
    put("1 100000\n", "sys/fs/etc/cpu.max");
    ck_assert(quota() == 1);
}
END_TEST

START_TEST(the_name_is_a_line_of_cpuinfo)
{
    char name[96];
    put("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags: a\n", "proc/cpuinfo");
    ck_assert(cpu_sysfs_name(root, name, sizeof name));
    ck_assert_str_eq(name, "Some CPU @ 2 GHz");
}
END_TEST

START_TEST(this_machine_makes_sense)
{
    struct cpu cpu;
    cpu_detect(&cpu);
    ck_assert(cpu.name[0] != '\0');
    ck_assert_uint_ge(cpu.n_affinity, 1);
    ck_assert(cpu.n_physical >= 1 && cpu.n_physical <= cpu.n_affinity);
    ck_assert(cpu.n_usable >= 1 && cpu.n_usable <= cpu.n_physical);
    ck_assert(cpu.n_domains >= 1 && cpu.n_domains <= cpu.n_physical);
    ck_assert_uint_gt(cpu.memory_bytes, 1 << 20);
    ck_assert_uint_eq(cpu.memory_bytes, cpu_memory_bytes());
#ifdef __x86_64__
    ck_assert_int_eq(cpu.avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
    ck_assert(!cpu.neon);
    ck_assert(cpu.avx2 || (!cpu.avxvnni && !cpu.avx512));
#endif
}
END_TEST

START_TEST(the_float_mode_rounds_to_nearest_and_keeps_subnormals)
{
    fesetround(FE_UPWARD);
    cpu_set_float_mode();
    volatile float tiny = FLT_MIN, half = tiny / 2, one = 1, third = one / 3;
    ck_assert(half > 0 && fpclassify(half) == FP_SUBNORMAL && half * 2 == tiny);
    ck_assert(third == 0x1.555556p-2f && -third == -0x1.555556p-2f && one / 7 == 0x1.24924ap-3f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cpu");
    TCase *tc = tcase_create("facts");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, siblings_count_once_and_domains_by_their_cache);
    tcase_add_test(tc, only_processors_of_the_mask_count);
    tcase_add_test(tc, an_older_name_of_the_siblings_serves);
    tcase_add_test(tc, a_machine_that_says_nothing_has_its_processors_and_one_domain);
    tcase_add_test(tc, odd_files_are_as_good_as_none);
    tcase_add_test(tc, the_tightest_quota_on_the_way_up_holds);
    tcase_add_test(tc, version_1_quotas_are_read);
    tcase_add_test(tc, the_tightest_memory_limit_holds);
    tcase_add_test(tc, a_path_that_leads_out_is_the_root);
    tcase_add_test(tc, the_name_is_a_line_of_cpuinfo);
    tcase_add_test(tc, this_machine_makes_sense);
    tcase_add_test(tc, the_float_mode_rounds_to_nearest_and_keeps_subnormals);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
