/* vocabulary.h - vocabularies for the tokenizer's tests, built in memory, and ids as readable text.
 *
 * Test code only; everything is checked by Check's assertions, nothing is handed back on failure.
 */
#pragma once

#include "core/gguf_builder.h"
#include "gguf/gguf.h"
#include "text/tokenizer/tokenizer.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes b along. */
static inline enum status create_built(struct gguf_builder *b, struct tokenizer **t,
                                       struct error *err)
{
    size_t size;
    uint8_t *bytes = gguf_build(b, &size);
    gguf_builder_free(b);
    struct gguf *gguf = NULL;
    ck_assert_msg(gguf_open(&gguf, bytes, size, err) == STATUS_OK, "%s", err->text);
    enum status status = tokenizer_create(t, gguf, err);
    gguf_close(gguf);
    free(bytes);
    return status;
}

/* Entries of a vocabulary in the making. */
enum { VOCABULARY_MAX = 1024 };

struct vocabulary {
    const char *model, *pre; /* pre may be NULL */
    size_t n;
    char texts[VOCABULARY_MAX][64];
    float scores[VOCABULARY_MAX];
    int32_t types[VOCABULARY_MAX];
    size_t n_merges;
    char merges[VOCABULARY_MAX][64];
    bool no_scores, no_types, no_merges;
};

static inline int32_t add_entry(struct vocabulary *v, const char *text, float score, int32_t type)
{
    ck_assert_uint_lt(v->n, VOCABULARY_MAX);
    snprintf(v->texts[v->n], sizeof v->texts[v->n], "%s", text);
    v->scores[v->n] = score;
    v->types[v->n] = type;
    return (int32_t)v->n++;
}

/* Puts a text behind the one in out, which has size bytes. */
static inline void append(char *out, size_t size, const char *text)
{
    size_t n = strlen(out), n_text = strlen(text);
    ck_assert_uint_lt(n + n_text, size);
    memcpy(out + n, text, n_text + 1);
}

/* The merge's two tokens must be there; what they make is added where it is not. */
static inline void add_merge(struct vocabulary *v, const char *left, const char *right)
{
    char joined[64] = "";
    append(joined, sizeof joined, left);
    append(joined, sizeof joined, right);
    bool found = false;
    for (size_t i = 0; i < v->n; i++)
        found = found || strcmp(v->texts[i], joined) == 0;
    if (!found)
        add_entry(v, joined, 0, 1);
    ck_assert_uint_lt(v->n_merges, VOCABULARY_MAX);
    char *merge = v->merges[v->n_merges++];
    append(merge, sizeof v->merges[0], left);
    append(merge, sizeof v->merges[0], " ");
    append(merge, sizeof v->merges[0], right);
}

/* <unk>, <s>, </s>, and the 256 bytes when asked for. */
static inline void begin_spm(struct vocabulary *v, bool with_bytes)
{
    memset(v, 0, sizeof *v);
    v->model = "llama";
    add_entry(v, "<unk>", 0, 2);
    add_entry(v, "<s>", 0, 3);
    add_entry(v, "</s>", 0, 3);
    for (unsigned byte = 0; with_bytes && byte < 256; byte++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", byte);
        add_entry(v, text, 0, 6);
    }
}

/* The letter that stands for a byte in byte-level vocabularies. */
static inline void letter(unsigned byte, char out[4])
{
    static const unsigned borrowed[][2] = {{0, 0x20}, {0x7f, 0xa0}, {0xad, 0xad}};
    unsigned cp = byte, nth = 0x100;
    for (size_t i = 0; i < 3; i++)
        for (unsigned b = borrowed[i][0]; b <= borrowed[i][1]; b++, nth++)
            if (b == byte)
                cp = nth;
    if (cp < 0x80)
        snprintf(out, 4, "%c", (char)cp);
    else
        snprintf(out, 4, "%c%c", (char)(uint8_t)(0xc0 | cp >> 6),
                 (char)(uint8_t)(0x80 | (cp & 0x3f)));
}

/* <|end|> as BOS and EOS, and the 256 bytes from id 1 on. */
static inline void begin_bytes(struct vocabulary *v, const char *pre)
{
    memset(v, 0, sizeof *v);
    v->model = "gpt2";
    v->pre = pre;
    add_entry(v, "<|end|>", 0, 3);
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[4];
        letter(byte, text);
        add_entry(v, text, 0, 1);
    }
}

static inline struct gguf_builder *build(const struct vocabulary *v)
{
    static const char *pointers[VOCABULARY_MAX];
    struct gguf_builder *b = gguf_builder_new();
    builder_string(b, "tokenizer.ggml.model", v->model);
    if (v->pre)
        builder_string(b, "tokenizer.ggml.pre", v->pre);
    for (size_t i = 0; i < v->n; i++)
        pointers[i] = v->texts[i];
    builder_strings(b, "tokenizer.ggml.tokens", pointers, v->n);
    if (!v->no_scores)
        builder_f32s(b, "tokenizer.ggml.scores", v->scores, v->n);
    if (!v->no_types)
        builder_i32s(b, "tokenizer.ggml.token_type", v->types, v->n);
    for (size_t i = 0; i < v->n_merges; i++)
        pointers[i] = v->merges[i];
    if (strcmp(v->model, "gpt2") == 0 && !v->no_merges)
        builder_strings(b, "tokenizer.ggml.merges", pointers, v->n_merges);
    return b;
}

static inline struct tokenizer *created(struct gguf_builder *b)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    ck_assert_msg(create_built(b, &t, &err) == STATUS_OK, "%s", err.text);
    return t;
}

static inline struct tokenizer *tokenizer_of(const struct vocabulary *v)
{
    return created(build(v));
}

/* The ids of a text, in memory of their own. */
static inline int32_t *ids_of(const struct tokenizer *t, const char *text, size_t n, unsigned flags,
                              size_t *n_ids)
{
    size_t max = tokenizer_max_ids(t, n);
    int32_t *ids = malloc((max + 1) * sizeof *ids);
    ck_assert_ptr_nonnull(ids);
    struct error err = {0};
    ck_assert_msg(tokenizer_encode(t, text, n, flags, ids, n_ids, &err) == STATUS_OK, "%s",
                  err.text);
    ck_assert_uint_le(*n_ids, max);
    return ids;
}

/* A text's tokens as they stand in the vocabulary, with bars between: good until the next call. */
static inline const char *tokens_of(const struct tokenizer *t, const char *text, unsigned flags)
{
    static char out[4096];
    size_t n_ids = 0, n = 0;
    int32_t *ids = ids_of(t, text, strlen(text), flags, &n_ids);
    out[0] = '\0';
    for (size_t i = 0; i < n_ids; i++) {
        struct gguf_string entry = tokenizer_entry(t, ids[i]);
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%.*s", i ? "|" : "", (int)entry.n,
                              entry.bytes);
        ck_assert_uint_lt(n, sizeof out);
    }
    free(ids);
    return out;
}

/* Is the text what its ids decode to? */
static inline bool comes_back(const struct tokenizer *t, const char *text, size_t n, unsigned flags)
{
    size_t n_ids = 0;
    int32_t *ids = ids_of(t, text, n, flags, &n_ids);
    size_t n_out = tokenizer_decode(t, ids, n_ids, NULL);
    ck_assert_uint_le(n_out, n_ids * tokenizer_max_piece(t));
    char *out = malloc(n_out + 1);
    ck_assert_ptr_nonnull(out);
    bool same = tokenizer_decode(t, ids, n_ids, out) == n && memcmp(out, text, n) == 0;
    free(out);
    free(ids);
    return same;
}

/* A generator of our own, so that tests see the same texts everywhere. */
static inline uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(*state >> 33);
}

static inline int run_text_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
