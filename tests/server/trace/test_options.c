/* test_options.c - facts about where spans go: the settings, OpenTelemetry's variables, and that no
 * key is ever quoted. */
#include "server/trace/options.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static struct {
    const char *name, *value;
} variables[16];
static size_t n_variables;

static const char *lookup(const char *name)
{
    for (size_t i = 0; i < n_variables; i++)
        if (strcmp(variables[i].name, name) == 0)
            return variables[i].value;
    return NULL;
}

static void set(const char *name, const char *value)
{
    variables[n_variables].name = name;
    variables[n_variables++].value = value;
}

static void forget(void)
{
    n_variables = 0;
}

static struct trace_options read_options(const char *endpoint, const char *headers)
{
    struct trace_options options;
    struct error err;
    const struct trace_wishes wishes = {.endpoint = endpoint, .headers = headers, .part = 1};
    ck_assert_msg(trace_options_read(&options, &wishes, lookup, &err) == STATUS_OK, "%s", err.text);
    return options;
}

static struct error refusal(const char *endpoint, const char *headers)
{
    struct trace_options options;
    struct error err = {.text = ""};
    const struct trace_wishes wishes = {.endpoint = endpoint, .headers = headers, .part = 1};
    ck_assert_int_eq(trace_options_read(&options, &wishes, lookup, &err), STATUS_INVALID);
    return err;
}

static const char *attribute(const struct trace_options *options, const char *name)
{
    const char *found = NULL;
    for (size_t i = 0; i < options->n_resource; i++) {
        if (strcmp(options->resource[i].name, name) != 0)
            continue;
        ck_assert_ptr_null(found);
        found = options->resource[i].value;
    }
    return found;
}

START_TEST(without_an_endpoint_nothing_is_traced)
{
    set("OTEL_RESOURCE_ATTRIBUTES", "nonsense");
    set("OTEL_EXPORTER_OTLP_ENDPOINT", "");
    struct trace_options options = read_options(NULL, "nonsense");
    ck_assert_ptr_null(options.url);
}
END_TEST

START_TEST(the_path_of_traces_is_put_after_an_endpoint)
{
    static const char *const cases[][2] = {
        {"http://localhost:4318", "http://localhost:4318/v1/traces"},
        {"http://localhost:4318/", "http://localhost:4318/v1/traces"},
        {"http://localhost:4318/v1/traces", "http://localhost:4318/v1/traces"},
        {"https://api.example/otlp/", "https://api.example/otlp/v1/traces"},
        {"http://[::1]:4318", "http://[::1]:4318/v1/traces"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trace_options options = read_options(cases[i][0], NULL);
        ck_assert_str_eq(options.url, cases[i][1]);
        trace_options_free(&options);
        set("OTEL_EXPORTER_OTLP_ENDPOINT", cases[i][0]);
        options = read_options(NULL, NULL);
        ck_assert_str_eq(options.url, cases[i][1]);
        trace_options_free(&options);
        forget();
    }
}
END_TEST

START_TEST(the_variable_of_traces_is_taken_as_it_is_and_comes_first)
{
    set("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other:4318");
    set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://localhost:4318/in?tenant=a");
    set("OTEL_EXPORTER_OTLP_HEADERS", "a=1");
    set("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=2");
    struct trace_options options = read_options(NULL, NULL);
    ck_assert_str_eq(options.url, "http://localhost:4318/in?tenant=a");
    ck_assert_uint_eq(options.n_headers, 1);
    ck_assert_str_eq(options.headers[0], "b: 2");
    trace_options_free(&options);
    options = read_options("http://mine", "c=3");
    ck_assert_str_eq(options.url, "http://mine/v1/traces");
    ck_assert_str_eq(options.headers[0], "c: 3");
    trace_options_free(&options);
}
END_TEST

START_TEST(what_is_no_endpoint_is_refused_without_being_quoted)
{
    static const char *const cases[] = {"localhost:4318",
                                        "ftp://localhost",
                                        "http://",
                                        "http://user:SECRET@localhost:4318",
                                        "http://localhost:4318/?key=SECRET",
                                        "http://localhost:4318/#SECRET",
                                        "http://local host"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = refusal(cases[i], NULL);
        ck_assert_ptr_nonnull(strstr(err.text, "--otlp-endpoint must be a URL"));
        ck_assert_ptr_null(strstr(err.text, "SECRET"));
    }
    set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector");
    struct error err = refusal(NULL, NULL);
    ck_assert_ptr_nonnull(strstr(err.text, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"));
}
END_TEST

START_TEST(headers_are_pairs_whose_percent_signs_are_decoded)
{
    struct trace_options options =
        read_options("http://x", " authorization = Bearer%20a=b%2Cc , x-empty=,x-odd=5%,");
    ck_assert_uint_eq(options.n_headers, 3);
    ck_assert_str_eq(options.headers[0], "authorization: Bearer a=b,c");
    ck_assert_str_eq(options.headers[1], "x-empty;");
    ck_assert_str_eq(options.headers[2], "x-odd: 5%");
    trace_options_free(&options);
}
END_TEST

START_TEST(wrong_headers_are_refused_without_being_quoted)
{
    static const char *const cases[] = {
        "SECRET",     "a b=SECRET", "=SECRET", "a=SECRET%0d%0ab: c", "content-type=SECRET",
        "Host=SECRET"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error err = refusal("http://x", cases[i]);
        ck_assert_ptr_nonnull(strstr(err.text, "--otlp-headers must be NAME=VALUE pairs"));
        ck_assert_ptr_null(strstr(err.text, "SECRET"));
    }
    char many[TRACE_LIST_MAX * 4 + 8] = "";
    for (size_t i = 0; i <= TRACE_LIST_MAX; i++)
        strcat(many, "a=1,");
    refusal("http://x", many);
}
END_TEST

START_TEST(the_resource_says_which_service_it_is)
{
    struct trace_options options = read_options("http://x", NULL);
    ck_assert_str_eq(attribute(&options, "service.name"), "smallmind");
    ck_assert_str_eq(attribute(&options, "service.version"), SMALLMIND_VERSION);
    ck_assert_uint_eq(strlen(attribute(&options, "service.instance.id")), 36);
    trace_options_free(&options);

    set("OTEL_RESOURCE_ATTRIBUTES",
        "service.name=a,deployment.environment.name=pro%64,service.instance.id=pod-1");
    options = read_options("http://x", NULL);
    ck_assert_str_eq(attribute(&options, "service.name"), "a");
    ck_assert_str_eq(attribute(&options, "deployment.environment.name"), "prod");
    ck_assert_str_eq(attribute(&options, "service.instance.id"), "pod-1");
    trace_options_free(&options);

    set("OTEL_SERVICE_NAME", "b");
    options = read_options("http://x", NULL);
    ck_assert_str_eq(attribute(&options, "service.name"), "b");
    trace_options_free(&options);
}
END_TEST

START_TEST(variables_switch_off_what_they_switched_on)
{
    set("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x");
    set("OTEL_TRACES_EXPORTER", "none");
    ck_assert_ptr_null(read_options(NULL, NULL).url);
    struct trace_options options = read_options("http://mine", NULL);
    ck_assert_ptr_nonnull(options.url);
    trace_options_free(&options);
    variables[1].value = "otlp";
    set("OTEL_SDK_DISABLED", "TRUE");
    ck_assert_ptr_null(read_options(NULL, NULL).url);
}
END_TEST

START_TEST(the_sampler_is_the_settings_or_the_variables)
{
    static const struct {
        const char *kind, *arg;
        double part;
    } cases[] = {{"always_on", NULL, 1},
                 {"parentbased_always_off", NULL, 0},
                 {"parentbased_traceidratio", "0.25", 0.25},
                 {"traceidratio", NULL, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set("OTEL_TRACES_SAMPLER", cases[i].kind);
        if (cases[i].arg != NULL)
            set("OTEL_TRACES_SAMPLER_ARG", cases[i].arg);
        struct trace_options options = read_options("http://x", NULL);
        ck_assert_double_eq(options.part, cases[i].part);
        trace_options_free(&options);
        struct error err;
        const struct trace_wishes wishes = {
            .endpoint = "http://x", .part = 0.5, .part_given = true};
        ck_assert_int_eq(trace_options_read(&options, &wishes, lookup, &err), STATUS_OK);
        ck_assert_double_eq(options.part, 0.5);
        trace_options_free(&options);
        forget();
    }
    set("OTEL_TRACES_SAMPLER", "traceidratio");
    set("OTEL_TRACES_SAMPLER_ARG", "2");
    ck_assert_ptr_nonnull(strstr(refusal("http://x", NULL).text, "OTEL_TRACES_SAMPLER_ARG"));
}
END_TEST

START_TEST(the_timeout_is_in_ms)
{
    set("OTEL_EXPORTER_OTLP_TIMEOUT", "2500");
    struct trace_options options = read_options("http://x", NULL);
    ck_assert_uint_eq(options.timeout_ms, 2500);
    trace_options_free(&options);
    variables[0].value = "soon";
    ck_assert_ptr_nonnull(strstr(refusal("http://x", NULL).text, "OTEL_EXPORTER_OTLP_TIMEOUT"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tests = tcase_create("options");
    tcase_add_checked_fixture(tests, forget, forget);
    tcase_add_test(tests, without_an_endpoint_nothing_is_traced);
    tcase_add_test(tests, the_path_of_traces_is_put_after_an_endpoint);
    tcase_add_test(tests, the_variable_of_traces_is_taken_as_it_is_and_comes_first);
    tcase_add_test(tests, what_is_no_endpoint_is_refused_without_being_quoted);
    tcase_add_test(tests, headers_are_pairs_whose_percent_signs_are_decoded);
    tcase_add_test(tests, wrong_headers_are_refused_without_being_quoted);
    tcase_add_test(tests, the_resource_says_which_service_it_is);
    tcase_add_test(tests, variables_switch_off_what_they_switched_on);
    tcase_add_test(tests, the_sampler_is_the_settings_or_the_variables);
    tcase_add_test(tests, the_timeout_is_in_ms);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed != 0;
}
