/* test_chat.c - the terminal conversation's parts without a model: messages as JSON, and text in
 * colour of which nothing is lost. */
#include "cli/chat/messages.h"
#include "cli/chat/paint.h"

#include "api/json/json.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* --- messages --- */

static struct messages m;
static struct error err;

static void add(const char *role, const char *content)
{
    ck_assert_int_eq(messages_add(&m, role, content, strlen(content), &err), STATUS_OK);
}

static void set_system(const char *content)
{
    ck_assert_int_eq(messages_set_system(&m, content, strlen(content), &err), STATUS_OK);
}

static void is(const char *expected, size_t n_messages)
{
    size_t n;
    const char *json = messages_json(&m, &n);
    ck_assert_str_eq(json, expected);
    ck_assert_uint_eq(n, strlen(expected));
    ck_assert_int_eq(json_check(json, n, 8, 1000, &err), STATUS_OK);
    ck_assert_uint_eq(m.n_messages, n_messages);
}

#define S  "{\"role\":\"system\",\"content\":\"s\"}"
#define S2 "{\"role\":\"system\",\"content\":\"other\"}"
#define U  "{\"role\":\"user\",\"content\":\"u\"}"
#define A  "{\"role\":\"assistant\",\"content\":\"\\\"a\\\"\\n\"}"

START_TEST(messages_are_an_array_in_their_order)
{
    is("[]", 0);
    add("user", "u");
    is("[" U "]", 1);
    add("assistant", "\"a\"\n");
    is("[" U "," A "]", 2);
    messages_free(&m);
}
END_TEST

START_TEST(the_system_message_comes_first_and_goes_alone)
{
    set_system("");
    is("[]", 0);
    set_system("s");
    is("[" S "]", 1);
    add("user", "u");
    is("[" S "," U "]", 2);
    set_system("other");
    is("[" S2 "," U "]", 2);
    set_system("");
    is("[" U "]", 1);
    set_system("s");
    is("[" S "," U "]", 2);
    messages_clear(&m);
    is("[" S "]", 1);
    set_system("");
    is("[]", 0);
    add("user", "u");
    messages_clear(&m);
    is("[]", 0);
    add("user", "u");
    is("[" U "]", 1);
    messages_free(&m);
}
END_TEST

START_TEST(what_was_added_can_be_taken_back)
{
    messages_cut(&m, 0, 0);
    add("user", "u");
    size_t n = m.n, n_messages = m.n_messages;
    add("assistant", "\"a\"\n");
    messages_cut(&m, n, n_messages);
    is("[" U "]", 1);
    messages_cut(&m, 0, 0);
    is("[]", 0);
    messages_free(&m);
}
END_TEST

/* --- colour --- */

/* In pieces of so many bytes. */
static char *painted(const char *text, size_t piece, bool plain)
{
    char *out = NULL;
    size_t n_out, n = strlen(text);
    FILE *file = open_memstream(&out, &n_out);
    struct paint paint = {.plain = plain};
    for (size_t i = 0; i < n; i += piece)
        paint_add(&paint, file, text + i, n - i < piece ? n - i : piece);
    paint_end(&paint, file);
    fclose(file);
    return out;
}

static void strip(char *text)
{
    char *to = text;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\033') {
            at = strchr(at, 'm');
            continue;
        }
        *to++ = *at;
    }
    *to = '\0';
}

static const char *const texts[] = {
    "plain",
    "# Heading\nthen",
    "a **bold** word",
    "some `code` here\n",
    "```c\nint **x;\n```\nend",
    "**not closed\nnext",
    "* item\n* item **b**\n",
    "***",
    "``",
    "`````",
    "a*b*c",
    "****",
    "#",
    "\n\n",
    "\xe4\xbd\xa0\xe5\xa5\xbd **\xe4\xbd\xa0** \xc3\xa9",
    "",
};
enum { N_TEXTS = sizeof texts / sizeof *texts };

START_TEST(no_character_is_lost_however_the_text_is_cut)
{
    for (size_t i = 0; i < N_TEXTS; i++)
        for (size_t piece = 1; piece < 20; piece++) {
            char *out = painted(texts[i], piece, false), *plain = painted(texts[i], piece, true);
            ck_assert_str_eq(plain, texts[i]);
            ck_assert_ptr_nonnull(strstr(out, "\033[0m"));
            strip(out);
            ck_assert_str_eq(out, texts[i]);
            free(out);
            free(plain);
        }
}
END_TEST

START_TEST(marks_have_colours_and_lines_end_them)
{
    char *out = painted("a **b** c `d` e\n# f\ng", 3, false);
    ck_assert_str_eq(out, "a \033[0m\033[1m**b**\033[0m c \033[0m\033[36m`d`\033[0m e\n"
                          "\033[0m\033[1m# f\033[0m\ng\033[0m");
    free(out);
}
END_TEST

START_TEST(nothing_steers_the_terminal)
{
    char *out = painted("a\033[2Jb\007\r\x7f\xc2\x9b"
                        "c\td",
                        100, true);
    ck_assert_str_eq(out, "a?[2Jb????c\td");
    free(out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("chat");
    TCase *tcase = tcase_create("chat");
    tcase_add_test(tcase, messages_are_an_array_in_their_order);
    tcase_add_test(tcase, the_system_message_comes_first_and_goes_alone);
    tcase_add_test(tcase, what_was_added_can_be_taken_back);
    tcase_add_test(tcase, no_character_is_lost_however_the_text_is_cut);
    tcase_add_test(tcase, marks_have_colours_and_lines_end_them);
    tcase_add_test(tcase, nothing_steers_the_terminal);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
