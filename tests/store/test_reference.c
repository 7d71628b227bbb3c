/* test_reference.c - what a reference names, in its one spelling; and every way in which a name
 * could lead out of the models' folder, refused. */
#include "store/origin.h"
#include "store/reference.h"
#include "store/shelf.h"

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* Good until the next call. */
static const struct reference *ok(const char *text)
{
    static struct reference r;
    struct error err = {0};
    ck_assert_msg(reference_parse(&r, text, &err) == STATUS_OK, "%s", err.text);
    return &r;
}

static void refused(const char *text)
{
    struct reference r = {.text = "untouched"};
    struct error err = {0};
    ck_assert_msg(reference_parse(&r, text, &err) == STATUS_INVALID, "%s", text);
    ck_assert_str_eq(r.text, "untouched");
    ck_assert_str_eq(err.param, "REF");
    ck_assert_uint_gt(strlen(err.text), 20);
}

START_TEST(a_hubs_reference_has_owner_repository_and_file_or_tag)
{
    struct reference r = *ok("hf:own-er/Re.po_1/sub dir/m-Q4_K_M.gguf");
    ck_assert_int_eq(r.kind, REFERENCE_HUB);
    ck_assert_str_eq(r.owner, "own-er");
    ck_assert_str_eq(r.name, "Re.po_1");
    ck_assert_str_eq(r.path, "sub dir/m-Q4_K_M.gguf");
    ck_assert_str_eq(r.revision, "");
    ck_assert_str_eq(r.text, "hf:own-er/Re.po_1/sub dir/m-Q4_K_M.gguf");
    r = *ok("hf:a/b@v1.2:Q8_0");
    ck_assert_str_eq(r.revision, "v1.2");
    ck_assert_str_eq(r.tag, "Q8_0");
    ck_assert_str_eq(r.path, "");
    ck_assert_str_eq(r.text, "hf:a/b@v1.2:Q8_0");
    ck_assert_str_eq(ok("HF://a/b")->text, "hf:a/b");
}
END_TEST

START_TEST(an_ollama_reference_has_defaults)
{
    ck_assert_str_eq(ok("ollama:m")->text, "ollama:m:latest");
    struct reference r = *ok("ollama:me/m:1b-q4");
    ck_assert_str_eq(r.owner, "me");
    ck_assert_str_eq(r.name, "m");
    ck_assert_str_eq(r.tag, "1b-q4");
    ck_assert_str_eq(ok("ollama:library/m:x")->text, "ollama:m:x");
}
END_TEST

START_TEST(a_url_keeps_its_query_to_itself)
{
    struct reference r = *ok("https://h.example:8443/a/b%20c.gguf?token=x#part");
    ck_assert_int_eq(r.kind, REFERENCE_URL);
    ck_assert_str_eq(r.text, "https://h.example:8443/a/b%20c.gguf");
    ck_assert_str_eq(r.url, "https://h.example:8443/a/b%20c.gguf?token=x");
    ck_assert_str_eq(r.host, "h.example_8443");
    ck_assert_str_eq(r.file, "b c.gguf");
    ck_assert_str_eq(ok("https://[::1]/x.gguf")->host, "___1_");
}
END_TEST

START_TEST(what_leads_elsewhere_is_refused)
{
    static const char *const texts[] = {
        "",
        "/",
        "..",
        ".",
        ".hidden",
        "-flag",
        "a/b",
        "a\\b",
        "a\nb",
        "a\x7f",
        "\xc3\xa9",
        "a..b",
        "a ",
        "a:",
        ":a",
        "a:b:c",
        "a:b/c",
        "hf:a/b/..gguf",
        "hf:a/b/x.GGUF/y.txt",
        "hf:a/b/x.gguf/",
        "hf:a/b/c%2f.gguf",
        "hf:a/b/c?.gguf",
        "hf:a/b/c:d.gguf",
        "hf:a/b@x/../c.gguf",
        "hf:a/b@../c.gguf",
        "hf:.a/b/c.gguf",
        "ollama:a b",
        "https://h/a.gguf/",
        "https://h\\@x/a.gguf",
        "https://h/a\".gguf",
        "https://../a.gguf",
        "https://h/%2e%2e%2fa.gguf",
        "https://h/a%0a.gguf",
        "https://h/%gguf",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        refused(texts[i]);
}
END_TEST

START_TEST(no_text_of_a_few_odd_bytes_makes_a_path_that_leaves_its_folder)
{
    static const char letters[] = "a./:%\\\n@~-";
    enum { LENGTH = 5, N = sizeof letters - 1 };
    static const char *const heads[] = {"hf:", "hf:a/b/", "ollama:", "https://h/", "", "hf:a/b@"};
    for (size_t h = 0; h < sizeof heads / sizeof *heads; h++)
        for (size_t k = 0; k < (size_t)N * N * N * N * N; k++) {
            char text[64];
            size_t n = strlen(heads[h]), rest = k;
            memcpy(text, heads[h], strlen(heads[h]) + 1);
            for (size_t i = 0; i < LENGTH; i++, rest /= N)
                text[n + i] = letters[rest % N];
            memcpy(text + n + LENGTH, ".gguf", strlen(".gguf") + 1);
            struct reference r;
            struct shelf_place place;
            if (reference_parse(&r, text, NULL) != STATUS_OK || r.kind == REFERENCE_NAME)
                continue;
            ck_assert_int_eq(shelf_place_of(&place, &r, r.path[0] ? r.path : "x.gguf", NULL),
                             STATUS_OK);
            char folder[REFERENCE_MAX], *save = NULL;
            memcpy(folder, place.folder, strlen(place.folder) + 1);
            for (char *part = strtok_r(folder, "/", &save); part; part = strtok_r(NULL, "/", &save))
                ck_assert_msg(reference_is_part(part, strlen(part)), "%s: %s", text, place.folder);
            ck_assert_msg(reference_is_part(place.file, strlen(place.file)), "%s: %s", text,
                          place.file);
        }
}
END_TEST

START_TEST(a_tag_means_whole_words_of_models)
{
    static const struct {
        const char *tag, *path;
        bool means;
    } cases[] = {
        {"Q4_K_M", "m-Q4_K_M.gguf", true},
        {"q4_k_m", "m.Q4_K_M.gguf", true},
        {"Q4_K_M", "Q4_K_M/m-00001-of-00002.gguf", true},
        {"Q4_K_M", "m-UD-Q4_K_M.gguf", true},
        {"Q4_K_M", "m_Q4_K_M.gguf", true},
        {"Q4_K", "m-Q4_K_M.gguf", false},
        {"Q4_0", "m-Q4_0_4_4.gguf", false},
        {"Q4_XS", "m-IQ4_XS.gguf", false},
        {"Q8_0", "mmproj-Q8_0.gguf", false},
        {"Q8_0", "m-Q8_0.gguf.txt", false},
        {"", "m.gguf", true},
        {"", "mmproj-m.gguf", false},
        {"", "m-imatrix.gguf", false},
        {"Q8_0", "Q8_0x/m-Q8_0.gguf", true},
        {"F16", "m-BF16.gguf", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(reference_tag_means(cases[i].tag, cases[i].path) == cases[i].means, "%s %s",
                      cases[i].tag, cases[i].path);
}
END_TEST

START_TEST(names_of_parts)
{
    unsigned part, n_parts;
    size_t n_stem;
    char name[REFERENCE_PATH_MAX];
    ck_assert(reference_is_split("a/m-00002-of-00010.gguf", &part, &n_parts, &n_stem));
    ck_assert(part == 2 && n_parts == 10 && n_stem == 3);
    ck_assert(reference_part_name(name, "a/m-00002-of-00010.gguf", 10));
    ck_assert_str_eq(name, "a/m-00010-of-00010.gguf");
    static const char *const others[] = {"m.gguf",
                                         "m-00011-of-00010.gguf",
                                         "m-00000-of-00002.gguf",
                                         "-00001-of-00002.gguf",
                                         "m-0001-of-0002.gguf",
                                         "m-0000a-of-00002.gguf",
                                         "m-00001-of-00002.GGUF"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_msg(!reference_is_split(others[i], &part, &n_parts, &n_stem), "%s", others[i]);
}
END_TEST

START_TEST(a_place_leads_back_to_its_reference)
{
    static const char *const texts[] = {"hf:a/b/c.gguf", "hf:a/b@v1/d/c.gguf", "ollama:m:1b",
                                        "ollama:me/m-x:latest"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct reference r = *ok(texts[i]);
        struct shelf_place place;
        char back[REFERENCE_MAX];
        ck_assert_int_eq(shelf_place_of(&place, &r, r.path, NULL), STATUS_OK);
        shelf_reference_of(back, &place);
        ck_assert_str_eq(back, texts[i]);
    }
    struct shelf_place a, b;
    struct reference r = *ok("https://h/x.gguf?a=1"), s = *ok("https://h/x.gguf?a=2");
    ck_assert_int_eq(shelf_place_of(&a, &r, r.file, NULL), STATUS_OK);
    ck_assert_int_eq(shelf_place_of(&b, &s, s.file, NULL), STATUS_OK);
    ck_assert_str_ne(a.folder, b.folder);
}
END_TEST

/* --- origins --- */

START_TEST(https_anywhere_and_http_at_home)
{
    static const struct {
        const char *url;
        bool may, tls;
        const char *host;
        unsigned port;
    } cases[] = {
        {"https://Example.COM/x", true, true, "example.com", 443},
        {"https://127.0.0.1:1/", true, true, "127.0.0.1", 1},
        {"http://127.0.0.1:80/x", true, false, "127.0.0.1", 80},
        {"http://127.8.9.1/", true, false, "127.8.9.1", 80},
        {"http://localhost:5/", true, false, "localhost", 5},
        {"http://a.LocalHost/", true, false, "a.localhost", 80},
        {"http://[::1]:7/", true, false, "[::1]", 7},
        {"http://example.com/", false, false, "", 0},
        {"http://localhost.example.com/", false, false, "", 0},
        {"http://notlocalhost/", false, false, "", 0},
        {"http://127.0.0.1.example.com/", false, false, "", 0},
        {"http://128.0.0.1/", false, false, "", 0},
        {"http://[::2]/", false, false, "", 0},
        {"http://0.0.0.0/", false, false, "", 0},
        {"http://169.254.169.254/latest", false, false, "", 0},
        {"http://127.0.0.1@example.com/", false, false, "", 0},
        {"https://a:b@example.com/", false, false, "", 0},
        {"ftp://127.0.0.1/x", false, false, "", 0},
        {"file:///etc/passwd", false, false, "", 0},
        {"example.com", false, false, "", 0},
        {"", false, false, "", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct web_origin o;
        struct error err = {0};
        enum status status = origin_parse(&o, cases[i].url, &err);
        ck_assert_msg((status == STATUS_OK) == cases[i].may, "%s: %s", cases[i].url, err.text);
        if (status != STATUS_OK)
            continue;
        ck_assert(o.tls == cases[i].tls && o.port == cases[i].port);
        ck_assert_str_eq(o.host, cases[i].host);
    }
}
END_TEST

START_TEST(an_origin_is_scheme_host_and_port)
{
    static const char *const others[] = {"https://h.example:444/", "https://h.example.com/",
                                         "https://x.h.example/", "http://localhost/"};
    struct web_origin home, other;
    ck_assert_int_eq(origin_parse(&home, "https://h.example/a", NULL), STATUS_OK);
    ck_assert_int_eq(origin_parse(&other, "https://H.example:443/b?c", NULL), STATUS_OK);
    ck_assert(origin_equals(&home, &other));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ck_assert_int_eq(origin_parse(&other, others[i], NULL), STATUS_OK);
        ck_assert_msg(!origin_equals(&home, &other), "%s", others[i]);
    }
}
END_TEST

START_TEST(addresses_of_this_machine)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    static const struct {
        const char *text;
        bool is;
    } four[] = {{"127.0.0.1", true},
                {"127.255.0.9", true},
                {"126.0.0.1", false},
                {"0.0.0.0", false}},
      six[] = {{"::1", true},
               {"::ffff:127.0.0.1", true},
               {"::", false},
               {"::ffff:10.0.0.1", false},
               {"fe80::1", false}};
    for (size_t i = 0; i < sizeof four / sizeof *four; i++) {
        ck_assert_int_eq(inet_pton(AF_INET, four[i].text, &in.sin_addr), 1);
        ck_assert(origin_is_loopback((const struct sockaddr *)&in) == four[i].is);
    }
    for (size_t i = 0; i < sizeof six / sizeof *six; i++) {
        ck_assert_int_eq(inet_pton(AF_INET6, six[i].text, &in6.sin6_addr), 1);
        ck_assert_msg(origin_is_loopback((const struct sockaddr *)&in6) == six[i].is, "%s",
                      six[i].text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reference");
    TCase *tcase = tcase_create("reference");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_hubs_reference_has_owner_repository_and_file_or_tag);
    tcase_add_test(tcase, an_ollama_reference_has_defaults);
    tcase_add_test(tcase, a_url_keeps_its_query_to_itself);
    tcase_add_test(tcase, what_leads_elsewhere_is_refused);
    tcase_add_test(tcase, no_text_of_a_few_odd_bytes_makes_a_path_that_leaves_its_folder);
    tcase_add_test(tcase, a_tag_means_whole_words_of_models);
    tcase_add_test(tcase, names_of_parts);
    tcase_add_test(tcase, a_place_leads_back_to_its_reference);
    tcase_add_test(tcase, https_anywhere_and_http_at_home);
    tcase_add_test(tcase, an_origin_is_scheme_host_and_port);
    tcase_add_test(tcase, addresses_of_this_machine);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
