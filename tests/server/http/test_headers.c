/* test_headers.c - facts about header fields: what is refused, what is foreign, which key is meant.
 */
#include "server/http/headers.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    const char *name, *value;
};

/* The headers of a list that ends with a NULL name. */
static struct headers take(const struct pair *pairs)
{
    struct headers h = {0};
    for (; pairs->name != NULL; pairs++)
        headers_take(&h, pairs->name, strlen(pairs->name), pairs->value, strlen(pairs->value));
    return h;
}

#define HEADERS(...) take((const struct pair[]){__VA_ARGS__, {NULL, NULL}})

static bool passes(struct headers h, const char *version)
{
    enum refusal refusal;
    const char *why;
    return headers_check(&h, version, &refusal, &why);
}

static enum refusal refusal_of(struct headers h, const char *version)
{
    enum refusal refusal = REFUSAL_COUNT;
    const char *why = NULL;
    ck_assert(!headers_check(&h, version, &refusal, &why));
    ck_assert_ptr_nonnull(why);
    return refusal;
}

START_TEST(an_ordinary_request_passes)
{
    struct headers h = HEADERS({"host", "localhost"}, {"CONTENT-LENGTH", "12"},
                               {"Accept", "text/plain"}, {"accept", "*/*"}, {"X-Tab", "a\tb"});
    enum refusal refusal;
    const char *why;
    ck_assert(headers_check(&h, "HTTP/1.1", &refusal, &why));
    ck_assert(h.has_body && !h.chunked);
    ck_assert_uint_eq(h.n_body, 12);
    ck_assert_str_eq(h.accept, "text/plain");
    ck_assert(passes(HEADERS({"X", "y"}), "HTTP/1.0")); /* Host came with 1.1 */
}
END_TEST

/* Blanks are no part of a value: a host, a key or a form of answers is the same with them. */
START_TEST(blanks_after_a_value_are_left_out)
{
    static const struct pair pairs[] = {{"Host", "localhost \t "},
                                        {"X-Api-Key", "key "},
                                        {"Accept", "text/plain\t"},
                                        {"Origin", " "},
                                        {"Content-Type", "text/plain"}};
    struct headers h = {0};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        headers_take(&h, pairs[i].name, strlen(pairs[i].name), pairs[i].value,
                     strlen(pairs[i].value));
    enum refusal refusal;
    const char *why;
    ck_assert(headers_check(&h, "HTTP/1.1", &refusal, &why));
    ck_assert_str_eq(h.host, "localhost");
    ck_assert_str_eq(headers_key(&h), "key");
    ck_assert_str_eq(h.accept, "text/plain");
    ck_assert_str_eq(h.origin, "");
    ck_assert_ptr_eq(h.content_type, pairs[4].value); /* nothing to leave out: no copy */

    char text[HEADERS_TRIMMED_MAX];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = ' ';
    struct headers full = {0};
    headers_take(&full, "X-Request-Id", 12, text, sizeof text); /* the last that fits */
    headers_take(&full, "Host", 4, "x", 1);
    ck_assert(headers_check(&full, "HTTP/1.1", &refusal, &why));
    ck_assert_uint_eq(strlen(full.request_id), sizeof text - 1);
    headers_take(&full, "Authorization", 13, "Bearer key ", 11);
    ck_assert(!headers_check(&full, "HTTP/1.1", &refusal, &why));
    ck_assert_int_eq(refusal, REFUSAL_BAD_REQUEST);
}
END_TEST

START_TEST(a_chunked_body_has_no_length)
{
    struct headers h = HEADERS({"Host", "x"}, {"Transfer-Encoding", "Chunked"});
    enum refusal refusal;
    const char *why;
    ck_assert(headers_check(&h, "HTTP/1.1", &refusal, &why));
    ck_assert(h.has_body && h.chunked);
}
END_TEST

START_TEST(what_two_parsers_could_read_differently_is_refused)
{
    static const struct pair bad[][3] = {
        {{"Content-Length", "1"}, {"Transfer-Encoding", "chunked"}},
        {{"Content-Length", "1"}, {"Content-Length", "1"}},
        {{"Content-Length", "1, 1"}},
        {{"Content-Length", "+1"}},
        {{"Content-Length", "-1"}},
        {{"Content-Length", "0x10"}},
        {{"Content-Length", ""}},
        {{"Content-Length", "99999999999999999999"}},
        {{"Transfer-Encoding", "chunked"}, {"Transfer-Encoding", "chunked"}},
        {{"Transfer-Encoding", "gzip, chunked"}},
        {{"Transfer-Encoding", "identity"}},
        {{"Content-Length ", "1"}},
        {{" Content-Length", "1"}},
        {{"", "1"}},
        {{"X(Y", "1"}},
        {{"X\"Y", "1"}},
        {{"X-A", "a\rContent-Length: 1"}},
        {{"X-A", "a\x01"}},
        {{"X-A", "a\x7f"}},
        {{"Host", "other"}}, /* the second one */
        {{"Authorization", "Bearer a"}, {"Authorization", "Bearer b"}},
        {{"Origin", "http://a"}, {"Origin", "http://b"}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct headers h = HEADERS({"Host", "x"});
        for (size_t j = 0; j < 3 && bad[i][j].name != NULL; j++)
            headers_take(&h, bad[i][j].name, strlen(bad[i][j].name), bad[i][j].value,
                         strlen(bad[i][j].value));
        ck_assert_msg(refusal_of(h, "HTTP/1.1") == REFUSAL_BAD_REQUEST, "case %zu", i);
    }
}
END_TEST

START_TEST(the_version_decides_what_else_must_hold)
{
    ck_assert_int_eq(refusal_of(HEADERS({"Host", "x"}), "HTTP/1.2"), REFUSAL_VERSION);
    ck_assert_int_eq(refusal_of(HEADERS({"Host", "x"}), "HTTP/2.0"), REFUSAL_VERSION);
    ck_assert_int_eq(refusal_of(HEADERS({"Accept", "x"}), "HTTP/1.1"), REFUSAL_BAD_REQUEST);
    ck_assert_int_eq(refusal_of(HEADERS({"Transfer-Encoding", "chunked"}), "HTTP/1.0"),
                     REFUSAL_BAD_REQUEST);
}
END_TEST

START_TEST(the_only_expectation_is_100_continue)
{
    ck_assert(passes(HEADERS({"Host", "x"}, {"Expect", "100-Continue"}), "HTTP/1.1"));
    ck_assert_int_eq(refusal_of(HEADERS({"Host", "x"}, {"Expect", "200-ok"}), "HTTP/1.1"),
                     REFUSAL_EXPECTATION);
}
END_TEST

static bool foreign(const char *host, const char *origin, bool loopback, const char *allow)
{
    struct headers h = HEADERS({"Host", host});
    h.origin = origin;
    struct setting_list origins = {{allow}, allow != NULL};
    struct origin_rules rules = {loopback, &origins, NULL};
    return headers_foreign(&h, &rules, false) != NULL;
}

START_TEST(an_origin_must_have_the_host_and_port_of_host)
{
    ck_assert(!foreign("localhost:8080", NULL, true, NULL));
    ck_assert(!foreign("localhost:8080", "http://localhost:8080", true, NULL));
    ck_assert(!foreign("LOCALHOST:8080", "http://localhost:8080", true, NULL));
    ck_assert(!foreign("[::1]:8080", "http://[::1]:8080", true, NULL));
    ck_assert(!foreign("llm.example", "https://llm.example", false, NULL));
    ck_assert(!foreign("llm.example", "http://llm.example:80", false, NULL));
    ck_assert(!foreign("llm.example:443", "https://llm.example", false, NULL));
    ck_assert(foreign("localhost:8080", "http://localhost:3000", true, NULL));
    ck_assert(foreign("localhost:8080", "http://localhost", true, NULL));
    ck_assert(foreign("localhost:8080", "http://evil.example", true, NULL));
    ck_assert(foreign("localhost:8080", "null", true, NULL));
    ck_assert(foreign("localhost:8080", "", true, NULL));
    ck_assert(foreign("llm.example", "http://llm.example.evil", false, NULL));
    ck_assert(foreign("[::1]:8080", "http://[::1", true, NULL));
}
END_TEST

START_TEST(an_allowed_origin_lifts_the_checks)
{
    const struct setting_list list = {{"https://a.example", "http://b.example:1"}, 2};
    const struct origin_rules rules = {true, &list, NULL};
    static const char *const good[] = {"https://a.example", "http://b.example:1",
                                       "HTTPS://A.example"};
    static const char *const bad[] = {"http://a.example", "https://a.example.evil",
                                      "http://b.example", "https://a.example, http://b.example:1"};
    struct headers h = HEADERS({"Host", "localhost"});
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        h.origin = good[i];
        ck_assert(headers_origin_allowed(&h, &rules));
        ck_assert_ptr_null(headers_foreign(&h, &rules, false));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        h.origin = bad[i];
        ck_assert(!headers_origin_allowed(&h, &rules));
        ck_assert_ptr_nonnull(headers_foreign(&h, &rules, false));
    }
    ck_assert(!foreign("localhost:8080", "http://anyone", true, "*"));
    ck_assert(foreign("evil.example", NULL, true, "*")); /* no origin is none that is allowed */
}
END_TEST

START_TEST(on_loopback_host_must_name_this_machine)
{
    static const char *const good[] = {
        "localhost",    "localhost:1",   "LocalHost",   "a.b.localhost",   "127.0.0.1:80",
        "127.9.9.9",    "[::1]",         "[::1]:99",    "app.localhost:1", "localhost.",
        "localhost.:1", "127.0.0.1.:80", "[0:0::1]:80", "localhost:",      "[::ffff:127.0.0.1]"};
    static const char *const bad[] = {"example.com",
                                      "localhost.evil",
                                      "127.0.0.1.evil",
                                      "128.0.0.1",
                                      "127.0.0",
                                      "127.0.0.256",
                                      "127.0.0.1.1",
                                      "[::2]",
                                      "notlocalhost",
                                      "",
                                      "[::1].evil",
                                      "127.0.0.0001",
                                      ".localhost:80",
                                      "localhost:80.evil",
                                      "localhost:evil",
                                      "localhost..",
                                      "[::1%25lo]",
                                      "[fe80::1%25lo]",
                                      "::1",
                                      "[::1",
                                      "."};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_assert_msg(!foreign(good[i], NULL, true, NULL), "%s", good[i]);
        ck_assert(!foreign(good[i], NULL, false, NULL));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(foreign(bad[i], NULL, true, NULL), "%s", bad[i]);
        ck_assert(!foreign(bad[i], NULL, false, NULL)); /* elsewhere any name may be ours */
    }
}
END_TEST

static bool takes(const struct setting_list *allow, const char *host)
{
    struct headers h = HEADERS({"Host", host});
    struct origin_rules rules = {true, NULL, allow};
    return headers_foreign(&h, &rules, false) == NULL;
}

START_TEST(allowed_hosts_are_names_of_this_machine_too)
{
    const struct setting_list list = {{"llm.example", "*.apps.example", "[fd00::1]", "a_b"}, 4};
    const struct setting_list any = {{"*"}, 1};
    static const char *const good[] = {
        "llm.example",      "LLM.Example:8443", "llm.example.", "x.apps.example:1",
        "x.y.apps.example", "[FD00::1]:80",     "a_b",          "localhost",
        "127.0.0.1:1"};
    static const char *const bad[] = {"example",          "xllm.example",  "llm.example.evil",
                                      "apps.example",     ".apps.example", "x.llm.example",
                                      "llm.example:evil", "[fd00::2]",     ""};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(takes(&list, good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(!takes(&list, bad[i]), "%s", bad[i]);
        ck_assert_msg(takes(&any, bad[i]), "%s", bad[i]);
    }
    struct headers h = HEADERS({"Host", "llm.example"}, {"Origin", "http://evil.example"});
    struct origin_rules rules = {true, NULL, &any};
    ck_assert_ptr_nonnull(headers_foreign(&h, &rules, false)); /* the page still is another's */
}
END_TEST

START_TEST(a_target_that_is_a_url_says_which_host_is_meant)
{
    struct origin_rules rules = {true, NULL, NULL};
    struct headers h = HEADERS({"Host", "localhost"});
    ck_assert_str_eq(headers_target(&h, "/livez"), "/livez");
    ck_assert_str_eq(headers_target(&h, "*"), "*");
    ck_assert_ptr_null(h.authority);
    ck_assert_str_eq(headers_target(&h, "HTTP://127.0.0.1:80/livez"), "/livez");
    ck_assert_uint_eq(h.n_authority, 12);
    ck_assert_ptr_null(headers_foreign(&h, &rules, false));
    h.origin = "http://127.0.0.1";
    ck_assert_ptr_null(headers_foreign(&h, &rules, false));
    h.origin = "http://localhost";
    ck_assert_ptr_nonnull(headers_foreign(&h, &rules, false));
    h.origin = NULL;
    ck_assert_str_eq(headers_target(&h, "http://evil.example"), "/");
    ck_assert_ptr_nonnull(headers_foreign(&h, &rules, false));
    headers_target(&h, "http://localhost@evil.example/");
    ck_assert_ptr_nonnull(headers_foreign(&h, &rules, false));
    headers_target(&h, "http://localhost/");
    h.host = "evil.example";
    ck_assert_ptr_nonnull(headers_foreign(&h, &rules, false));
}
END_TEST

START_TEST(a_preflight_is_granted_what_it_asks_for)
{
    char out[HEADERS_ASKED_MAX] = "as before", many[2 * HEADERS_ASKED_MAX];
    struct headers h =
        HEADERS({"Access-Control-Request-Headers",
                 "content-type,x-stainless-os ,\tx-stainless-retry-count, traceparent"});
    ck_assert(headers_asked(&h, out));
    ck_assert_str_eq(out, "content-type, x-stainless-os, x-stainless-retry-count, traceparent");
    static const char *const bad[] = {"",     ",",    "a,,b", "a,",      "a b",
                                      "a\"b", "a: b", "a/b",  "\xc3\xa4"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        h.asked_headers = bad[i];
        ck_assert_msg(!headers_asked(&h, out), "%s", bad[i]);
    }
    h.asked_headers = many;
    for (size_t n = HEADERS_ASKED_MAX - 8; n < sizeof many; n++) {
        memset(many, 'a', n);
        many[n] = '\0';
        ck_assert(headers_asked(&h, out) == (strlen(out) == n));
    }
    h.asked_headers = NULL;
    ck_assert(!headers_asked(&h, out));
}
END_TEST

START_TEST(cross_site_requests_are_foreign_but_for_navigation_to_the_page)
{
    struct origin_rules rules = {true, NULL, NULL};
    struct headers h = HEADERS({"Host", "localhost"}, {"Sec-Fetch-Site", "cross-site"});
    ck_assert_ptr_nonnull(headers_foreign(&h, &rules, true));
    h.fetch_mode = "navigate";
    ck_assert_ptr_null(headers_foreign(&h, &rules, true));
    ck_assert_ptr_nonnull(headers_foreign(&h, &rules, false));
    h.fetch_site = "same-site";
    ck_assert_ptr_nonnull(headers_foreign(&h, &rules, false));
    h.fetch_site = "same-origin";
    ck_assert_ptr_null(headers_foreign(&h, &rules, false));
    h.fetch_site = "none";
    ck_assert_ptr_null(headers_foreign(&h, &rules, false));
}
END_TEST

START_TEST(etags_are_compared_weakly_in_a_list)
{
    static const char etag[] = "\"abc\"";
    static const char *const matching[] = {"\"abc\"",          "W/\"abc\"", "*",
                                           "\"x\", \"abc\"",   " \"abc\"",  "W/\"x\",W/\"abc\"",
                                           "\"x\" ,, \"abc\"", ", *"};
    static const char *const others[] = {"",          "abc",  "\"abc",     "\"abcd\"",
                                         "\"ab\"",    "w/\"", "x \"abc\"", "\"abc, def\"",
                                         "\"x\" abc", ",",    "W/*",       "\"\\\"abc\""};
    for (size_t i = 0; i < sizeof matching / sizeof matching[0]; i++)
        ck_assert_msg(headers_has_etag(matching[i], etag), "%s", matching[i]);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert_msg(!headers_has_etag(others[i], etag), "%s", others[i]);
    ck_assert(!headers_has_etag(NULL, etag));
}
END_TEST

START_TEST(a_key_comes_as_bearer_or_by_its_own_header)
{
    struct headers h = HEADERS({"Authorization", "bearer  abc"});
    ck_assert_str_eq(headers_key(&h), "abc");
    h.api_key = "def";
    ck_assert_str_eq(headers_key(&h), "def");
    h = HEADERS({"Authorization", "Basic abc"});
    ck_assert_ptr_null(headers_key(&h));
    h = HEADERS({"Authorization", "Bearer"});
    ck_assert_ptr_null(headers_key(&h));
}
END_TEST

START_TEST(text_plain_may_have_parameters)
{
    struct headers h = HEADERS({"Content-Type", "Text/Plain; charset=utf-8"});
    ck_assert(headers_plain_text(&h));
    h.content_type = "text/plain";
    ck_assert(headers_plain_text(&h));
    h.content_type = "text/plainer";
    ck_assert(!headers_plain_text(&h));
    h.content_type = "application/json";
    ck_assert(!headers_plain_text(&h));
    h.content_type = NULL;
    ck_assert(!headers_plain_text(&h));
}
END_TEST

START_TEST(a_request_id_is_echoed_only_when_it_is_harmless)
{
    char long_id[REQUEST_ID_MAX + 2];
    memset(long_id, 'a', sizeof long_id);
    long_id[REQUEST_ID_MAX + 1] = '\0';
    ck_assert(!request_id_valid(long_id));
    long_id[REQUEST_ID_MAX] = '\0';
    ck_assert(request_id_valid(long_id));
    ck_assert(request_id_valid("A-z_0.9"));
    ck_assert(!request_id_valid(""));
    ck_assert(!request_id_valid("a b"));
    ck_assert(!request_id_valid("a\nb"));
    ck_assert(!request_id_valid("\xc3\xa9"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("headers");
    TCase *tcase = tcase_create("headers");
    tcase_add_test(tcase, an_ordinary_request_passes);
    tcase_add_test(tcase, blanks_after_a_value_are_left_out);
    tcase_add_test(tcase, a_chunked_body_has_no_length);
    tcase_add_test(tcase, what_two_parsers_could_read_differently_is_refused);
    tcase_add_test(tcase, the_version_decides_what_else_must_hold);
    tcase_add_test(tcase, the_only_expectation_is_100_continue);
    tcase_add_test(tcase, an_origin_must_have_the_host_and_port_of_host);
    tcase_add_test(tcase, an_allowed_origin_lifts_the_checks);
    tcase_add_test(tcase, on_loopback_host_must_name_this_machine);
    tcase_add_test(tcase, allowed_hosts_are_names_of_this_machine_too);
    tcase_add_test(tcase, a_target_that_is_a_url_says_which_host_is_meant);
    tcase_add_test(tcase, a_preflight_is_granted_what_it_asks_for);
    tcase_add_test(tcase, cross_site_requests_are_foreign_but_for_navigation_to_the_page);
    tcase_add_test(tcase, etags_are_compared_weakly_in_a_list);
    tcase_add_test(tcase, a_key_comes_as_bearer_or_by_its_own_header);
    tcase_add_test(tcase, text_plain_may_have_parameters);
    tcase_add_test(tcase, a_request_id_is_echoed_only_when_it_is_harmless);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
