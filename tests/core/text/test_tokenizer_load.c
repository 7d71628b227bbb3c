/* test_tokenizer_load.c - facts about files that are wrong: each is refused with the key's name,
 * none does harm. */
#include "text/tokenizer/internal.h"
#include "vocabulary.h"

static struct vocabulary v;

static void expect_refusal(struct gguf_builder *b, enum status status, const char *key,
                           const char *part)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    ck_assert_int_eq(create_built(b, &t, &err), status);
    ck_assert_ptr_null(t);
    ck_assert_msg(strstr(err.text, key) != NULL, "'%s' does not name %s", err.text, key);
    ck_assert_msg(strstr(err.text, part) != NULL, "'%s' lacks '%s'", err.text, part);
}

static void small_spm(void)
{
    begin_spm(&v, false);
    add_entry(&v, "a", -1, 1);
}

START_TEST(keys_that_must_be_there)
{
    struct gguf_builder *b = gguf_builder_new();
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.model", "");
    b = gguf_builder_new();
    builder_string(b, "tokenizer.ggml.model", "llama");
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.tokens", "");
    begin_bytes(&v, "gpt-2");
    v.no_merges = true;
    b = build(&v);
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.merges", "");
}
END_TEST

START_TEST(an_unknown_model_or_pre_tokenizer)
{
    struct gguf_builder *b;
    small_spm();
    v.model = "rwkv";
    b = build(&v);
    expect_refusal(b, STATUS_UNSUPPORTED, "rwkv", "gpt2");
    begin_bytes(&v, "no-such");
    b = build(&v);
    expect_refusal(b, STATUS_UNSUPPORTED, "no-such", "smollm");
}
END_TEST

START_TEST(wrong_types_of_keys)
{
    struct gguf_builder *b = gguf_builder_new();
    builder_u32(b, "tokenizer.ggml.model", 1);
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.model", "string");
    b = gguf_builder_new();
    builder_string(b, "tokenizer.ggml.model", "llama");
    builder_put_int(builder_array(b, "tokenizer.ggml.tokens", GGUF_U32, 1), 1, 4);
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.tokens", "string");
    small_spm();
    v.no_scores = true;
    b = build(&v);
    builder_put(builder_array(b, "tokenizer.ggml.scores", GGUF_U8, v.n), "\0\0\0\0", v.n);
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.scores", "f32");
    small_spm();
    v.no_types = true;
    b = build(&v);
    builder_put(builder_array(b, "tokenizer.ggml.token_type", GGUF_U8, v.n), "\0\0\0\0", v.n);
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.token_type", "i32");
}
END_TEST

START_TEST(lengths_that_differ)
{
    struct gguf_builder *b;
    small_spm();
    v.no_scores = true;
    b = build(&v);
    builder_put(builder_array(b, "tokenizer.ggml.scores", GGUF_F32, 1), v.scores,
                sizeof v.scores[0]);
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.scores", "the two must be equal");
    small_spm();
    v.no_types = true;
    b = build(&v);
    builder_put(builder_array(b, "tokenizer.ggml.token_type", GGUF_I32, v.n + 1), v.types,
                (v.n + 1) * sizeof v.types[0]);
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.token_type", "the two must be equal");
}
END_TEST

START_TEST(ids_outside_the_vocabulary)
{
    static const char *const keys[] = {
        "tokenizer.ggml.bos_token_id",     "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.eom_token_id",
    };
    for (size_t i = 0; i < 5; i++) {
        struct gguf_builder *b;
        small_spm();
        b = build(&v);
        builder_u32(b, keys[i], (uint32_t)v.n);
        expect_refusal(b, STATUS_FORMAT, keys[i], "below");
        b = build(&v);
        builder_u32(b, keys[i], UINT32_MAX);
        expect_refusal(b, STATUS_FORMAT, keys[i], "below");
    }
}
END_TEST

START_TEST(tokens_of_no_known_type_and_bytes_that_are_none)
{
    struct gguf_builder *b;
    small_spm();
    v.types[3] = 7;
    b = build(&v);
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.token_type", "0 to 6");
    v.types[3] = -1;
    b = build(&v);
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.token_type", "-1");
    static const char *const texts[] = {"<0x-1>", "<0x1>",  "<0xGG>", "<0x411>", "<0x41 ",
                                        "0x41",   "<0x 1>", "a",      ""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        small_spm();
        add_entry(&v, texts[i], 0, 6);
        b = build(&v);
        expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.tokens", "<0xNN>");
    }
    small_spm();
    add_entry(&v, "<0xaF>", 0, 6);
    b = build(&v);
    tokenizer_destroy(created(b));
}
END_TEST

START_TEST(scores_that_are_not_numbers)
{
    struct gguf_builder *b;
    small_spm();
    memcpy(&v.scores[2], &(uint32_t){0x7fc00001}, sizeof v.scores[2]);
    b = build(&v);
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.scores", "element 2");
}
END_TEST

START_TEST(no_entries_or_one_too_long)
{
    struct gguf_builder *b = gguf_builder_new();
    builder_string(b, "tokenizer.ggml.model", "llama");
    (void)builder_array(b, "tokenizer.ggml.tokens", GGUF_STRING, 0);
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.tokens", "1 to");
    static char text[4098];
    memset(text, 'a', 4097);
    const char *tokens[] = {"<unk>", text};
    b = gguf_builder_new();
    builder_string(b, "tokenizer.ggml.model", "llama");
    builder_strings(b, "tokenizer.ggml.tokens", tokens, 2);
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.tokens", "entry 1");
    text[4096] = '\0';
    b = gguf_builder_new();
    builder_string(b, "tokenizer.ggml.model", "llama");
    builder_strings(b, "tokenizer.ggml.tokens", tokens, 2);
    tokenizer_destroy(created(b));
}
END_TEST

START_TEST(merges_of_what_is_not_there)
{
    static const char *const bad[] = {"",     "a",    " ",   "ab", "a  b",
                                      "a zz", "zz a", "a b", "a ", " a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct gguf_builder *b;
        begin_bytes(&v, "gpt-2");
        snprintf(v.merges[v.n_merges++], sizeof v.merges[0], "%s", bad[i]);
        b = build(&v);
        expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.merges", "merge 0");
    }
}
END_TEST

START_TEST(a_merge_that_makes_a_control_token_is_not_made)
{
    begin_bytes(&v, "gpt-2");
    add_entry(&v, "ab", 0, 3);
    add_merge(&v, "a", "b");
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, "ab", 0), "a|b");
    ck_assert_str_eq(tokens_of(t, "ab", TOKENIZER_PARSE_SPECIAL), "ab");
    tokenizer_destroy(t);
}
END_TEST

START_TEST(bos_or_eos_wanted_and_not_named)
{
    struct gguf_builder *b;
    begin_bytes(&v, "gpt-2");
    b = build(&v);
    builder_bool(b, "tokenizer.ggml.add_bos_token", true);
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.add_bos_token", "bos_token_id");
    b = build(&v);
    builder_bool(b, "tokenizer.ggml.add_eos_token", true);
    expect_refusal(b, STATUS_FORMAT, "tokenizer.ggml.add_eos_token", "eos_token_id");
}
END_TEST

START_TEST(odd_vocabularies_that_are_allowed)
{
    small_spm();
    v.n = 1; /* <unk> alone: no BOS to add */
    struct tokenizer *t = tokenizer_of(&v);
    ck_assert_int_eq(tokenizer_bos(t), TOKEN_NONE);
    ck_assert(!tokenizer_adds_bos(t));
    ck_assert_str_eq(tokens_of(t, "ab", TOKENIZER_ADD_SPECIAL), "<unk>|<unk>|<unk>");
    tokenizer_destroy(t);
    small_spm();
    add_entry(&v, "", 0, 1);
    add_entry(&v, "", 0, 3);
    add_entry(&v, "\xe2\x96", 0, 3); /* not UTF-8: cannot stand in a text */
    add_entry(&v, "\x81", 0, 4);
    t = tokenizer_of(&v);
    ck_assert_str_eq(tokens_of(t, "a\xe2\x96\x81", TOKENIZER_PARSE_SPECIAL), "<unk>|a|<unk>");
    ck_assert_uint_eq(tokenizer_piece(t, 4, true).n, 0);
    tokenizer_destroy(t);
    begin_bytes(&v, "gpt-2");
    add_entry(&v, "a b\xff\xe2", 0, 1); /* not of the alphabet: stands for itself */
    t = tokenizer_of(&v);
    ck_assert_uint_eq(tokenizer_piece(t, (int32_t)v.n - 1, false).n, 5);
    tokenizer_destroy(t);
}
END_TEST

/* Any bytes may change: the file is refused, or what it makes works on a text. */
static void change_bytes(struct vocabulary *vocabulary, uint64_t seed)
{
    static const char text[] = "ab abc <s> \xc3\xa9 <|end|> 123";
    for (unsigned round = 0; round < 3000; round++) {
        struct gguf_builder *b = build(vocabulary);
        size_t size;
        uint8_t *bytes = gguf_build(b, &size);
        gguf_builder_free(b);
        unsigned n_changes = 1 + next_random(&seed) % 4;
        for (unsigned i = 0; i < n_changes; i++)
            bytes[24 + next_random(&seed) % (size - 24)] = (uint8_t)next_random(&seed);
        struct gguf *gguf = NULL;
        struct tokenizer *t = NULL;
        struct error err = {0};
        if (gguf_open(&gguf, bytes, size, &err) == STATUS_OK) {
            if (tokenizer_create(&t, gguf, &err) == STATUS_OK) {
                int32_t ids[256];
                size_t n_ids = 0;
                static char out[256 * 4096];
                ck_assert_uint_le(tokenizer_max_ids(t, sizeof text - 1), 256);
                if (tokenizer_encode(t, text, sizeof text - 1, round % 4, ids, &n_ids, &err) ==
                    STATUS_OK)
                    tokenizer_decode(t, ids, n_ids, out);
                tokenizer_destroy(t);
            }
            gguf_close(gguf);
        }
        free(bytes);
    }
}

START_TEST(changed_bytes_do_no_harm)
{
    begin_spm(&v, false);
    add_entry(&v, "ab", -1, 1);
    add_entry(&v, "a", -2, 1);
    add_entry(&v, "b", -2, 1);
    change_bytes(&v, 1);
    begin_bytes(&v, "gpt-2");
    v.n = 120; /* less to change that does not matter */
    add_merge(&v, "a", "b");
    add_merge(&v, "ab", "c");
    change_bytes(&v, 2);
}
END_TEST

/* What lies in one place under one key lies everywhere under another: a file that was made for slow
 * look-ups is as fast as any. */
START_TEST(where_things_lie_is_no_files_choice)
{
    enum { SLOTS = 1024, N = 2 * SLOTS };
    const uint64_t key = 1, other = 0x9e3779b97f4a7c15U;
    bool taken[2][SLOTS] = {{false}};
    size_t n[2] = {0}, n_taken[2] = {0};
    for (uint64_t i = 0; n[0] < N || n[1] < N; i++) {
        char text[16];
        size_t n_text = (size_t)snprintf(text, sizeof text, "%014llu", (unsigned long long)i);
        const uint64_t before[2] = {table_hash(key, text, n_text), table_hash_number(key, i)},
                       now[2] = {table_hash(other, text, n_text), table_hash_number(other, i)};
        for (size_t k = 0; k < 2; k++) {
            if (before[k] % SLOTS != 77 || n[k] == N)
                continue;
            n[k]++;
            n_taken[k] += !taken[k][now[k] % SLOTS];
            taken[k][now[k] % SLOTS] = true;
        }
    }
    for (size_t k = 0; k < 2; k++) /* of random places 885 would be taken */
        ck_assert_msg(n_taken[k] > 800, "%zu", n_taken[k]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer_load");
    TCase *tc = tcase_create("facts");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, keys_that_must_be_there);
    tcase_add_test(tc, an_unknown_model_or_pre_tokenizer);
    tcase_add_test(tc, wrong_types_of_keys);
    tcase_add_test(tc, lengths_that_differ);
    tcase_add_test(tc, ids_outside_the_vocabulary);
    tcase_add_test(tc, tokens_of_no_known_type_and_bytes_that_are_none);
    tcase_add_test(tc, scores_that_are_not_numbers);
    tcase_add_test(tc, no_entries_or_one_too_long);
    tcase_add_test(tc, merges_of_what_is_not_there);
    tcase_add_test(tc, a_merge_that_makes_a_control_token_is_not_made);
    tcase_add_test(tc, bos_or_eos_wanted_and_not_named);
    tcase_add_test(tc, odd_vocabularies_that_are_allowed);
    tcase_add_test(tc, changed_bytes_do_no_harm);
    tcase_add_test(tc, where_things_lie_is_no_files_choice);
    suite_add_tcase(suite, tc);
    return run_text_suite(suite);
}
