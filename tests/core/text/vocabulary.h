/* vocabulary.h - vocabularies for the tokenizer's tests: a GGUF file's bytes built in memory, and
 * ids as readable text.
 *
 * Test code only; everything is checked by Check's assertions, nothing is handed back on failure.
 */
#pragma once

#include "model/gguf.h"
#include "text/tokenizer.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct builder {
    uint8_t *bytes; /* owned */
    size_t n, capacity;
    uint64_t n_keys;
};

static inline void put(struct builder *b, const void *bytes, size_t n)
{
    if (b->n + n > b->capacity) {
        b->capacity = 2 * (b->n + n);
        b->bytes = realloc(b->bytes, b->capacity);
        ck_assert_ptr_nonnull(b->bytes);
    }
    if (n > 0)
        memcpy(b->bytes + b->n, bytes, n);
    b->n += n;
}

static inline void put_u32(struct builder *b, uint32_t value)
{
    put(b, &value, sizeof value);
}

static inline void put_u64(struct builder *b, uint64_t value)
{
    put(b, &value, sizeof value);
}

static inline void put_text(struct builder *b, const char *text)
{
    put_u64(b, strlen(text));
    put(b, text, strlen(text));
}

static inline void begin(struct builder *b)
{
    *b = (struct builder){0};
    put(b, "GGUF", 4);
    put_u32(b, 3);
    put_u64(b, 0); /* tensors */
    put_u64(b, 0); /* keys: known at the end */
}

static inline void add_key(struct builder *b, const char *key, enum gguf_value_type type)
{
    put_text(b, key);
    put_u32(b, type);
    b->n_keys++;
}

static inline void add_string(struct builder *b, const char *key, const char *value)
{
    add_key(b, key, GGUF_STRING);
    put_text(b, value);
}

static inline void add_u32(struct builder *b, const char *key, uint32_t value)
{
    add_key(b, key, GGUF_U32);
    put_u32(b, value);
}

static inline void add_bool(struct builder *b, const char *key, bool value)
{
    add_key(b, key, GGUF_BOOL);
    put(b, &(uint8_t){value}, 1);
}

static inline void add_array(struct builder *b, const char *key, enum gguf_value_type type,
                             size_t n)
{
    add_key(b, key, GGUF_ARRAY);
    put_u32(b, type);
    put_u64(b, n);
}

static inline void add_strings(struct builder *b, const char *key, const char *const *values,
                               size_t n)
{
    add_array(b, key, GGUF_STRING, n);
    for (size_t i = 0; i < n; i++)
        put_text(b, values[i]);
}

/* Opens what was built; the bytes stay b's, which end() frees after the file is closed. */
static inline struct gguf *open_built(struct builder *b)
{
    memcpy(b->bytes + 16, &b->n_keys, sizeof b->n_keys);
    while (b->n % 32 != 0)
        put(b, "", 1);
    struct gguf *gguf = NULL;
    struct error err = {0};
    ck_assert_msg(gguf_open(&gguf, b->bytes, b->n, &err) == STATUS_OK, "%s", err.text);
    return gguf;
}

static inline enum status create_built(struct builder *b, struct tokenizer **t, struct error *err)
{
    struct gguf *gguf = open_built(b);
    enum status status = tokenizer_create(t, gguf, err);
    gguf_close(gguf);
    free(b->bytes);
    b->bytes = NULL;
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

static inline void build(struct builder *b, const struct vocabulary *v)
{
    static const char *pointers[VOCABULARY_MAX];
    begin(b);
    add_string(b, "tokenizer.ggml.model", v->model);
    if (v->pre)
        add_string(b, "tokenizer.ggml.pre", v->pre);
    for (size_t i = 0; i < v->n; i++)
        pointers[i] = v->texts[i];
    add_strings(b, "tokenizer.ggml.tokens", pointers, v->n);
    if (!v->no_scores) {
        add_array(b, "tokenizer.ggml.scores", GGUF_F32, v->n);
        put(b, v->scores, v->n * sizeof v->scores[0]);
    }
    if (!v->no_types) {
        add_array(b, "tokenizer.ggml.token_type", GGUF_I32, v->n);
        put(b, v->types, v->n * sizeof v->types[0]);
    }
    for (size_t i = 0; i < v->n_merges; i++)
        pointers[i] = v->merges[i];
    if (strcmp(v->model, "gpt2") == 0 && !v->no_merges)
        add_strings(b, "tokenizer.ggml.merges", pointers, v->n_merges);
}

static inline struct tokenizer *created(struct builder *b)
{
    struct tokenizer *t = NULL;
    struct error err = {0};
    ck_assert_msg(create_built(b, &t, &err) == STATUS_OK, "%s", err.text);
    return t;
}

static inline struct tokenizer *tokenizer_of(const struct vocabulary *v)
{
    struct builder b;
    build(&b, v);
    return created(&b);
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

static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
