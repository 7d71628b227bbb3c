/* load.c - the tokenizer's keys of a GGUF, each one checked, into a struct tokenizer.
 *
 * Nothing in the file is trusted: lengths, ids, types and merges are checked before they are used,
 * and each refusal names the key. Where a key is absent the file means what llama.cpp takes it to
 * mean. Creation only.
 */
#include "text/tokenizer/internal.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define KEY(name) "tokenizer.ggml." name

static bool equals(struct gguf_string s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.bytes, text, s.n) == 0;
}

static int shown(size_t n) /* of a string from the file, in a message */
{
    return n > 64 ? 64 : (int)n;
}

static enum status load_model(struct tokenizer *t, const struct gguf *gguf, struct error *err)
{
    struct gguf_string model;
    enum status status = gguf_get_string(gguf, KEY("model"), &model, NULL, err);
    if (status != STATUS_OK)
        return status;
    if (!equals(model, "llama") && !equals(model, "gpt2"))
        return error_set_param(
            err, STATUS_UNSUPPORTED, KEY("model"),
            "the tokenizer \"%.*s\" is not known; known are: llama (SentencePiece BPE), "
            "gpt2 (byte-level BPE)",
            shown(model.n), model.bytes);
    t->is_spm = equals(model, "llama");
    if (t->is_spm)
        return STATUS_OK;
    struct gguf_string pre = {"default", 7};
    bool found = false;
    status = gguf_get_string(gguf, KEY("pre"), &pre, &found, err);
    if (status != STATUS_OK)
        return status;
    return pretokenizer_create(&t->pretokenizer, pre.bytes, pre.n, err);
}

static enum status load_entries(struct tokenizer *t, const struct gguf *gguf, struct error *err)
{
    const struct gguf_value *tokens;
    enum status status = gguf_get_array(gguf, KEY("tokens"), GGUF_STRING, &tokens, NULL, err);
    if (status != STATUS_OK)
        return status;
    if (tokens->n == 0 || tokens->n > TOKENIZER_MAX_VOCAB)
        return error_set_param(err, STATUS_FORMAT, KEY("tokens"),
                               "%s has %zu entries: it must have 1 to %d", KEY("tokens"), tokens->n,
                               TOKENIZER_MAX_VOCAB);
    t->n_vocab = tokens->n;
    size_t n_bytes = 0;
    for (size_t id = 0; id < t->n_vocab; id++) {
        size_t n = gguf_string_at(tokens, id).n;
        if (n > TOKENIZER_MAX_ENTRY)
            return error_set_param(err, STATUS_FORMAT, KEY("tokens"),
                                   "entry %zu of %s has %zu bytes; at most %d are allowed", id,
                                   KEY("tokens"), n, TOKENIZER_MAX_ENTRY);
        n_bytes += n; /* 2^24 entries of 2^12 bytes fit any size_t */
        if (n > t->max_entry)
            t->max_entry = n;
    }
    if (n_bytes > UINT32_MAX)
        return error_set_param(err, STATUS_TOO_LARGE, KEY("tokens"),
                               "the entries of %s have %zu bytes; at most 4 GiB are allowed",
                               KEY("tokens"), n_bytes);
    t->entries.bytes = malloc(n_bytes ? n_bytes : 1);
    t->entries.offsets = calloc(t->n_vocab + 1, sizeof *t->entries.offsets);
    t->types = malloc(t->n_vocab);
    t->flags = calloc(t->n_vocab, 1);
    if (!t->entries.bytes || !t->entries.offsets || !t->types || !t->flags)
        return error_no_memory(err, n_bytes + t->n_vocab * 6, "the vocabulary");
    uint32_t at = 0;
    for (size_t id = 0; id < t->n_vocab; id++) {
        struct gguf_string entry = gguf_string_at(tokens, id);
        t->entries.offsets[id] = at;
        memcpy(t->entries.bytes + at, entry.bytes, entry.n);
        at += (uint32_t)entry.n;
    }
    t->entries.offsets[t->n_vocab] = at;
    return STATUS_OK;
}

static enum status check_length(const struct tokenizer *t, const char *key,
                                const struct gguf_value *array, struct error *err)
{
    if (array->n == t->n_vocab)
        return STATUS_OK;
    return error_set_param(err, STATUS_FORMAT, key,
                           "%s has %zu elements and " KEY("tokens") " %zu: the two must be equal",
                           key, array->n, t->n_vocab);
}

/* <0xNN> to NN, -1 for anything else. */
static int byte_of_entry(struct gguf_string entry)
{
    if (entry.n != 6 || memcmp(entry.bytes, "<0x", 3) != 0 || entry.bytes[5] != '>' ||
        !isxdigit((unsigned char)entry.bytes[3]) || !isxdigit((unsigned char)entry.bytes[4]))
        return -1;
    char digits[3] = {entry.bytes[3], entry.bytes[4], '\0'};
    return (int)strtoul(digits, NULL, 16);
}

/* Without the key: all are normal but SentencePiece's bytes; the special ids become control tokens
 * when they are read. */
static enum status load_types(struct tokenizer *t, const struct gguf *gguf, bool *found,
                              struct error *err)
{
    const struct gguf_value *types = NULL;
    enum status status = gguf_get_array(gguf, KEY("token_type"), GGUF_I32, &types, found, err);
    if (status != STATUS_OK)
        return status;
    if (*found) {
        status = check_length(t, KEY("token_type"), types, err);
        if (status != STATUS_OK)
            return status;
    }
    for (size_t id = 0; id < t->n_vocab; id++) {
        int byte = t->is_spm ? byte_of_entry(strings_at(&t->entries, id)) : -1;
        int32_t type = *found ? gguf_i32_at(types, id) : byte >= 0 ? TOKEN_BYTE : TOKEN_NORMAL;
        if (type < 0 || type >= TOKEN_TYPES)
            return error_set_param(err, STATUS_FORMAT, KEY("token_type"),
                                   "element %zu of " KEY("token_type") " is %d: it must be 0 to %d",
                                   id, (int)type, TOKEN_TYPES - 1);
        if (type == TOKEN_BYTE && t->is_spm && byte < 0) {
            struct gguf_string entry = strings_at(&t->entries, id);
            return error_set_param(
                err, STATUS_FORMAT, KEY("tokens"),
                "entry %zu of " KEY("tokens") " is declared a byte and reads \"%.*s\": it "
                                              "must read <0xNN>",
                id, shown(entry.n), entry.bytes);
        }
        t->types[id] = (uint8_t)type;
    }
    return STATUS_OK;
}

/* Scores as integers in the order of joining: the highest score becomes the smallest. */
static uint32_t order_of_score(float score)
{
    uint32_t bits;
    score += 0.0F; /* -0 is 0 */
    memcpy(&bits, &score, sizeof bits);
    uint32_t ascending = bits & 0x80000000U ? ~bits : bits | 0x80000000U;
    return ~ascending;
}

static int compare_u32(const void *a, const void *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

/* Numbers the distinct values from the smallest on, in place: merging keeps a list for each. */
static enum status rank_scores(struct tokenizer *t, struct error *err)
{
    uint32_t *sorted = malloc(t->n_vocab * sizeof *sorted);
    if (!sorted)
        return error_no_memory(err, t->n_vocab * sizeof *sorted, "the vocabulary's scores");
    memcpy(sorted, t->ranks, t->n_vocab * sizeof *sorted);
    qsort(sorted, t->n_vocab, sizeof *sorted, compare_u32);
    t->n_ranks = 1;
    for (size_t i = 1; i < t->n_vocab; i++)
        if (sorted[i] != sorted[t->n_ranks - 1])
            sorted[t->n_ranks++] = sorted[i];
    for (size_t id = 0; id < t->n_vocab; id++) {
        const uint32_t *place =
            bsearch(&t->ranks[id], sorted, t->n_ranks, sizeof *sorted, compare_u32);
        t->ranks[id] = (uint32_t)(place - sorted);
    }
    free(sorted);
    return STATUS_OK;
}

static enum status load_scores(struct tokenizer *t, const struct gguf *gguf, struct error *err)
{
    if (!t->is_spm)
        return STATUS_OK;
    const struct gguf_value *scores = NULL;
    bool found = false;
    enum status status = gguf_get_array(gguf, KEY("scores"), GGUF_F32, &scores, &found, err);
    if (status == STATUS_OK && found)
        status = check_length(t, KEY("scores"), scores, err);
    if (status != STATUS_OK)
        return status;
    t->ranks = malloc(t->n_vocab * sizeof *t->ranks);
    if (!t->ranks)
        return error_no_memory(err, t->n_vocab * sizeof *t->ranks, "the vocabulary's scores");
    for (size_t id = 0; id < t->n_vocab; id++) {
        float score = found ? gguf_f32_at(scores, id) : 0.0F;
        if (isnan(score))
            return error_set_param(err, STATUS_FORMAT, KEY("scores"),
                                   "element %zu of " KEY("scores") " is not a number", id);
        t->ranks[id] = order_of_score(score);
    }
    return rank_scores(t, err);
}

static enum status bad_merge(size_t i, struct gguf_string merge, const char *why, struct error *err)
{
    return error_set_param(err, STATUS_FORMAT, KEY("merges"),
                           "merge %zu of " KEY("merges") " (\"%.*s\") %s", i, shown(merge.n),
                           merge.bytes, why);
}

/* "left right": both and what they join to must be entries. */
static enum status load_merge(struct tokenizer *t, size_t i, struct gguf_string merge,
                              struct error *err)
{
    char joined[TOKENIZER_MAX_ENTRY];
    const char *space = merge.n > 1 ? memchr(merge.bytes + 1, ' ', merge.n - 1) : NULL;
    if (!space)
        return bad_merge(i, merge, "is not two tokens with a space between", err);
    size_t n_left = (size_t)(space - merge.bytes), n_right = merge.n - n_left - 1;
    int32_t left = text_table_find(t, merge.bytes, n_left);
    int32_t right = text_table_find(t, space + 1, n_right);
    if (left == TOKEN_NONE || right == TOKEN_NONE)
        return bad_merge(i, merge, "joins a token that is not in " KEY("tokens"), err);
    if (n_left + n_right > TOKENIZER_MAX_ENTRY)
        return bad_merge(i, merge, "makes a token that is too long", err);
    memcpy(joined, merge.bytes, n_left);
    memcpy(joined + n_left, space + 1, n_right);
    int32_t id = text_table_find(t, joined, n_left + n_right);
    if (id == TOKEN_NONE)
        return bad_merge(i, merge, "makes a token that is not in " KEY("tokens"), err);
    if (t->types[id] != TOKEN_CONTROL &&
        t->types[id] != TOKEN_UNKNOWN) /* text never becomes control */
        pair_table_add(&t->pairs, (struct pair){(uint32_t)left, (uint32_t)right, (uint32_t)i, id});
    return STATUS_OK;
}

static enum status load_merges(struct tokenizer *t, const struct gguf *gguf, struct error *err)
{
    const struct gguf_value *merges;
    enum status status = gguf_get_array(gguf, KEY("merges"), GGUF_STRING, &merges, NULL, err);
    if (status != STATUS_OK)
        return status;
    if (merges->n > TOKENIZER_MAX_VOCAB)
        return error_set_param(err, STATUS_FORMAT, KEY("merges"),
                               "%s has %zu elements; at most %d are allowed", KEY("merges"),
                               merges->n, TOKENIZER_MAX_VOCAB);
    t->n_ranks = merges->n;
    status = pair_table_init(&t->pairs, merges->n, err);
    for (size_t i = 0; i < merges->n && status == STATUS_OK; i++)
        status = load_merge(t, i, gguf_string_at(merges, i), err);
    return status;
}

/* The token of each byte, for bytes that no longer token covers. */
static void find_bytes(struct tokenizer *t)
{
    static const char hex[] = "0123456789ABCDEF";
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[6] = {'<', '0', 'x', hex[byte >> 4], hex[byte & 15], '>'};
        char letter = (char)(uint8_t)byte;
        if (t->is_spm) {
            t->byte_ids[byte] = text_table_find(t, text, sizeof text);
            if (t->byte_ids[byte] == TOKEN_NONE)
                t->byte_ids[byte] = text_table_find(t, &letter, 1);
        } else {
            t->byte_ids[byte] = text_table_find(t, text, tokenizer_byte_text((uint8_t)byte, text));
        }
        int32_t id = t->byte_ids[byte];
        if (id != TOKEN_NONE && (t->types[id] == TOKEN_CONTROL || t->types[id] == TOKEN_UNKNOWN))
            t->byte_ids[byte] = TOKEN_NONE;
    }
}

/* Reads an id; fallback, where it is a control or unknown token, when the key is absent. */
static enum status load_id(struct tokenizer *t, const struct gguf *gguf, const char *key,
                           int32_t fallback, int32_t *out, struct error *err)
{
    uint64_t id = 0;
    bool found = false;
    enum status status = gguf_get_u64(gguf, key, &id, &found, err);
    if (status != STATUS_OK)
        return status;
    if (found && id >= t->n_vocab)
        return error_set_param(err, STATUS_FORMAT, key,
                               "%s is %llu: it must be below the %zu entries of " KEY("tokens"),
                               key, (unsigned long long)id, t->n_vocab);
    *out = TOKEN_NONE;
    if (found)
        *out = (int32_t)id;
    else if (fallback != TOKEN_NONE && (size_t)fallback < t->n_vocab &&
             (t->types[fallback] == TOKEN_CONTROL || t->types[fallback] == TOKEN_UNKNOWN))
        *out = fallback;
    return STATUS_OK;
}

static enum status load_special_ids(struct tokenizer *t, const struct gguf *gguf, bool has_types,
                                    struct error *err)
{
    const struct {
        const char *key;
        int32_t fallback; /* SentencePiece's custom */
        bool is_end;
        int32_t *out;
    } keys[] = {
        {KEY("bos_token_id"), 1, false, &t->bos},
        {KEY("eos_token_id"), 2, true, &t->eos},
        {KEY("unknown_token_id"), 0, false, &t->unknown},
        {KEY("eot_token_id"), TOKEN_NONE, true, NULL},
        {KEY("eom_token_id"), TOKEN_NONE, true, NULL},
        {KEY("fim_pad_token_id"), TOKEN_NONE, true, NULL},
        {KEY("fim_rep_token_id"), TOKEN_NONE, true, NULL},
        {KEY("fim_sep_token_id"), TOKEN_NONE, true, NULL},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        int32_t id = TOKEN_NONE;
        enum status status =
            load_id(t, gguf, keys[i].key, t->is_spm ? keys[i].fallback : TOKEN_NONE, &id, err);
        if (status != STATUS_OK)
            return status;
        if (keys[i].out)
            *keys[i].out = id;
        if (id == TOKEN_NONE)
            continue;
        if (keys[i].is_end)
            t->flags[id] |= TOKEN_FLAG_END;
        if (!has_types)
            t->types[id] = keys[i].out == &t->unknown ? TOKEN_UNKNOWN : TOKEN_CONTROL;
    }
    tokenizer_find_ends(t);
    /* Some files name BOS or EOS here: text must not become those. */
    if (t->unknown != TOKEN_NONE && (t->unknown == t->bos || t->flags[t->unknown] & TOKEN_FLAG_END))
        t->unknown = TOKEN_NONE;
    return STATUS_OK;
}

static enum status load_adds(struct tokenizer *t, const struct gguf *gguf, struct error *err)
{
    bool found_bos = false, found_eos = false;
    t->adds_bos = t->is_spm || pretokenizer_adds_bos(t->pretokenizer);
    enum status status = gguf_get_bool(gguf, KEY("add_bos_token"), &t->adds_bos, &found_bos, err);
    if (status == STATUS_OK)
        status = gguf_get_bool(gguf, KEY("add_eos_token"), &t->adds_eos, &found_eos, err);
    if (status != STATUS_OK)
        return status;
    if (t->adds_bos && t->bos == TOKEN_NONE) {
        if (found_bos)
            return error_set_param(
                err, STATUS_FORMAT, KEY("add_bos_token"),
                KEY("add_bos_token") " is true, but there is no " KEY("bos_token_id"));
        t->adds_bos = false;
    }
    if (t->adds_eos && t->eos == TOKEN_NONE)
        return error_set_param(
            err, STATUS_FORMAT, KEY("add_eos_token"),
            KEY("add_eos_token") " is true, but there is no " KEY("eos_token_id"));
    if (!t->is_spm) /* byte-level texts begin as they are */
        return STATUS_OK;
    t->adds_space = true;
    bool found = false;
    return gguf_get_bool(gguf, KEY("add_space_prefix"), &t->adds_space, &found, err);
}

/* Phi-3's special tokens swallow the white space after them; no key says so, only the model's
 * name. */
static enum status load_rstrip(struct tokenizer *t, const struct gguf *gguf, struct error *err)
{
    struct gguf_string name = {"", 0};
    bool found = false;
    enum status status = gguf_get_string(gguf, "general.name", &name, &found, err);
    if (status != STATUS_OK)
        return status;
    bool is_phi3 = false;
    for (size_t i = 0; i < name.n; i++)
        is_phi3 = is_phi3 || (name.n - i >= 5 && strncasecmp(name.bytes + i, "phi-3", 5) == 0) ||
                  (name.n - i >= 4 && strncasecmp(name.bytes + i, "phi3", 4) == 0);
    for (size_t id = 0; is_phi3 && id < t->n_vocab; id++) {
        uint8_t type = t->types[id];
        struct gguf_string entry = strings_at(&t->entries, id);
        if ((type == TOKEN_CONTROL || type == TOKEN_UNKNOWN || type == TOKEN_USER_DEFINED) &&
            !equals(entry, "<unk>") && !equals(entry, "<s>") && !equals(entry, "<|endoftext|>"))
            t->flags[id] |= TOKEN_FLAG_RSTRIP;
    }
    return STATUS_OK;
}

enum status tokenizer_load(struct tokenizer *t, const struct gguf *gguf, struct error *err)
{
    bool has_types = false;
    enum status status = load_model(t, gguf, err);
    if (status == STATUS_OK)
        status = load_entries(t, gguf, err);
    if (status == STATUS_OK)
        status = load_types(t, gguf, &has_types, err);
    if (status == STATUS_OK)
        status = load_scores(t, gguf, err);
    if (status == STATUS_OK)
        status = text_table_build(t, err);
    if (status == STATUS_OK)
        status = load_special_ids(t, gguf, has_types, err);
    if (status == STATUS_OK && !t->is_spm)
        status = load_merges(t, gguf, err);
    if (status == STATUS_OK)
        status = load_adds(t, gguf, err);
    if (status == STATUS_OK)
        status = load_rstrip(t, gguf, err);
    if (status != STATUS_OK)
        return status;
    find_bytes(t);
    status = tokenizer_make_pieces(t, err);
    return status == STATUS_OK ? special_build(t, err) : status;
}
