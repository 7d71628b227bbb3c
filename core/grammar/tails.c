/* tails.c - merging, then laying out in the order of a walk. See tails.h. */
#include "grammar/tails.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM = 65536 };

enum status tails_room_init(struct tails_room *t, const struct vocabulary *v, struct error *err)
{
    *t = (struct tails_room){.room = ROOM, .tokens_room = ROOM};
    t->nodes = calloc(t->room, sizeof *t->nodes);
    t->tokens = calloc(t->tokens_room, sizeof *t->tokens);
    t->path = calloc(v->longest + 2, sizeof *t->path);
    t->laid = calloc(t->room + 1, sizeof *t->laid);
    t->laid_tokens = calloc(t->tokens_room, sizeof *t->laid_tokens);
    if (t->nodes != NULL && t->tokens != NULL && t->path != NULL && t->laid != NULL &&
        t->laid_tokens != NULL)
        return STATUS_OK;
    tails_room_free(t);
    return error_no_memory(err, t->room * sizeof *t->nodes, "the ends of tokens");
}

void tails_room_free(struct tails_room *t)
{
    free(t->nodes);
    free(t->tokens);
    free(t->path);
    free(t->laid);
    free(t->laid_tokens);
    *t = (struct tails_room){0};
}

void tails_begin(struct tails_room *t)
{
    memset(t->first, 0, sizeof t->first);
    t->nodes[0] = (struct tail){0};
    t->n = 1;
    t->n_tokens = 0;
}

/* The child of `at` by this byte, made if need be; 0: no room. */
static uint32_t child_of(struct tails_room *t, uint32_t at, uint8_t byte)
{
    uint32_t i = at == 0 ? t->first[byte] : t->nodes[at].child;
    while (at != 0 && i != 0 && t->nodes[i].byte != byte)
        i = t->nodes[i].sibling;
    if (i != 0 || t->n == t->room)
        return i;
    i = (uint32_t)t->n++;
    t->nodes[i] = (struct tail){.sibling = t->nodes[at].child, .parent = at, .byte = byte};
    t->nodes[at].child = i;
    if (at == 0)
        t->first[byte] = i;
    return i;
}

bool tails_add(struct tails_room *t, const struct walk_tree *tree, uint32_t node)
{
    const size_t base = tree->nodes[node].depth;
    t->path[0] = 0;
    for (uint32_t i = node; i < tree->nodes[node].end; i++) {
        const struct vocabulary_node *at = &tree->nodes[i];
        const size_t depth = at->depth - base;
        const uint32_t tail = child_of(t, t->path[depth], at->byte);
        if (tail == 0)
            return false;
        t->path[depth + 1] = tail;
        for (uint32_t k = at->first_token; k < at[1].first_token; k++) {
            if (t->n_tokens == t->tokens_room)
                return false;
            t->tokens[t->n_tokens++] =
                (struct tail_token){.id = tree->tokens[k], .next = t->nodes[tail].first_token};
            t->nodes[tail].first_token = (uint32_t)t->n_tokens;
        }
    }
    return true;
}

static void lay_node(struct tails_room *t, uint32_t at, size_t n, size_t depth, size_t *n_tokens)
{
    t->nodes[at].laid = (uint32_t)n;
    t->laid[n] = (struct vocabulary_node){
        .first_token = (uint32_t)*n_tokens, .depth = (uint16_t)depth, .byte = t->nodes[at].byte};
    for (uint32_t k = t->nodes[at].first_token; k != 0; k = t->tokens[k - 1].next)
        t->laid_tokens[(*n_tokens)++] = t->tokens[k - 1].id;
}

void tails_lay(struct tails_room *t)
{
    size_t n = 0, n_tokens = 0, depth = 0;
    uint32_t at = 0;
    lay_node(t, at, n++, depth, &n_tokens);
    for (;;) {
        if (t->nodes[at].child != 0) {
            at = t->nodes[at].child;
            lay_node(t, at, n++, ++depth, &n_tokens);
            continue;
        }
        for (; at != 0 && t->nodes[at].sibling == 0; at = t->nodes[at].parent, depth--)
            t->laid[t->nodes[at].laid].end = (uint32_t)n;
        if (at == 0)
            break;
        t->laid[t->nodes[at].laid].end = (uint32_t)n;
        at = t->nodes[at].sibling;
        lay_node(t, at, n++, depth, &n_tokens);
    }
    t->laid[0].end = (uint32_t)n;
    t->laid[n] = (struct vocabulary_node){.end = (uint32_t)n, .first_token = (uint32_t)n_tokens};
}
