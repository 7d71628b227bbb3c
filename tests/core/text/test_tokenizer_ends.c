/* test_tokenizer_ends.c - which tokens end a generation: by key, by text, and the exceptions. */
#include "core/text/vocabulary.h"

static struct vocabulary v;

static bool is_listed(const struct tokenizer *t, int32_t id)
{
    const int32_t *ids;
    size_t n = tokenizer_ends(t, &ids);
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        ck_assert(tokenizer_is_end(t, ids[i]));
        ck_assert(i == 0 || ids[i - 1] < ids[i]);
        found = found || ids[i] == id;
    }
    return found;
}

static bool ends_by_text(const struct tokenizer *t, int32_t id)
{
    ck_assert_int_eq(tokenizer_is_end(t, id), is_listed(t, id));
    return tokenizer_is_end(t, id) && tokenizer_is_end_by_text(t, id) &&
           tokenizer_is_control(t, id);
}

START_TEST(names_that_end_a_text_do_so_whatever_their_type)
{
    static const char *const names[] = {
        "<|eot_id|>",
        "<|eom_id|>",
        "<|eot|>",
        "<|eom|>",
        "<|EOT|>",
        "<EOT>",
        "_<EOT>",
        "\xe2\x96\x81<EOT>",
        "[EOT]",
        "[EOS]",
        "</s>",
        "<eos>",
        "<|im_end|>",
        "<|end|>",
        "<|return|>",
        "<end_of_turn>",
        "<end_of_utterance>",
        "<|endoftext|>",
        "<|end_of_text|>",
        "<turn|>",
        "<|fim_pad|>",
        "<fim_pad>",
        "[PAD]",
        "<|repo_name|>",
        "<reponame>",
        "<|file_sep|>",
        "<\xef\xbd\x9c\x65nd\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
    };
    static const int32_t types[] = {1, 3, 4};
    for (size_t k = 0; k < 3; k++) {
        begin_bytes(&v, "qwen2");
        snprintf(v.texts[0], sizeof v.texts[0], "<s>");
        int32_t first = (int32_t)v.n;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            add_entry(&v, names[i], 0, types[k]);
        int32_t eos = add_entry(&v, "<the end>", 0, 3);
        int32_t plain = add_entry(&v, "<|im_start|>", 0, 3);
        struct gguf_builder *b = build(&v);
        builder_u32(b, "tokenizer.ggml.eos_token_id", (uint32_t)eos);
        struct tokenizer *t = created(b);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            ck_assert_msg(ends_by_text(t, first + (int32_t)i), "%s of type %d", names[i],
                          (int)types[k]);
        ck_assert(tokenizer_is_end(t, eos) && !tokenizer_is_end_by_text(t, eos));
        ck_assert(!tokenizer_is_end(t, plain) && !is_listed(t, plain));
        tokenizer_destroy(t);
    }
}
END_TEST

START_TEST(an_end_that_a_key_names_is_not_one_by_text)
{
    static const char *const keys[] = {"eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep"};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        char key[64];
        snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", keys[k]);
        begin_bytes(&v, "qwen2");
        int32_t named = add_entry(&v, "<|im_end|>", 0, 3), other = add_entry(&v, "<x>", 0, 3);
        struct gguf_builder *b = build(&v);
        builder_u32(b, key, (uint32_t)named);
        struct tokenizer *t = created(b);
        ck_assert_msg(is_listed(t, named) && !tokenizer_is_end_by_text(t, named), "%s", key);
        ck_assert(!tokenizer_is_end(t, other));
        tokenizer_destroy(t);
        b = build(&v);
        builder_u32(b, key, (uint32_t)other);
        t = created(b);
        ck_assert_msg(is_listed(t, other) && !tokenizer_is_end_by_text(t, other), "%s", key);
        ck_assert(ends_by_text(t, named));
        tokenizer_destroy(t);
    }
}
END_TEST

START_TEST(a_name_that_closes_a_part_of_an_answer_does_not_end_it)
{
    static const struct {
        const char *name, *with, *also;
        int32_t type;
    } cases[] = {
        {"<|end|>", "<|return|>", "<|call|>", 3},
        {"<|end|>", "<|calls|>", "<|flush|>", 3},
        {"</s>", "<|tool_response>", "<turn|>", 1},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        for (int with_others = 0; with_others < 2; with_others++) {
            begin_bytes(&v, "qwen2");
            snprintf(v.texts[0], sizeof v.texts[0], "<s>");
            int32_t id = add_entry(&v, cases[k].name, 0, cases[k].type);
            if (with_others) {
                add_entry(&v, cases[k].with, 0, 3);
                add_entry(&v, cases[k].also, 0, 3);
            }
            struct tokenizer *t = tokenizer_of(&v);
            ck_assert_int_eq(tokenizer_is_end(t, id), !with_others);
            ck_assert_int_eq(is_listed(t, id), !with_others);
            if (with_others)
                ck_assert_int_eq(tokenizer_is_control(t, id), cases[k].type == 3);
            tokenizer_destroy(t);
        }
    }
}
END_TEST

START_TEST(an_exception_that_is_eos_ends_a_text_all_the_same)
{
    begin_bytes(&v, "qwen2");
    add_entry(&v, "<|return|>", 0, 3);
    add_entry(&v, "<|call|>", 0, 3);
    struct gguf_builder *b = build(&v);
    builder_u32(b, "tokenizer.ggml.eos_token_id", 0); /* <|end|> */
    struct tokenizer *t = created(b);
    ck_assert(is_listed(t, 0) && !tokenizer_is_end_by_text(t, 0));
    tokenizer_destroy(t);
}
END_TEST

START_TEST(the_signs_of_gpt_oss_channels_are_part_of_its_text)
{
    static const char *const signs[] = {"<|start|>", "<|channel|>", "<|message|>", "<|constrain|>"};
    for (size_t k = 0; k < 2; k++) {
        begin_bytes(&v, "gpt-4o");
        snprintf(v.texts[0], sizeof v.texts[0], "<|startoftext|>");
        for (size_t i = 0; i < 4; i++)
            add_entry(&v, signs[i], 0, 3);
        int32_t end = add_entry(&v, "<|end|>", 0, 3);
        add_entry(&v, "<|call|>", 0, 3);
        if (k == 0)
            add_entry(&v, "<|return|>", 0, 3);
        struct tokenizer *t = tokenizer_of(&v);
        for (int32_t id = end - 4; id <= end; id++)
            ck_assert_uint_eq(tokenizer_piece(t, id, false).n, k == 0 ? strlen(v.texts[id]) : 0);
        ck_assert_uint_eq(tokenizer_piece(t, end + 1, false).n, 0);
        ck_assert(tokenizer_is_control(t, end - 4));
        size_t n_ids = 0;
        int32_t *ids = ids_of(t, "<|start|>", 9, 0, &n_ids); /* text is no sign */
        ck_assert_uint_gt(n_ids, 1);
        free(ids);
        tokenizer_destroy(t);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tokenizer_ends");
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, names_that_end_a_text_do_so_whatever_their_type);
    tcase_add_test(tc, an_end_that_a_key_names_is_not_one_by_text);
    tcase_add_test(tc, a_name_that_closes_a_part_of_an_answer_does_not_end_it);
    tcase_add_test(tc, an_exception_that_is_eos_ends_a_text_all_the_same);
    tcase_add_test(tc, the_signs_of_gpt_oss_channels_are_part_of_its_text);
    suite_add_tcase(suite, tc);
    return run_text_suite(suite);
}
