/* test_utf8.c - facts about UTF-8: Unicode's table 3-7 exactly, and a stream that cuts where it
 * likes and says the same. */
#include "base/utf8.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(every_scalar_value_comes_back)
{
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        if (cp >= 0xd800 && cp <= 0xdfff)
            continue;
        char bytes[4];
        uint32_t back = UINT32_MAX;
        size_t n = utf8_encode(cp, bytes);
        if (n != (cp < 0x80      ? 1u
                  : cp < 0x800   ? 2u
                  : cp < 0x10000 ? 3u
                                 : 4u) ||
            utf8_decode(bytes, n, &back) != n || back != cp || utf8_check(bytes, n) != n ||
            (n > 1 && utf8_decode(bytes, n - 1, &back) != 0))
            ck_abort_msg("U+%04X", cp);
    }
}
END_TEST

START_TEST(exactly_the_scalar_values_are_well_formed)
{
    /* All sequences of 3 bytes of which the first leads 3: 16 * 65536; those decoded must encode to
     * themselves. */
    size_t n_well = 0;
    for (unsigned v = 0; v < 16u << 16; v++) {
        char bytes[4] = {(char)(0xe0 | v >> 16), (char)(v >> 8), (char)v}, again[4];
        uint32_t cp;
        if (utf8_decode(bytes, 3, &cp) == 0)
            continue;
        n_well++;
        if (cp < 0x800 || (cp >= 0xd800 && cp <= 0xdfff) || utf8_encode(cp, again) != 3 ||
            memcmp(bytes, again, 3) != 0)
            ck_abort_msg("%06x", v);
    }
    ck_assert_uint_eq(n_well, 0x10000 - 0x800 - 0x800);
}
END_TEST

static const struct {
    const char *bytes;
    size_t n, first_wrong;
} ill[] = {
    {"\x80", 1, 0},
    {"a\xbf", 2, 1},
    {"\xc0\x80", 2, 0},
    {"\xc1\xbf", 2, 0},
    {"\xc3", 1, 0},
    {"\xc3(", 2, 0},
    {"\xe0\x9f\xbf", 3, 0},
    {"\xe2\x82", 2, 0},
    {"\xed\xa0\x80", 3, 0},
    {"\xed\xbf\xbf", 3, 0},
    {"\xf0\x8f\xbf\xbf", 4, 0},
    {"\xf4\x90\x80\x80", 4, 0},
    {"\xf5\x80\x80\x80", 4, 0},
    {"\xff", 1, 0},
    {"ok\xf0\x9f\x98", 5, 2},
    {"\xef\xbf\xbd\xfe", 4, 3},
};

START_TEST(ill_formed_text_is_found_where_it_begins)
{
    uint32_t cp;
    ck_assert_uint_eq(utf8_check(ill[_i].bytes, ill[_i].n), ill[_i].first_wrong);
    if (ill[_i].first_wrong == 0)
        ck_assert_uint_eq(utf8_decode(ill[_i].bytes, ill[_i].n, &cp), 0);
}
END_TEST

START_TEST(nul_and_the_last_character_are_well_formed)
{
    ck_assert_uint_eq(utf8_check("a\0b", 3), 3);
    ck_assert_uint_eq(utf8_check("\xf4\x8f\xbf\xbf", 4), 4);
    ck_assert_uint_eq(utf8_check("", 0), 0);
}
END_TEST

/* The whole text through the stream in pieces that end at the given borders. */
static size_t through(const char *bytes, size_t n, size_t piece, char *out)
{
    struct utf8_stream stream = {0};
    size_t n_out = 0;
    for (size_t i = 0; i < n; i += piece)
        n_out += utf8_stream_push(&stream, bytes + i, n - i < piece ? n - i : piece, out + n_out);
    return n_out + utf8_stream_end(&stream, out + n_out);
}

#define R "\xef\xbf\xbd"
static const struct {
    const char *bytes, *text;
} streams[] = {
    {"plain", "plain"},
    {"\xf0\x9f\x98\x80 \xe2\x82\xac \xc3\xa9", "\xf0\x9f\x98\x80 \xe2\x82\xac \xc3\xa9"},
    /* The examples of the standard, tables 3-8 to 3-11. */
    {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", R R R R R R R R "A"},
    {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", R R R R R R R R "A"},
    {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", R R R R R "A" R R "B"},
    {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", R R R R "A"},
    {"\xf0\x9f\x98", R},
    {"a\xe2\x82", "a" R},
    {"\xc3\xc3\xc3\xa9", R R "\xc3\xa9"},
    {"\xf0\x9f\xf0\x9f\x98\x80", R "\xf0\x9f\x98\x80"},
};

START_TEST(a_stream_says_the_same_however_it_is_cut)
{
    const char *bytes = streams[_i].bytes, *text = streams[_i].text;
    for (size_t piece = 1; piece <= strlen(bytes); piece++) {
        char out[256];
        size_t n = through(bytes, strlen(bytes), piece, out);
        ck_assert_msg(n == strlen(text) && memcmp(out, text, n) == 0, "in pieces of %zu", piece);
    }
}
END_TEST

START_TEST(a_streams_output_is_always_well_formed)
{
    /* All 2-byte pairs of interesting bytes after all others, in random order: whole and one by
     * one. */
    static const uint8_t kinds[] = {'a',  0x80, 0xbf, 0xc2, 0xe0, 0xa0, 0x9f,
                                    0xed, 0xf0, 0x90, 0x8f, 0xf4, 0xff, 0xc0};
    uint64_t state = 7;
    for (int round = 0; round < 20000; round++) {
        char bytes[12], whole[3 * 15], split[3 * 15];
        for (size_t i = 0; i < sizeof bytes; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (char)kinds[(state >> 33) % sizeof kinds];
        }
        size_t n = through(bytes, sizeof bytes, sizeof bytes, whole);
        bool same = utf8_check(whole, n) == n;
        for (size_t piece = 1; piece < 5; piece++)
            same = same && through(bytes, sizeof bytes, piece, split) == n &&
                   memcmp(whole, split, n) == 0;
        if (!same)
            ck_abort_msg("round %d", round);
    }
}
END_TEST

START_TEST(a_half_character_is_held_back)
{
    struct utf8_stream stream = {0};
    char out[16];
    ck_assert_uint_eq(utf8_stream_push(&stream, "\xf0\x9f\x98", 3, out), 0);
    ck_assert_uint_eq(stream.n_held, 3);
    ck_assert_uint_eq(utf8_stream_push(&stream, "", 0, out), 0);
    ck_assert_uint_eq(utf8_stream_push(&stream, "\x80!", 2, out), 5);
    ck_assert_mem_eq(out, "\xf0\x9f\x98\x80!", 5);
    ck_assert_uint_eq(utf8_stream_end(&stream, out), 0);
}
END_TEST

START_TEST(printable_text_fits_its_room)
{
    char out[8];
    utf8_printable(out, sizeof out, "a\nb\xc3\xa9\xff", 6);
    ck_assert_str_eq(out, "a?b\xc3\xa9?");
    utf8_printable(out, sizeof out, "123456\xc3\xa9", 8);
    ck_assert_str_eq(out, "123456");
    utf8_printable(out, 1, "x", 1);
    ck_assert_str_eq(out, "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("utf8");
    TCase *tc = tcase_create("facts");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, every_scalar_value_comes_back);
    tcase_add_test(tc, exactly_the_scalar_values_are_well_formed);
    tcase_add_loop_test(tc, ill_formed_text_is_found_where_it_begins, 0,
                        sizeof ill / sizeof ill[0]);
    tcase_add_test(tc, nul_and_the_last_character_are_well_formed);
    tcase_add_loop_test(tc, a_stream_says_the_same_however_it_is_cut, 0,
                        sizeof streams / sizeof streams[0]);
    tcase_add_test(tc, a_streams_output_is_always_well_formed);
    tcase_add_test(tc, a_half_character_is_held_back);
    tcase_add_test(tc, printable_text_fits_its_room);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
