/* keys_layers.c - what each layer of a model is: its heads and width, whether it has a window, and
 * how it rotates. Pure functions; any thread. Knows nothing of tensors. */
#include "model/key_reader.h"

#include <stdio.h>
#include <string.h>

static enum status read_counts(struct key_reader *r, struct shape *s)
{
    uint32_t n_ff[MODEL_MAX_LAYERS];
    bool has_experts[MODEL_MAX_LAYERS];
    const bool dense = (r->arch->traits & TRAIT_DENSE) != 0;
    enum status status;
    /* Where all layers have experts the key is theirs, or says nothing. */
    if ((status = read_expert_layers(r, s, has_experts)) != STATUS_OK ||
        (status = read_each(r, "feed_forward_length", s, dense ? 1 : 0, MAX_FF, dense ? 0 : 1,
                            n_ff)) != STATUS_OK)
        return status;
    for (size_t i = 0; i < s->n_layers; i++) {
        s->layers[i] = (struct layer_shape){
            .n_ff = has_experts[i] ? 0 : n_ff[i],
            .has_experts = has_experts[i],
            .n_heads = (uint16_t)s->n_heads,
            .n_kv_heads = (uint16_t)s->n_kv_heads,
            .head_dim = (uint16_t)s->head_dim,
            .mixer = MIXER_ATTENTION,
            .rotation = s->rope == ROPE_NONE ? ROTATION_NONE : ROTATION_MAIN,
        };
        s->n_ff = s->layers[i].n_ff > s->n_ff ? s->layers[i].n_ff : s->n_ff;
    }
    return STATUS_OK;
}

/* windowed [n_layers]: which layers have one. Of `pattern` layers the last sees all; a file may say
 * another number, or each layer by itself. */
static enum status read_pattern(struct key_reader *r, struct shape *s, uint32_t *windowed)
{
    static const char key[] = "attention.sliding_window_pattern";
    const struct gguf_value *v = gguf_find(r->gguf, full_key(r, key));
    size_t pattern = r->arch->pattern;
    if (v != NULL && v->type == GGUF_ARRAY)
        return read_each(r, key, s, 0, 1, 0, windowed);
    enum status status = read_size(r, key, 0, MODEL_MAX_LAYERS, pattern, &pattern);
    for (size_t i = 0; i < s->n_layers; i++)
        windowed[i] = pattern > 0 && i % pattern < pattern - 1;
    return status;
}

static enum status read_windows(struct key_reader *r, struct shape *s)
{
    const struct arch *arch = r->arch;
    uint32_t windowed[MODEL_MAX_LAYERS];
    size_t window = arch->window;
    if ((arch->traits & TRAIT_WINDOWS) == 0 ||
        (arch->windowed_only_of != 0 && s->n_layers != arch->windowed_only_of))
        return STATUS_OK;
    enum status status;
    if (has_key(r, "attention.sliding_window") &&
        (status = read_size(r, "attention.sliding_window", 0, MAX_CONTEXT, 1, &window)) !=
            STATUS_OK)
        return status;
    if (window == 0)
        return STATUS_OK;
    if ((status = read_pattern(r, s, windowed)) != STATUS_OK)
        return status;
    for (size_t i = 0; i < s->n_layers; i++) {
        struct layer_shape *l = &s->layers[i];
        l->window = windowed[i] != 0 ? (uint32_t)window : 0;
        if (windowed[i] != 0 && s->has_window_rotation && l->rotation == ROTATION_MAIN)
            l->rotation = ROTATION_WINDOW;
        if (windowed[i] == 0 && arch->still_full)
            l->rotation = ROTATION_NONE;
    }
    return STATUS_OK;
}

enum status read_layers(struct key_reader *r, struct shape *s)
{
    bool rotates = true;
    enum status status = read_counts(r, s);
    if (status == STATUS_OK && (r->arch->traits & TRAIT_ROPE_OPTIONAL) != 0)
        status = gguf_get_bool(r->gguf, full_key(r, "rope.scaling.finetuned"), &rotates,
                               &(bool){false}, r->err);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < s->n_layers; i++) {
        const uint32_t every = r->arch->still_layers;
        if (!rotates || (every > 0 && (i + 1) % every == 0))
            s->layers[i].rotation = ROTATION_NONE;
    }
    return read_windows(r, s);
}
