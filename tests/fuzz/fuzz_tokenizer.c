/* fuzz_tokenizer.c - any bytes as a text, and as ids, for vocabularies of every kind and most sets
 * of rules by which words are cut.
 *
 * The first byte chooses vocabulary and flags. A text's ids are the vocabulary's, no more than
 * promised, and decode to the text; what is not UTF-8 is refused; any ids decode to what the count
 * says.
 */
#include "base/utf8.h"
#include "core/text/vocabulary.h"
#include "fuzz/fuzz.h"

enum { N_VOCABULARIES = 32, FIRST_SPM = 13, PHI_3 = 15, FIRST_LATER = 16, N_FLAGS = 8 };

/* From FIRST_SPM to PHI_3 SentencePiece's. */
static const char *const names[N_VOCABULARIES] = {"default",
                                                  "gpt-2",
                                                  "llama-bpe",
                                                  "qwen2",
                                                  "falcon",
                                                  "deepseek-llm",
                                                  "deepseek-coder",
                                                  "starcoder",
                                                  "refact",
                                                  "mpt",
                                                  "command-r",
                                                  "tekken",
                                                  "smollm",
                                                  "llama",
                                                  "llama",
                                                  "llama",
                                                  "qwen35",
                                                  "gpt-4o",
                                                  "deepseek-v3",
                                                  "kimi-k2",
                                                  "minicpm5",
                                                  "superbpe",
                                                  "tiny_aya",
                                                  "exaone-moe",
                                                  "bloom",
                                                  "afmoe",
                                                  "youtu",
                                                  "spark2_5",
                                                  "gemma4",
                                                  "bert",
                                                  "t5",
                                                  "t5"};

/* A map of characters that makes "A" an "a" and the letter e with an acute "ae": units are
 * label | has value << 8 | (where its children lie XOR its place) << 10. */
static void add_map(struct gguf_builder *b)
{
    enum { N_UNITS = 1024, SIZE = 4 + 4 * N_UNITS + 8 };
    static const struct {
        uint32_t place, unit;
    } units[] = {
        {0, 256U << 10},
        {256 ^ 'A', 'A' | 1U << 8 | ('A' ^ 2U) << 10},
        {256 ^ 2, 1U << 31 | 1},
        {256 ^ 0xc3, 0xc3 | (0xc3U ^ 768U) << 10},
        {512 ^ 0xa9, 0xa9 | 1U << 8 | (0xa9U ^ 3U) << 10},
        {512 ^ 3, 1U << 31 | 3},
    };
    uint8_t map[SIZE] = {(4 * N_UNITS) & 0xff, (4 * N_UNITS) >> 8};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        for (size_t k = 0; k < 4; k++)
            map[4 + 4 * units[i].place + k] = (uint8_t)(units[i].unit >> 8 * k);
    memcpy(map + 4 + 4 * N_UNITS, "\0a\0ae\0", 7);
    builder_put(builder_array(b, "tokenizer.ggml.precompiled_charsmap", GGUF_U8, SIZE), map, SIZE);
}

static void begin(struct vocabulary *v, const char *name)
{
    static const char *const pieces[] = {"\xe2\x96\x81",     "a",   "b",        "ab",
                                         "\xe2\x96\x81\141", "the", "\xc3\xa9", "12"};
    static const char *const models[] = {"llama", "gemma4", "bert", "t5"};
    const char *model = NULL;
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        model = strcmp(models[i], name) == 0 ? models[i] : model;
    if (model == NULL) {
        begin_bytes(v, name);
        add_merge(v, "t", "h");
        add_merge(v, "th", "e");
        add_merge(v, "\xc4\xa0", "the");
        add_merge(v, "1", "2");
    } else {
        begin_spm(v, true);
        v->model = model;
        for (size_t k = 0; k < sizeof pieces / sizeof pieces[0]; k++)
            add_entry(v, pieces[k], -(float)k, 1);
    }
    add_merge(v, "a", "b");
    add_entry(v, "<user>", 0, 4);
}

static const struct tokenizer *vocabulary(size_t i)
{
    static struct tokenizer *made[N_VOCABULARIES];
    static struct vocabulary v;
    if (made[i] != NULL)
        return made[i];
    begin(&v, names[i]);
    struct gguf_builder *b = build(&v);
    if (strcmp(v.model, "gemma4") == 0) {
        static const char *const merges[] = {"a b"};
        builder_strings(b, "tokenizer.ggml.merges", merges, 1);
    }
    if (i >= FIRST_LATER)
        builder_u32(b, "tokenizer.ggml.unknown_token_id", 0);
    if (i >= FIRST_SPM && i <= PHI_3)
        builder_bool(b, "tokenizer.ggml.add_space_prefix", i % 2 == 0);
    if (i == PHI_3)
        builder_string(b, "general.name", "phi-3");
    if (i == N_VOCABULARIES - 1)
        add_map(b);
    made[i] = created(b);
    return made[i];
}

/* All kinds but the byte-level one write a space as U+2581, so that one of a text comes back as a
 * space; encoders' tokens are words, and Phi-3's special ones swallow what follows them. A text
 * that is normalized comes back so. */
static bool comes_back_exactly(size_t which, const char *text, size_t n, unsigned flags)
{
    const char *model = tokenizer_model(vocabulary(which));
    if (flags & TOKENIZER_ADD_SPECIAL || !(flags & TOKENIZER_NO_NORMALIZE) || which == PHI_3 ||
        strcmp(model, "bert") == 0 || strcmp(model, "t5") == 0)
        return false;
    return strcmp(model, "gpt2") == 0 || memmem(text, n, "\xe2\x96\x81", 3) == NULL;
}

static void try_text(size_t which, const char *text, size_t n, unsigned flags)
{
    const struct tokenizer *t = vocabulary(which);
    size_t max = tokenizer_max_ids(t, n), n_ids = 0;
    int32_t *ids = malloc((max + (max == 0)) * sizeof *ids);
    struct error err = {0};
    FUZZ_CHECK(ids != NULL, "memory");
    enum status status = tokenizer_encode(t, text, n, flags, ids, &n_ids, &err);
    bool valid = utf8_check(text, n) == n;
    FUZZ_CHECK(status == (valid ? STATUS_OK : STATUS_INVALID), "status %d: %s", status, err.text);
    FUZZ_CHECK(valid || strstr(err.text, "byte") != NULL, "%s", err.text);
    if (valid) {
        FUZZ_CHECK(n_ids <= max, "%zu ids; %zu at most", n_ids, max);
        for (size_t i = 0; i < n_ids; i++)
            FUZZ_CHECK(ids[i] >= 0 && (size_t)ids[i] < tokenizer_n_vocab(t), "id %d", ids[i]);
        size_t n_out = tokenizer_decode(t, ids, n_ids, NULL);
        char *out = malloc(n_out + (n_out == 0));
        FUZZ_CHECK(out != NULL && tokenizer_decode(t, ids, n_ids, out) == n_out, "decoding");
        if (comes_back_exactly(which, text, n, flags))
            FUZZ_CHECK(n_out == n && memcmp(out, text, n) == 0, "another text comes back");
        free(out);
    }
    free(ids);
}

static void try_ids(const struct tokenizer *t, const uint8_t *data, size_t size)
{
    size_t n_ids = size / 2;
    int32_t *ids = malloc((n_ids + (n_ids == 0)) * sizeof *ids);
    FUZZ_CHECK(ids != NULL, "memory");
    for (size_t i = 0; i < n_ids; i++) /* most in the vocabulary, some far outside */
        ids[i] = (int32_t)(data[2 * i] | (uint32_t)(data[2 * i + 1] & 1) << 8 |
                           (uint32_t)(data[2 * i + 1] >> 6) << 30);
    size_t n = tokenizer_decode(t, ids, n_ids, NULL);
    FUZZ_CHECK(n <= n_ids * tokenizer_max_piece(t), "%zu bytes", n);
    char *out = malloc(n + (n == 0));
    FUZZ_CHECK(out != NULL && tokenizer_decode(t, ids, n_ids, out) == n, "decoding");
    free(out);
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t which = data[0] % N_VOCABULARIES;
    try_text(which, (const char *)data + 1, size - 1, data[0] / N_VOCABULARIES % N_FLAGS);
    try_ids(vocabulary(which), data + 1, size - 1);
    return 0;
}
