/* keys_experts.c - a model's experts: how many, how wide, which layers have them, and how a row's
 * are chosen. Pure functions; any thread. Knows nothing of tensors. */
#include "model/key_reader.h"

#include <stdio.h>

/* Weights of experts, by the number that expert_gating_func has for each. */
static const enum router routers[] = {ROUTER_SOFTMAX, ROUTER_SIGMOID, ROUTER_CHOSEN};
enum { N_ROUTERS = sizeof routers / sizeof *routers };

/* What the key says where the architecture leaves it open; elsewhere it may only repeat it. */
static enum status read_router(struct key_reader *r, struct routing *routing)
{
    size_t number = 0;
    routing->router = r->arch->router;
    if (!has_key(r, "expert_gating_func"))
        return STATUS_OK;
    enum status status = read_size(r, "expert_gating_func", 0, N_ROUTERS, 1, &number);
    if (status != STATUS_OK || number == 0)
        return status;
    const bool open = (r->arch->traits & TRAIT_ROUTER_KEY) != 0;
    if (!open && routers[number - 1] != routing->router)
        return error_set_param(r->err, STATUS_UNSUPPORTED, r->key,
                               "key '%s' is %zu, which %s models do not use", r->key, number,
                               r->arch->name);
    routing->router = routers[number - 1];
    return STATUS_OK;
}

static enum status read_weights(struct key_reader *r, struct routing *routing)
{
    enum status status = read_router(r, routing);
    routing->renormalised = !r->arch->raw_weights && routing->router != ROUTER_CHOSEN;
    if (status == STATUS_OK && routing->renormalised)
        status = gguf_get_bool(r->gguf, full_key(r, "expert_weights_norm"), &routing->renormalised,
                               &(bool){false}, r->err);
    routing->scale = 1;
    if (status == STATUS_OK)
        status = read_real(r, "expert_weights_scale", 0, 1e6, &routing->scale);
    routing->scale = routing->scale != 0 ? routing->scale : 1;
    return status;
}

/* The width of each expert, and of those that every row goes through. */
static enum status read_widths(struct key_reader *r, struct shape *s)
{
    const char *own = "expert_feed_forward_length";
    enum status status =
        read_alike(r, s, has_key(r, own) ? own : "feed_forward_length", MAX_FF, 0, &s->n_ff_expert);
    size_t n_shared = 0;
    if (status != STATUS_OK || (r->arch->traits & TRAIT_SHARED) == 0)
        return status;
    if (has_key(r, "expert_shared_count"))
        status = read_size(r, "expert_shared_count", 0, ROUTING_MAX_EXPERTS, 1, &n_shared);
    s->n_ff_shared = n_shared * s->n_ff_expert;
    if (status == STATUS_OK && has_key(r, "expert_shared_feed_forward_length"))
        status = read_size(r, "expert_shared_feed_forward_length", 0, MAX_FF, 1, &s->n_ff_shared);
    return status;
}

enum status read_experts(struct key_reader *r, struct shape *s)
{
    struct routing *routing = &s->routing;
    enum status status;
    if ((r->arch->traits & TRAIT_EXPERTS) == 0)
        return STATUS_OK;
    const bool optional = (r->arch->traits & TRAIT_DENSE) != 0;
    if (!optional || has_key(r, "expert_count")) {
        status = read_size(r, "expert_count", optional ? 0 : 1, ROUTING_MAX_EXPERTS,
                           optional ? 1 : 0, &routing->n_experts);
        if (status != STATUS_OK)
            return status;
    }
    if (routing->n_experts == 0) /* then none can be used */
        return has_key(r, "expert_used_count")
                   ? read_size(r, "expert_used_count", 0, 0, 1, &routing->n_used)
                   : STATUS_OK;
    if ((status = read_alike(r, s, "expert_used_count", routing->n_experts, 0, &routing->n_used)) !=
            STATUS_OK ||
        (status = read_widths(r, s)) != STATUS_OK)
        return status;
    return read_weights(r, routing);
}

enum status read_expert_layers(struct key_reader *r, const struct shape *s, bool *has_experts)
{
    size_t lead = 0, every = 1;
    enum status status = STATUS_OK;
    if ((r->arch->traits & TRAIT_DENSE_LEAD) != 0 && s->routing.n_experts > 0) {
        if (has_key(r, "leading_dense_block_count"))
            status = read_size(r, "leading_dense_block_count", 0, s->n_layers, 1, &lead);
        if (status == STATUS_OK && has_key(r, "interleave_moe_layer_step"))
            status = read_size(r, "interleave_moe_layer_step", 1, MODEL_MAX_LAYERS, 1, &every);
    }
    for (size_t i = 0; i < s->n_layers; i++)
        has_experts[i] = s->routing.n_experts > 0 && i >= lead && (i + 1) % every == 0;
    return status;
}
