/* guide.c - masks, ends and forced tokens of one sequence. See guide.h. */
#include "guide/guide.h"

#include "grammar/lookahead.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_MOST = 4096 /* bytes: of a token in the tree */ };

static bool is_in(const struct guide_ids *ids, int32_t id)
{
    for (size_t i = 0; i < ids->n; i++)
        if (ids->ids[i] == id)
            return true;
    return false;
}

static bool bit_of(const uint64_t *bits, int32_t id)
{
    return (bits[id / 64] >> id % 64 & 1) != 0;
}

static void set_bit(const struct guide *g, int32_t id, bool on, uint64_t *bits)
{
    if (id < 0 || (size_t)id >= g->tokens->vocabulary->n_ids)
        return;
    const uint64_t bit = (uint64_t)1 << id % 64;
    bits[id / 64] = on ? bits[id / 64] | bit : bits[id / 64] & ~bit;
}

enum status guide_create(struct guide **out, const struct grammar *grammar, struct error *err)
{
    struct guide *g = calloc(1, sizeof *g);
    if (g == NULL)
        return error_no_memory(err, sizeof *g, "a place in a grammar");
    enum status status = matcher_create(&g->matcher, grammar->automaton, err);
    if (status != STATUS_OK) {
        free(g);
        return status;
    }
    g->grammar = grammar;
    *out = g;
    return STATUS_OK;
}

enum status guide_create_like(struct guide **out, const struct guide *other, struct error *err)
{
    struct guide *g;
    enum status status = guide_create(&g, other->grammar, err);
    if (status != STATUS_OK)
        return status;
    struct matcher *own = g->matcher;
    *g = *other;
    g->matcher = own;
    g->closed = false;
    *out = g;
    return STATUS_OK;
}

void guide_destroy(struct guide *g)
{
    if (g == NULL)
        return;
    matcher_destroy(g->matcher);
    free(g);
}

/* --- what may come --- */

bool guide_is_end(const struct guide *g, int32_t id)
{
    const struct guide_ids ends = {g->tokens->ends, g->tokens->n_ends};
    return is_in(&ends, id) || is_in(&g->stops, id);
}

void guide_mask(struct guide *g, struct mask_scratch *scratch, bool ban_ends, bool ban_stops,
                uint64_t *bits)
{
    const struct vocabulary *v = g->tokens->vocabulary;
    const size_t n_words = vocabulary_n_words(v);
    bool is_shown[GUIDE_SHOWN_MAX];
    assert(g->shown.n <= GUIDE_SHOWN_MAX);
    masks_fill(g->grammar->masks, g->matcher, scratch, bits);
    for (size_t i = 0; i < g->shown.n; i++)
        is_shown[i] = bit_of(bits, g->shown.ids[i]);
    for (size_t k = 0; k < n_words; k++)
        bits[k] &= ~v->control[k];
    for (size_t i = 0; i < g->shown.n; i++)
        set_bit(g, g->shown.ids[i], is_shown[i], bits);
    const bool may_end = guide_may_end(g);
    for (size_t i = 0; i < g->tokens->n_ends; i++)
        set_bit(g, g->tokens->ends[i], may_end && !ban_ends, bits);
    for (size_t i = 0; i < g->stops.n; i++)
        set_bit(g, g->stops.ids[i], may_end && !ban_stops, bits);
}

/* The first of the tokens with a node's bytes that may be part of the text; GUIDE_NONE. */
static int32_t token_at(const struct guide *g, uint32_t node)
{
    const struct vocabulary *v = g->tokens->vocabulary;
    for (uint32_t i = v->nodes[node].first_token; i < v->nodes[node + 1].first_token; i++) {
        const int32_t id = (int32_t)v->tokens[i];
        const bool is_text = bit_of(v->control, id) ? is_in(&g->shown, id) && !guide_is_end(g, id)
                                                    : !is_in(&g->stops, id);
        if (is_text && !sampler_bans(g->biases, g->n_biases, id))
            return id;
    }
    return GUIDE_NONE;
}

/* --- tokens by their bytes --- */

struct spelling { /* where some bytes lead in both trees */
    uint32_t at[2];
    size_t n; /* bytes */
};

static const struct spelling no_bytes = {{GUIDE_NO_NODE, GUIDE_NO_NODE}, 0};

static uint32_t below(const struct vocabulary_node *nodes, uint32_t node, uint8_t byte)
{
    const uint32_t end = node != GUIDE_NO_NODE ? nodes[node].end : 0;
    for (uint32_t i = node + 1; i < end && nodes[i].byte <= byte; i = nodes[i].end)
        if (nodes[i].byte == byte)
            return i;
    return GUIDE_NO_NODE;
}

/* False: no token goes on so. */
static bool spell(const struct guide_tokens *tokens, struct spelling *s, uint8_t byte)
{
    for (int tree = 0; tree < 2; tree++)
        s->at[tree] = s->n == 0 ? tokens->first[tree][byte]
                                : below(tokens->vocabulary->nodes, s->at[tree], byte);
    s->n++;
    return s->at[0] != GUIDE_NO_NODE || s->at[1] != GUIDE_NO_NODE;
}

static int32_t token_of(const struct guide *g, const struct spelling *s)
{
    int32_t id = s->at[0] != GUIDE_NO_NODE ? token_at(g, s->at[0]) : GUIDE_NONE;
    return id == GUIDE_NONE && s->at[1] != GUIDE_NO_NODE ? token_at(g, s->at[1]) : id;
}

/* Whether a token goes on with a byte that may come. */
static bool goes_on(const struct guide_tokens *tokens, const struct spelling *s,
                    const struct lookahead *l)
{
    const struct vocabulary_node *nodes = tokens->vocabulary->nodes;
    for (int tree = 0; tree < 2; tree++) {
        const uint32_t node = s->at[tree], end = node != GUIDE_NO_NODE ? nodes[node].end : 0;
        for (uint32_t i = node + 1; i < end; i = nodes[i].end)
            if (lookahead_may_come(l, nodes[i].byte))
                return true;
    }
    return false;
}

/* --- forced tokens --- */

int32_t guide_forced(struct guide *g)
{
    struct lookahead l;
    struct spelling s = no_bytes;
    int32_t found = GUIDE_NONE;
    lookahead_begin(&l, g->matcher);
    for (;;) {
        const int byte = lookahead_only(&l);
        if (byte < 0) { /* a token that reaches beyond is the model's choice */
            found = s.n > 0 && goes_on(g->tokens, &s, &l) ? GUIDE_NONE : found;
            break;
        }
        const char one = (char)byte;
        if (!spell(g->tokens, &s, (uint8_t)byte) || !lookahead_take(&l, &one, 1))
            break;
        const int32_t id = token_of(g, &s);
        found = id != GUIDE_NONE ? id : found;
    }
    lookahead_end(&l);
    return found;
}

/* --- completions --- */

struct shortest_end { /* the shortest, as it is read */
    struct lookahead l;
    char bytes[PIECE_MOST]; /* those that are next */
    size_t n;
};

/* As many bytes as the longest token has, or all. */
static void read_on(struct shortest_end *c, size_t longest)
{
    while (c->n < longest && !lookahead_may_end(&c->l)) {
        const int byte = lookahead_shortest(&c->l);
        if (byte < 0)
            return;
        c->bytes[c->n++] = (char)byte;
        if (!lookahead_take(&c->l, &c->bytes[c->n - 1], 1)) {
            c->n--;
            return;
        }
    }
}

/* The longest token that the next bytes begin with; *n: its bytes. */
static int32_t next_token(const struct guide *g, struct shortest_end *c, size_t *n)
{
    int32_t found = GUIDE_NONE;
    struct spelling s = no_bytes;
    read_on(c, g->tokens->vocabulary->longest);
    while (s.n < c->n && spell(g->tokens, &s, (uint8_t)c->bytes[s.n])) {
        const int32_t id = token_of(g, &s);
        if (id == GUIDE_NONE)
            continue;
        found = id;
        *n = s.n;
    }
    return found;
}

/* Whether n_most tokens complete the text where the completion's lookahead stands. */
static bool can_end(const struct guide *g, struct shortest_end *c, size_t n_most)
{
    for (size_t k = 0; k <= n_most; k++) {
        size_t n = 0;
        if (c->n == 0 && lookahead_may_end(&c->l))
            return true;
        if (next_token(g, c, &n) == GUIDE_NONE)
            return false;
        memmove(c->bytes, c->bytes + n, c->n - n);
        c->n -= n;
    }
    return false;
}

/* The same, by the number of bytes where that is enough: most often. */
static bool can_end_by_bytes(const struct guide *g, struct shortest_end *c, size_t n_most)
{
    const uint32_t distance = lookahead_distance(&c->l);
    const bool spells_all = g->tokens->spells_all && g->n_biases == 0 && g->stops.n == 0;
    if (distance == 0 || (spells_all && lookahead_is_exact(&c->l) && distance <= n_most))
        return true;
    if (distance / g->tokens->vocabulary->longest > n_most)
        return false;
    return can_end(g, c, n_most);
}

/* Whether some token may be the first: of those that share a beginning one walk is enough to find
 * out where they leave the grammar. */
static bool can_begin(struct guide *g)
{
    const struct vocabulary *v = g->tokens->vocabulary;
    struct lookahead l;
    bool found = false;
    for (uint32_t i = 0; i < v->n_nodes && !found;) {
        const struct vocabulary_node node = v->nodes[i];
        if (node.depth == 0) {
            i++;
            continue;
        }
        const int32_t id = token_at(g, i);
        const char byte = (char)node.byte;
        lookahead_begin(&l, g->matcher);
        bool goes = false;
        if (id != GUIDE_NONE) {
            const struct vocabulary_piece piece = g->tokens->pieces[id];
            goes = found = lookahead_take(&l, piece.bytes, piece.n);
        } else {
            goes = node.depth > 1 || lookahead_take(&l, &byte, 1);
        }
        lookahead_end(&l);
        i = goes ? i + 1 : node.end;
    }
    return found;
}

enum status guide_begin(struct guide *g, size_t max_tokens, struct error *err)
{
    const bool is_sure = g->tokens->spells_all && g->n_biases == 0 && g->stops.n == 0;
    if (!is_sure && !guide_may_end(g) && !can_begin(g))
        return error_set_param(err, STATUS_INVALID, "logit_bias",
                               "no token can begin a text of the form that was asked for: those "
                               "that could are banned, end the text, or do not exist");
    struct shortest_end c;
    c.n = 0;
    lookahead_begin(&c.l, g->matcher);
    g->closes = can_end_by_bytes(g, &c, max_tokens);
    lookahead_end(&c.l);
    return STATUS_OK;
}

bool guide_fits(struct guide *g, int32_t id, size_t n_left)
{
    struct shortest_end c;
    const struct vocabulary_piece piece = g->tokens->pieces[id];
    c.n = 0;
    lookahead_begin(&c.l, g->matcher);
    const bool fits = lookahead_take(&c.l, piece.bytes, piece.n) &&
                      (!g->closes || can_end_by_bytes(g, &c, n_left));
    lookahead_end(&c.l);
    return fits;
}

int32_t guide_completion(struct guide *g)
{
    struct shortest_end c;
    size_t n;
    c.n = 0;
    lookahead_begin(&c.l, g->matcher);
    const int32_t id = next_token(g, &c, &n);
    lookahead_end(&c.l);
    return id;
}

/* --- what has come --- */

bool guide_take(struct guide *g, int32_t id)
{
    const struct vocabulary_piece piece = g->tokens->pieces[id];
    const bool was_open = !guide_may_end(g);
    if (!matcher_take(g->matcher, piece.bytes, piece.n))
        return false;
    g->closed = was_open && guide_may_end(g);
    return true;
}

bool guide_is_too_ambiguous(const struct guide *g)
{
    return g->matcher->overran;
}

bool guide_is_too_deep(const struct guide *g)
{
    return g->matcher->highest > STACK_DEPTH;
}

bool guide_may_end(const struct guide *g)
{
    return matcher_may_end(g->matcher);
}

bool guide_must_end(const struct guide *g)
{
    return matcher_may_end(g->matcher) && g->matcher->now.n == 0;
}
