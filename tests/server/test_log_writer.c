/* test_log_writer.c - facts about the ring and its thread. */
#include "server/log_writer.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/smallmind-log-XXXXXX";
static char path[64], moved[64];

static size_t say(char *out, uint64_t n)
{
    return (size_t)snprintf(out, LOG_WRITE_BYTES, "dropped %llu\n", (unsigned long long)n);
}

static struct log_writer *open_writer(void)
{
    struct log_writer *w = NULL;
    struct error err;
    ck_assert_int_eq(log_writer_create(&w, path, say, &err), STATUS_OK);
    return w;
}

static char *contents(const char *of)
{
    static char text[1 << 20];
    FILE *file = fopen(of, "re");
    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void put(struct log_writer *w, const char *line)
{
    log_writer_put(w, line, strlen(line));
}

START_TEST(lines_come_whole_and_in_order_around_the_ring)
{
    enum { N = 3000 };
    struct log_writer *w = open_writer();
    for (int i = 0; i < N; i++) {
        char line[256];
        snprintf(line, sizeof line, "%0*d\n", 1 + i % 200, i);
        put(w, line);
        if (i % 500 == 499) { /* the ring is never full */
            log_writer_destroy(w, 60000);
            w = open_writer();
        }
    }
    ck_assert_uint_eq(log_writer_dropped(w), 0);
    log_writer_destroy(w, 60000);
    char *text = contents(path);
    int n = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"), n++)
        ck_assert_int_eq(atoi(line), n);
    ck_assert_int_eq(n, N);
}
END_TEST

START_TEST(a_full_ring_drops_counts_and_says_so)
{
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    struct log_writer *w = open_writer();
    char line[1001];
    memset(line, 'a', sizeof line);
    line[999] = '\n';
    line[1000] = '\0';
    uint64_t n_put = 0;
    while (log_writer_dropped(w) < 10 && n_put < 100000) {
        put(w, line);
        n_put++;
    }
    ck_assert_uint_lt(n_put, 100000);
    int fd = open(path, O_RDONLY);
    static char text[1 << 20];
    size_t n = 0;
    while (n < sizeof text - 1 && memchr(text, 'd', n) == NULL) {
        ssize_t got = read(fd, text + n, sizeof text - 1 - n);
        ck_assert_int_gt(got, 0);
        n += (size_t)got;
    }
    close(fd);
    char *notice = memchr(text, 'd', n);
    unsigned long long told = strtoull(notice + strlen("dropped "), NULL, 10);
    ck_assert_uint_ge(told, 10);
    ck_assert_uint_eq(told, log_writer_dropped(w));
    log_writer_destroy(w, 1);
}
END_TEST

START_TEST(a_reader_that_never_comes_does_not_hold_the_end)
{
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    struct log_writer *w = open_writer();
    for (int i = 0; i < 20000; i++)
        put(w, "a line of the log that nothing reads\n");
    log_writer_destroy(w, 1);
}
END_TEST

START_TEST(a_file_that_was_moved_is_left_for_a_new_one)
{
    struct log_writer *w = open_writer();
    struct error err;
    put(w, "before\n");
    ck_assert_int_eq(rename(path, moved), 0);
    ck_assert_int_eq(log_writer_reopen(w, &err), STATUS_OK);
    put(w, "after\n");
    log_writer_destroy(w, 60000);
    /* A line that still waited may come to stand in the new file. */
    ck_assert_ptr_nonnull(strstr(contents(path), "after\n"));
    ck_assert_ptr_null(strstr(contents(moved), "after\n"));
}
END_TEST

START_TEST(a_file_that_cannot_be_opened_leaves_the_old_one)
{
    struct log_writer *w = open_writer();
    struct error err;
    ck_assert_int_eq(rename(path, moved), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert_int_eq(log_writer_reopen(w, &err), STATUS_IO);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    put(w, "still here\n");
    log_writer_destroy(w, 60000);
    ck_assert_int_eq(rmdir(path), 0);
    ck_assert_str_eq(contents(moved), "still here\n");
}
END_TEST

static void tidy(void)
{
    unlink(path);
    unlink(moved);
}

int main(void)
{
    Suite *suite = suite_create("log_writer");
    TCase *tcase = tcase_create("log_writer");
    if (mkdtemp(folder) == NULL)
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/log", folder);
    snprintf(moved, sizeof moved, "%s/log.1", folder);
    tcase_add_checked_fixture(tcase, tidy, tidy);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, lines_come_whole_and_in_order_around_the_ring);
    tcase_add_test(tcase, a_full_ring_drops_counts_and_says_so);
    tcase_add_test(tcase, a_reader_that_never_comes_does_not_hold_the_end);
    tcase_add_test(tcase, a_file_that_was_moved_is_left_for_a_new_one);
    tcase_add_test(tcase, a_file_that_cannot_be_opened_leaves_the_old_one);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    rmdir(folder);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
