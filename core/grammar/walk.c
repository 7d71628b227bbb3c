/* walk.c - the walk, level by level. See walk.h. */
#include "grammar/walk.h"

#include <stdlib.h>

enum { FEW = 3 /* nodes that are looked at one by one */ };

enum status walk_room_init(struct walk_room *room, size_t longest, struct error *err)
{
    *room =
        (struct walk_room){.levels = calloc(longest + 2, sizeof *room->levels),
                           .pool = calloc((longest + 2) * MATCHER_PLACES + 1, sizeof *room->pool)};
    if (room->levels != NULL && room->pool != NULL)
        return STATUS_OK;
    walk_room_free(room);
    return error_no_memory(err, longest * MATCHER_PLACES * sizeof *room->pool,
                           "a walk of the vocabulary");
}

void walk_room_free(struct walk_room *room)
{
    free(room->levels);
    free(room->pool);
    *room = (struct walk_room){0};
}

static void set_range(const struct tree_walk *w, uint32_t begin, uint32_t end)
{
    for (uint32_t i = begin; i < end; i++)
        w->bits[w->tree.tokens[i] / 64] |= (uint64_t)1 << w->tree.tokens[i] % 64;
}

void walk_set(const struct tree_walk *w, uint32_t node)
{
    set_range(w, w->tree.nodes[node].first_token, w->tree.nodes[node + 1].first_token);
}

struct matcher_places *walk_begin(struct tree_walk *w)
{
    struct walk_level *level = &w->room->levels[0];
    level->places = (struct matcher_places){.at = w->room->pool, .room = MATCHER_PLACES};
    return &level->places;
}

/* The places after one byte; false: there are none, and no end. */
static bool step(struct tree_walk *w, const struct walk_level *above, struct walk_level *level,
                 uint8_t byte)
{
    const struct automaton *a = w->m->automaton;
    struct matcher_place *begin = above->places.at + above->places.n;
    if (above->places.n == 1) { /* nearly always; a place more than the pool's count is there */
        const struct matcher_place place = above->places.at[0];
        const uint32_t to = automaton_next(a, place.state, byte);
        if (to == STATE_DEAD)
            return false;
        const uint32_t height = a->states[to].height;
        if (height > 0 && !stack_holds(w->m, place.node, height))
            return false;
        if (a->states[to].closed) {
            *begin = (struct matcher_place){to, place.node};
            level->places = (struct matcher_places){.at = begin, .n = 1};
            level->n_nodes = above->n_nodes;
            return true;
        }
    }
    level->places = (struct matcher_places){.at = begin, .room = MATCHER_PLACES};
    matcher_forget(w->m, above->n_nodes);
    places_step(w->m, above->places.at, above->places.n, byte, &level->places);
    level->n_nodes = w->m->n_nodes;
    return level->places.n > 0 || level->places.ended;
}

/* Some place allows everything below the node, whatever it is. */
static bool allows_below(const struct tree_walk *w, const struct walk_level *level, uint32_t node)
{
    const struct vocabulary_below below = w->tree.below[node];
    for (size_t i = 0; i < level->places.n; i++) {
        const struct matcher_place place = level->places.at[i];
        unsigned n;
        bool ends;
        const uint64_t kinds = steady_kinds(w->steady, place.state, &n, &ends);
        if ((below.kinds & ~kinds) == 0 && (n == STEADY_EVER || below.n <= n) &&
            stack_holds(w->m, place.node, rule_height(w->m->automaton, place.state)))
            return true;
    }
    return false;
}

static bool may_follow(const uint64_t follow[4], uint8_t byte)
{
    return (follow[byte / 64] >> byte % 64 & 1) != 0;
}

void walk_below(struct tree_walk *w, uint32_t node)
{
    const struct vocabulary_node *nodes = w->tree.nodes;
    const uint32_t end = nodes[node].end;
    const size_t base = nodes[node].depth;
    struct walk_level *levels = w->room->levels;
    levels[0].n_nodes = w->m->n_nodes;
    if (w->tree.below != NULL && allows_below(w, &levels[0], node)) {
        set_range(w, nodes[node + 1].first_token, nodes[end].first_token);
        return;
    }
    for (uint32_t i = node + 1; i < end;) {
        const struct vocabulary_node at = nodes[i];
        const size_t depth = at.depth - base;
        const struct walk_level *above = &levels[depth - 1];
        struct walk_level *level = &levels[depth];
        if (w->follow != NULL && depth > 1 && above->places.ended && may_follow(w->follow, at.byte))
            w->found[w->n_found++] = i;
        w->m->work++;
        if (w->m->work > w->most_work)
            break;
        if (!step(w, above, level, at.byte)) {
            i = at.end;
        } else if (w->tree.below != NULL && at.end - i > FEW && allows_below(w, level, i)) {
            set_range(w, at.first_token, nodes[at.end].first_token);
            i = at.end;
        } else {
            walk_set(w, i++);
        }
    }
    matcher_forget(w->m, levels[0].n_nodes);
}
