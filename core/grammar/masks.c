/* masks.c - walks of the vocabulary's tree, kept by state. See masks.h. */
#include "grammar/masks.h"

#include "base/arena.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { POOL = 32768 /* places of all levels of a walk */ };

struct mask_leaver { /* a token, or several that begin alike, which leaves the rule before this node
                      */
    uint32_t node;
};

struct kept_mask {
    uint64_t *inside;            /* [n_words] */
    struct mask_leaver *leavers; /* [n_leavers], by the node's byte */
    uint32_t first_of[257];      /* of each byte, the last one's end too */
};

struct masks {
    const struct automaton *automaton;
    const struct vocabulary *vocabulary;
    _Atomic(struct kept_mask *) *of; /* [n_likenesses] */
    pthread_mutex_t lock;            /* of the memory */
    struct arena memory;             /* reserved; of kept masks */
    size_t n_taken;
    bool has_lock;
};

struct walk_level {
    struct matcher_places places; /* a part of the pool */
    size_t n_nodes;               /* of the matcher's stacks then */
};

struct mask_scratch {
    const struct vocabulary *vocabulary;
    struct walk_level *levels;  /* [longest + 2] */
    struct matcher_place *pool; /* [POOL] */
    struct kept_mask made;      /* what was made last */
    uint32_t *found;            /* [n_nodes]: leavers in the order of the walk */
};

/* --- walks --- */

struct mask_walk {
    struct matcher *m;
    const struct vocabulary *v;
    struct mask_scratch *scratch;
    uint64_t *bits;
    const uint64_t *follow; /* of what leaves; NULL: nothing does, the stack is whole */
    size_t n_found;
    size_t base; /* depth of level 0 */
};

static void set_tokens(const struct vocabulary *v, uint32_t node, uint64_t *bits)
{
    for (uint32_t i = v->nodes[node].first_token; i < v->nodes[node + 1].first_token; i++)
        bits[v->tokens[i] / 64] |= (uint64_t)1 << v->tokens[i] % 64;
}

/* Empty places after those of a level. */
static struct walk_level *next_level(struct mask_walk *w, size_t depth)
{
    struct walk_level *above = depth > 0 ? &w->scratch->levels[depth - 1] : NULL;
    struct walk_level *level = &w->scratch->levels[depth];
    struct matcher_place *begin =
        above != NULL ? above->places.at + above->places.n : w->scratch->pool;
    size_t room = (size_t)(w->scratch->pool + POOL - begin);
    level->places =
        (struct matcher_places){.at = begin, .room = room < MATCHER_PLACES ? room : MATCHER_PLACES};
    return level;
}

static bool may_follow(const uint64_t follow[4], uint8_t byte)
{
    return (follow[byte / 64] >> byte % 64 & 1) != 0;
}

/* All that lies below `node`, from level 0 on. */
static void walk_below(struct mask_walk *w, uint32_t node)
{
    const struct vocabulary *v = w->v;
    const uint32_t end = v->nodes[node].end;
    w->base = v->nodes[node].depth;
    w->scratch->levels[0].n_nodes = w->m->n_nodes;
    for (uint32_t i = node + 1; i < end;) {
        const struct vocabulary_node at = v->nodes[i];
        size_t depth = at.depth - w->base;
        const struct walk_level *above = &w->scratch->levels[depth - 1];
        if (w->follow != NULL && depth > 1 && above->places.ended && may_follow(w->follow, at.byte))
            w->scratch->found[w->n_found++] = i;
        matcher_forget(w->m, above->n_nodes);
        struct walk_level *level = next_level(w, depth);
        places_step(w->m, above->places.at, above->places.n, at.byte, &level->places);
        level->n_nodes = w->m->n_nodes;
        if (level->places.n == 0 && !level->places.ended) {
            i = at.end;
            continue;
        }
        set_tokens(v, i, w->bits);
        i++;
    }
    matcher_forget(w->m, w->scratch->levels[0].n_nodes);
}

/* --- kept masks --- */

/* Makes the mask of a state into the scratch. */
static void make_mask(const struct masks *masks, struct matcher *m, struct mask_scratch *scratch,
                      uint32_t state)
{
    const struct automaton *a = masks->automaton;
    const struct vocabulary *v = masks->vocabulary;
    struct kept_mask *made = &scratch->made;
    memset(made->inside, 0, vocabulary_n_words(v) * sizeof *made->inside);
    struct mask_walk w = {.m = m,
                          .v = v,
                          .scratch = scratch,
                          .bits = made->inside,
                          .follow = a->rules[a->states[state].rule].follow};
    struct walk_level *level = next_level(&w, 0);
    level->places.at[level->places.n++] = (struct matcher_place){state, STACK_BOTTOM};
    walk_below(&w, 0);
    memset(made->first_of, 0, sizeof made->first_of);
    for (size_t i = 0; i < w.n_found; i++)
        made->first_of[v->nodes[scratch->found[i]].byte + 1]++;
    for (int byte = 0; byte < 256; byte++)
        made->first_of[byte + 1] += made->first_of[byte];
    uint32_t next[256];
    memcpy(next, made->first_of, sizeof next);
    for (size_t i = 0; i < w.n_found; i++)
        made->leavers[next[v->nodes[scratch->found[i]].byte]++].node = scratch->found[i];
}

/* n bytes of the kept masks' memory; NULL: it is full. The lock is held. */
static void *take(struct masks *masks, size_t n)
{
    enum { BLOCK = 1 << 20 };
    size_t begin = (masks->n_taken + 15) / 16 * 16;
    if (begin + n > masks->memory.n_used &&
        !arena_extend(&masks->memory, (begin + n + BLOCK - 1) / BLOCK * BLOCK))
        return NULL;
    masks->n_taken = begin + n;
    return masks->memory.base + begin;
}

static struct kept_mask *copy_mask(struct masks *masks, const struct kept_mask *made)
{
    const size_t n_words = vocabulary_n_words(masks->vocabulary), n_before = masks->n_taken;
    const size_t n_leavers = made->first_of[256];
    struct kept_mask *kept = take(masks, sizeof *kept);
    uint64_t *inside = kept != NULL ? take(masks, n_words * sizeof *inside) : NULL;
    struct mask_leaver *leavers = inside != NULL ? take(masks, n_leavers * sizeof *leavers) : NULL;
    if (leavers == NULL) {
        masks->n_taken = n_before;
        return NULL;
    }
    *kept = *made;
    kept->inside = memcpy(inside, made->inside, n_words * sizeof *inside);
    kept->leavers = memcpy(leavers, made->leavers, n_leavers * sizeof *leavers);
    return kept;
}

static const struct kept_mask *mask_of(struct masks *masks, struct matcher *m,
                                       struct mask_scratch *scratch, uint32_t state)
{
    _Atomic(struct kept_mask *) *place = &masks->of[masks->automaton->states[state].likeness];
    struct kept_mask *kept = atomic_load_explicit(place, memory_order_acquire);
    if (kept != NULL)
        return kept;
    make_mask(masks, m, scratch, state);
    pthread_mutex_lock(&masks->lock);
    kept = atomic_load_explicit(place, memory_order_relaxed);
    if (kept == NULL) {
        kept = copy_mask(masks, &scratch->made);
        atomic_store_explicit(place, kept, memory_order_release);
    }
    pthread_mutex_unlock(&masks->lock);
    return kept != NULL ? kept : &scratch->made;
}

/* --- a mask --- */

/* Tokens that leave the rule of a place, by what its stack says. */
static void add_leavers(struct mask_walk *w, const struct kept_mask *kept, uint32_t node)
{
    const struct stack_node *stack = &w->m->nodes[node];
    const size_t n_nodes = w->m->n_nodes;
    struct matcher_place at[MATCHER_PLACES];
    struct matcher_places outside = {.at = at, .room = MATCHER_PLACES};
    places_add(w->m, &outside, stack->back, stack->parent);
    const size_t n_outside = w->m->n_nodes;
    for (int byte = 0; byte < 256; byte++) {
        if (kept->first_of[byte] == kept->first_of[byte + 1])
            continue;
        matcher_forget(w->m, n_outside);
        struct walk_level *level = next_level(w, 0);
        places_step(w->m, outside.at, outside.n, (uint8_t)byte, &level->places);
        if (level->places.n == 0 && !level->places.ended)
            continue;
        for (uint32_t i = kept->first_of[byte]; i < kept->first_of[byte + 1]; i++) {
            set_tokens(w->v, kept->leavers[i].node, w->bits);
            walk_below(w, kept->leavers[i].node);
        }
    }
    matcher_forget(w->m, n_nodes);
}

size_t masks_fill(struct masks *masks, struct matcher *m, struct mask_scratch *scratch,
                  uint64_t *bits)
{
    const size_t n_words = vocabulary_n_words(masks->vocabulary);
    memset(bits, 0, n_words * sizeof *bits);
    struct mask_walk w = {.m = m, .v = masks->vocabulary, .scratch = scratch, .bits = bits};
    for (size_t i = 0; i < m->now.n; i++) {
        const struct matcher_place place = m->now.at[i];
        const struct kept_mask *kept = mask_of(masks, m, scratch, place.state);
        for (size_t k = 0; k < n_words; k++)
            bits[k] |= kept->inside[k];
        if (place.node != STACK_BOTTOM)
            add_leavers(&w, kept, place.node);
    }
    size_t n = 0;
    for (size_t k = 0; k < n_words; k++)
        n += (size_t)__builtin_popcountll(bits[k]);
    return n;
}

/* --- their lives --- */

enum status masks_create(struct masks **out, const struct automaton *a, const struct vocabulary *v,
                         size_t n_bytes, struct error *err)
{
    struct masks *masks = calloc(1, sizeof *masks);
    if (masks == NULL)
        return error_no_memory(err, sizeof *masks, "the masks of a grammar");
    masks->automaton = a;
    masks->vocabulary = v;
    masks->of = calloc(a->n_likenesses + 1, sizeof *masks->of);
    enum status status = STATUS_OK;
    if (masks->of == NULL)
        status =
            error_no_memory(err, a->n_likenesses * sizeof *masks->of, "the masks of a grammar");
    if (status == STATUS_OK)
        status = arena_reserve(&masks->memory, n_bytes, "the masks of a grammar", err);
    masks->has_lock = status == STATUS_OK && pthread_mutex_init(&masks->lock, NULL) == 0;
    if (status == STATUS_OK && !masks->has_lock)
        status = error_no_memory(err, sizeof masks->lock, "the masks of a grammar");
    if (status != STATUS_OK) {
        masks_destroy(masks);
        return status;
    }
    *out = masks;
    return STATUS_OK;
}

void masks_destroy(struct masks *masks)
{
    if (masks == NULL)
        return;
    if (masks->has_lock)
        pthread_mutex_destroy(&masks->lock);
    arena_free(&masks->memory);
    free(masks->of);
    free(masks);
}

enum status mask_scratch_create(struct mask_scratch **out, const struct vocabulary *v,
                                struct error *err)
{
    struct mask_scratch *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_no_memory(err, sizeof *s, "a walk of the vocabulary");
    s->vocabulary = v;
    s->levels = calloc(v->longest + 2, sizeof *s->levels);
    s->pool = calloc(POOL + MATCHER_PLACES, sizeof *s->pool);
    s->found = calloc(v->n_nodes + 1, sizeof *s->found);
    s->made.leavers = calloc(v->n_nodes + 1, sizeof *s->made.leavers);
    s->made.inside = calloc(vocabulary_n_words(v) + 1, sizeof *s->made.inside);
    if (s->levels == NULL || s->pool == NULL || s->found == NULL || s->made.leavers == NULL ||
        s->made.inside == NULL) {
        mask_scratch_destroy(s);
        return error_no_memory(err, v->n_nodes * 2 * sizeof *s->found, "a walk of the vocabulary");
    }
    *out = s;
    return STATUS_OK;
}

void mask_scratch_destroy(struct mask_scratch *s)
{
    if (s == NULL)
        return;
    free(s->levels);
    free(s->pool);
    free(s->found);
    free(s->made.leavers);
    free(s->made.inside);
    free(s);
}
