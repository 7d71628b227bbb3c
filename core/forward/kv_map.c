/* kv_map.c - where each layer's part lies, and how a budget is divided. See kv_map.h. */
#include "forward/kv_map.h"

enum {
    AHEAD_PAGES = 8, /* windows beyond its own that a prompt being read may take: one worker's */
    TYPICAL = 4,     /* the usual sequence fills a quarter of the context */
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* --- layers --- */

/* Whether a layer's keys and values are only those of the last positions: it has a window, and a
 * context can be longer. */
static bool is_windowed(const struct layer_shape *l, size_t n_context)
{
    return l->n_kv_heads > 0 && l->window > 0 && l->window < n_context;
}

/* Bytes of what a recurrent layer carries on. */
static size_t state_bytes(const struct shape *shape, const struct layer_shape *l)
{
    return l->mixer == MIXER_DELTA ? delta_floats(&shape->delta) * sizeof(float) : 0;
}

void kv_map_of(struct kv_map *out, struct kv_place *places, const struct shape *shape,
               enum kv_type type, size_t n_context)
{
    struct kv_map map = {0};
    size_t n_windowed = 0, n_full = 0;
    for (size_t l = 0; l < shape->n_layers; l++) {
        const struct layer_shape *layer = &shape->layers[l];
        const bool windowed = is_windowed(layer, n_context);
        n_windowed += windowed;
        n_full += layer->n_kv_heads > 0 && !windowed;
        if (windowed && layer->window > map.window)
            map.window = layer->window;
    }
    if (n_full == 0) /* pages must have something to hold: all layers are kept whole */
        map.window = n_windowed = 0;
    for (size_t l = 0; l < shape->n_layers; l++) {
        const struct layer_shape *layer = &shape->layers[l];
        const size_t heads = layer->n_kv_heads;
        const size_t block = heads > 0 ? page_head_bytes(type, layer->head_dim) : 0;
        const bool windowed = n_windowed > 0 && is_windowed(layer, n_context);
        if (shape
                ->encoder) /* a text goes through one layer after the other, whole: one at a time */
            map.page_bytes = 0;
        size_t *sum = windowed ? &map.window_bytes : &map.page_bytes;
        if (places)
            places[l] = (struct kv_place){.offset = *sum,
                                          .block_bytes = block,
                                          .state = map.state_bytes / sizeof(float),
                                          .windowed = windowed};
        *sum += heads * block;
        map.state_bytes += state_bytes(shape, layer);
    }
    if (n_windowed > 0)
        map.window_pages = (map.window + KV_PAGE - 2) / KV_PAGE + 1;
    *out = map;
}

/* --- budgets --- */

/* What sequences of so many positions each take; the windows that one may take ahead not counted.
 */
static struct kv_division sequences(const struct kv_map *map, size_t n_positions, size_t n)
{
    const size_t n_pages = kv_pages_for(n_positions);
    struct kv_division d = {.n_pages = n * n_pages};
    if (map->window_bytes > 0)
        d.n_windows = n * least(n_pages, map->window_pages);
    if (map->state_bytes > 0)
        d.n_states = n;
    return d;
}

static size_t bytes_of(const struct kv_map *map, const struct kv_division *d)
{
    return d->n_pages * map->page_bytes + d->n_windows * map->window_bytes +
           d->n_states * map->state_bytes;
}

/* Windows that are there for all, to be taken ahead. */
static size_t ahead(const struct kv_map *map, size_t n_pages)
{
    return map->window_bytes == 0 || n_pages <= map->window_pages
               ? 0
               : least(n_pages - map->window_pages, AHEAD_PAGES);
}

size_t kv_bytes_for(const struct shape *shape, enum kv_type type, size_t n_positions,
                    size_t n_sequences)
{
    struct kv_map map;
    kv_map_of(&map, NULL, shape, type, n_positions);
    struct kv_division d = sequences(&map, n_positions, n_sequences);
    d.n_windows += ahead(&map, kv_pages_for(n_positions));
    return bytes_of(&map, &d);
}

void kv_divide(struct kv_division *out, const struct kv_map *map, size_t n_context,
               size_t budget_bytes)
{
    const size_t n_most = kv_pages_for(n_context);
    size_t low = 0, high = n_most; /* the longest single sequence that there is room for */
    while (low < high) {
        size_t n = (low + high + 1) / 2;
        struct kv_division d = sequences(map, n * KV_PAGE, 1);
        d.n_windows += ahead(map, n);
        if (bytes_of(map, &d) <= budget_bytes)
            low = n;
        else
            high = n - 1;
    }
    *out = sequences(map, low * KV_PAGE, low > 0);
    out->n_windows += ahead(map, low);
    size_t left = budget_bytes - bytes_of(map, out);
    if (low == n_most && bytes_of(map, out) > 0) {
        const size_t typical = n_most > TYPICAL ? n_most / TYPICAL * KV_PAGE : KV_PAGE;
        struct kv_division one = sequences(map, typical, 1), more;
        more = sequences(map, typical, left / bytes_of(map, &one));
        out->n_pages += more.n_pages;
        out->n_windows += more.n_windows;
        out->n_states += more.n_states;
        left -= bytes_of(map, &more);
        if (map->window_bytes + map->state_bytes == 0)
            out->n_pages += left / map->page_bytes;
    }
    out->n_pages = out->n_pages < UINT32_MAX ? out->n_pages : UINT32_MAX - 1;
    out->bytes = bytes_of(map, out);
}

size_t kv_windows_at(const struct kv_map *map, const struct kv_division *d, size_t n_pages)
{
    if (d->n_windows == 0)
        return 0;
    size_t share = (size_t)((double)n_pages * (double)d->n_windows / (double)d->n_pages);
    size_t one = least(n_pages, map->window_pages);
    return n_pages == d->n_pages ? d->n_windows : least(share > one ? share : one, d->n_windows);
}

size_t kv_states_at(const struct kv_division *d, size_t n_pages)
{
    if (d->n_states == 0 || n_pages == 0)
        return 0;
    size_t share = (size_t)((double)n_pages * (double)d->n_states / (double)d->n_pages);
    return n_pages == d->n_pages ? d->n_states : share > 0 ? share : 1;
}
