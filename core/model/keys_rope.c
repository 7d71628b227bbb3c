/* keys_rope.c - a model's rotations from its keys: the one of its full layers, and that of layers
 * with a window where it is another. Pure functions; any thread. */
#include "model/key_reader.h"

#include "math/fmath.h"

#include <string.h>

static enum status read_scaling_type(struct key_reader *r, struct rotation *t)
{
    struct gguf_string type = {"linear", 6};
    bool found;
    enum status status =
        gguf_get_string(r->gguf, full_key(r, "rope.scaling.type"), &type, &found, r->err);
    if (status != STATUS_OK)
        return status;
    /* longrope's factors are tensors */
    const bool is_long = (r->arch->traits & TRAIT_LONGROPE) != 0 && type.n == 8 &&
                         memcmp(type.bytes, "longrope", 8) == 0;
    if (is_long || (type.n == 4 && memcmp(type.bytes, "none", 4) == 0))
        t->scaling = ROPE_SCALING_NONE;
    else if (type.n == 6 && memcmp(type.bytes, "linear", 6) == 0)
        t->scaling = ROPE_SCALING_LINEAR;
    else if (type.n == 4 && memcmp(type.bytes, "yarn", 4) == 0)
        t->scaling = ROPE_SCALING_YARN;
    else
        return error_set_param(r->err, STATUS_UNSUPPORTED, r->key,
                               "key '%s' is '%.*s'; none, linear and yarn are supported", r->key,
                               (int)(type.n < 32 ? type.n : 32), type.bytes);
    return STATUS_OK;
}

/* rope.scaling.factor or its old name; 0 means none. Below 1 positions would be spread, which no
 * model does. */
static enum status read_scale_factor(struct key_reader *r, struct rotation *t)
{
    enum status status;
    bool named = has_key(r, "rope.scaling.factor");
    t->factor = 0;
    if ((status = read_real(r, named ? "rope.scaling.factor" : "rope.scale_linear", 0, 4096,
                            &t->factor)) != STATUS_OK)
        return status;
    if (t->factor == 0 || t->scaling == ROPE_SCALING_NONE)
        t->factor = 1;
    if (t->factor < 1)
        return error_set_param(r->err, STATUS_FORMAT, r->key,
                               "key '%s' is %g; it must be 1 to 4096", r->key, (double)t->factor);
    if (t->scaling == ROPE_SCALING_LINEAR && t->factor == 1)
        t->scaling = ROPE_SCALING_NONE;
    return STATUS_OK;
}

/* The base, which some families scale. */
static enum status read_base(struct key_reader *r, struct rotation *t)
{
    float alpha = 0;
    enum status status = read_real(r, "rope.freq_base", 1.0 + 1e-6, 1e12, &t->base);
    if (status == STATUS_OK && (r->arch->traits & TRAIT_ROPE_ALPHA) != 0)
        status = read_real(r, "rope.scaling.alpha", 0, 1e6, &alpha);
    if (status == STATUS_OK && alpha > 0 && t->dim > 2)
        t->base = (float)((double)t->base *
                          fmath_pow_d((double)alpha, (double)t->dim / (double)(t->dim - 2)));
    return status;
}

static enum status read_yarn(struct key_reader *r, struct rotation *t)
{
    enum status status;
    bool yarn = t->scaling == ROPE_SCALING_YARN;
    t->ext_factor = yarn ? 1 : 0;
    if ((status = read_real(r, "rope.scaling.attn_factor", 1e-3, 1e3, &t->attn_factor)) !=
            STATUS_OK ||
        (status = read_real(r, "rope.scaling.yarn_beta_fast", 1e-3, 1e6, &t->beta_fast)) !=
            STATUS_OK ||
        (status = read_real(r, "rope.scaling.yarn_beta_slow", 1e-3, 1e6, &t->beta_slow)) !=
            STATUS_OK ||
        (status = read_real(r, "rope.scaling.yarn_ext_factor", 0, 1, &t->ext_factor)) != STATUS_OK)
        return status;
    if (!yarn && t->ext_factor != 0)
        return error_set_param(r->err, STATUS_UNSUPPORTED, r->key,
                               "key '%s' is %g, but the scaling type is not yarn", r->key,
                               (double)t->ext_factor);
    if ((r->arch->traits & TRAIT_YARN_LOG) != 0)
        status = read_real(r, "rope.scaling.yarn_log_multiplier", 0, 1e3, &t->log_multiplier);
    return status;
}

/* What layers with a window turn by. */
static enum status read_window_rotation(struct key_reader *r, struct shape *s)
{
    const struct arch *arch = r->arch;
    struct rotation *w = &s->rotations[ROTATION_WINDOW];
    *w = s->rotations[ROTATION_MAIN];
    if ((arch->traits & TRAIT_WINDOWS) == 0)
        return STATUS_OK;
    if (arch->window_base != 0)
        w->base = arch->window_base;
    enum status status = read_real(r, "rope.freq_base_swa", 1.0 + 1e-6, 1e12, &w->base);
    if (arch->window_plain) {
        w->scaling = ROPE_SCALING_NONE;
        w->factor = w->attn_factor = 1;
        w->ext_factor = w->log_multiplier = 0;
    }
    const struct rotation *m = &s->rotations[ROTATION_MAIN];
    const bool factors = arch->window_plain && gguf_find_tensor(r->gguf, "rope_freqs.weight");
    s->has_window_rotation = factors || w->base != m->base || w->scaling != m->scaling ||
                             w->factor != m->factor || w->attn_factor != m->attn_factor;
    return status;
}

enum status read_rope(struct key_reader *r, struct shape *s)
{
    enum status status;
    struct rotation *t = &s->rotations[ROTATION_MAIN];
    t->base = 10000.0f;
    t->attn_factor = 1;
    t->beta_fast = 32;
    t->beta_slow = 1;
    if ((status = read_size(r, "rope.dimension_count", 2, s->head_dim, s->head_dim, &t->dim)) !=
        STATUS_OK)
        return status;
    if (t->dim % 2 != 0)
        return error_set_param(r->err, STATUS_FORMAT, r->key, "key '%s' is %zu; it must be even",
                               r->key, t->dim);
    if ((status = read_base(r, t)) != STATUS_OK ||
        (status = read_scaling_type(r, t)) != STATUS_OK ||
        (status = read_scale_factor(r, t)) != STATUS_OK ||
        (status = read_size(r, "rope.scaling.original_context_length", 1, MAX_CONTEXT,
                            s->n_context_train, &t->original_context)) != STATUS_OK ||
        (status = read_yarn(r, t)) != STATUS_OK)
        return status;
    return read_window_rotation(r, s);
}
