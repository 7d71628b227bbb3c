/* classes.c - the table of classes, filled from the runs of unicode_runs.h and the patterns' lists,
 * and the translation of texts.
 *
 * One byte for each code point: pages that hold only CHAR_OTHER are never written, so the table
 * takes memory for the scripts alone (about 0.3 MB). Pure but for the table's creation.
 */
#include "text/tokenizer/classes.h"

#include "text/tokenizer/unicode_runs.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { N_CODE_POINTS = 0x110000, N_RUNS = sizeof unicode_runs / sizeof unicode_runs[0] };

struct char_table {
    uint8_t classes[N_CODE_POINTS]; /* lists << 4 | class */
};

struct char_range {
    uint32_t first, last;
};

/* The letters that have case, as DeepSeek lists them; beyond ASCII. */
static const struct char_range cased[] = {
    {0xb5, 0xb5},       {0xc0, 0xd6},       {0xd8, 0xf6},       {0xf8, 0x1ba},
    {0x1bc, 0x1bf},     {0x1c4, 0x293},     {0x295, 0x2af},     {0x370, 0x373},
    {0x376, 0x376},     {0x377, 0x377},     {0x37b, 0x37d},     {0x37f, 0x37f},
    {0x386, 0x386},     {0x388, 0x38a},     {0x38c, 0x38c},     {0x38e, 0x3a1},
    {0x3a3, 0x3f5},     {0x3f7, 0x481},     {0x48a, 0x52f},     {0x531, 0x556},
    {0x10a0, 0x10c5},   {0x13a0, 0x13f5},   {0x13f8, 0x13fd},   {0x1c90, 0x1cba},
    {0x1cbd, 0x1cbf},   {0x1d00, 0x1d2b},   {0x1d6b, 0x1d77},   {0x1d79, 0x1d9a},
    {0x1e00, 0x1f15},   {0x1f18, 0x1f1d},   {0x1f20, 0x1f45},   {0x1f48, 0x1f4d},
    {0x1f50, 0x1f57},   {0x1f59, 0x1f59},   {0x1f5b, 0x1f5b},   {0x1f5d, 0x1f5d},
    {0x1f5f, 0x1f7d},   {0x1f80, 0x1fb4},   {0x1fb6, 0x1fbc},   {0x1fbe, 0x1fbe},
    {0x1fc2, 0x1fc4},   {0x1fc6, 0x1fcc},   {0x1fd0, 0x1fd3},   {0x1fd6, 0x1fdb},
    {0x1fe0, 0x1fec},   {0x1ff2, 0x1ff4},   {0x1ff6, 0x1ffc},   {0x2102, 0x2102},
    {0x2107, 0x2107},   {0x210a, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211d},
    {0x2124, 0x2124},   {0x2126, 0x2126},   {0x2128, 0x2128},   {0x212a, 0x212d},
    {0x212f, 0x2134},   {0x2139, 0x2139},   {0x213c, 0x213f},   {0x2145, 0x2149},
    {0x214e, 0x214e},   {0x2183, 0x2183},   {0x2184, 0x2184},   {0x2c00, 0x2c7b},
    {0x2c7e, 0x2ce4},   {0x2ceb, 0x2cee},   {0x2cf2, 0x2cf2},   {0x2cf3, 0x2cf3},
    {0xa640, 0xa66d},   {0xa680, 0xa69b},   {0xa722, 0xa76f},   {0xa771, 0xa787},
    {0xa78b, 0xa78e},   {0xab70, 0xabbf},   {0xfb00, 0xfb06},   {0xfb13, 0xfb17},
    {0xff21, 0xff3a},   {0xff41, 0xff5a},   {0x10400, 0x1044f}, {0x104b0, 0x104d3},
    {0x104d8, 0x104fb}, {0x10c80, 0x10cb2}, {0x10cc0, 0x10cf2}, {0x118a0, 0x118df},
    {0x1e900, 0x1e943},
};
static const struct char_range wide_points[] = {
    {0x2018, 0x201f}, {0x3000, 0x3002}, {0xff01, 0xff0f}, {0xff1a, 0xff5e}};
static const struct char_range east_asian[] = {{0x800, 0x9fa5}, {0xac00, 0xd7ff}};
static const struct char_range ideographs_and_kana[] = {{0x4e00, 0x9fa5}, {0x3040, 0x30ff}};
static const struct char_range han[] = {
    {0x2e80, 0x2e99},   {0x2e9b, 0x2ef3},   {0x2f00, 0x2fd5},   {0x3005, 0x3005},
    {0x3007, 0x3007},   {0x3021, 0x3029},   {0x3038, 0x303b},   {0x3400, 0x4dbf},
    {0x4e00, 0x9fff},   {0xf900, 0xfa6d},   {0xfa70, 0xfad9},   {0x16fe2, 0x16fe3},
    {0x16ff0, 0x16ff1}, {0x20000, 0x2a6df}, {0x2a700, 0x2b739}, {0x2b740, 0x2b81d},
    {0x2b820, 0x2cea1}, {0x2ceb0, 0x2ebe0}, {0x2ebf0, 0x2ee5d}, {0x2f800, 0x2fa1d},
    {0x30000, 0x3134a}, {0x31350, 0x323af},
};
static const struct char_range hangul[] = {{0xac00, 0xd7a3}, {0x3131, 0x318e}};
static const struct char_range chinese_points[] = {
    {0xff01, 0xff01}, {0x2026, 0x2026}, {0x201c, 0x201d}, {0x2018, 0x2019}, {0x2014, 0x2014},
    {0xff1a, 0xff1b}, {0xff0c, 0xff0c}, {0x3001, 0x303f}, {0xfe30, 0xfe4f}};
static const struct char_range bopomofo[] = {{0x3105, 0x312f}};
static const struct char_range points[] = {{0x2026, 0x2026}, {0x3001, 0x3002}, {0xff0c, 0xff0c},
                                           {0x964, 0x964},   {0x6d4, 0x6d4},   {0x60c, 0x60c}};
static const struct char_range without_spaces[] = {
    {0x4e00, 0x9fff}, {0x3400, 0x4dbf}, {0xf900, 0xfaff}, {0x3040, 0x30ff}, {0xff65, 0xff9f},
    {0x2f00, 0x2fdf}, {0xe40, 0xe7f},   {0xe80, 0xeff},   {0x1780, 0x17ff}, {0x1000, 0x109f},
    {0xaa60, 0xaa7f}, {0xa9e0, 0xa9ff}, {0xac00, 0xd7af}, {0x1100, 0x11ff}};

#define LIST(set, ranges, number)                                                                  \
    {                                                                                              \
        set, number, ranges, sizeof(ranges) / sizeof((ranges)[0])                                  \
    }
static const struct {
    enum char_list_set set;
    unsigned number;
    const struct char_range *ranges;
    size_t n_ranges;
} all_lists[] = {
    LIST(LISTS_DEEPSEEK, cased, 1),
    LIST(LISTS_DEEPSEEK, wide_points, 2),
    LIST(LISTS_DEEPSEEK, east_asian, 4),
    LIST(LISTS_CJK, ideographs_and_kana, 1),
    LIST(LISTS_HAN, han, 1),
    LIST(LISTS_YOUTU, hangul, 1),
    LIST(LISTS_YOUTU, chinese_points, 2),
    LIST(LISTS_YOUTU, bopomofo, 3),
    LIST(LISTS_YOUTU, ideographs_and_kana, 4),
    LIST(LISTS_BLOOM, points, 1),
    LIST(LISTS_ASIAN, without_spaces, 1),
};

static void add_lists(struct char_table *table, enum char_list_set set)
{
    for (size_t i = 0; i < sizeof all_lists / sizeof all_lists[0]; i++)
        for (size_t k = 0; all_lists[i].set == set && k < all_lists[i].n_ranges; k++)
            for (uint32_t cp = all_lists[i].ranges[k].first; cp <= all_lists[i].ranges[k].last;
                 cp++)
                table->classes[cp] |= (uint8_t)(all_lists[i].number << 4);
}

enum status char_table_create(struct char_table **out, enum char_list_set lists, struct error *err)
{
    struct char_table *table = calloc(1, sizeof *table);
    if (!table)
        return error_no_memory(err, sizeof *table, "the table of character classes");
    size_t cp = 0;
    for (size_t i = 0; i < N_RUNS; i++) {
        size_t length = unicode_runs[i] >> 4;
        uint8_t kind = unicode_runs[i] & 0xf;
        assert(kind < CHAR_CLASSES && length <= N_CODE_POINTS - cp);
        if (kind != CHAR_OTHER) /* else zero as it is */
            memset(table->classes + cp, kind, length);
        cp += length;
    }
    assert(cp == N_CODE_POINTS);
    add_lists(table, lists);
    *out = table;
    return STATUS_OK;
}

void char_table_destroy(struct char_table *table)
{
    free(table);
}

enum char_class char_table_class(const struct char_table *table, uint32_t code_point)
{
    assert(code_point < N_CODE_POINTS);
    return (enum char_class)(table->classes[code_point] & 0xf);
}

size_t char_table_translate(const struct char_table *table, const char *text, size_t n,
                            uint8_t *out)
{
    const uint8_t *at = (const uint8_t *)text, *end = at + n;
    uint8_t *next = out;
    while (at < end) {
        uint32_t lead = *at, cp;
        if (lead < 0x80) {
            *next++ = *at++;
            continue;
        }
        if (lead < 0xe0) {
            cp = (lead & 0x1f) << 6 | (at[1] & 0x3f);
            at += 2;
        } else if (lead < 0xf0) {
            cp = (lead & 0xf) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3f);
            at += 3;
        } else {
            cp = (lead & 7) << 18 | (at[1] & 0x3fu) << 12 | (at[2] & 0x3fu) << 6 | (at[3] & 0x3f);
            at += 4;
        }
        assert(at <= end && cp < N_CODE_POINTS);
        *next++ = 0x80 | table->classes[cp];
    }
    return (size_t)(next - out);
}

size_t chars_to_bytes(const char *text, size_t n_chars)
{
    const uint8_t *at = (const uint8_t *)text;
    for (size_t i = 0; i < n_chars; i++) {
        uint8_t lead = *at; /* added up, for a branch would be guessed wrong in mixed texts */
        at += 1 + (lead >= 0xc0) + (lead >= 0xe0) + (lead >= 0xf0);
    }
    return (size_t)(at - (const uint8_t *)text);
}
