/* test_log.c - facts about the log's lines. */
#include "server/log.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char out[LOG_LINE_MAX + 1];

static const char *line(enum log_format format, enum log_level level, const char *text)
{
    size_t n = log_format_line(out, format, 1700000000123u, level, text);
    ck_assert_uint_le(n, LOG_LINE_MAX);
    out[n] = '\0';
    return out;
}

static const char *access_line(enum log_format format, const struct log_request *request)
{
    size_t n = log_format_access(out, format, 1700000000123u, request);
    ck_assert_uint_le(n, LOG_LINE_MAX);
    out[n] = '\0';
    return out;
}

START_TEST(a_line_has_time_level_and_text)
{
    ck_assert_str_eq(line(LOG_TEXT, LOG_WARN, "it rains"),
                     "2023-11-14T22:13:20.123Z warn  it rains\n");
    ck_assert_str_eq(
        line(LOG_JSON, LOG_WARN, "it rains"),
        "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"warn\",\"message\":\"it rains\"}\n");
}
END_TEST

START_TEST(no_text_breaks_a_line_or_its_json)
{
    ck_assert_str_eq(line(LOG_TEXT, LOG_INFO, "a\nb\x1b[0m\xff"),
                     "2023-11-14T22:13:20.123Z info  a?b?[0m?\n");
    ck_assert_ptr_nonnull(strstr(line(LOG_JSON, LOG_INFO, "a\"b\\c\r"), "\"a\\\"b\\\\c?\"}"));
    ck_assert_ptr_nonnull(
        strstr(line(LOG_JSON, LOG_INFO, "caf\xc3\xa9 \xc2\x85"), "caf\xc3\xa9 ?"));
}
END_TEST

START_TEST(a_long_text_is_cut_and_the_line_still_ends)
{
    char text[3 * LOG_LINE_MAX];
    memset(text, '"', sizeof text);
    text[sizeof text - 1] = '\0';
    const char *json = line(LOG_JSON, LOG_ERROR, text);
    size_t n = strlen(json);
    ck_assert_str_eq(json + n - 3, "\"}\n");
    ck_assert_int_eq(json[n - 4], '"');
    ck_assert_int_eq(json[n - 5], '\\'); /* an escape is never split */
    const char *plain = line(LOG_TEXT, LOG_ERROR, text);
    ck_assert_int_eq(plain[strlen(plain) - 1], '\n');
}
END_TEST

START_TEST(a_request_is_one_line)
{
    struct log_request r = {.id = "abc",
                            .method = "GET",
                            .route = "/livez",
                            .status = 200,
                            .bytes_in = 5,
                            .total_ms = 1.5};
    ck_assert_str_eq(access_line(LOG_TEXT, &r),
                     "2023-11-14T22:13:20.123Z info  request id=abc method=GET route=/livez "
                     "status=200 bytes_in=5 total_ms=1.500\n");
    strcpy(r.client, "2001:db8::1");
    strcpy(r.path, "/a \"b\"\n");
    strcpy(r.reason, "there is nothing");
    r.quiet = true;
    ck_assert_str_eq(access_line(LOG_TEXT, &r),
                     "2023-11-14T22:13:20.123Z debug request id=abc method=GET route=/livez "
                     "path=\"/a \\\"b\\\"?\" client=2001:db8::1 status=200 bytes_in=5 "
                     "total_ms=1.500 reason=\"there is nothing\"\n");
    r.client[0] = r.path[0] = r.reason[0] = '\0';
    r.quiet = false;
    r.generation = true;
    r.finish = "stop";
    r.prompt_tokens = 3;
    r.cached_tokens = 2;
    r.completion_tokens = 7;
    r.queue_ms = 0.25;
    r.prefill_ms = 10;
    r.decode_ms = 20;
    ck_assert_str_eq(
        access_line(LOG_JSON, &r),
        "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"info\",\"message\":\"request\",\"id\":"
        "\"abc\","
        "\"method\":\"GET\",\"route\":\"/livez\",\"status\":200,\"bytes_in\":5,\"total_ms\":1.500,"
        "\"finish\":\"stop\",\"prompt_tokens\":3,\"cached_tokens\":2,\"completion_tokens\":7,"
        "\"queue_ms\":0.250,\"prefill_ms\":10.000,\"decode_ms\":20.000}\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tcase = tcase_create("log");
    tcase_add_test(tcase, a_line_has_time_level_and_text);
    tcase_add_test(tcase, no_text_breaks_a_line_or_its_json);
    tcase_add_test(tcase, a_long_text_is_cut_and_the_line_still_ends);
    tcase_add_test(tcase, a_request_is_one_line);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
