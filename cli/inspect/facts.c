/* facts.c - what follows from an inspection: sizes and names, for people and for JSON alike. Pure.
 */
#include "cli/inspect/inspect.h"

#include "forward/kv.h"

double inspection_kv_bytes(const struct inspection *i, enum kv_type type, size_t n_positions)
{
    struct kv_map map;
    kv_map_of(&map, NULL, &i->shape, type, n_positions);
    size_t n_windowed = map.window < n_positions ? map.window : n_positions;
    return ((double)map.page_bytes * (double)n_positions +
            (double)map.window_bytes * (double)n_windowed) /
               (double)KV_PAGE +
           (double)map.state_bytes;
}

double inspection_bits(const struct inspection *i)
{
    return 8 * (double)i->n_bytes / (double)i->n_params;
}

const char *inspection_scaling(const struct shape *shape)
{
    switch (shape->rotations[0].scaling) {
    case ROPE_SCALING_LINEAR:
        return "linear";
    case ROPE_SCALING_YARN:
        return "yarn";
    case ROPE_SCALING_NONE:
    default:
        return "none";
    }
}

size_t inspection_windowed(const struct shape *shape)
{
    size_t n = 0;
    for (size_t i = 0; i < shape->n_layers; i++)
        n += shape->layers[i].window > 0;
    return n;
}

size_t inspection_window(const struct shape *shape)
{
    size_t window = 0;
    for (size_t i = 0; i < shape->n_layers; i++)
        window = shape->layers[i].window > window ? shape->layers[i].window : window;
    return window;
}

const char *inspection_kv_name(enum kv_type type)
{
    static const char *const names[KV_TYPES] = {[KV_F32] = "f32", [KV_F16] = "f16", [KV_Q8] = "q8"};
    return names[type];
}
