/* unusual.c - what a reader who knows many models would stop at in this one. Pure. */
#include "cli/inspect/inspect.h"

#include "base/append.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void note(struct inspection *i, const char *format,
                                                       ...)
{
    if (i->n_unusual == INSPECT_UNUSUAL)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(i->unusual[i->n_unusual++], sizeof i->unusual[0], format, args);
    va_end(args);
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), n_end = strlen(end);
    return n >= n_end && strcmp(name + n - n_end, end) == 0;
}

/* --- the file --- */

static bool begins_with(const struct gguf_value *v, const char *text)
{
    return v->key.n >= strlen(text) && memcmp(v->key.bytes, text, strlen(text)) == 0;
}

/* Keys of the architecture are honoured or refused; these belong to other programs. */
static void note_keys(struct inspection *i)
{
    static const char *const known[] = {"general.", "tokenizer.", "quantize.", "split."};
    char prefix[sizeof i->arch + 1], list[160] = "";
    size_t n_unknown = 0, n_list = 0;
    bool matrix = false;
    snprintf(prefix, sizeof prefix, "%s.", i->arch);
    for (size_t k = 0; k < gguf_n_values(i->gguf); k++) {
        const struct gguf_value *v = gguf_value_at(i->gguf, k);
        bool is_known = begins_with(v, prefix);
        for (size_t p = 0; p < sizeof known / sizeof *known; p++)
            is_known = is_known || begins_with(v, known[p]);
        matrix = matrix || begins_with(v, "quantize.imatrix.");
        if (is_known)
            continue;
        char key[64];
        utf8_printable(key, sizeof key, v->key.bytes, v->key.n);
        if (n_unknown++ < 4 && n_list + strlen(key) + 3 < sizeof list)
            append_text(list, sizeof list, &n_list, "%s%s", n_list > 0 ? ", " : "", key);
    }
    if (matrix)
        note(i, "it was rounded with an importance matrix");
    if (n_unknown > 0)
        note(i, "%zu %s unknown here and left alone: %s%s", n_unknown,
             n_unknown == 1 ? "key is" : "keys are", list, n_unknown > 4 ? ", ..." : "");
    if (gguf_version(i->gguf) != 3)
        note(i, "GGUF version %u; today's writers make version 3", (unsigned)gguf_version(i->gguf));
}

/* --- the weights --- */

static void note_types(struct inspection *i)
{
    size_t n_of[WEIGHT_TYPES] = {0}, n_types = 0, n_biases = 0, n = 0;
    char list[160] = "";
    for (size_t k = 0; k < gguf_n_tensors(i->gguf); k++) {
        const struct gguf_tensor *t = gguf_tensor_at(i->gguf, k);
        n_of[weight_type_of_ggml(t->type)] +=
            t->n_dims >= 2 && strcmp(t->name, "position_embd.weight") != 0;
        n_biases += ends_with(t->name, ".bias");
    }
    for (size_t type = 0; type < WEIGHT_TYPES; type++) {
        if (n_of[type] == 0)
            continue;
        append_text(list, sizeof list, &n, "%s%zu in %s", n_types > 0 ? ", " : "", n_of[type],
                    weight_infos[type].name);
        n_types++;
    }
    if (n_types > 1)
        note(i, "the matrices are of %zu types: %s", n_types, list);
    if (n_biases > 0 && strcmp(i->arch, "llama") == 0)
        note(i, "%zu biases, which few llama models have", n_biases);
}

/* --- the shape --- */

static void note_shape(struct inspection *i)
{
    const struct shape *s = &i->shape;
    if (s->n_heads * s->head_dim != s->n_embd)
        note(i, "the heads together are %zu wide, the model %zu", s->n_heads * s->head_dim,
             s->n_embd);
    if (s->n_kv_heads == s->n_heads && s->rope != ROPE_NONE)
        note(i, "every head has keys and values of its own, so they take much memory");
    if (s->rope != ROPE_NONE && s->rotations[0].dim < s->head_dim)
        note(i, "RoPE turns %zu of the %zu dimensions of a head", s->rotations[0].dim, s->head_dim);
    if (s->rotations[0].scaling != ROPE_SCALING_NONE)
        note(i, "positions are scaled: %s by %g, from a context of %zu", inspection_scaling(s),
             (double)s->rotations[0].factor, s->rotations[0].original_context);
    if (gguf_find_tensor(i->gguf, "rope_freqs.weight") != NULL)
        note(i, "RoPE's frequencies have factors of their own (rope_freqs.weight)");
    if (gguf_find_tensor(i->gguf, "rope_factors_long.weight") != NULL)
        note(i, "RoPE has other factors for contexts beyond %zu (rope_factors_long.weight)",
             s->rotations[0].original_context);
    if (s->n_skipped > 0)
        note(i, "the last %zu blocks are for speculation and are not used", s->n_skipped);
    if (s->n_context_train > i->n_context)
        note(i, "%zu positions are served unless --context asks for up to %zu", i->n_context,
             s->n_context_train);
}

/* --- the vocabulary --- */

static void note_tokenizer(struct inspection *i)
{
    enum { UNUSED = 5 }; /* in tokenizer.ggml.token_type */
    const struct tokenizer *t = i->tokenizer;
    const struct gguf_value *types;
    bool found = false;
    size_t n_unused = 0;
    if (tokenizer_eos(t) == TOKEN_NONE && i->n_ends == 0)
        note(i, "no token ends a text: only max_tokens and stop strings do");
    else if (tokenizer_eos(t) == TOKEN_NONE)
        note(i, "no EOS, though other tokens end a text");
    if (tokenizer_eos(t) != TOKEN_NONE && tokenizer_eos(t) == tokenizer_bos(t))
        note(i, "BOS and EOS are the same token");
    if (tokenizer_adds_eos(t))
        note(i, "EOS is put after every text");
    if (gguf_get_array(i->gguf, "tokenizer.ggml.token_type", GGUF_I32, &types, &found, NULL) ==
            STATUS_OK &&
        found) {
        for (size_t k = 0; k < types->n; k++)
            n_unused += gguf_i32_at(types, k) == UNUSED;
    }
    if (n_unused > 0)
        note(i, "of the vocabulary %zu %s unused", n_unused,
             n_unused == 1 ? "entry is" : "entries are");
}

void inspection_note(struct inspection *i)
{
    if (!i->vocabulary_only) {
        note_types(i);
        note_shape(i);
    }
    note_tokenizer(i);
    note_keys(i);
}
