/* test_refusals.c - facts about settings that are refused, and in which words. */
#include "config/settings_test.h"

START_TEST(unknown_names_are_refused_with_the_nearest)
{
    refuses("--max-queu 3", "", "--max-queu:", "nearest: --max-queue");
    refuses("--max_queue=3", "", "--max_queue:", "nearest: --max-queue");
    refuses("--hlep", "", "--hlep:", "nearest: --help");
    refuses("srve", "", "srve", "nearest: serve");
    refuses("--ctx-size 3", "", "--ctx-size:", "nearest: --context"); /* another program's */
    refuses("generate --max-new-tokens 3", "", "", "nearest: --max-tokens");
    refuses(with_ini("n_predict = 3\n", ""), "", "", "nearest: max_tokens");
    static const char *const far[] = {"--zzzzzzzz", "--bogus 1", "--x", "zzzz", "sing"};
    for (size_t i = 0; i < sizeof far / sizeof *far; i++) { /* no hint is better than a wrong one */
        refuses(far[i], "", "unknown", "");
        ck_assert_msg(strstr(err.text, "nearest") == NULL, "%s", err.text);
    }
    refuses("", "SMALLMIND_MAX_QEUE=3", "SMALLMIND_MAX_QEUE:", "nearest: SMALLMIND_MAX_QUEUE");
    refuses("", "SMALLMIND_max_queue=3", "SMALLMIND_max_queue:", "nearest: SMALLMIND_MAX_QUEUE");
    refuses(with_ini("\n\nmax_que = 3\n", ""), "", ":3: max_que:", "nearest: max_queue");
    refuses(with_ini("max-queue = 3\n", ""), "", ":1: max-queue:", "nearest: max_queue");
    refuses(with_ini("config = x\n", ""), "", ":1: config:", "unknown setting");
}
END_TEST

START_TEST(bad_values_say_what_would_be_right)
{
    refuses("--max-queue abc", "", "--max-queue: \"abc\"", "a whole number from 1 to");
    refuses("--max-queue -1", "", "\"-1\"", "a whole number");
    refuses("--max-queue 0x10", "", "\"0x10\"", "a whole number");
    refuses("--max-queue 99999999999999999999999", "", "--max-queue", "a whole number");
    refuses("--port 65536", "", "\"65536\"", "from 0 to 65535");
    refuses("--context 0.5", "", "\"0.5\"", "or auto");
    refuses("--cpu avx22", "", "avx512", "nearest: avx2");
    refuses("--prefix-cache yes", "", "\"yes\"", "on or off");
    refuses("--kv-memory 3X", "", "\"3X\"", "512M");
    refuses("--kv-memory 99999999999T", "", "--kv-memory", "512M");
    refuses("generate --temperature 5.1", "", "\"5.1\"", "from 0 to 5");
    refuses("generate --temperature nan", "", "\"nan\"", "from 0 to 5");
    refuses("generate --logit-bias 3", "", "\"3\"", "ID:BIAS");
    refuses("generate --seed 18446744073709551616", "", "--seed", "18446744073709551615");
    refuses("--model=", "", "--model", "not empty");
    refuses("--port", "", "--port needs a value", "65535");
    refuses("--model --port 3", "", "--model needs a value", "");
    refuses("", "SMALLMIND_PORT=abc", "SMALLMIND_PORT: \"abc\"", "from 0 to 65535");
    refuses(with_ini("[network]\nport = abc\n", ""), "", ":2: port: \"abc\"", "from 0 to 65535");
}
END_TEST

START_TEST(zero_is_not_a_word_for_automatic_or_off)
{
    static const char *const words[][2] = {
        {"context", "auto"},         {"threads", "auto"},         {"workers", "auto"},
        {"kv-memory", "auto"},       {"max-wait-seconds", "off"}, {"max-prompt-tokens", "off"},
        {"max-output-tokens", "off"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char line[64];
        snprintf(line, sizeof line, "--%s 0", words[i][0]);
        refuses(line, "", words[i][0], words[i][1]);
        snprintf(line, sizeof line, "--%s %s", words[i][0], words[i][1]);
        accepts(line, "");
    }
    refuses("generate --max-tokens 0", "", "--max-tokens", "or auto");
    refuses("--kv-memory 0G", "", "--kv-memory", "or auto");
    refuses("", "SMALLMIND_THREADS=0", "SMALLMIND_THREADS", "or auto");
    refuses(with_ini("workers = 0\n", ""), "", ":1: workers", "or auto");
    accepts("--port 0 --drain-seconds 0", ""); /* where 0 is a number */
}
END_TEST

START_TEST(every_row_refuses_values_that_would_have_no_effect)
{
    for (size_t i = 0; i < settings_table_n; i++) {
        const struct setting *setting = &settings_table[i];
        bool number = setting->kind == KIND_NUMBER || setting->kind == KIND_BYTES;
        refuses(line_of(setting, ""), "", setting->name, "");
        if (number && setting->min > 0)
            refuses(line_of(setting, "0"), "", setting->name, "");
        if (number) {
            refuses(line_of(setting, "-1"), "", setting->name, "");
            refuses(line_of(setting, "+1"), "", setting->name, "");
            refuses(line_of(setting, "1.5"), "", setting->name, "");
            refuses(line_of(setting, "1e3"), "", setting->name, "");
            refuses(line_of(setting, "99999999999999999999"), "", setting->name, "");
        }
        if (setting->kind == KIND_NUMBER)
            refuses(line_of(setting, "1K"), "", setting->name, "");
        if (setting->kind == KIND_BYTES)
            refuses(line_of(setting, "1KB"), "", setting->name, "");
        if (setting->kind == KIND_REAL) {
            refuses(line_of(setting, "nan"), "", setting->name, "");
            refuses(line_of(setting, "inf"), "", setting->name, "");
            refuses(line_of(setting, "1e39"), "", setting->name, "");
            refuses(line_of(setting, "0x1"), "", setting->name, "");
        }
        if (setting->kind == KIND_CHOICE || setting->kind == KIND_SWITCH)
            refuses(line_of(setting, "zzzzzz"), "", setting->name, "");
    }
}
END_TEST

START_TEST(an_empty_value_of_a_flag_is_refused)
{
    static const char *const flags[] = {
        "--api-key-file=", "--host=",    "--unix=", "--port-file=",   "--config=",
        "--allow-origin=", "--threads=", "--cpu=",  "--prefix-cache="};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        refuses(flags[i], "", "\"\"", "must be");
    refuses("generate --stop=", "", "--stop", "not empty");
    refuses("generate --logit-bias=", "", "--logit-bias", "ID:BIAS");
    refuses("bench --cells=", "", "--cells", "not empty");
    refuses("profile --fail-on-regression=", "", "--fail-on-regression", "a number");
    accepts(with_ini("unix =\nstop =\nlogit_bias =\n", ""), "SMALLMIND_API_KEY_FILE=");
}
END_TEST

START_TEST(nothing_stands_on_a_command_line_in_vain)
{
    refuses("help serve extra", "", "\"extra\"", "one verb");
    refuses("help nonsense", "", "nonsense", "unknown verb");
    refuses("version extra", "", "version takes no argument", "extra");
    refuses("version --port 5", "", "--port", "not an option of version");
    refuses("help --port 5", "", "--port", "not an option of help");
    refuses("--version=1", "", "--version", "no value");
    refuses("--version extra", "", "extra", "unknown verb");
    refuses("--help=maybe", "", "--help", "on or off");
    refuses("serve --help extra", "", "serve takes no argument", "extra");
    refuses("serve --help --ignore-eos", "", "--ignore-eos", "not an option of serve");
    refuses("inspect a b", "", "\"b\"", "too many");
    refuses("quantize a b Q4_0 c", "", "\"c\"", "too many");
    refuses("generate --prefix-cache off x", "", "--prefix-cache", "not an option of generate");
    accepts("serve --port 5 --version", "");
    ck_assert_int_eq(settings->verb, VERB_VERSION);
    accepts("help serve", "");
    accepts("inspect --help", "");
    accepts("inspect file --help", "");
}
END_TEST

START_TEST(file_with_bad_lines_is_refused)
{
    refuses(with_ini("port 3\n", ""), "", ":1:", "name = value");
    refuses(with_ini("port = 3\n[broken\n", ""), "", ":2:", "name = value");
    refuses(with_ini("port = 3\nport = 4\n", ""), "", ":2: port: given before, at", ":1");
    char text[700];
    memset(text, 'a', sizeof text);
    memcpy(text, "model = ", 8);
    text[sizeof text - 1] = '\0';
    refuses(with_ini(text, ""), "", ":1:", "longer than");
    ck_assert_int_eq(resolve("--config /nonexistent/smallmind.ini", ""), STATUS_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/smallmind.ini"));
    accepts(with_ini("  port = 3 ; after\n\t[x]\r\n; no = 1\n# no = 2\n\n  max_batch = 4", ""), "");
    ck_assert_uint_eq(settings->port, 3);
    ck_assert_uint_eq(settings->max_batch, 4);
}
END_TEST

START_TEST(values_that_exclude_each_other_are_refused)
{
    refuses("--threads 2 --workers 3", "", "3 workers", "2 threads");
    refuses("generate --max-tokens 2 --min-tokens 3", "", "min_tokens", "max_tokens");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("refusals");
    TCase *facts = tcase_create("facts");
    tcase_add_checked_fixture(facts, NULL, forget);
    tcase_add_test(facts, unknown_names_are_refused_with_the_nearest);
    tcase_add_test(facts, bad_values_say_what_would_be_right);
    tcase_add_test(facts, zero_is_not_a_word_for_automatic_or_off);
    tcase_add_test(facts, every_row_refuses_values_that_would_have_no_effect);
    tcase_add_test(facts, an_empty_value_of_a_flag_is_refused);
    tcase_add_test(facts, nothing_stands_on_a_command_line_in_vain);
    tcase_add_test(facts, file_with_bad_lines_is_refused);
    tcase_add_test(facts, values_that_exclude_each_other_are_refused);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
