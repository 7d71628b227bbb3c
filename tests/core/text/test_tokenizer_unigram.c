/* test_tokenizer_unigram.c - facts about Unigram's likeliest pieces and its map of characters,
 * whole and damaged.
 */
#include "core/text/vocabulary.h"
#include "text/tokenizer/charsmap.h"

#include <math.h>

static struct vocabulary v;

static void begin_t5(bool with_bytes)
{
    begin_spm(&v, with_bytes);
    v.model = "t5";
    add_entry(&v, "\xe2\x96\x81", -3, 1);
    add_entry(&v, "\xe2\x96\x81the", -2, 1);
    add_entry(&v, "\xe2\x96\x81th", -2.5F, 1);
    add_entry(&v, "e", -4, 1);
    add_entry(&v, "n", -4, 1);
    add_entry(&v, "t", -5, 1);
    add_entry(&v, "en", -3.5F, 1);
    add_entry(&v, "h", -5, 1);
    add_entry(&v, "<user>", 0, 4);
}

static struct gguf_builder *built(void)
{
    struct gguf_builder *b = build(&v);
    builder_u32(b, "tokenizer.ggml.unknown_token_id", 0);
    builder_u32(b, "tokenizer.ggml.eos_token_id", 2);
    return b;
}

static const char *pieces_of(const struct tokenizer *t, const char *text, unsigned flags)
{
    static char out[4096];
    const char *from = tokens_of(t, text, flags);
    size_t n = 0;
    while (*from) {
        bool mark = strncmp(from, "\xe2\x96\x81", 3) == 0;
        out[n++] = mark ? '_' : *from;
        from += mark ? 3 : 1;
    }
    out[n] = '\0';
    return out;
}

START_TEST(the_likeliest_pieces_win)
{
    begin_t5(false);
    struct tokenizer *t = created(built());
    ck_assert_str_eq(tokenizer_model(t), "t5");
    ck_assert_str_eq(pieces_of(t, "the", 0), "_the");
    ck_assert_str_eq(pieces_of(t, "then", 0), "_th|en"); /* of equals the first that is found */
    ck_assert_str_eq(pieces_of(t, " the  the ", 0), "_the|_the");
    ck_assert_str_eq(pieces_of(t, "", 0), "");
    ck_assert_str_eq(pieces_of(t, "  ", 0), "");
    ck_assert_str_eq(pieces_of(t, "the", TOKENIZER_ADD_SPECIAL), "_the|</s>");
    ck_assert_str_eq(pieces_of(t, "the<user>the", 0), "_the|<user>|_the");
    ck_assert(comes_back(t, "the then", 8, 0));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(unknown_neighbours_are_one_token_or_their_bytes)
{
    begin_t5(false);
    struct tokenizer *t = created(built());
    ck_assert_str_eq(pieces_of(t, "xyzthe", 0), "_|<unk>|t|h|e");
    ck_assert_str_eq(pieces_of(t, "the x\xc3\xa9", 0), "_the|_|<unk>");
    tokenizer_destroy(t);
    begin_t5(true);
    t = created(built());
    ck_assert_str_eq(pieces_of(t, "x\xc3\xa9", 0), "_|<0x78>|<0xC3>|<0xA9>");
    ck_assert(comes_back(t, "the x\xc3\xa9", 7, 0));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(spaces_are_kept_where_the_file_says_so)
{
    begin_t5(false);
    struct gguf_builder *b = built();
    builder_bool(b, "tokenizer.ggml.remove_extra_whitespaces", false);
    struct tokenizer *t = created(b);
    ck_assert_str_eq(pieces_of(t, "the  the ", 0), "_the|_|_the|_");
    tokenizer_destroy(t);
    begin_t5(false);
    b = built();
    builder_bool(b, "tokenizer.ggml.add_space_prefix", false);
    t = created(b);
    ck_assert_str_eq(pieces_of(t, "ten the", 0), "t|en|_the");
    tokenizer_destroy(t);
}
END_TEST

static void refuses(struct gguf_builder *b, const char *key)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    ck_assert_int_eq(create_built(b, &t, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.param, key);
}

START_TEST(vocabularies_that_lack_something_are_refused_by_its_name)
{
    begin_t5(false);
    v.types[0] = 1; /* no unknown token */
    struct gguf_builder *b = build(&v);
    refuses(b, "tokenizer.ggml.unknown_token_id");
    begin_t5(false);
    v.no_scores = true;
    refuses(built(), "tokenizer.ggml.scores");
    begin_t5(false);
    v.scores[4] = (float)NAN;
    refuses(built(), "tokenizer.ggml.scores");
    begin_t5(false);
    v.scores[4] = -(float)INFINITY;
    refuses(built(), "tokenizer.ggml.scores");
}
END_TEST

/* A map made by hand: "A" becomes "a", "AB" is never asked for, since the shortest counts. A unit
 * is label | has value << 8 | (where its children lie XOR its place) << 10. */
enum { N_UNITS = 512, MAP_BYTES = 4 + 4 * N_UNITS + 8 };

static void put(uint8_t *map, size_t place, uint32_t unit)
{
    for (size_t i = 0; i < 4; i++)
        map[4 + 4 * place + i] = (uint8_t)(unit >> 8 * i);
}

static void make_map(uint8_t map[MAP_BYTES])
{
    memset(map, 0, MAP_BYTES);
    map[0] = (4 * N_UNITS) & 0xff;
    map[1] = (4 * N_UNITS) >> 8;
    put(map, 0, 256U << 10);                               /* children from 256 on */
    put(map, 256 ^ 'A', 'A' | 1U << 8 | ('A' ^ 2U) << 10); /* its own at 256 ^ 2 */
    put(map, 256 ^ 2, 1U << 31 | 1);                       /* the text at 1 */
    memcpy(map + 4 + 4 * N_UNITS, "\0a\0", 4);
}

static enum status read_map(const uint8_t *bytes, size_t n, struct charsmap *map, struct error *err)
{
    *map = (struct charsmap){0};
    *err = (struct error){0};
    return charsmap_create(map, bytes, n, err);
}

START_TEST(a_map_replaces_what_a_text_begins_with)
{
    uint8_t bytes[MAP_BYTES];
    struct charsmap map;
    struct error err;
    make_map(bytes);
    ck_assert_msg(read_map(bytes, sizeof bytes, &map, &err) == STATUS_OK, "%s", err.text);
    ck_assert_str_eq(charsmap_find(&map, "AB", 2), "a");
    ck_assert_ptr_null(charsmap_find(&map, "B", 1));
    ck_assert_ptr_null(charsmap_find(&map, "", 0));
    ck_assert_uint_eq(map.max_growth, 1);
    charsmap_free(&map);
    ck_assert(read_map(NULL, 0, &map, &err) == STATUS_OK);
    ck_assert_ptr_null(charsmap_find(&map, "A", 1));
    charsmap_free(&map);
}
END_TEST

START_TEST(damaged_maps_are_refused_by_name)
{
    static const struct {
        size_t place;
        uint32_t unit;
        const char *says;
    } rows[] = {
        {256 ^ 2, 1U << 31 | 77, "outside of its texts"},
        {256 ^ 'A', 'A' | 1U << 8 | 0x1fffffU << 10, "outside of its array"},
        {256 ^ 'A', 'A' | (uint32_t)'A' << 10, "circle"}, /* its children are the root's */
    };
    uint8_t bytes[MAP_BYTES];
    struct charsmap map;
    struct error err;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        make_map(bytes);
        put(bytes, rows[i].place, rows[i].unit);
        ck_assert_int_eq(read_map(bytes, sizeof bytes, &map, &err), STATUS_FORMAT);
        ck_assert_msg(strstr(err.text, rows[i].says) != NULL, "%s", err.text);
        ck_assert_str_eq(err.param, "tokenizer.ggml.precompiled_charsmap");
        charsmap_free(&map);
    }
    make_map(bytes);
    for (size_t n = 1; n < sizeof bytes; n++) { /* cut anywhere but among the last NULs */
        if (read_map(bytes, n, &map, &err) == STATUS_OK)
            ck_assert_uint_ge(n, 4 + 4 * N_UNITS + 3);
        charsmap_free(&map);
    }
    bytes[4 + 4 * N_UNITS + 1] = 0xff; /* no UTF-8 */
    ck_assert_int_eq(read_map(bytes, sizeof bytes, &map, &err), STATUS_FORMAT);
    charsmap_free(&map);
    make_map(bytes);
    bytes[0] += 1;
    ck_assert_int_eq(read_map(bytes, sizeof bytes, &map, &err), STATUS_FORMAT);
    charsmap_free(&map);
}
END_TEST

/* Whatever a map holds, it is refused or can be walked. */
START_TEST(random_damage_does_no_harm)
{
    uint64_t state = 3;
    uint8_t bytes[MAP_BYTES];
    struct charsmap map;
    struct error err;
    for (size_t round = 0; round < 3000; round++) {
        make_map(bytes);
        for (size_t k = 0; k < 1 + round % 40; k++)
            bytes[4 + next_random(&state) % (4 * N_UNITS)] = (uint8_t)next_random(&state);
        if (read_map(bytes, sizeof bytes, &map, &err) == STATUS_OK) {
            char text[8];
            for (size_t i = 0; i < sizeof text; i++)
                text[i] = (char)(uint8_t)next_random(&state);
            const char *value = charsmap_find(&map, text, sizeof text);
            ck_assert(value == NULL || strlen(value) <= 32 * sizeof text);
        }
        charsmap_free(&map);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer_unigram");
    TCase *tc = tcase_create("unigram");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, the_likeliest_pieces_win);
    tcase_add_test(tc, unknown_neighbours_are_one_token_or_their_bytes);
    tcase_add_test(tc, spaces_are_kept_where_the_file_says_so);
    tcase_add_test(tc, vocabularies_that_lack_something_are_refused_by_its_name);
    tcase_add_test(tc, a_map_replaces_what_a_text_begins_with);
    tcase_add_test(tc, damaged_maps_are_refused_by_name);
    tcase_add_test(tc, random_damage_does_no_harm);
    suite_add_tcase(suite, tc);
    return run_text_suite(suite);
}
