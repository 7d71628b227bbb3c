/* matcher.c - places and stacks. See matcher.h. */
#include "grammar/matcher.h"

#include <stdlib.h>
#include <string.h>

enum {
    BUCKETS = 4096,
    FEW = 12 /* places that are searched one by one */
};

_Static_assert(PLACE_SLOTS >= 2 * MATCHER_PLACES, "the index is half empty");

static uint32_t hash_node(uint32_t parent, uint32_t back)
{
    uint64_t h = ((uint64_t)parent << 32 | back) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(h >> 40) % BUCKETS;
}

/* The stack with `back` on top of parent; STACK_BOTTOM: there is no room for it. */
static uint32_t push(struct matcher *m, uint32_t parent, uint32_t back)
{
    uint32_t *bucket = &m->buckets[hash_node(parent, back)];
    for (uint32_t i = *bucket; i != 0; i = m->nodes[i].hash_next)
        if (m->nodes[i].parent == parent && m->nodes[i].back == back)
            return i;
    if (m->n_nodes == MATCHER_NODES)
        return STACK_BOTTOM;
    const uint32_t distance = m->automaton->states[back].distance,
                   below = m->nodes[parent].distance;
    m->nodes[m->n_nodes] = (struct stack_node){.parent = parent,
                                               .back = back,
                                               .distance = distance_sum(distance, below),
                                               .depth = m->nodes[parent].depth + 1,
                                               .hash_next = *bucket};
    *bucket = (uint32_t)m->n_nodes;
    return (uint32_t)m->n_nodes++;
}

void matcher_forget(struct matcher *m, size_t n_nodes)
{
    while (m->n_nodes > n_nodes) {
        const struct stack_node *node = &m->nodes[--m->n_nodes];
        m->buckets[hash_node(node->parent, node->back)] = node->hash_next;
    }
}

/* --- places --- */

/* The slot of a place, or the free one where it belongs. */
static size_t slot_of(const struct place_index *index, const struct matcher_places *out,
                      struct matcher_place place)
{
    uint64_t h = ((uint64_t)place.state << 32 | place.node) * 0x9E3779B97F4A7C15u;
    for (size_t i = (size_t)(h >> 40);; i++) {
        i %= PLACE_SLOTS;
        if (index->rounds[i] != index->round)
            return i;
        const struct matcher_place *other = &out->at[index->at[i]];
        if (other->state == place.state && other->node == place.node)
            return i;
    }
}

static void put_in_index(struct place_index *index, const struct matcher_places *out, size_t i)
{
    const size_t slot = slot_of(index, out, out->at[i]);
    index->rounds[slot] = index->round;
    index->at[slot] = (uint16_t)i;
}

static void index_all(struct place_index *index, struct matcher_places *out)
{
    if (++index->round == 0) {
        memset(index->rounds, 0, sizeof index->rounds);
        index->round = 1;
    }
    for (size_t i = 0; i < out->n; i++)
        put_in_index(index, out, i);
    out->indexed = true;
}

static bool has(const struct matcher *m, const struct matcher_places *out,
                struct matcher_place place)
{
    if (out->indexed)
        return m->index->rounds[slot_of(m->index, out, place)] == m->index->round;
    for (size_t i = 0; i < out->n; i++)
        if (out->at[i].state == place.state && out->at[i].node == place.node)
            return true;
    return false;
}

static void add(struct matcher *m, struct matcher_places *out, uint32_t state, uint32_t node)
{
    const struct matcher_place place = {state, node};
    if (out->n > FEW && !out->indexed)
        index_all(m->index, out);
    if (has(m, out, place))
        return;
    if (out->n == out->room) {
        out->ambiguous = true;
        return;
    }
    out->at[out->n++] = place;
    if (out->indexed)
        put_in_index(m->index, out, out->n - 1);
}

/* Adds what the places from begin on reach without reading, and drops those that only led there. */
static void close_places(struct matcher *m, struct matcher_places *out, size_t begin)
{
    const struct automaton *a = m->automaton;
    for (size_t i = begin; i < out->n; i++) {
        const struct matcher_place place = out->at[i];
        const struct automaton_state *s = &a->states[place.state];
        if (s->accepts && place.node == STACK_BOTTOM)
            out->ended = true;
        else if (s->accepts)
            add(m, out, m->nodes[place.node].back, m->nodes[place.node].parent);
        m->work += s->n_calls;
        for (uint32_t k = 0; k < s->n_calls; k++) {
            const struct automaton_call *call = &a->calls[s->first_call + k];
            if (call->height > 0 && !stack_holds(m, place.node, call->height))
                continue;
            uint32_t node = call->is_last ? place.node : push(m, place.node, call->back);
            if (call->is_last || node != STACK_BOTTOM)
                add(m, out, a->rules[call->rule].start, node);
            else
                out->ambiguous = true;
        }
    }
    size_t n = begin;
    m->work += out->n - begin;
    for (size_t i = begin; i < out->n; i++)
        if (a->states[out->at[i].state].reads)
            out->at[n++] = out->at[i];
    out->n = n;
    out->indexed = false;
}

void places_add(struct matcher *m, struct matcher_places *out, uint32_t state, uint32_t node)
{
    size_t begin = out->n;
    add(m, out, state, node);
    close_places(m, out, begin);
}

void places_step(struct matcher *m, const struct matcher_place *from, size_t n, uint8_t byte,
                 struct matcher_places *out)
{
    size_t begin = out->n;
    bool closed = true;
    for (size_t i = 0; i < n; i++) {
        uint32_t to = automaton_next(m->automaton, from[i].state, byte);
        if (to == STATE_DEAD)
            continue;
        const struct automaton_state *s = &m->automaton->states[to];
        if (s->height > 0 && !stack_holds(m, from[i].node, s->height))
            continue;
        closed &= s->reads && !s->accepts && s->n_calls == 0;
        add(m, out, to, from[i].node);
    }
    m->work += n;
    out->indexed = false;
    if (!closed) /* most steps stay inside a rule */
        close_places(m, out, begin);
}

uint32_t places_distance(const struct matcher *m, const struct matcher_places *places)
{
    uint32_t best = places->ended ? 0 : DISTANCE_NONE;
    for (size_t i = 0; i < places->n; i++) {
        const struct matcher_place place = places->at[i];
        uint32_t distance =
            distance_sum(m->automaton->states[place.state].distance, m->nodes[place.node].distance);
        best = distance < best ? distance : best;
    }
    return best;
}

/* --- the matcher --- */

struct matcher_block { /* a matcher and all its memory */
    struct matcher matcher;
    uint32_t buckets[BUCKETS];
    struct place_index index;
    struct matcher_place now[MATCHER_PLACES], other[MATCHER_PLACES];
    struct stack_node nodes[MATCHER_NODES];
};

enum status matcher_create_bare(struct matcher **out, struct error *err)
{
    struct matcher_block *block = calloc(1, sizeof *block); /* most of it is never touched */
    if (block == NULL)
        return error_no_memory(err, sizeof *block, "a place in a grammar");
    struct matcher *m = &block->matcher;
    *m = (struct matcher){.nodes = block->nodes,
                          .n_nodes = 1,
                          .buckets = block->buckets,
                          .index = &block->index,
                          .now = {.at = block->now, .room = MATCHER_PLACES},
                          .other = {.at = block->other, .room = MATCHER_PLACES}};
    *out = m;
    return STATUS_OK;
}

enum status matcher_create(struct matcher **out, const struct automaton *a, struct error *err)
{
    enum status status = matcher_create_bare(out, err);
    if (status != STATUS_OK)
        return status;
    (*out)->automaton = a;
    places_add(*out, &(*out)->now, a->rules[0].start, STACK_BOTTOM);
    return STATUS_OK;
}

void matcher_destroy(struct matcher *m)
{
    free(m); /* the block's first member */
}

/* Keeps the stacks that places stand on, in their order: the tree has room again. */
static void drop_unused(struct matcher *m)
{
    struct matcher_places *now = &m->now;
    uint32_t moved[MATCHER_NODES] = {0}; /* 1 at first, then the new number */
    for (size_t i = 0; i < now->n; i++)
        for (uint32_t k = now->at[i].node; k != STACK_BOTTOM && moved[k] == 0;
             k = m->nodes[k].parent)
            moved[k] = 1;
    memset(m->buckets, 0, BUCKETS * sizeof *m->buckets);
    size_t n = 1;
    for (size_t i = 1; i < m->n_nodes; i++) {
        if (moved[i] == 0)
            continue;
        struct stack_node node = m->nodes[i];
        node.parent = node.parent == STACK_BOTTOM ? STACK_BOTTOM : moved[node.parent];
        uint32_t *bucket = &m->buckets[hash_node(node.parent, node.back)];
        node.hash_next = *bucket;
        moved[i] = *bucket = (uint32_t)n;
        m->nodes[n++] = node;
    }
    m->n_nodes = n;
    for (size_t i = 0; i < now->n; i++)
        if (now->at[i].node != STACK_BOTTOM)
            now->at[i].node = moved[now->at[i].node];
}

bool matcher_take(struct matcher *m, const char *bytes, size_t n)
{
    size_t n_nodes = m->n_nodes;
    struct matcher_place kept[MATCHER_PLACES];
    struct matcher_places before = m->now;
    memcpy(kept, before.at, before.n * sizeof *kept);
    for (size_t i = 0; i < n; i++) {
        m->other.n = 0;
        m->other.ended = false;
        m->other.ambiguous = m->now.ambiguous;
        places_step(m, m->now.at, m->now.n, (uint8_t)bytes[i], &m->other);
        if (m->other.n == 0 && !m->other.ended) {
            m->now.n = before.n;
            m->now.ended = before.ended;
            m->now.ambiguous = before.ambiguous;
            memcpy(m->now.at, kept, before.n * sizeof *kept);
            matcher_forget(m, n_nodes);
            return false;
        }
        struct matcher_places swap = m->now;
        m->now = m->other;
        m->other = swap;
    }
    if (m->n_nodes > MATCHER_NODES / 2)
        drop_unused(m);
    return true;
}

bool matcher_may_end(const struct matcher *m)
{
    return m->now.ended;
}

uint32_t matcher_distance(const struct matcher *m)
{
    return places_distance(m, &m->now);
}
