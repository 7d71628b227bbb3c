/* fuzz_tokenizer.c - any bytes as a text, and as ids, for vocabularies of both kinds and each set
 * of rules by which words are cut.
 *
 * The first byte chooses vocabulary and flags. A text's ids are the vocabulary's, no more than
 * promised, and decode to the text; what is not UTF-8 is refused; any ids decode to what the count
 * says.
 */
#include "base/utf8.h"
#include "core/text/vocabulary.h"
#include "fuzz/fuzz.h"

enum { N_VOCABULARIES = 16 };

static const struct tokenizer *vocabulary(size_t i)
{
    static const char *const pres[] = {
        "default",   "gpt-2",  "llama-bpe", "qwen2",     "falcon", "deepseek-llm", "deepseek-coder",
        "starcoder", "refact", "mpt",       "command-r", "tekken", "smollm"};
    enum { N_PRES = sizeof pres / sizeof pres[0] };
    static struct tokenizer *made[N_VOCABULARIES];
    static struct vocabulary v;
    if (made[i] != NULL)
        return made[i];
    if (i < N_PRES) {
        begin_bytes(&v, pres[i]);
        add_merge(&v, "a", "b");
        add_merge(&v, "t", "h");
        add_merge(&v, "th", "e");
        add_merge(&v, "\xc4\xa0", "the");
        add_merge(&v, "1", "2");
    } else {
        static const char *const pieces[] = {"\xe2\x96\x81",     "a",   "b",        "ab",
                                             "\xe2\x96\x81\141", "the", "\xc3\xa9", "12"};
        begin_spm(&v, true);
        for (size_t k = 0; k < sizeof pieces / sizeof pieces[0]; k++)
            add_entry(&v, pieces[k], -(float)k, 1);
    }
    add_entry(&v, "<user>", 0, 4);
    struct gguf_builder *b = build(&v);
    if (i >= N_PRES)
        builder_bool(b, "tokenizer.ggml.add_space_prefix", i % 2 == 0);
    if (i == N_VOCABULARIES - 1)
        builder_string(b, "general.name", "phi-3");
    made[i] = created(b);
    return made[i];
}

/* SentencePiece writes a space as U+2581, so that one of a text comes back as a space; and Phi-3's
 * special tokens swallow what follows them. */
static bool comes_back_exactly(size_t which, const char *text, size_t n, unsigned flags)
{
    return (flags & TOKENIZER_ADD_SPECIAL) == 0 && which != N_VOCABULARIES - 1 &&
           (strcmp(tokenizer_model(vocabulary(which)), "gpt2") == 0 ||
            memmem(text, n, "\xe2\x96\x81", 3) == NULL);
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
    try_text(which, (const char *)data + 1, size - 1, data[0] / N_VOCABULARIES % 4);
    try_ids(vocabulary(which), data + 1, size - 1);
    return 0;
}
