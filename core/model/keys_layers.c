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

/* --- recurrent layers --- */

static enum status read_delta_shape(struct key_reader *r, struct delta_shape *d)
{
    size_t inner = 0;
    enum status status;
    if ((status = read_size(r, "ssm.conv_kernel", 2, DELTA_TAPS_MAX, 0, &d->n_taps)) != STATUS_OK ||
        (status = read_size(r, "ssm.state_size", 1, DELTA_SIZE_MAX, 0, &d->size)) != STATUS_OK ||
        (status = read_size(r, "ssm.group_count", 1, MAX_HEADS, 0, &d->n_key_heads)) != STATUS_OK ||
        (status = read_size(r, "ssm.time_step_rank", 1, MAX_HEADS, 0, &d->n_value_heads)) !=
            STATUS_OK)
        return status;
    if (d->n_value_heads % d->n_key_heads != 0)
        return error_set_param(r->err, STATUS_FORMAT, r->key,
                               "key '%s' is %zu; it must be a multiple of the %zu key heads",
                               r->key, d->n_value_heads, d->n_key_heads);
    status = read_size(r, "ssm.inner_size", 1, MAX_EMBD, 0, &inner);
    if (status == STATUS_OK && inner != delta_inner(d))
        status = error_set_param(r->err, STATUS_FORMAT, r->key,
                                 "key '%s' is %zu; it must be %zu value heads of %zu", r->key,
                                 inner, d->n_value_heads, d->size);
    return status;
}

/* Which layers carry a state: all but every n-th, or each as the file says. */
static enum status read_recurrent(struct key_reader *r, struct shape *s)
{
    static const char key[] = "attention.recurrent_layers";
    uint32_t recurrent[MODEL_MAX_LAYERS];
    size_t interval = r->arch->full_interval;
    enum status status;
    if ((r->arch->traits & TRAIT_DELTA) == 0)
        return STATUS_OK;
    if ((status = read_size(r, "full_attention_interval", 1, MODEL_MAX_LAYERS, interval,
                            &interval)) != STATUS_OK)
        return status;
    for (size_t i = 0; i < s->n_layers; i++)
        recurrent[i] = (i + 1) % interval != 0;
    if (has_key(r, key) && (status = read_each(r, key, s, 0, 1, 0, recurrent)) != STATUS_OK)
        return status;
    for (size_t i = 0; i < s->n_layers; i++) {
        struct layer_shape *l = &s->layers[i];
        if (recurrent[i] == 0)
            continue;
        l->mixer = MIXER_DELTA;
        l->rotation = ROTATION_NONE;
        l->n_kv_heads = 0;
    }
    return read_delta_shape(r, &s->delta);
}

enum status read_layers(struct key_reader *r, struct shape *s)
{
    bool rotates = true;
    enum status status = read_counts(r, s);
    if (status == STATUS_OK)
        status = read_recurrent(r, s);
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
