/* honoured.h - does a loaded model say what its file says? Every key of the architecture, every
 * tensor's shape, type and values, every vocabulary entry and special id, against a second reading
 * of the same bytes (core/gguf_fields.h).
 *
 * A damaged file may load: the damage may have made another right file. Then it must be that other
 * file which was loaded, and never a part of it ignored. Test code: aborts with Check's message.
 */
#pragma once

#include "torture/honoured_keys.h"
#include "torture/honoured_tensors.h"

static inline void honoured_model(const struct gguf_fields *f, const struct model *m)
{
    const struct fields_value *arch = fields_find(f, "general.architecture");
    HOLDS(f->whole && arch != NULL);
    struct gguf_string name = honoured_string(f, arch->at);
    HOLDS(text_is(name.bytes, name.n, m->shape.arch));
    HOLDS(m->shape.n_layers == 1);
    honoured_keys(f, m);
    bool has_head = false;
    for (size_t i = 0; i < f->n_tensors; i++) {
        if (m->shape.n_skipped > 0 && f->tensors[i].n_name > 6 &&
            memcmp(f->tensors[i].name, "blk.1.", 6) == 0)
            continue;
        honoured_tensor(f, m, &f->tensors[i]);
        has_head = has_head || text_is(f->tensors[i].name, f->tensors[i].n_name, "output.weight");
    }
    HOLDS(m->shape.tied_head == !has_head);
}

/* A special id's key; where it is absent the custom of the kind of vocabulary holds. */
static inline void honoured_id(const struct gguf_fields *f, const char *key, int32_t id)
{
    const struct fields_value *v = fields_find(f, key);
    if (v != NULL)
        MUST(honoured_number(f, v) == (double)id, "key '%s'", key);
}

static inline void honoured_tokenizer(const struct gguf_fields *f, const struct tokenizer *t)
{
    const struct fields_value *model = fields_find(f, "tokenizer.ggml.model"),
                              *tokens = fields_find(f, "tokenizer.ggml.tokens"),
                              *types = fields_find(f, "tokenizer.ggml.token_type"),
                              *adds_bos = fields_find(f, "tokenizer.ggml.add_bos_token");
    HOLDS(model != NULL && tokens != NULL);
    struct gguf_string text = honoured_string(f, model->at);
    HOLDS(text_is(text.bytes, text.n, tokenizer_model(t)));
    HOLDS(tokens->n == tokenizer_n_vocab(t));
    size_t at = tokens->at;
    for (size_t id = 0; id < tokens->n; id++) {
        struct gguf_string wanted = honoured_string(f, at);
        struct gguf_string entry = tokenizer_entry(t, (int32_t)id);
        HOLDS(entry.n == wanted.n && memcmp(entry.bytes, wanted.bytes, entry.n) == 0);
        if (types != NULL && fields_int(f->bytes + types->at + 4 * id, 4) == 3)
            HOLDS(tokenizer_is_control(t, (int32_t)id));
        at += 8 + wanted.n;
    }
    honoured_id(f, "tokenizer.ggml.bos_token_id", tokenizer_bos(t));
    if (fields_find(f, "tokenizer.ggml.bos_token_id") == NULL)
        honoured_id(f, "tokenizer.ggml.cls_token_id", tokenizer_bos(t));
    honoured_id(f, "tokenizer.ggml.seperator_token_id", tokenizer_sep(t));
    honoured_id(f, "tokenizer.ggml.eos_token_id", tokenizer_eos(t));
    if (adds_bos != NULL)
        HOLDS(f->bytes[adds_bos->at] == tokenizer_adds_bos(t));
}
