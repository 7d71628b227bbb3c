/* test_settings.c - facts about the settings: four places, one order of precedence, errors that
 * name the nearest right name. */
#include "config/settings.h"
#include "config/table.h"

#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 32 };

static struct settings *settings;
static struct error err;
static char notes[1024];
static char ini_path[64];

static void forget(void)
{
    settings_free(settings);
    settings = NULL;
    if (ini_path[0] != '\0')
        unlink(ini_path);
    ini_path[0] = '\0';
}

/* "serve --port 1" with these environment variables ("A=1 B=2"); words are cut at single spaces. */
static enum status resolve(const char *line, const char *environment)
{
    static char line_copy[1024], env_copy[1024];
    char program[] = "smallmind";
    char *argv[WORDS_MAX + 1] = {program}, *env[WORDS_MAX + 1] = {NULL};
    int argc = 1;
    size_t n_env = 0;
    snprintf(line_copy, sizeof line_copy, "%s", line);
    snprintf(env_copy, sizeof env_copy, "%s", environment);
    char *rest = line_copy;
    for (char *word; line[0] != '\0' && (word = strsep(&rest, " ")) != NULL;)
        argv[argc++] = word;
    rest = env_copy;
    for (char *word; environment[0] != '\0' && (word = strsep(&rest, " ")) != NULL;)
        env[n_env++] = word;
    settings_free(settings);
    settings = NULL;
    err = (struct error){0};
    return settings_resolve(&settings, argc, argv, env, notes, sizeof notes, &err);
}

static void accepts(const char *line, const char *environment)
{
    enum status status = resolve(line, environment);
    ck_assert_msg(status == STATUS_OK, "`%s` with `%s`: %s", line, environment, err.text);
}

/* The error must hold each of two texts. */
static void refuses(const char *line, const char *environment, const char *part, const char *other)
{
    ck_assert_msg(resolve(line, environment) == STATUS_INVALID, "`%s` with `%s` was taken", line,
                  environment);
    ck_assert_ptr_null(settings);
    ck_assert_msg(strstr(err.text, part) != NULL && strstr(err.text, other) != NULL,
                  "`%s`: \"%s\" does not hold \"%s\" and \"%s\"", line, err.text, part, other);
}

/* "serve --config FILE" where FILE holds this text. */
static const char *with_ini(const char *text, const char *more)
{
    static char line[256];
    forget();
    snprintf(ini_path, sizeof ini_path, "/tmp/smallmind-test-XXXXXX");
    int fd = mkstemp(ini_path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    snprintf(line, sizeof line, "--config %s%s%s", ini_path, more[0] != '\0' ? " " : "", more);
    return line;
}

/* What one of the printers writes; malloc'ed. */
static char *printed(void (*print)(FILE *))
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    ck_assert_ptr_nonnull(out);
    print(out);
    fclose(out);
    return text;
}

static void print_settings(FILE *out)
{
    settings_print(settings, out);
}

static size_t help_columns = 80;

static void print_help(FILE *out)
{
    settings_help(settings->help ? settings->verb : 0, help_columns, out);
}

static void prints(void (*print)(FILE *), const char *part, bool wanted)
{
    char *text = printed(print);
    ck_assert_msg((strstr(text, part) != NULL) == wanted, "\"%s\" is %s in:\n%s", part,
                  wanted ? "missing" : "present", text);
    free(text);
}

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
    ck_assert_uint_eq(settings->max_batch, 32);
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

static void has_items(const struct setting_list *list, size_t n, const char *const *items)
{
    ck_assert_uint_eq(list->n, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_str_eq(list->items[i], items[i]);
}

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

/* "VERB --name=VALUE" of the first verb that has the setting. */
static const char *line_of(const struct setting *setting, const char *value)
{
    static char line[160];
    enum verb verb = (enum verb)(setting->verbs & -setting->verbs);
    snprintf(line, sizeof line, "%s --%s=%s", settings_verb_name(verb), setting->name, value);
    return line;
}

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
    accepts(with_ini("  port = 3 ; behind\n\t[x]\r\n; no = 1\n# no = 2\n\n  max_batch = 4", ""),
            "");
    ck_assert_uint_eq(settings->port, 3);
    ck_assert_uint_eq(settings->max_batch, 4);
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
    ck_assert(settings->special && settings->add_special);
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

START_TEST(values_that_exclude_each_other_are_refused)
{
    refuses("--threads 2 --workers 3", "", "3 workers", "2 threads");
    refuses("generate --max-tokens 2 --min-tokens 3", "", "min_tokens", "max_tokens");
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
    tcase_add_test(facts, unknown_names_are_refused_with_the_nearest);
    tcase_add_test(facts, bad_values_say_what_would_be_right);
    tcase_add_test(facts, zero_is_not_a_word_for_automatic_or_off);
    tcase_add_test(facts, every_row_refuses_values_that_would_have_no_effect);
    tcase_add_test(facts, an_empty_value_of_a_flag_is_refused);
    tcase_add_test(facts, nothing_stands_on_a_command_line_in_vain);
    tcase_add_test(facts, help_is_no_wider_than_the_terminal);
    tcase_add_test(facts, file_with_bad_lines_is_refused);
    tcase_add_test(facts, kubernetes_variables_are_ignored_with_a_note);
    tcase_add_test(facts, notes_are_cut_to_their_room);
    tcase_add_test(facts, verbs_have_their_own_options_and_arguments);
    tcase_add_test(facts, stops_of_a_later_source_replace_those_of_an_earlier_one);
    tcase_add_test(facts, values_that_exclude_each_other_are_refused);
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
