/* test_json.c - facts about the JSON recognizer, the exact reading of numbers and the writer. */
#include "api/json/json.h"

#include <check.h>
#include <cjson/cJSON.h>
#include <dirent.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status check(const char *text, struct error *err)
{
    return json_check(text, strlen(text), 64, 100000, err);
}

START_TEST(well_formed_text_is_accepted)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        " [ ] ",
        "0",
        "-0",
        "-0.0e-0",
        "1E+9",
        "\"\"",
        "true",
        "false",
        "null",
        "\t\r\n1 ",
        "[[],{}]",
        "{\"\":0}",
        "{\"a\":1,\"a\":2}",
        "[1,2.5,-3e7]",
        "\"\\u0000\"",
        "\"\\ud83d\\ude00\"",
        "\"\xf0\x9f\x98\x80 \xe2\x82\xac\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\x7f\"",
        "{\"a\":{\"b\":[{\"c\":[null]}]}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct error err = {.text = ""};
        ck_assert_msg(check(texts[i], &err) == STATUS_OK, "%s: %s", texts[i], err.text);
    }
}
END_TEST

START_TEST(ill_formed_text_is_refused_at_its_byte)
{
    static const struct {
        const char *text, *where;
    } rows[] = {
        {"", "byte 0"},
        {" ", "byte 1"},
        {"{", "byte 1"},
        {"[1,]", "byte 3"},
        {"[1 2]", "byte 3"},
        {"{\"a\" 1}", "byte 5"},
        {"{\"a\":1,}", "byte 7"},
        {"{a:1}", "byte 1"},
        {"[1}", "byte 2"},
        {"{\"a\":1]", "byte 6"},
        {"01", "byte 1"},
        {"-", "byte 1"},
        {"+1", "byte 0"},
        {"1.", "byte 2"},
        {".5", "byte 0"},
        {"1e", "byte 2"},
        {"1e+", "byte 3"},
        {"0x10", "byte 1"},
        {"NaN", "byte 0"},
        {"Infinity", "byte 0"},
        {"nul", "byte 0"},
        {"truth", "byte 0"},
        {"\"a", "byte 2"},
        {"\"\n\"", "byte 1"},
        {"\"\\x\"", "byte 2"},
        {"\"\\u12g4\"", "byte 3"},
        {"\"\\", "byte 2"},
        {"\"\\ud800\"", "byte 1"},
        {"\"\\udc00\"", "byte 1"},
        {"\"\\ud800\\u0041\"", "byte 1"},
        {"\"\xff\"", "byte 1"},
        {"\"\xc0\x80\"", "byte 1"},
        {"\"\xed\xa0\x80\"", "byte 1"},
        {"\"\xe2\x82\"", "byte 1"},
        {"{} x", "byte 3"},
        {"{}{}", "byte 2"},
        {"\xef\xbb\xbf{}", "byte 0"},
        {"\f1", "byte 0"},
        {"// c\n1", "byte 0"},
        {"'a'", "byte 0"},
        {"]", "byte 0"},
        {"[,1]", "byte 1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error err = {.text = ""};
        ck_assert_msg(check(rows[i].text, &err) == STATUS_FORMAT, "accepted: %s", rows[i].text);
        size_t n = strlen(rows[i].where);
        const char *found = strstr(err.text, rows[i].where);
        ck_assert_msg(found != NULL && (found[n] < '0' || found[n] > '9'), "%s: %s, not %s",
                      rows[i].text, err.text, rows[i].where);
    }
}
END_TEST

START_TEST(nul_bytes_are_refused_wherever_they_stand)
{
    static const char text[] = "{\"a\":[1,\"x\"]} ";
    for (size_t i = 0; i < sizeof text; i++) {
        char with[sizeof text + 1];
        memcpy(with, text, i);
        with[i] = '\0';
        memcpy(with + i + 1, text + i, sizeof text - 1 - i + (i == sizeof text - 1));
        struct error err;
        ck_assert_int_eq(json_check(with, sizeof text, 64, 100, &err), STATUS_FORMAT);
    }
}
END_TEST

START_TEST(every_prefix_of_a_text_is_refused)
{
    static const char text[] =
        "{\"a\":[1.5e-3,{\"\\u00e9\\ud83d\\ude00\":\"\xc3\xa9\"},true,null]}";
    for (size_t n = 0; n + 1 < sizeof text; n++) {
        char *copy = malloc(n + 1); /* its own block, so that a sanitizer sees a read beyond */
        memcpy(copy, text, n);
        ck_assert_int_eq(json_check(copy, n, 64, 100, NULL), STATUS_FORMAT);
        free(copy);
    }
    ck_assert_int_eq(json_check(text, sizeof text - 1, 64, 100, NULL), STATUS_OK);
}
END_TEST

START_TEST(depth_and_values_are_bounded)
{
    struct error err;
    char deep[4096];
    for (size_t depth = 1; depth <= 70; depth++) {
        memset(deep, '[', depth);
        memset(deep + depth, ']', depth);
        ck_assert_int_eq(json_check(deep, 2 * depth, 64, 1000, &err),
                         depth <= 64 ? STATUS_OK : STATUS_FORMAT);
    }
    ck_assert_ptr_nonnull(strstr(err.text, "64 deep"));
    memset(deep, '[', sizeof deep); /* no depth asked for exceeds what the checker can hold */
    ck_assert_int_eq(json_check(deep, sizeof deep, SIZE_MAX, SIZE_MAX, &err), STATUS_FORMAT);
    ck_assert_ptr_nonnull(strstr(err.text, "512 deep"));
    ck_assert_int_eq(json_check("[1,[2],{\"a\":3}]", 15, 64, 6, &err), STATUS_OK);
    ck_assert_int_eq(json_check("[1,[2],{\"a\":3}]", 15, 64, 5, &err), STATUS_TOO_LARGE);
    ck_assert_int_eq(json_check("[1,[2],{\"a\":3}]", 15, 2, 6, &err), STATUS_OK);
    ck_assert_int_eq(json_check("[1,[2],{\"a\":3}]", 15, 1, 6, &err), STATUS_FORMAT);
}
END_TEST

/* A folder of texts whose names say what must happen to them: y_ accepted, n_ refused, i_ either.
 */
START_TEST(public_collection_is_judged_as_it_must_be)
{
    const char *shared = getenv("SMALLMIND_SHARED");
    char folder[512], path[1024];
    snprintf(folder, sizeof folder, "%s/fixtures/json",
             shared != NULL ? shared : TEST_SOURCE_DIR "/../shared");
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        printf("skipped: no folder %s\n", folder);
        return;
    }
    size_t n_texts = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.' || strstr(entry->d_name, ".json") == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        FILE *file = fopen(path, "rb");
        ck_assert_ptr_nonnull(file);
        static char text[1 << 20];
        size_t n = fread(text, 1, sizeof text, file);
        fclose(file);
        char *copy = malloc(n + 1);
        memcpy(copy, text, n);
        struct error err = {.text = ""};
        enum status status = json_check(copy, n, 512, 1000000, &err);
        if (entry->d_name[0] == 'y')
            ck_assert_msg(status == STATUS_OK, "%s: %s", entry->d_name, err.text);
        else if (entry->d_name[0] == 'n')
            ck_assert_msg(status == STATUS_FORMAT, "%s was accepted", entry->d_name);
        if (status == STATUS_OK) { /* what we accept, cJSON can read */
            cJSON *tree = cJSON_ParseWithLength(copy, n);
            ck_assert_msg(tree != NULL, "%s", entry->d_name);
            cJSON_Delete(tree);
        }
        free(copy);
        n_texts++;
    }
    closedir(dir);
    ck_assert_uint_gt(n_texts, 300);
}
END_TEST

START_TEST(members_are_found_as_they_stand)
{
    static const char text[] = " { \"a\" : 1.50 , \"b\\\"}\" : \"x,\\\\\" "
                               ",\"c\":{\"d\":[1,\"]}\"]}, \"e\":[] ,\"f\":null}";
    static const char *const names[] = {"a", "b\\\"}", "c", "e", "f"};
    static const char *const values[] = {"1.50", "\"x,\\\\\"", "{\"d\":[1,\"]}\"]}", "[]", "null"};
    ck_assert_int_eq(check(text, NULL), STATUS_OK);
    struct json_span name, value;
    size_t at = 0, n = 0;
    for (; json_next_member(text, sizeof text - 1, &at, &name, &value); n++) {
        ck_assert_uint_lt(n, 5);
        ck_assert_uint_eq(name.n, strlen(names[n]));
        ck_assert_mem_eq(name.at, names[n], name.n);
        ck_assert_uint_eq(value.n, strlen(values[n]));
        ck_assert_mem_eq(value.at, values[n], value.n);
    }
    ck_assert_uint_eq(n, 5);
    static const char *const none[] = {"{}", " { } ", "[1]", "\"{\"", "7"};
    for (size_t i = 0; i < 5; i++) {
        at = 0;
        ck_assert(!json_next_member(none[i], strlen(none[i]), &at, &name, &value));
    }
}
END_TEST

START_TEST(escaped_nul_is_told_from_escaped_backslash)
{
    static const struct {
        const char *text;
        bool nul;
    } rows[] = {
        {"\"\\u0000\"", true},
        {"\"\\\\u0000\"", false},
        {"\"\\\\\\u0000\"", true},
        {"\"\\u0001\"", false},
        {"\"u0000\"", false},
        {"\"\\u00e9\\u0000\"", true},
        {"{\"a\":[\"\\n\\u0000\"]}", true},
        {"0", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_msg(json_has_nul((struct json_span){rows[i].text, strlen(rows[i].text)}) ==
                          rows[i].nul,
                      "%s", rows[i].text);
}
END_TEST

START_TEST(integers_are_read_exactly)
{
    static const struct {
        const char *text;
        enum json_integer kind;
        bool negative;
        uint64_t magnitude;
    } rows[] = {
        {"0", JSON_INTEGER, false, 0},
        {"-0", JSON_INTEGER, true, 0},
        {"0.000e99", JSON_INTEGER, false, 0},
        {"5", JSON_INTEGER, false, 5},
        {"5.0", JSON_INTEGER, false, 5},
        {"-5.00", JSON_INTEGER, true, 5},
        {"50e-1", JSON_INTEGER, false, 5},
        {"0.5e1", JSON_INTEGER, false, 5},
        {"1e3", JSON_INTEGER, false, 1000},
        {"1.25E+2", JSON_INTEGER, false, 125},
        {"100", JSON_INTEGER, false, 100},
        {"10.0", JSON_INTEGER, false, 10},
        {"9007199254740993", JSON_INTEGER, false, 9007199254740993U},
        {"18446744073709551615", JSON_INTEGER, false, UINT64_MAX},
        {"1844674407370955161500e-2", JSON_INTEGER, false, UINT64_MAX},
        {"18446744073709551616", JSON_HUGE, false, 0},
        {"1e400", JSON_HUGE, false, 0},
        {"1e99999999999999999999", JSON_HUGE, false, 0},
        {"-1e20", JSON_HUGE, true, 0},
        {"0e99999999999999999999", JSON_INTEGER, false, 0},
        {"5.5", JSON_FRACTION, false, 0},
        {"1e-1", JSON_FRACTION, false, 0},
        {"9007199254740992.5", JSON_FRACTION, false, 0},
        {"1.00000000000000000000000000000001", JSON_FRACTION, false, 0},
        {"1e-99999999999999999999", JSON_FRACTION, false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool negative;
        uint64_t magnitude;
        struct json_span number = {rows[i].text, strlen(rows[i].text)};
        ck_assert_msg(json_integer(number, &negative, &magnitude) == rows[i].kind, "%s",
                      rows[i].text);
        ck_assert_msg(negative == rows[i].negative, "%s", rows[i].text);
        ck_assert_msg(magnitude == rows[i].magnitude, "%s", rows[i].text);
    }
}
END_TEST

START_TEST(strings_come_back_as_they_went)
{
    char text[1024], out[8192];
    size_t n = 0;
    for (char c = 1; c > 0 && c < 127; c++)
        text[n++] = c;
    n += (size_t)snprintf(text + n, sizeof text - n,
                          "\x7f \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xe2\x80\xa8");
    struct json_writer w = {.out = out, .room = sizeof out - 1};
    json_string(&w, text, n);
    ck_assert(!w.full);
    ck_assert_uint_le(w.n, json_string_bound(n));
    ck_assert_int_eq(json_check(out, w.n, 1, 1, NULL), STATUS_OK);
    cJSON *tree = cJSON_ParseWithLength(out, w.n);
    ck_assert_str_eq(tree->valuestring, (text[n] = '\0', text));
    cJSON_Delete(tree);
}
END_TEST

START_TEST(a_nul_character_is_escaped)
{
    char out[64];
    struct json_writer w = {.out = out, .room = sizeof out};
    json_string(&w, "a\0b", 3);
    ck_assert_uint_eq(w.n, 10);
    ck_assert_mem_eq(out, "\"a\\u0000b\"", 10);
}
END_TEST

START_TEST(ill_formed_bytes_become_replacement_characters)
{
    static const struct {
        const char *bytes, *text;
    } rows[] = {
        {"\xff", "\"\xef\xbf\xbd\""},
        {"a\xe2\x82", "\"a\xef\xbf\xbd\""},
        {"\xe2\x82z", "\"\xef\xbf\xbdz\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[64];
        struct json_writer w = {.out = out, .room = sizeof out};
        json_string(&w, rows[i].bytes, strlen(rows[i].bytes));
        ck_assert_uint_eq(w.n, strlen(rows[i].text));
        ck_assert_mem_eq(out, rows[i].text, w.n);
    }
}
END_TEST

/* Slices of the writer must not show: a long run of multi-byte characters at every offset. */
START_TEST(long_strings_are_not_cut_within_a_character)
{
    char text[2048], out[8192];
    for (size_t shift = 0; shift < 4; shift++) {
        size_t n = shift;
        memset(text, 'x', shift);
        for (; n + 4 < 1500; n += 4)
            memcpy(text + n, (const char[]){'\xf0', '\x9f', '\x98', '\x80'}, 4);
        struct json_writer w = {.out = out, .room = sizeof out};
        json_string(&w, text, n);
        ck_assert_uint_eq(w.n, n + 2);
        ck_assert_mem_eq(out + 1, text, n);
    }
}
END_TEST

START_TEST(a_full_writer_stops_at_the_last_whole_piece)
{
    for (size_t room = 0; room < 32; room++) {
        char out[64];
        memset(out, '#', sizeof out);
        struct json_writer w = {.out = out, .room = room};
        json_raw(&w, "{\"a\":");
        size_t before = w.n;
        json_string(&w, "x\ny", 3);
        if (w.full)
            ck_assert(w.n == before || w.n == 0);
        json_raw(&w, "}");
        ck_assert_uint_le(w.n, room);
        ck_assert(w.full == (room < 12));
        for (size_t i = room; i < sizeof out; i++)
            ck_assert_int_eq(out[i], '#');
    }
}
END_TEST

static const char *written(void (*write)(struct json_writer *w))
{
    static char out[512];
    struct json_writer w = {.out = out, .room = sizeof out - 1};
    write(&w);
    out[w.n] = '\0';
    return out;
}

static void write_numbers(struct json_writer *w)
{
    json_int(w, INT64_MIN);
    json_raw(w, " ");
    json_uint(w, UINT64_MAX);
    json_raw(w, " ");
    json_double(w, 1234.5678, 3);
    json_raw(w, " ");
    json_double(w, NAN, 3);
    json_raw(w, " ");
    json_float(w, -INFINITY);
    json_raw(w, " ");
    json_float(w, -0.25f);
    json_raw(w, " ");
    json_bool(w, true);
}

START_TEST(numbers_are_json_numbers)
{
    ck_assert_str_eq(written(write_numbers),
                     "-9223372036854775808 18446744073709551615 1234.568 null null -0.25 true");
}
END_TEST

START_TEST(floats_keep_their_bits)
{
    uint32_t state = 1;
    for (int i = 0; i < 100000; i++) {
        state = state * 1664525 + 1013904223;
        float value, back;
        memcpy(&value, &state, sizeof value);
        if (!isfinite(value))
            continue;
        char out[64];
        struct json_writer w = {.out = out, .room = sizeof out - 1};
        json_float(&w, value);
        out[w.n] = '\0';
        ck_assert_int_eq(json_check(out, w.n, 1, 1, NULL), STATUS_OK);
        back = strtof(out, NULL);
        ck_assert_mem_eq(&back, &value, sizeof value);
    }
}
END_TEST

START_TEST(huge_doubles_fit)
{
    char out[512];
    struct json_writer w = {.out = out, .room = sizeof out};
    json_double(&w, -DBL_MAX, 20);
    ck_assert(!w.full);
    ck_assert_uint_eq(w.n, 331);
    ck_assert_int_eq(json_check(out, w.n, 1, 1, NULL), STATUS_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("api/json");
    TCase *checks = tcase_create("check"), *writes = tcase_create("write");
    tcase_add_test(checks, well_formed_text_is_accepted);
    tcase_add_test(checks, ill_formed_text_is_refused_at_its_byte);
    tcase_add_test(checks, nul_bytes_are_refused_wherever_they_stand);
    tcase_add_test(checks, every_prefix_of_a_text_is_refused);
    tcase_add_test(checks, depth_and_values_are_bounded);
    tcase_add_test(checks, public_collection_is_judged_as_it_must_be);
    tcase_add_test(checks, members_are_found_as_they_stand);
    tcase_add_test(checks, escaped_nul_is_told_from_escaped_backslash);
    tcase_add_test(checks, integers_are_read_exactly);
    tcase_add_test(writes, strings_come_back_as_they_went);
    tcase_add_test(writes, a_nul_character_is_escaped);
    tcase_add_test(writes, ill_formed_bytes_become_replacement_characters);
    tcase_add_test(writes, long_strings_are_not_cut_within_a_character);
    tcase_add_test(writes, a_full_writer_stops_at_the_last_whole_piece);
    tcase_add_test(writes, numbers_are_json_numbers);
    tcase_add_test(writes, floats_keep_their_bits);
    tcase_add_test(writes, huge_doubles_fit);
    suite_add_tcase(suite, checks);
    suite_add_tcase(suite, writes);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
