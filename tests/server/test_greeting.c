/* test_greeting.c - facts about the command that the log offers to try the service with. */
#include "server/greeting.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static char command[GREETING_COMMAND_MAX];

static const char *command_of(const char *url, const char *unix_path, bool needs_key)
{
    const struct greeting g = {.url = url, .unix_path = unix_path, .needs_key = needs_key};
    greeting_command(&g, command);
    return command;
}

START_TEST(it_names_the_address)
{
    ck_assert_str_eq(command_of("http://127.0.0.1:8080", NULL, false),
                     "curl -N -H 'Accept: text/plain' -d '{\"prompt\":\"Once upon a time\"}' "
                     "http://127.0.0.1:8080/generate");
}
END_TEST

START_TEST(every_address_of_the_machine_becomes_one_to_connect_to)
{
    ck_assert_ptr_nonnull(
        strstr(command_of("http://0.0.0.0:80", NULL, false), " http://127.0.0.1:80/"));
    ck_assert_ptr_nonnull(strstr(command_of("http://[::]:80", NULL, false), " http://[::1]:80/"));
}
END_TEST

START_TEST(a_key_and_a_socket_are_there_when_they_are_needed)
{
    ck_assert_ptr_null(strstr(command_of("http://[::1]:80", NULL, false), "Bearer"));
    ck_assert_ptr_nonnull(
        strstr(command_of("http://[::1]:80", NULL, true), "-H 'Authorization: Bearer KEY'"));
    ck_assert_ptr_nonnull(strstr(command_of("unix:/run/s.sock", "/run/s.sock", false),
                                 "--unix-socket '/run/s.sock' "));
    ck_assert_ptr_nonnull(strstr(command, " http://localhost/generate"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("greeting");
    TCase *facts = tcase_create("facts");
    tcase_add_test(facts, it_names_the_address);
    tcase_add_test(facts, every_address_of_the_machine_becomes_one_to_connect_to);
    tcase_add_test(facts, a_key_and_a_socket_are_there_when_they_are_needed);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
