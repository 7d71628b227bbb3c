/* load.c - the tokenizer's keys of a GGUF, each one checked, into a struct tokenizer.
 *
 * Nothing in the file is trusted: lengths, ids, types and merges are checked before they are used,
 * and each refusal names the key. Where a key is absent the file means what llama.cpp takes it to
 * mean. Creation only.
 */
#include "text/tokenizer/internal.h"
#include "text/tokenizer/unigram.h"
#include "text/tokenizer/wordpiece.h"

#include <ctype.h>
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

static const struct {
    const char *name;
    enum tokenizer_kind kind;
} models[] = {{"llama", TOKENIZER_SPM},
              {"gpt2", TOKENIZER_BYTES},
              {"gemma4", TOKENIZER_RAW},
              {"bert", TOKENIZER_WORDPIECE},
              {"t5", TOKENIZER_UNIGRAM}};

enum { N_MODELS = sizeof models / sizeof models[0] };

static enum status load_model(struct tokenizer *t, const struct gguf *gguf, struct error *err)
{
    struct gguf_string model;
    enum status status = gguf_get_string(gguf, KEY("model"), &model, NULL, err);
    if (status != STATUS_OK)
        return status;
    size_t i = 0;
    while (i < N_MODELS && !equals(model, models[i].name))
        i++;
    if (i == N_MODELS)
        return error_set_param(
            err, STATUS_UNSUPPORTED, KEY("model"),
            "the tokenizer \"%.*s\" is not known; known are: llama (SentencePiece BPE), "
            "gpt2 (byte-level BPE), gemma4 (BPE over characters), bert (WordPiece), "
            "t5 (SentencePiece Unigram)",
            shown(model.n), model.bytes);
    t->kind = models[i].kind;
    if (t->kind != TOKENIZER_BYTES)
        return STATUS_OK;
    struct gguf_string pre = {"default", 7};
    bool found = false;
    status = gguf_get_string(gguf, KEY("pre"), &pre, &found, err);
    if (status != STATUS_OK)
        return status;
    if (status == STATUS_OK && (equals(pre, "gemma4") || equals(pre, "sarvam-moe") ||
                                equals(pre, "granite-embed-multi-311m"))) {
        t->kind = TOKENIZER_RAW; /* some files name the kind here */
        return STATUS_OK;
    }
    if (status == STATUS_OK)
        status = pretokenizer_create(&t->pretokenizer, pre.bytes, pre.n, err);
    if (status != STATUS_OK)
        return status;
    t->composes = pretokenizer_normalizes(t->pretokenizer);
    return gguf_get_bool(gguf, KEY("normalizer.nfc"), &t->composes, &found, err);
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
        status = tokenizer_check_length(t, KEY("token_type"), types, err);
        if (status != STATUS_OK)
            return status;
    }
    for (size_t id = 0; id < t->n_vocab; id++) {
        int byte = tokenizer_names_bytes(t) ? byte_of_entry(strings_at(&t->entries, id)) : -1;
        int32_t type = *found ? gguf_i32_at(types, id) : byte >= 0 ? TOKEN_BYTE : TOKEN_NORMAL;
        if (type < 0 || type >= TOKEN_TYPES)
            return error_set_param(err, STATUS_FORMAT, KEY("token_type"),
                                   "element %zu of " KEY("token_type") " is %d: it must be 0 to %d",
                                   id, (int)type, TOKEN_TYPES - 1);
        if (type == TOKEN_BYTE && tokenizer_names_bytes(t) && byte < 0) {
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

/* The token of each byte, for bytes that no longer token covers. */
static void find_bytes(struct tokenizer *t)
{
    static const char hex[] = "0123456789ABCDEF";
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[6] = {'<', '0', 'x', hex[byte >> 4], hex[byte & 15], '>'};
        char letter = (char)(uint8_t)byte;
        if (t->kind != TOKENIZER_BYTES) {
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

static void find_newlines(struct tokenizer *t)
{
    for (size_t id = 0; id < t->n_vocab; id++) {
        struct gguf_string entry = strings_at(&t->entries, id);
        size_t n = 0;
        while (n < entry.n && entry.bytes[n] == '\n')
            n++;
        if (n == entry.n && n > t->max_newlines)
            t->max_newlines = n;
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

/* What each kind of vocabulary has where no key says so. */
enum {
    DEFAULT_BOS,
    DEFAULT_EOS,
    DEFAULT_SEP,
    DEFAULT_UNKNOWN,
    N_DEFAULTS,
    NO_DEFAULT = N_DEFAULTS
};

static const int32_t default_ids[][N_DEFAULTS] = {
    [TOKENIZER_SPM] = {1, 2, TOKEN_NONE, 0},
    [TOKENIZER_BYTES] = {TOKEN_NONE, TOKEN_NONE, TOKEN_NONE, TOKEN_NONE},
    [TOKENIZER_RAW] = {TOKEN_NONE, TOKEN_NONE, TOKEN_NONE, TOKEN_NONE},
    [TOKENIZER_WORDPIECE] = {101, TOKEN_NONE, 102, 100},
    [TOKENIZER_UNIGRAM] = {TOKEN_NONE, 1, TOKEN_NONE, 2},
};

static enum status load_special_ids(struct tokenizer *t, const struct gguf *gguf, bool has_types,
                                    struct error *err)
{
    const struct {
        const char *key;
        int fallback; /* DEFAULT_... */
        bool is_end;
        int32_t *out; /* keeps what an earlier key said */
    } keys[] = {
        {KEY("bos_token_id"), NO_DEFAULT, false, &t->bos},
        {KEY("cls_token_id"), DEFAULT_BOS, false, &t->bos}, /* BERT's word for it */
        {KEY("eos_token_id"), DEFAULT_EOS, true, &t->eos},
        {KEY("seperator_token_id"), DEFAULT_SEP, false, &t->sep}, /* spelt so in files */
        {KEY("unknown_token_id"), DEFAULT_UNKNOWN, false, &t->unknown},
        {KEY("eot_token_id"), NO_DEFAULT, true, NULL},
        {KEY("eom_token_id"), NO_DEFAULT, true, NULL},
        {KEY("fim_pad_token_id"), NO_DEFAULT, true, NULL},
        {KEY("fim_rep_token_id"), NO_DEFAULT, true, NULL},
        {KEY("fim_sep_token_id"), NO_DEFAULT, true, NULL},
    };
    t->bos = t->eos = t->sep = t->unknown = TOKEN_NONE;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        int32_t id = TOKEN_NONE;
        enum status status = load_id(
            t, gguf, keys[i].key,
            keys[i].fallback == NO_DEFAULT ? TOKEN_NONE : default_ids[t->kind][keys[i].fallback],
            &id, err);
        if (status != STATUS_OK)
            return status;
        if (id == TOKEN_NONE)
            continue;
        if (keys[i].out && *keys[i].out == TOKEN_NONE)
            *keys[i].out = id;
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

/* Whether a token is added, by key, else as the kind has it: only where there is such a token. */
static enum status load_add(const struct gguf *gguf, const char *key, const char *id_key,
                            int32_t id, bool by_default, bool *adds, struct error *err)
{
    bool found = false;
    *adds = by_default;
    enum status status = gguf_get_bool(gguf, key, adds, &found, err);
    if (status != STATUS_OK || !*adds || id != TOKEN_NONE)
        return status;
    if (found)
        return error_set_param(err, STATUS_FORMAT, key, "%s is true, but there is no %s", key,
                               id_key);
    *adds = false;
    return STATUS_OK;
}

static enum status load_adds(struct tokenizer *t, const struct gguf *gguf, struct error *err)
{
    bool bos = t->kind == TOKENIZER_BYTES ? pretokenizer_adds_bos(t->pretokenizer)
                                          : t->kind != TOKENIZER_UNIGRAM;
    enum status status =
        load_add(gguf, KEY("add_bos_token"), KEY("bos_token_id"), t->bos, bos, &t->adds_bos, err);
    if (t->kind == TOKENIZER_RAW && t->bos != TOKEN_NONE)
        t->adds_bos = true; /* Gemma's texts always begin so, whatever some files say */
    if (status == STATUS_OK)
        status = load_add(gguf, KEY("add_eos_token"), KEY("eos_token_id"), t->eos,
                          t->kind == TOKENIZER_UNIGRAM, &t->adds_eos, err);
    if (status == STATUS_OK && t->kind == TOKENIZER_WORDPIECE)
        status = load_add(gguf, KEY("add_sep_token"), KEY("seperator_token_id"), t->sep, true,
                          &t->adds_sep, err);
    t->adds_space = t->kind == TOKENIZER_SPM ||
                    t->kind == TOKENIZER_UNIGRAM; /* the others' texts begin as they are */
    if (status == STATUS_OK && t->adds_space) {
        bool found = false;
        status = gguf_get_bool(gguf, KEY("add_space_prefix"), &t->adds_space, &found, err);
    }
    t->strips_space = t->adds_space || t->kind == TOKENIZER_WORDPIECE;
    return status;
}

/* Uncased models take accents for part of the case, unless the file says otherwise. */
static enum status load_bert(struct tokenizer *t, const struct gguf *gguf, struct error *err)
{
    bool found = false;
    t->lowers = true;
    enum status status = gguf_get_bool(gguf, KEY("normalizer.lowercase"), &t->lowers, &found, err);
    t->strips_accents = t->lowers;
    if (status == STATUS_OK)
        status =
            gguf_get_bool(gguf, KEY("normalizer.strip_accents"), &t->strips_accents, &found, err);
    return status == STATUS_OK ? wordpiece_build(t, err) : status;
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
    if (status == STATUS_OK && t->kind == TOKENIZER_SPM)
        status = tokenizer_load_scores(t, gguf, err);
    if (status == STATUS_OK)
        status = text_table_build(t, err);
    if (status == STATUS_OK)
        status = load_special_ids(t, gguf, has_types, err);
    if (status == STATUS_OK)
        find_bytes(t);
    if (status == STATUS_OK && (t->kind == TOKENIZER_BYTES || t->kind == TOKENIZER_RAW))
        status = tokenizer_load_merges(t, gguf, err);
    if (status == STATUS_OK && t->kind == TOKENIZER_UNIGRAM)
        status = unigram_load(t, gguf, err);
    if (status == STATUS_OK && t->kind == TOKENIZER_WORDPIECE)
        status = load_bert(t, gguf, err);
    if (status == STATUS_OK)
        status = load_adds(t, gguf, err);
    if (status == STATUS_OK)
        status = load_rstrip(t, gguf, err);
    if (status != STATUS_OK)
        return status;
    find_newlines(t);
    status = tokenizer_make_pieces(t, err);
    return status == STATUS_OK ? special_build(t, err) : status;
}
