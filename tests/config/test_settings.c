/* test_settings.c - facts about the settings: four places, one order of precedence, errors that
 * name the nearest right name. */
#include "config/settings_test.h"

START_TEST(defaults_are_those_of_the_interface)
{
    accepts("", "");
    ck_assert_int_eq(settings->verb, VERB_SERVE);
    ck_assert_str_eq(settings->model, "builtin");
    ck_assert_uint_eq(settings->threads + settings->workers, 0);
    ck_assert_uint_eq(settings->context, 0);
    ck_assert_int_eq(settings->cpu, 0);
    ck_assert_int_eq(settings->kv_type, 1);
    ck_assert_uint_eq(settings->kv_memory, 0);
    ck_assert(settings->prefix_cache);
    ck_assert_uint_eq(settings->step_tokens, 512);
    ck_assert_uint_eq(settings->max_batch, 0);
    ck_assert_uint_eq(settings->max_queue, 128);
    ck_assert_uint_eq(settings->hosts.n, 1);
    ck_assert_str_eq(settings->hosts.items[0], "127.0.0.1");
    ck_assert_uint_eq(settings->unix_mode, 0600);
    ck_assert_uint_eq(settings->idle_seconds, 75);
    ck_assert_int_eq(settings->metrics_names, METRICS_SMALLMIND);
    ck_assert_uint_eq(settings->port, 8080);
    ck_assert_uint_eq(settings->drain_seconds, 30);
    ck_assert_ptr_null(settings->port_file);
    ck_assert_ptr_null(settings->unix_path);
    ck_assert_ptr_null(settings->api_key_file);
    ck_assert_uint_eq(settings->allow_origins.n + settings->allow_hosts.n, 0);
    ck_assert(!settings->has_seed);
    ck_assert_int_eq(settings->log_format, LOG_TEXT);
    ck_assert_int_eq(settings->log_level, LOG_INFO);
    ck_assert(settings->temperature == 0.8f && settings->top_p == 0.95f);
    ck_assert_uint_eq(settings->top_k, 40);
    ck_assert_str_eq(notes, "");
}
END_TEST

START_TEST(flags_take_both_forms)
{
    accepts("serve --max-queue 7 --port=0 --prefix-cache off --kv-memory 512M --cpu ref", "");
    ck_assert_uint_eq(settings->max_queue, 7);
    ck_assert_uint_eq(settings->port, 0);
    ck_assert(!settings->prefix_cache);
    ck_assert_uint_eq(settings->kv_memory, 512U << 20);
    ck_assert_int_eq(settings->cpu, 1);
    accepts("--kv-memory 2g --max-queue 3 --max-queue 4", ""); /* the last one counts */
    ck_assert_uint_eq(settings->kv_memory, (size_t)2 << 30);
    ck_assert_uint_eq(settings->max_queue, 4);
}
END_TEST

START_TEST(flag_beats_environment_beats_file_beats_default)
{
    const char *file = "[any]\nmax_queue = 10\nmax_batch = 11\nstep_tokens=12\n";
    accepts(with_ini(file, "--max-queue 30"), "SMALLMIND_MAX_QUEUE=20 SMALLMIND_MAX_BATCH=21");
    ck_assert_uint_eq(settings->max_queue, 30);
    ck_assert_uint_eq(settings->max_batch, 21);
    ck_assert_uint_eq(settings->step_tokens, 12);
    ck_assert_uint_eq(settings->port, 8080);
    char place[96];
    snprintf(place, sizeof place, "; %s:4\n", ini_path);
    prints(print_settings, place, true);
    prints(print_settings, "; --max-queue\n", true);
    prints(print_settings, "; SMALLMIND_MAX_BATCH\n", true);
    prints(print_settings, "; default\n", true);
}
END_TEST

START_TEST(a_setting_may_have_no_value)
{
    accepts("profile", "");
    ck_assert(isnan(settings->fail_on_regression));
    prints(print_settings, "nan", false);
    accepts("profile --fail-on-regression 0", "");
    ck_assert(settings->fail_on_regression == 0);
    refuses("profile --fail-on-regression -1", "", "fail-on-regression", "0");
}
END_TEST

START_TEST(what_was_typed_is_known)
{
    accepts("profile --tokens 50", "SMALLMIND_SESSIONS=4");
    ck_assert(settings_is_flag(settings, "tokens") && !settings_is_default(settings, "tokens"));
    ck_assert(!settings_is_flag(settings, "sessions"));
    ck_assert(!settings_is_default(settings, "sessions"));
    ck_assert(!settings_is_flag(settings, "prompt") && settings_is_default(settings, "prompt"));
}
END_TEST

START_TEST(environment_can_name_the_file)
{
    char variable[96];
    with_ini("; comment\nport = 9000\n", "");
    snprintf(variable, sizeof variable, "SMALLMIND_CONFIG=%s", ini_path);
    accepts("", variable);
    ck_assert_uint_eq(settings->port, 9000);
}
END_TEST

START_TEST(printed_settings_are_an_ini_file_of_the_same_values)
{
    accepts("--print-config --host ::1 --kv-memory 1536K --seed 18446744073709551615 --context 512",
            "");
    char *text = printed(print_settings);
    accepts(with_ini(text, ""), "");
    ck_assert_str_eq(settings->hosts.items[0], "::1");
    ck_assert_uint_eq(settings->kv_memory, 1536U << 10);
    ck_assert(settings->has_seed && settings->seed == UINT64_MAX);
    ck_assert_uint_eq(settings->context, 512);
    free(text);
}
END_TEST

START_TEST(lists_add_up_within_a_source_and_replace_those_of_an_earlier_one)
{
    static const char *const abc[] = {"a", "b", "c"}, *const both[] = {"127.0.0.1", "[::1]"};
    accepts("--allow-host a --allow-host b,c", "SMALLMIND_ALLOW_HOST=d");
    has_items(&settings->allow_hosts, 3, abc);
    accepts(with_ini("allow_host = a\nallow_host =  b , c\n", ""), "");
    has_items(&settings->allow_hosts, 3, abc);
    accepts(with_ini("allow_host = d, e\n", ""), "SMALLMIND_ALLOW_HOST=a,b,c");
    has_items(&settings->allow_hosts, 3, abc);
    accepts("--host 127.0.0.1 --host [::1]", "SMALLMIND_HOST=0.0.0.0");
    has_items(&settings->hosts, 2, both);
    accepts("--print-config --host 127.0.0.1,[::1]", "");
    char *text = printed(print_settings);
    accepts(with_ini(text, ""), "");
    has_items(&settings->hosts, 2, both);
    free(text);
}
END_TEST

START_TEST(lists_with_items_that_match_nothing_are_refused)
{
    static const char *const hosts[] = {"http://a", "a:8080", "a/b", "*a", "[a]",
                                        "a,,b",     "a,",     ",a",  "::1"};
    static const char *const origins[] = {"a.example", "https://a.example/", "https://*.example",
                                          "://a"};
    char line[96];
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        snprintf(line, sizeof line, "--allow-host %s", hosts[i]);
        refuses(line, "", "allow", "must be");
    }
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        snprintf(line, sizeof line, "--allow-origin=%s", origins[i]);
        refuses(line, "", "allow_origin", "must be SCHEME");
    }
    accepts("--allow-host *,*.example,[::1],llm_backend --allow-origin "
            "https://a.example:8443,tauri://localhost,null",
            "");
}
END_TEST

START_TEST(permissions_are_octal)
{
    accepts("--unix-mode 666", "");
    ck_assert_uint_eq(settings->unix_mode, 0666);
    prints(print_settings, "0666", true);
    static const char *const bad[] = {"0888", "rw", "7", "01000", "-600", "0x1b"};
    char line[64];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(line, sizeof line, "--unix-mode=%s", bad[i]);
        refuses(line, "", "mode", "octal");
    }
}
END_TEST

START_TEST(a_unix_socket_is_alone_unless_an_address_was_asked_for)
{
    accepts("--unix /x", "");
    ck_assert(settings->unix_alone);
    accepts("--unix /x --port 0", "");
    ck_assert(!settings->unix_alone);
    accepts("--unix /x", "SMALLMIND_HOST=::1");
    ck_assert(!settings->unix_alone);
    accepts("--port 0", "");
    ck_assert(!settings->unix_alone);
}
END_TEST

START_TEST(help_is_no_wider_than_the_terminal)
{
    static const char *const lines[] = {"--help", "serve --help", "profile --help",
                                        "quantize --help"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        accepts(lines[i], "");
        for (help_columns = 40; help_columns <= 120; help_columns += 20) {
            char *text = printed(print_help);
            for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1)
                ck_assert_msg(strcspn(line, "\n") <= help_columns, "%zu: %.130s", help_columns,
                              line);
            free(text);
        }
    }
    help_columns = 80;
    prints(print_help, "Q4_K_M", true);
}
END_TEST

START_TEST(kubernetes_variables_are_ignored_with_a_note)
{
    accepts("", "SMALLMIND_PORT=tcp://10.0.0.1:8080 SMALLMIND_PORT_8080_TCP_ADDR=10.0.0.1 "
                "SMALLMIND_SERVICE_HOST=10.0.0.1 SMALLMIND_SERVICE_PORT_HTTP=8080");
    ck_assert_uint_eq(settings->port, 8080);
    ck_assert_ptr_nonnull(strstr(notes, "SMALLMIND_PORT is ignored"));
    ck_assert_ptr_nonnull(strstr(notes, "SMALLMIND_PORT_8080_TCP_ADDR is ignored"));
    ck_assert_ptr_nonnull(strstr(notes, "SMALLMIND_SERVICE_HOST is ignored"));
    accepts(
        "",
        "SMALLMIND_PORT=9000 SMALLMIND_PORT_FILE=/tmp/port SMALLMIND_SHARED=/x SMALLMIND_HOST=");
    ck_assert_uint_eq(settings->port, 9000);
    ck_assert_str_eq(settings->port_file, "/tmp/port");
    ck_assert_str_eq(settings->hosts.items[0], "127.0.0.1"); /* empty: not set */
    ck_assert_str_eq(notes, "");
}
END_TEST

START_TEST(notes_are_cut_to_their_room)
{
    char program[] = "smallmind", port[] = "SMALLMIND_PORT=tcp://a",
         host[] = "SMALLMIND_SERVICE_HOST=b";
    char *argv[] = {program, NULL}, *env[] = {port, host, NULL}, small[20];
    settings_free(settings);
    ck_assert_int_eq(settings_resolve(&settings, 1, argv, env, small, sizeof small, &err),
                     STATUS_OK);
    ck_assert_uint_eq(strlen(small), sizeof small - 1);
}
END_TEST

START_TEST(verbs_have_their_own_options_and_arguments)
{
    refuses("tokenize --port 3", "", "--port: not an option of tokenize", "tokenize --help");
    refuses("serve extra", "", "serve takes no argument", "extra");
    refuses("serve extra --print-config", "", "serve takes no argument", "extra");
    refuses("inspect", "", "inspect needs an argument", "FILE");
    refuses("generate one two", "", "\"two\"", "quote");
    refuses("-p 3", "", "-p", "two hyphens");
    accepts("generate --stop a --stop=b -- --not-an-option", "SMALLMIND_PORT=99");
    ck_assert_str_eq(settings->argument, "--not-an-option");
    ck_assert_uint_eq(settings->n_stop, 2);
    ck_assert_str_eq(settings->stop[1], "b");
    accepts("--temperature 0 --ignore-eos generate --logit-bias 3:-100,11:2.5 hello", "");
    ck_assert_int_eq(settings->verb, VERB_GENERATE);
    ck_assert(settings->temperature == 0 && settings->ignore_eos);
    ck_assert_uint_eq(settings->n_biases, 2);
    ck_assert_int_eq(settings->biases[1].id, 11);
    ck_assert(settings->biases[1].bias == 2.5f);
    accepts("tokenize --special --add-special", "");
    ck_assert(settings->special && settings->add_special && !settings->no_normalize);
    accepts("tokenize --no-normalize", "");
    ck_assert(settings->no_normalize);
    accepts("--version", "SMALLMIND_NONSENSE=1");
    ck_assert_int_eq(settings->verb, VERB_VERSION);
}
END_TEST

START_TEST(stops_of_a_later_source_replace_those_of_an_earlier_one)
{
    char line[128];
    snprintf(line, sizeof line, "generate %s", with_ini("stop = a\nstop = b\n", ""));
    accepts(line, "");
    ck_assert_uint_eq(settings->n_stop, 2);
    accepts(line, "SMALLMIND_STOP=c");
    ck_assert_uint_eq(settings->n_stop, 1);
    ck_assert_str_eq(settings->stop[0], "c");
}
END_TEST

START_TEST(help_answers_whatever_else_is_wrong)
{
    accepts("--help", "SMALLMIND_NONSENSE=1");
    prints(print_help, "perplexity FILE", true);
    prints(print_help, "--max-queue N", true);
    accepts("tokenize --help", "");
    prints(print_help, "--special", true);
    prints(print_help, "--port", false);
    accepts("help generate", "");
    prints(print_help, "--temperature T", true);
    prints(print_help, "--drain-seconds", false);
    accepts("inspect -h", ""); /* though FILE is missing */
    prints(print_help, "usage: smallmind inspect [OPTION...] FILE", true);
    refuses("help genrate", "", "genrate", "nearest: generate");
}
END_TEST

START_TEST(shipped_ini_file_is_what_the_table_says)
{
    char *wanted = printed(settings_write_ini);
    char *shipped = calloc(1, 1 << 16);
    FILE *file = fopen(TEST_SOURCE_DIR "/config/smallmind.ini", "re");
    ck_assert_msg(file != NULL, "config/smallmind.ini is missing");
    size_t n = fread(shipped, 1, (1 << 16) - 1, file);
    fclose(file);
    ck_assert_uint_gt(n, 0);
    ck_assert_msg(strcmp(shipped, wanted) == 0,
                  "config/smallmind.ini is not what the table says: "
                  "run `build/config_test_settings write-ini > config/smallmind.ini`");
    free(wanted);
    free(shipped);
}
END_TEST

START_TEST(shipped_ini_file_gives_the_defaults)
{
    accepts("", "");
    char *defaults = printed(print_settings), *comment;
    accepts("--config " TEST_SOURCE_DIR "/config/smallmind.ini", "");
    char *loaded = printed(print_settings), *rest_a = defaults, *rest_b = loaded;
    for (char *a, *b; (a = strsep(&rest_a, "\n")) != NULL;) {
        b = strsep(&rest_b, "\n");
        ck_assert_ptr_nonnull(b);
        if ((comment = strstr(a, " ; ")) != NULL)
            *comment = '\0';
        if ((comment = strstr(b, " ; ")) != NULL)
            *comment = '\0';
        ck_assert_str_eq(a, b);
    }
    free(defaults);
    free(loaded);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "write-ini") == 0) {
        settings_write_ini(stdout);
        return EXIT_SUCCESS;
    }
    Suite *suite = suite_create("settings");
    TCase *facts = tcase_create("facts");
    tcase_add_checked_fixture(facts, NULL, forget);
    tcase_add_test(facts, defaults_are_those_of_the_interface);
    tcase_add_test(facts, flags_take_both_forms);
    tcase_add_test(facts, flag_beats_environment_beats_file_beats_default);
    tcase_add_test(facts, a_setting_may_have_no_value);
    tcase_add_test(facts, what_was_typed_is_known);
    tcase_add_test(facts, environment_can_name_the_file);
    tcase_add_test(facts, printed_settings_are_an_ini_file_of_the_same_values);
    tcase_add_test(facts, lists_add_up_within_a_source_and_replace_those_of_an_earlier_one);
    tcase_add_test(facts, lists_with_items_that_match_nothing_are_refused);
    tcase_add_test(facts, permissions_are_octal);
    tcase_add_test(facts, a_unix_socket_is_alone_unless_an_address_was_asked_for);
    tcase_add_test(facts, help_is_no_wider_than_the_terminal);
    tcase_add_test(facts, kubernetes_variables_are_ignored_with_a_note);
    tcase_add_test(facts, notes_are_cut_to_their_room);
    tcase_add_test(facts, verbs_have_their_own_options_and_arguments);
    tcase_add_test(facts, stops_of_a_later_source_replace_those_of_an_earlier_one);
    tcase_add_test(facts, help_answers_whatever_else_is_wrong);
    tcase_add_test(facts, shipped_ini_file_is_what_the_table_says);
    tcase_add_test(facts, shipped_ini_file_gives_the_defaults);
    suite_add_tcase(suite, facts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
