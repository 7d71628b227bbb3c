/* test_reasoning.c - reasoning and answer are told apart alike however the text grows. */
#include "api/reasoning.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct told {
    char thought[256], answer[256];
};

/* The parts told by and by of a text that grows by steps; nothing of it is taken back. */
static struct told tell(const char *text, size_t step, const char *prompt)
{
    struct reasoning r;
    struct told told = {"", ""};
    size_t n = strlen(text), n_thought = 0, n_answer = 0;
    reasoning_begin(&r, reasoning_find("a {{ '<think>' }} and </think>"), prompt, strlen(prompt));
    for (size_t at = 0; at <= n; at += step) {
        bool finished = at + step > n;
        reasoning_advance(&r, text, finished ? n : at, finished);
        n_thought +=
            (size_t)snprintf(told.thought + n_thought, sizeof told.thought - n_thought, "%.*s",
                             (int)(r.thought[1] - r.sent_thought), text + r.sent_thought);
        n_answer += (size_t)snprintf(told.answer + n_answer, sizeof told.answer - n_answer, "%.*s",
                                     (int)(r.answer[1] - r.sent_answer), text + r.sent_answer);
        r.sent_thought = r.thought[1];
        r.sent_answer = r.answer[1];
    }
    return told;
}

START_TEST(parts_are_told_apart_however_the_text_comes)
{
    static const struct {
        const char *text, *prompt, *thought, *answer;
    } cases[] = {
        {"hello there", "", "", "hello there"},
        {" <thin air>", "", "", " <thin air>"},
        {"<think>a b</think>c d", "", "a b", "c d"},
        {"\n<think>\n a b \n</think>\n\n c \n", "", "a b", "c \n"},
        {"<think>a < b </thin> </think>c</think>", "", "a < b </thin>", "c</think>"},
        {"<think>never ends </thi", "", "never ends </thi", ""},
        {"<think></think>x", "", "", "x"},
        {"<think>  \n</think>  ", "", "", ""},
        {"a b</think>\n\nc", "...<think>\n", "a b", "c"},
        {"\n a </think>c", "<think>", "a", "c"},
        {"c", "<think>\n\n</think>\n\n", "", "c"},
        {"", "", "", ""},
        {"<", "", "", "<"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t step = 1; step < 12; step++) {
            struct told told = tell(cases[i].text, step, cases[i].prompt);
            ck_assert_str_eq(told.thought, cases[i].thought);
            ck_assert_str_eq(told.answer, cases[i].answer);
        }
    }
}
END_TEST

/* Little is held back, and what is told does not depend on how the text comes. */
START_TEST(long_white_space_is_not_held_back)
{
    enum { LONG = 700 };
    static const char *const begins[] = {"", "<think>", "<think>a", "<think>a</think>b"};
    static const char *const ends[] = {"", "x", "<think>y", "</think>z"};
    char text[1024];
    for (size_t b = 0; b < 4; b++)
        for (size_t e = 0; e < 4; e++) {
            size_t n = (size_t)snprintf(text, sizeof text, "%s%*s%s", begins[b], LONG, "", ends[e]);
            struct reasoning once, grown;
            reasoning_begin(&once, reasoning_find("<think></think>"), "", 0);
            grown = once;
            reasoning_advance(&once, text, n, true);
            for (size_t at = 0; at <= n; at++) {
                reasoning_advance(&grown, text, at, at == n);
                size_t told =
                    grown.answer[1] > grown.thought[1] ? grown.answer[1] : grown.thought[1];
                bool begun = grown.thought[1] > grown.thought[0] || grown.answer[1] > 0;
                ck_assert(!begun || at - told <= REASONING_SPACE_MAX + 16);
            }
            ck_assert_mem_eq(once.thought, grown.thought, sizeof once.thought);
            ck_assert_mem_eq(once.answer, grown.answer, sizeof once.answer);
        }
}
END_TEST

/* The opening of such a channel is more than one token's name. */
START_TEST(channels_of_thoughts)
{
    static const char text[] = "<|channel>thought\nab\n<channel|>cd";
    const struct reasoning_tags *tags = reasoning_find("{{ '<|channel>thought\n<channel|>' }}");
    struct reasoning r, opened;
    ck_assert_ptr_nonnull(tags);
    ck_assert_str_eq(tags->mark, "<|channel>");
    reasoning_begin(&r, tags, "<|turn>model\n", 13);
    for (size_t n = 0; n < sizeof text; n++)
        reasoning_advance(&r, text, n, n == sizeof text - 1);
    ck_assert_uint_eq(r.thought[1] - r.thought[0], 2);
    ck_assert_mem_eq(text + r.thought[0], "ab", 2);
    ck_assert_uint_eq(r.answer[1] - r.answer[0], 2);
    ck_assert_mem_eq(text + r.answer[0], "cd", 2);
    reasoning_begin(&opened, tags, "<|channel>thought\n", 18);
    ck_assert_int_eq(opened.stage, REASONING_INSIDE);
    reasoning_begin(&opened, tags, "<|channel>thought\n<channel|>", 28);
    ck_assert_int_eq(opened.stage, REASONING_UNKNOWN);
    ck_assert_ptr_null(reasoning_find("<|channel|>analysis<|message|>"));
}
END_TEST

START_TEST(without_tags_all_text_is_the_answer)
{
    static const char text[] = "<think>a</think>b";
    struct reasoning r;
    ck_assert_ptr_null(reasoning_find("no tags"));
    reasoning_begin(&r, NULL, "<think>", 7);
    reasoning_advance(&r, text, 3, false);
    ck_assert_uint_eq(r.answer[1], 3);
    reasoning_advance(&r, text, sizeof text - 1, true);
    ck_assert_uint_eq(r.answer[0], 0);
    ck_assert_uint_eq(r.answer[1], sizeof text - 1);
    ck_assert_uint_eq(r.thought[1], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/reasoning");
    TCase *tcase = tcase_create("reasoning");
    tcase_add_test(tcase, parts_are_told_apart_however_the_text_comes);
    tcase_add_test(tcase, long_white_space_is_not_held_back);
    tcase_add_test(tcase, channels_of_thoughts);
    tcase_add_test(tcase, without_tags_all_text_is_the_answer);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
