/* special.c - finds special tokens in a text, in time proportional to the text however
 * many tokens there are.
 *
 * The longest of the tokens that begin at a byte counts, and the leftmost match wins over those it
 * overlaps. The automaton is made of the tokens' texts read backwards and walks the text from its
 * end: then the longest token that begins at a byte is known when the walk gets there. Read-only
 * after creation.
 */
#include "base/utf8.h"
#include "text/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_SPECIAL_BYTES = 16 << 20
}; /* the automaton takes up to 64 times as much; real files have some KiB */

struct special_edge {
    int32_t from;
    int32_t to; /* 0: free, no edge leads to the root */
    uint8_t byte;
};

/* Needed only while building: one per node. */
struct building {
    int32_t *parents;
    int32_t *order; /* nodes by depth */
    uint16_t *depths;
    uint8_t *bytes; /* of the edge from the parent */
    size_t n_nodes;
};

static size_t edge_slot(const struct special *special, int32_t from, uint8_t byte)
{
    uint64_t edge = (uint64_t)(uint32_t)from << 8 | byte;
    size_t i = (size_t)table_hash_number(special->key, edge) & special->mask;
    while (special->edges[i].to != 0 &&
           (special->edges[i].from != from || special->edges[i].byte != byte))
        i = (i + 1) & special->mask;
    return i;
}

static int32_t child(const struct special *special, int32_t from, uint8_t byte)
{
    return from == 0 ? special->root[byte] : special->edges[edge_slot(special, from, byte)].to;
}

static int32_t step(const struct special *special, int32_t node, uint8_t byte)
{
    for (;;) {
        int32_t next = child(special, node, byte);
        if (next != 0 || node == 0)
            return next;
        node = special->nodes[node].fail;
    }
}

/* Special tokens that can stand in a text at all. */
static bool is_special(const struct tokenizer *t, size_t id)
{
    uint8_t type = t->types[id];
    if (type != TOKEN_CONTROL && type != TOKEN_USER_DEFINED && type != TOKEN_UNKNOWN)
        return false;
    struct gguf_string entry = strings_at(&t->entries, id);
    return entry.n > 0 && utf8_check(entry.bytes, entry.n) == entry.n;
}

static void insert(struct tokenizer *t, struct building *building, size_t id)
{
    struct special *special = &t->special;
    struct gguf_string entry = strings_at(&t->entries, id);
    int32_t node = 0;
    for (size_t i = entry.n; i-- > 0;) {
        uint8_t byte = (uint8_t)entry.bytes[i];
        int32_t next = child(special, node, byte);
        if (next == 0) {
            next = (int32_t)building->n_nodes++;
            special->nodes[next] = (struct special_node){0, TOKEN_NONE, TOKEN_NONE};
            building->parents[next] = node;
            building->depths[next] = (uint16_t)(building->depths[node] + 1);
            building->bytes[next] = byte;
            if (node == 0)
                special->root[byte] = next;
            else
                special->edges[edge_slot(special, node, byte)] =
                    (struct special_edge){node, next, byte};
        }
        node = next;
    }
    struct special_node *end = &special->nodes[node];
    if (end->any == TOKEN_NONE)
        end->any = (int32_t)id;
    special->has_any = true;
    if (t->types[id] == TOKEN_USER_DEFINED) {
        if (end->user == TOKEN_NONE)
            end->user = (int32_t)id;
        special->has_user = true;
    }
}

/* Nodes by depth, so that a node's fail link, which is less deep, is ready before it. */
static void sort_by_depth(struct building *building)
{
    size_t starts[TOKENIZER_MAX_ENTRY + 2] = {0};
    for (size_t i = 0; i < building->n_nodes; i++)
        starts[building->depths[i] + 1]++;
    for (size_t d = 1; d < TOKENIZER_MAX_ENTRY + 2; d++)
        starts[d] += starts[d - 1];
    for (size_t i = 0; i < building->n_nodes; i++)
        building->order[starts[building->depths[i]]++] = (int32_t)i;
}

static void link_failures(struct special *special, struct building *building)
{
    sort_by_depth(building);
    for (size_t i = 1; i < building->n_nodes; i++) { /* the root is first and fails to itself */
        int32_t at = building->order[i];
        int32_t parent = building->parents[at];
        struct special_node *node = &special->nodes[at];
        node->fail =
            parent == 0 ? 0 : step(special, special->nodes[parent].fail, building->bytes[at]);
        const struct special_node *shorter = &special->nodes[node->fail];
        if (node->any == TOKEN_NONE)
            node->any = shorter->any;
        if (node->user == TOKEN_NONE)
            node->user = shorter->user;
    }
}

/* capacity: nodes at most, the root counted. */
static bool allocate(struct special *special, struct building *building, size_t capacity)
{
    size_t n_slots = 16;
    while (n_slots < 2 * capacity)
        n_slots *= 2;
    special->mask = n_slots - 1;
    special->nodes = malloc(capacity * sizeof *special->nodes);
    special->edges = calloc(n_slots, sizeof *special->edges);
    building->parents = malloc(capacity * sizeof *building->parents);
    building->order = malloc(capacity * sizeof *building->order);
    building->depths = malloc(capacity * sizeof *building->depths);
    building->bytes = malloc(capacity * sizeof *building->bytes);
    return special->nodes && special->edges && building->parents && building->order &&
           building->depths && building->bytes;
}

enum status special_build(struct tokenizer *t, struct error *err)
{
    size_t capacity = 1;
    for (size_t id = 0; id < t->n_vocab; id++) {
        if (!is_special(t, id))
            continue;
        size_t n = strings_at(&t->entries, id).n;
        capacity += n; /* fits: the vocabulary's bytes are counted in 32 bits */
        if (t->min_special == 0 || n < t->min_special)
            t->min_special = n;
    }
    if (capacity > MAX_SPECIAL_BYTES)
        return error_set_param(
            err, STATUS_TOO_LARGE, "tokenizer.ggml.tokens",
            "the special tokens have %zu bytes of text, more than the %d allowed", capacity,
            MAX_SPECIAL_BYTES);
    struct special *special = &t->special;
    struct building building = {.n_nodes = 1};
    enum status status = STATUS_OK;
    if (!allocate(special, &building, capacity)) {
        status = error_no_memory(err, capacity * 64, "the special tokens");
        goto done;
    }
    special->nodes[0] = (struct special_node){0, TOKEN_NONE, TOKEN_NONE};
    building.depths[0] = 0;
    for (size_t id = 0; id < t->n_vocab; id++)
        if (is_special(t, id))
            insert(t, &building, id);
    link_failures(special, &building);
done:
    free(building.parents);
    free(building.order);
    free(building.depths);
    free(building.bytes);
    return status;
}

void special_free(struct special *special)
{
    free(special->nodes);
    free(special->edges);
}

static enum status append(struct special_matches *matches, struct special_match match,
                          struct error *err)
{
    if (matches->n == matches->capacity) {
        size_t capacity = matches->capacity ? 2 * matches->capacity : 64;
        struct special_match *items = realloc(matches->items, capacity * sizeof *items);
        if (!items)
            return error_no_memory(err, capacity * sizeof *items, "the special tokens of a text");
        matches->items = items;
        matches->capacity = capacity;
    }
    matches->items[matches->n++] = match;
    return STATUS_OK;
}

enum status special_find(const struct special *special, const char *text, size_t n, bool any,
                         struct special_matches *matches, struct error *err)
{
    matches->n = 0;
    if (!(any ? special->has_any : special->has_user))
        return STATUS_OK;
    int32_t node = 0;
    for (size_t i = n; i-- > 0;) {
        node = step(special, node, (uint8_t)text[i]);
        int32_t id = any ? special->nodes[node].any : special->nodes[node].user;
        if (id == TOKEN_NONE)
            continue;
        enum status status = append(matches, (struct special_match){(uint32_t)i, id, false}, err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* The longest token that begins here and may: a control token only within n_free bytes. */
static int32_t longest_allowed(const struct tokenizer *t, int32_t node, size_t n_free)
{
    const struct special *special = &t->special;
    int32_t user = special->nodes[node].user;
    size_t n_user = user == TOKEN_NONE ? 0 : strings_at(&t->entries, (size_t)user).n;
    for (; node != 0 && special->nodes[node].any != TOKEN_NONE; node = special->nodes[node].fail) {
        int32_t id = special->nodes[node].any;
        size_t n = strings_at(&t->entries, (size_t)id).n;
        if (n <= n_user)
            break;
        if (n <= n_free)
            return id;
    }
    return user;
}

/* Takes out the user-defined tokens that reach over a border into a control token. Starts descend.
 */
static void give_way(const struct tokenizer *t, struct special_matches *matches)
{
    size_t kept = 0, control = SIZE_MAX; /* where the next control token begins */
    for (size_t i = 0; i < matches->n; i++) {
        struct special_match match = matches->items[i];
        size_t end = match.start + strings_at(&t->entries, (size_t)match.id).n;
        bool user = t->types[match.id] == TOKEN_USER_DEFINED;
        if (user && match.crosses && end > control)
            continue;
        if (!user)
            control = match.start;
        matches->items[kept++] = match;
    }
    matches->n = kept;
}

enum status special_find_around(const struct tokenizer *t, const char *text, size_t n,
                                const struct tokenizer_span *plain, size_t n_plain,
                                struct special_matches *matches, struct error *err)
{
    const struct special *special = &t->special;
    matches->n = 0;
    if (!special->has_any)
        return STATUS_OK;
    int32_t node = 0;
    size_t after = n; /* where the next plain part begins */
    for (size_t i = n; i-- > 0;) {
        while (n_plain > 0 && plain[n_plain - 1].begin > i)
            after = plain[--n_plain].begin;
        bool inside = n_plain > 0 && plain[n_plain - 1].end > i;
        size_t border = inside ? plain[n_plain - 1].end : after;
        node = step(special, node, (uint8_t)text[i]);
        int32_t id = longest_allowed(t, node, inside ? 0 : border - i);
        if (id == TOKEN_NONE)
            continue;
        bool crosses = strings_at(&t->entries, (size_t)id).n > border - i;
        enum status status = append(matches, (struct special_match){(uint32_t)i, id, crosses}, err);
        if (status != STATUS_OK)
            return status;
    }
    give_way(t, matches);
    return STATUS_OK;
}
