/* masks.c - walks of the vocabulary's trees, kept by state. See masks.h. */
#include "grammar/masks.h"

#include "base/arena.h"
#include "grammar/tails.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct kept_mask {
    size_t n;                /* tokens that stay inside */
    const uint64_t *bits;    /* [n_words]; NULL: they are listed */
    const uint32_t *ids;     /* [n] */
    struct walk_tree tails;  /* of those that leave the rule, from there on */
    size_t n_tails;          /* nodes; 0: none leaves */
    const uint32_t *leavers; /* [n_leavers] nodes of the vocabulary that found no room in there */
    size_t n_leavers;
    uint64_t work;   /* that its making was */
    bool overran;    /* which was given up: tokens are missing */
    uint32_t height; /* that stacks have upon the state's, on any of the ways to its tokens */
};

enum { /* of places and calls: what more takes tells of a grammar with too many ways at once */
       MAKE_WORK = 1 << 21,
       FILL_WORK = 1 << 22
};

struct masks {
    const struct automaton *automaton;
    const struct vocabulary *vocabulary;
    struct steady steady;
    _Atomic(struct kept_mask *) *of; /* [n_likenesses] */
    uint32_t *first;                 /* [n_likenesses] the lowest state of each */
    pthread_mutex_t lock;            /* of the memory */
    struct arena memory;             /* reserved; of kept masks */
    size_t n_taken;
    bool has_lock;
};

struct mask_scratch {
    const struct vocabulary *vocabulary;
    struct matcher *matcher; /* for kept masks: they owe nothing to whose text asks */
    struct walk_room room;
    struct tails_room tails;
    struct kept_mask made; /* what was made last, in the following */
    uint64_t *bits;        /* [n_words] */
    uint32_t *ids;         /* [n_words] */
    uint32_t *found;       /* [n_nodes] */
};

static struct walk_tree tree_of(const struct vocabulary *v)
{
    return (struct walk_tree){.nodes = v->nodes, .tokens = v->tokens, .below = v->below};
}

/* Without the processor's own instruction, which not all have. */
static size_t count_bits(const uint64_t *bits, size_t n_words)
{
    size_t n = 0;
    for (size_t i = 0; i < n_words; i++) {
        uint64_t x = bits[i];
        x -= x >> 1 & 0x5555555555555555u;
        x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
        x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
        n += x * 0x0101010101010101u >> 56;
    }
    return n;
}

/* --- kept masks --- */

static size_t list_bits(const uint64_t *bits, size_t n_words, uint32_t *ids)
{
    size_t n = 0;
    for (size_t i = 0; i < n_words; i++)
        for (uint64_t word = bits[i]; word != 0; word &= word - 1)
            ids[n++] = (uint32_t)(i * 64 + (size_t)__builtin_ctzll(word));
    return n;
}

/* Plain tokens as a whole, where only their length counts; false: they must be walked. */
static bool take_slice(const struct masks *masks, uint32_t state, uint64_t *bits)
{
    const struct vocabulary *v = masks->vocabulary;
    unsigned n;
    bool ends;
    const uint64_t kinds = steady_kinds(&masks->steady, state, &n, &ends);
    if (!ends || n > VOCABULARY_SLICES || (v->below[v->roots[0]].kinds & ~kinds) != 0)
        return false;
    const uint64_t *slice = v->slices + (n - 1) * vocabulary_n_words(v);
    for (size_t i = 0; i < vocabulary_n_words(v); i++)
        bits[i] |= slice[i];
    return true;
}

/* From one place, along the vocabulary's trees from the which-th on. */
static void walk_place(struct tree_walk *w, const struct vocabulary *v, struct matcher_place place,
                       size_t which)
{
    w->tree = tree_of(v);
    for (size_t i = which; i < 2; i++) {
        struct matcher_places *places = walk_begin(w);
        places->at[places->n++] = place;
        walk_below(w, v->roots[i]);
    }
}

/* Makes the mask of a state into the scratch, as if no stack were below it. */
static void make_mask(const struct masks *masks, struct mask_scratch *scratch, uint32_t state)
{
    const struct automaton *a = masks->automaton;
    struct matcher *m = scratch->matcher;
    const struct vocabulary *v = masks->vocabulary;
    const size_t n_words = vocabulary_n_words(v);
    struct tree_walk w = {.m = m,
                          .steady = &masks->steady,
                          .room = &scratch->room,
                          .bits = scratch->bits,
                          .follow = a->rules[a->states[state].rule].follow,
                          .found = scratch->found,
                          .most_work = MAKE_WORK};
    m->automaton = a;
    m->highest = 0;
    m->work = 0;
    memset(scratch->bits, 0, n_words * sizeof *scratch->bits);
    const bool has_plain = take_slice(masks, state, scratch->bits);
    if (has_plain)
        (void)stack_holds(m, STACK_BOTTOM, rule_height(a, state));
    walk_place(&w, v, (struct matcher_place){state, STACK_BOTTOM}, has_plain);
    struct kept_mask *made = &scratch->made;
    *made = (struct kept_mask){.n = count_bits(scratch->bits, n_words),
                               .work = m->work,
                               .overran = m->work > MAKE_WORK,
                               .height = m->highest};
    if (made->n > n_words / 2) {
        made->bits = scratch->bits;
    } else {
        list_bits(scratch->bits, n_words, scratch->ids);
        made->ids = scratch->ids;
    }
    tails_begin(&scratch->tails);
    for (size_t i = 0; i < w.n_found; i++)
        if (!tails_add(&scratch->tails, &w.tree, scratch->found[i]))
            scratch->found[made->n_leavers++] = scratch->found[i];
    made->leavers = scratch->found;
    if (w.n_found == 0)
        return;
    tails_lay(&scratch->tails);
    made->n_tails = scratch->tails.n;
    made->tails =
        (struct walk_tree){.nodes = scratch->tails.laid, .tokens = scratch->tails.laid_tokens};
}

/* A copy of n bytes in the kept masks' memory; NULL: it is full. The lock is held. */
static void *keep(struct masks *masks, const void *bytes, size_t n)
{
    enum { BLOCK = 1 << 16 };
    size_t begin = (masks->n_taken + 15) / 16 * 16;
    if (begin + n > masks->memory.n_used &&
        !arena_extend(&masks->memory, (begin + n + BLOCK - 1) / BLOCK * BLOCK))
        return NULL;
    masks->n_taken = begin + n;
    return memcpy(masks->memory.base + begin, bytes, n);
}

static struct kept_mask *copy_mask(struct masks *masks, const struct kept_mask *made)
{
    const size_t n_before = masks->n_taken;
    struct kept_mask copy = *made;
    bool ok = true;
    if (made->bits != NULL)
        ok = (copy.bits = keep(masks, made->bits,
                               vocabulary_n_words(masks->vocabulary) * sizeof *copy.bits)) != NULL;
    else
        ok = (copy.ids = keep(masks, made->ids, made->n * sizeof *copy.ids)) != NULL;
    if (ok && made->n_leavers > 0)
        ok = (copy.leavers = keep(masks, made->leavers, made->n_leavers * sizeof *copy.leavers)) !=
             NULL;
    if (ok && made->n_tails > 0) {
        const struct vocabulary_node *nodes = made->tails.nodes;
        const size_t n_tokens = nodes[made->n_tails].first_token;
        copy.tails.nodes = keep(masks, nodes, (made->n_tails + 1) * sizeof *nodes);
        ok = copy.tails.nodes != NULL &&
             (copy.tails.tokens =
                  keep(masks, made->tails.tokens, n_tokens * sizeof *copy.tails.tokens)) != NULL;
    }
    struct kept_mask *kept = ok ? keep(masks, &copy, sizeof copy) : NULL;
    if (kept == NULL)
        masks->n_taken = n_before;
    return kept;
}

static const struct kept_mask *mask_of(struct masks *masks, struct mask_scratch *scratch,
                                       uint32_t likeness)
{
    _Atomic(struct kept_mask *) *place = &masks->of[likeness];
    struct kept_mask *kept = atomic_load_explicit(place, memory_order_acquire);
    if (kept != NULL)
        return kept;
    make_mask(masks, scratch, masks->first[likeness]); /* the same, whoever asks */
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

/* Tokens that leave a rule, by where texts stand outside. */
static void add_leavers(struct tree_walk *w, const struct kept_mask *kept,
                        const struct vocabulary *v, const struct matcher_places *outside)
{
    const size_t n_nodes = w->m->n_nodes;
    if (kept->n_tails > 0) {
        struct matcher_places *places = walk_begin(w);
        w->tree = kept->tails;
        memcpy(places->at, outside->at, outside->n * sizeof *outside->at);
        places->n = outside->n;
        walk_below(w, 0);
    }
    if (kept->n_leavers > 0)
        w->tree = tree_of(v);
    for (size_t i = 0; i < kept->n_leavers; i++) {
        const uint32_t leaver = kept->leavers[i];
        struct matcher_places *places = walk_begin(w);
        places_step(w->m, outside->at, outside->n, v->nodes[leaver].byte, places);
        if (places->n > 0 || places->ended) {
            walk_set(w, leaver);
            walk_below(w, leaver);
        }
        matcher_forget(w->m, n_nodes);
    }
}

static void add_inside(const struct kept_mask *kept, uint64_t *bits, size_t n_words)
{
    for (size_t i = 0; kept->bits != NULL && i < n_words; i++)
        bits[i] |= kept->bits[i];
    for (size_t i = 0; kept->bits == NULL && i < kept->n; i++)
        bits[kept->ids[i] / 64] |= (uint64_t)1 << kept->ids[i] % 64;
}

/* Tokens from the places of one likeness, of which the i-th is the first; false: more than the kept
 * ones may be set. */
static bool add_group(struct tree_walk *w, const struct kept_mask *kept, const struct vocabulary *v,
                      size_t i)
{
    struct matcher *m = w->m;
    const struct automaton *a = m->automaton;
    const uint32_t likeness = a->states[m->now.at[i].state].likeness;
    const bool leaves = kept->n_tails > 0 || kept->n_leavers > 0;
    const size_t n_nodes = m->n_nodes;
    struct matcher_place at[MATCHER_PLACES];
    struct matcher_places outside = {.at = at, .room = MATCHER_PLACES};
    bool has_inside = false, has_deep = false;
    for (; i < m->now.n; i++) {
        const struct matcher_place place = m->now.at[i];
        if (a->states[place.state].likeness != likeness)
            continue;
        const struct stack_node stack = m->nodes[place.node];
        if (stack.depth + kept->height > STACK_DEPTH) { /* what is kept does not hold */
            walk_place(w, v, place, 0);
            has_deep = true;
            continue;
        }
        if (!has_inside)
            add_inside(kept, w->bits, vocabulary_n_words(v));
        has_inside = true;
        if (leaves && place.node != STACK_BOTTOM)
            places_add(m, &outside, stack.back, stack.parent);
    }
    if (outside.n > 0)
        add_leavers(w, kept, v, &outside);
    matcher_forget(m, n_nodes);
    return !has_deep && outside.n == 0;
}

size_t masks_fill(struct masks *masks, struct matcher *m, struct mask_scratch *scratch,
                  uint64_t *bits)
{
    const struct automaton_state *states = masks->automaton->states;
    const size_t n_words = vocabulary_n_words(masks->vocabulary);
    struct tree_walk w = {.m = m,
                          .steady = &masks->steady,
                          .room = &scratch->room,
                          .bits = bits,
                          .most_work = FILL_WORK};
    uint32_t met[MATCHER_PLACES]; /* likenesses */
    size_t n = 0, n_met = 0;
    bool exact = true; /* n is what is set */
    m->highest = 0;
    m->work = 0;
    m->overran = false;
    memset(bits, 0, n_words * sizeof *bits);
    for (size_t i = 0; i < m->now.n && m->work <= FILL_WORK; i++) {
        const uint32_t likeness = states[m->now.at[i].state].likeness;
        size_t k = 0;
        while (k < n_met && met[k] != likeness)
            k++;
        if (k < n_met)
            continue;
        met[n_met++] = likeness;
        const struct kept_mask *kept = mask_of(masks, scratch, likeness);
        m->work += kept->work; /* as if it had been made here: it may not be kept */
        m->overran |= kept->overran;
        exact = add_group(&w, kept, masks->vocabulary, i) && n_met == 1;
        n = kept->n;
    }
    m->overran |= m->work > FILL_WORK;
    return exact ? n : count_bits(bits, n_words);
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
    masks->first = calloc(a->n_likenesses + 1, sizeof *masks->first);
    enum status status = steady_init(&masks->steady, a, err);
    if (status == STATUS_OK && (masks->of == NULL || masks->first == NULL))
        status =
            error_no_memory(err, a->n_likenesses * sizeof *masks->of, "the masks of a grammar");
    for (uint32_t i = (uint32_t)a->n_states; status == STATUS_OK && i-- > 1;)
        masks->first[a->states[i].likeness] = i;
    if (status == STATUS_OK)
        status = arena_reserve_small(&masks->memory, n_bytes, "the masks of a grammar", err);
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
    steady_free(&masks->steady);
    free(masks->of);
    free(masks->first);
    free(masks);
}

size_t masks_bytes(struct masks *masks)
{
    pthread_mutex_lock(&masks->lock);
    size_t n = masks->n_taken;
    pthread_mutex_unlock(&masks->lock);
    return n + masks->automaton->n_likenesses * (sizeof *masks->of + sizeof *masks->first);
}

enum status mask_scratch_create(struct mask_scratch **out, const struct vocabulary *v,
                                struct error *err)
{
    struct mask_scratch *s = calloc(1, sizeof *s);
    if (s == NULL)
        return error_no_memory(err, sizeof *s, "a walk of the vocabulary");
    s->vocabulary = v;
    s->bits = calloc(vocabulary_n_words(v) + 1, sizeof *s->bits);
    s->ids = calloc(vocabulary_n_words(v) + 1, sizeof *s->ids);
    s->found = calloc(v->n_nodes + 1, sizeof *s->found);
    enum status status = STATUS_OK;
    if (s->bits == NULL || s->ids == NULL || s->found == NULL)
        status = error_no_memory(err, v->n_nodes * sizeof *s->found, "a walk of the vocabulary");
    if (status == STATUS_OK)
        status = matcher_create_bare(&s->matcher, err);
    if (status == STATUS_OK)
        status = walk_room_init(&s->room, v->longest, err);
    if (status == STATUS_OK)
        status = tails_room_init(&s->tails, v, err);
    if (status != STATUS_OK) {
        mask_scratch_destroy(s);
        return status;
    }
    *out = s;
    return STATUS_OK;
}

void mask_scratch_destroy(struct mask_scratch *s)
{
    if (s == NULL)
        return;
    matcher_destroy(s->matcher);
    walk_room_free(&s->room);
    tails_room_free(&s->tails);
    free(s->bits);
    free(s->ids);
    free(s->found);
    free(s);
}
