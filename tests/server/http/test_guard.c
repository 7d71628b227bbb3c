/* test_guard.c - facts about message borders: what is passed on, what is refused, however it is
 * cut. */
#include "server/http/guard.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_MAX = 1024 };
#define HOST    "Host: a\r\n"
#define GOOD    "GET / HTTP/1.1\r\n" HOST "\r\n"
#define CHUNKED "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"

static const struct {
    const char *bytes;
    uint64_t n_heads; /* that are passed on */
    enum guard_state state;
} cases[] = {
    {GOOD GOOD, 2, GUARD_START},
    {"\r\n" GOOD, 1, GUARD_START},
    {"\r\n\r\n" GOOD, 0, GUARD_FAULT},
    {GOOD ": x\r\n", 1, GUARD_FAULT},
    {GOOD "GET / HTTP/1.1\r\n: x\r\n", 1, GUARD_FAULT},
    {"GET / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n: \n\r " GOOD, 2, GUARD_START},
    {"GET / HTTP/1.1\r\n" HOST "Content-Length: 5 \r\n\r\n", 0, GUARD_FAULT},
    {"GET / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n" GOOD, 1,
     GUARD_ENDED},
    {"GET / HTTP/1.1\r\n" HOST "Content-Length: 5\r\ntransfer-encoding: chunked\r\n\r\n" GOOD, 1,
     GUARD_ENDED},
    {"GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n" GOOD, 1, GUARD_ENDED},
    {"GET / HTTP/1.1\r\n" HOST "Connection: a, close\r\n\r\n" GOOD, 1, GUARD_ENDED},
    {"GET / HTTP/1.0\r\n\r\n" GOOD, 1, GUARD_ENDED},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" GOOD, 2, GUARD_START},
    {"GET / HTTP/1.2\r\n", 0, GUARD_FAULT},
    {"GET / HTTP/1.1\n", 0, GUARD_FAULT},
    {"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 0, GUARD_FAULT},
    {CHUNKED "5\r\n: \n\r \r\n0\r\n\r\n" GOOD, 2, GUARD_START},
    {CHUNKED "5;x=y\r\n: \n\r \r\n0\r\nA: b\r\n\r\n" GOOD, 2, GUARD_START},
    {CHUNKED "0\r\nContent-Length: 9\r\n\r\n" GOOD, 2, GUARD_START},
};

static uint64_t look_in_two(struct guard *guard, const char *bytes, size_t cut, size_t *n_passed)
{
    size_t n = strlen(bytes);
    guard_init(guard, HEAD_MAX);
    *n_passed = guard_look(guard, bytes, cut);
    ck_assert_uint_le(*n_passed, cut);
    if (guard->state != GUARD_FAULT)
        *n_passed += guard_look(guard, bytes + cut, n - cut);
    return guard->n_heads;
}

START_TEST(every_cut_gives_the_same_verdict)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t cut = 0; cut <= strlen(cases[i].bytes); cut++) {
            struct guard guard;
            size_t n_passed;
            uint64_t n_heads = look_in_two(&guard, cases[i].bytes, cut, &n_passed);
            ck_assert_msg(guard.state == cases[i].state, "case %zu, cut %zu", i, cut);
            ck_assert_msg(n_heads == cases[i].n_heads, "case %zu, cut %zu", i, cut);
            if (guard.state == GUARD_START)
                ck_assert_uint_eq(n_passed, strlen(cases[i].bytes));
        }
    }
}
END_TEST

START_TEST(what_comes_before_a_fault_is_passed_on_and_nothing_of_it)
{
    struct guard guard;
    const char bytes[] = GOOD GOOD "GET / HTTP/1.1\r\nA : b\r\n\r\n" GOOD;
    guard_init(&guard, HEAD_MAX);
    ck_assert_uint_eq(guard_look(&guard, bytes, sizeof bytes - 1), strlen(GOOD GOOD));
    ck_assert_uint_eq(guard.n_heads, 2);
    ck_assert_int_eq(guard.refusal, REFUSAL_BAD_REQUEST);
    ck_assert_uint_eq(guard_look(&guard, GOOD, strlen(GOOD)), 0);
}
END_TEST

START_TEST(a_fault_in_a_body_leaves_its_head_uncounted_unless_it_was_passed_on)
{
    struct guard guard;
    const char head[] = CHUNKED, body[] = "zz\r\n";
    guard_init(&guard, HEAD_MAX);
    ck_assert_uint_eq(guard_look(&guard, CHUNKED "zz\r\n", strlen(CHUNKED "zz\r\n")), 0);
    ck_assert_uint_eq(guard.n_heads, 0);
    guard_init(&guard, HEAD_MAX);
    ck_assert_uint_eq(guard_look(&guard, head, sizeof head - 1), sizeof head - 1);
    ck_assert_uint_eq(guard_look(&guard, body, sizeof body - 1), 0);
    ck_assert_uint_eq(guard.n_heads, 1);
}
END_TEST

START_TEST(no_byte_but_those_of_the_grammar_is_taken_anywhere_in_a_head)
{
    static const char pattern[] = "GET /%c HTTP/1.1\r\nX%c: a%c\r\n\r\n";
    for (int byte = 0; byte < 256; byte++) {
        for (int place = 0; place < 3; place++) {
            char c[3] = {'x', 'x', 'x'}, text[64];
            struct guard guard;
            c[place] = (char)byte;
            int n = snprintf(text, sizeof text, pattern, c[0], c[1], c[2]);
            guard_init(&guard, HEAD_MAX);
            guard_look(&guard, text, (size_t)n);
            bool visible = byte > 0x20 && byte < 0x7f;
            bool token = byte < 0x7f && (strchr("!#$%&'*+-.^_`|~", byte) || /* ':' ends the name */
                                         (byte >= '0' && byte <= '9') || byte == ':' ||
                                         ((byte | 32) >= 'a' && (byte | 32) <= 'z'));
            bool value = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
            bool right = place == 0 ? visible : place == 1 ? token && byte != 0 : value;
            ck_assert_msg((guard.state == GUARD_START) == right, "byte %d at %d", byte, place);
        }
    }
}
END_TEST

START_TEST(limits_are_431)
{
    struct guard guard;
    static char text[4 * HEAD_MAX];
    memset(text, 'a', sizeof text);
    text[0] = 'G', text[1] = 'E', text[2] = 'T', text[3] = ' ', text[4] = '/';
    guard_init(&guard, HEAD_MAX);
    ck_assert_uint_eq(guard_look(&guard, text, sizeof text), 0);
    ck_assert_int_eq(guard.refusal, REFUSAL_HEADERS);
    for (size_t n = GUARD_FIELDS_MAX; n <= GUARD_FIELDS_MAX + 1; n++) {
        guard_init(&guard, HEAD_MAX);
        guard_look(&guard, "GET / HTTP/1.1\r\n", 16);
        for (size_t i = 0; i < n; i++)
            guard_look(&guard, "A:\r\n", 4);
        ck_assert_int_eq(guard.state, n <= GUARD_FIELDS_MAX ? GUARD_LINE : GUARD_FAULT);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("guard");
    TCase *tcase = tcase_create("guard");
    tcase_add_test(tcase, every_cut_gives_the_same_verdict);
    tcase_add_test(tcase, what_comes_before_a_fault_is_passed_on_and_nothing_of_it);
    tcase_add_test(tcase, a_fault_in_a_body_leaves_its_head_uncounted_unless_it_was_passed_on);
    tcase_add_test(tcase, no_byte_but_those_of_the_grammar_is_taken_anywhere_in_a_head);
    tcase_add_test(tcase, limits_are_431);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
