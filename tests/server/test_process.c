/* test_process.c - facts about what is known of the process, with and without descriptors. */
#include "server/process.h"

#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

START_TEST(open_files_are_counted_as_they_come_and_go)
{
    struct process process = {0};
    uint64_t before = 0, after = 0;
    process_open(&process);
    ck_assert(process_open_files(&process, &before));
    int fds[10];
    for (int i = 0; i < 10; i++)
        ck_assert_int_ge(fds[i] = open("/dev/null", O_RDONLY), 0);
    ck_assert(process_open_files(&process, &after));
    ck_assert_uint_eq(after, before + 10);
    for (int i = 0; i < 10; i++)
        close(fds[i]);
    ck_assert(process_open_files(&process, &after));
    ck_assert_uint_eq(after, before);
    process_close(&process);
}
END_TEST

START_TEST(everything_is_known_without_a_free_descriptor)
{
    struct process process = {0};
    struct rlimit limit;
    uint64_t open_now = 0, most = 0, resident = 0;
    process_open(&process);
    ck_assert(process_open_files(&process, &open_now));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)open_now;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    while (open("/dev/null", O_RDONLY) >= 0)
        continue;
    ck_assert(process_open_files(&process, &open_now) && open_now > 0);
    ck_assert(process_max_files(&most) && most == limit.rlim_cur);
    ck_assert(process_resident_bytes(&process, &resident) && resident > 65536);
    process_close(&process);
    for (int fd = STDERR_FILENO + 1; fd < (int)most; fd++)
        close(fd); /* a sanitizer's look at the end opens files */
}
END_TEST

START_TEST(resident_memory_grows_with_what_is_touched)
{
    enum { BYTES = 64 << 20 };
    struct process process = {0};
    uint64_t before = 0, after = 0;
    process_open(&process);
    ck_assert(process_resident_bytes(&process, &before));
    char *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    memset(memory, 1, BYTES);
    ck_assert(process_resident_bytes(&process, &after));
    ck_assert_uint_ge(after, before + BYTES / 2);
    munmap(memory, BYTES);
    process_close(&process);
}
END_TEST

START_TEST(what_is_not_there_is_not_known)
{
    struct process process = {0};
    uint64_t value = 7;
    ck_assert(!process_open_files(&process, &value) && !process_resident_bytes(&process, &value));
    ck_assert_uint_eq(value, 7);
    process_close(&process);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("process");
    TCase *facts = tcase_create("facts");
    tcase_add_test(facts, open_files_are_counted_as_they_come_and_go);
    tcase_add_test(facts, everything_is_known_without_a_free_descriptor);
    tcase_add_test(facts, resident_memory_grows_with_what_is_touched);
    tcase_add_test(facts, what_is_not_there_is_not_known);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
