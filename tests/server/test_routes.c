/* test_routes.c - facts about the table of routes, and what is rounded for Retry-After. */
#include "server/http/request.h"
#include "server/metrics.h"
#include "server/routes.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(every_promised_route_is_there_with_its_method)
{
    static const struct {
        const char *path, *method;
    } promised[] = {{"/", "GET"},
                    {"/generate", "POST"},
                    {"/tokenize", "POST"},
                    {"/detokenize", "POST"},
                    {"/livez", "GET"},
                    {"/readyz", "GET"},
                    {"/health", "GET"},
                    {"/info", "GET"},
                    {"/metrics", "GET"},
                    {"/openapi.yaml", "GET"},
                    {"/debug/profile", "GET"},
                    {"/v1/models", "GET"},
                    {"/v1/models/some-name", "GET"},
                    {"/v1/completions", "POST"},
                    {"/v1/chat/completions", "POST"},
                    {"/v1/health", "GET"},
                    {"/completion", "POST"},
                    {"/completions", "POST"},
                    {"/chat/completions", "POST"},
                    {"/props", "GET"},
                    {"/slots", "GET"}};
    for (size_t i = 0; i < sizeof promised / sizeof promised[0]; i++) {
        const struct route *route =
            route_find(&service_routes, promised[i].path, promised[i].method);
        ck_assert_msg(route != NULL, "%s", promised[i].path);
        ck_assert(route_allows(route, promised[i].method));
        ck_assert(route_allows(route, "OPTIONS"));
        ck_assert(!route_allows(route, "DELETE"));
        ck_assert_ptr_nonnull(strstr(route->allow, promised[i].method));
    }
}
END_TEST

START_TEST(head_comes_with_get_alone)
{
    ck_assert(route_allows(route_find(&service_routes, "/health", "HEAD"), "HEAD"));
    ck_assert(!route_allows(route_find(&service_routes, "/generate", "HEAD"), "HEAD"));
    ck_assert(!route_allows(route_find(&service_routes, "/generate", "GET"), "GET"));
    ck_assert(!route_allows(route_find(&service_routes, "/health", "POST"), "POST"));
}
END_TEST

START_TEST(paths_are_matched_byte_by_byte)
{
    static const char *const others[] = {
        "",           "/nowhere",    "/Generate", "/generate/",  "/%67enerate",
        "//generate", "/generate?x", "generate",  "/v1/models/", "/v1/models/a/b"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        ck_assert_msg(route_find(&service_routes, others[i], "POST") == NULL, "%s", others[i]);
}
END_TEST

START_TEST(only_the_probes_and_the_page_need_no_key)
{
    for (size_t i = 0; i < service_routes.n; i++) {
        const char *path = service_routes.routes[i].path;
        bool probe = !strcmp(path, "/livez") || !strcmp(path, "/readyz") ||
                     !strcmp(path, "/health") || !strcmp(path, "/v1/health") ||
                     !strcmp(path, "/health_generate") || !strcmp(path, "/ping");
        const char *method = service_routes.routes[i].method;
        bool page = !strcmp(path, "/") && !strcmp(method, "GET"); /* it asks for a key itself */
        unsigned flags = service_routes.routes[i].flags;
        ck_assert_msg(((flags & ROUTE_OPEN) != 0) == (probe || page), "%s", path);
        ck_assert_msg(((flags & ROUTE_PROBE) != 0) == probe, "%s", path);
    }
}
END_TEST

START_TEST(each_route_has_its_place_and_label)
{
    for (size_t i = 0; i < service_routes.n; i++) {
        ck_assert_uint_eq(route_index(&service_routes, &service_routes.routes[i]), i);
        const char *label = route_label(&service_routes.routes[i]);
        for (size_t j = 0; j < i; j++)
            ck_assert_str_ne(label, route_label(&service_routes.routes[j]));
    }
    ck_assert_uint_eq(route_index(&service_routes, NULL), service_routes.n);
    ck_assert_str_eq(route_label(NULL), "other");
    ck_assert_uint_lt(service_routes.n, METRICS_ROUTES_MAX);
}
END_TEST

START_TEST(retry_after_is_whole_seconds_rounded_up)
{
    ck_assert_uint_eq(retry_after_seconds(0), 1);
    ck_assert_uint_eq(retry_after_seconds(1), 1);
    ck_assert_uint_eq(retry_after_seconds(1000), 1);
    ck_assert_uint_eq(retry_after_seconds(1001), 2);
    ck_assert_uint_eq(retry_after_seconds(UINT64_MAX), 86400);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("routes");
    TCase *tcase = tcase_create("routes");
    tcase_add_test(tcase, every_promised_route_is_there_with_its_method);
    tcase_add_test(tcase, head_comes_with_get_alone);
    tcase_add_test(tcase, paths_are_matched_byte_by_byte);
    tcase_add_test(tcase, only_the_probes_and_the_page_need_no_key);
    tcase_add_test(tcase, each_route_has_its_place_and_label);
    tcase_add_test(tcase, retry_after_is_whole_seconds_rounded_up);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
