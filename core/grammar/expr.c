/* expr.c - the builder's memory, its first failure, and expressions. See expr.h. */
#include "grammar/expr.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 32768, ALIGN = 16, LAST_CODE_POINT = 0x10FFFF };

const struct grammar_limits grammar_limits_default = {
    .n_bytes = (size_t)64 << 20, .n_states = 100000, .depth = 200};

struct chunk {
    struct chunk *next;
    size_t n_bytes, n_used; /* after this head */
};

struct rule {
    const char *name;
    const struct expr *expr; /* NULL: not defined yet */
};

struct grammar_builder {
    struct grammar_limits limits;
    struct chunk *chunks; /* owned; the last one first */
    size_t n_bytes;       /* of all chunks */
    struct rule *rules;
    size_t n_rules, rules_room;
    struct error error;
    char hint[160];
};

static const struct expr nothing = {.kind = EXPR_TEXT, .depth = 1};

enum status expr_builder_create(struct grammar_builder **out, const struct grammar_limits *limits,
                                struct error *err)
{
    struct grammar_builder *b = calloc(1, sizeof *b);
    if (b == NULL)
        return error_no_memory(err, sizeof *b, "a grammar");
    b->limits = *limits;
    *out = b;
    return STATUS_OK;
}

void expr_builder_destroy(struct grammar_builder *b)
{
    if (b == NULL)
        return;
    while (b->chunks != NULL) {
        struct chunk *next = b->chunks->next;
        free(b->chunks);
        b->chunks = next;
    }
    free(b);
}

enum status expr_status(const struct grammar_builder *b)
{
    return b->error.status;
}

const struct error *expr_error(const struct grammar_builder *b)
{
    return &b->error;
}

void expr_fail(struct grammar_builder *b, enum status status, const char *format, ...)
{
    if (b->error.status != STATUS_OK)
        return;
    char text[sizeof b->error.text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    error_fill(&b->error, status, "", "%s", text);
}

void expr_hint(struct grammar_builder *b, const char *format, ...)
{
    if (b->hint[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(b->hint, sizeof b->hint, format, args);
    va_end(args);
}

const char *expr_hinted(const struct grammar_builder *b)
{
    return b->hint;
}

static bool add_chunk(struct grammar_builder *b, size_t n_bytes)
{
    size_t room = n_bytes > CHUNK ? n_bytes : CHUNK;
    if (b->n_bytes + room > b->limits.n_bytes) {
        expr_fail(b, STATUS_TOO_LARGE, "the grammar is too large: it needs more than %zu bytes",
                  b->limits.n_bytes);
        return false;
    }
    struct chunk *chunk = calloc(1, sizeof *chunk + ALIGN + room);
    if (chunk == NULL) {
        expr_fail(b, STATUS_NO_MEMORY, "out of memory: %zu bytes for a grammar", room);
        return false;
    }
    chunk->n_bytes = room;
    chunk->next = b->chunks;
    b->chunks = chunk;
    b->n_bytes += room;
    return true;
}

void *expr_alloc(struct grammar_builder *b, size_t n, size_t size)
{
    size_t n_bytes;
    if (b->error.status != STATUS_OK)
        return NULL;
    if (__builtin_mul_overflow(n, size, &n_bytes) || n_bytes > b->limits.n_bytes) {
        expr_fail(b, STATUS_TOO_LARGE, "the grammar is too large: it needs more than %zu bytes",
                  b->limits.n_bytes);
        return NULL;
    }
    n_bytes = (n_bytes + ALIGN - 1) / ALIGN * ALIGN;
    if ((b->chunks == NULL || b->chunks->n_bytes - b->chunks->n_used < n_bytes) &&
        !add_chunk(b, n_bytes))
        return NULL;
    char *begin = (char *)(b->chunks + 1);
    begin += (ALIGN - (uintptr_t)begin % ALIGN) % ALIGN;
    void *out = begin + b->chunks->n_used;
    b->chunks->n_used += n_bytes;
    return out;
}

/* --- expressions --- */

static struct expr *new_expr(struct grammar_builder *b, enum expr_kind kind, unsigned below)
{
    if (below >= b->limits.depth)
        expr_fail(b, STATUS_TOO_LARGE, "the grammar is nested more than %u deep", b->limits.depth);
    struct expr *e = expr_alloc(b, 1, sizeof *e);
    if (e != NULL) {
        e->kind = kind;
        e->depth = below + 1;
    }
    return e;
}

const struct expr *expr_text(struct grammar_builder *b, const char *bytes, size_t n)
{
    struct expr *e = new_expr(b, EXPR_TEXT, 0);
    char *copy = expr_alloc(b, n, 1);
    if (e == NULL || copy == NULL)
        return &nothing;
    if (n > 0)
        memcpy(copy, bytes, n);
    e->text.bytes = copy;
    e->text.n = n;
    return e;
}

const struct expr *expr_string(struct grammar_builder *b, const char *text)
{
    return expr_text(b, text, strlen(text));
}

static int by_first(const void *a, const void *b)
{
    const struct expr_range *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Sorts and joins; returns how many are left. */
static size_t join_ranges(struct expr_range *ranges, size_t n)
{
    size_t n_out = 0;
    qsort(ranges, n, sizeof *ranges, by_first);
    for (size_t i = 0; i < n; i++) {
        struct expr_range *last = n_out > 0 ? &ranges[n_out - 1] : NULL;
        if (last != NULL && ranges[i].first <= last->last + 1)
            last->last = ranges[i].last > last->last ? ranges[i].last : last->last;
        else
            ranges[n_out++] = ranges[i];
    }
    return n_out;
}

/* The gaps of n joined ranges: at most n + 1. */
static size_t invert_ranges(const struct expr_range *ranges, size_t n, struct expr_range *out)
{
    size_t n_out = 0;
    uint32_t next = 0;
    for (size_t i = 0; i < n; i++) {
        if (ranges[i].first > next)
            out[n_out++] = (struct expr_range){next, ranges[i].first - 1};
        next = ranges[i].last + 1;
    }
    if (next <= LAST_CODE_POINT)
        out[n_out++] = (struct expr_range){next, LAST_CODE_POINT};
    return n_out;
}

const struct expr *expr_class(struct grammar_builder *b, const struct expr_range *ranges, size_t n,
                              bool negated)
{
    struct expr *e = new_expr(b, EXPR_CLASS, 0);
    struct expr_range *joined = expr_alloc(b, n + 1, sizeof *joined);
    struct expr_range *inverted = negated ? expr_alloc(b, n + 2, sizeof *joined) : joined;
    if (e == NULL || joined == NULL || inverted == NULL)
        return &nothing;
    size_t n_joined = 0;
    for (size_t i = 0; i < n; i++)
        if (ranges[i].first <= ranges[i].last && ranges[i].first <= LAST_CODE_POINT)
            joined[n_joined++] = (struct expr_range){
                ranges[i].first,
                ranges[i].last < LAST_CODE_POINT ? ranges[i].last : LAST_CODE_POINT};
    n_joined = n_joined > 0 ? join_ranges(joined, n_joined) : 0;
    e->class.ranges = inverted;
    e->class.n = negated ? invert_ranges(joined, n_joined, inverted) : n_joined;
    return e;
}

static const struct expr *expr_parts(struct grammar_builder *b, enum expr_kind kind,
                                     const struct expr *const *parts, size_t n)
{
    if (n == 1 && (kind == EXPR_SEQUENCE || kind == EXPR_CHOICE))
        return parts[0];
    unsigned below = 0;
    for (size_t i = 0; i < n; i++)
        below = parts[i]->depth > below ? parts[i]->depth : below;
    struct expr *e = new_expr(b, kind, below);
    const struct expr **copy = expr_alloc(b, n, sizeof *copy);
    if (e == NULL || copy == NULL)
        return &nothing;
    for (size_t i = 0; i < n; i++)
        copy[i] = parts[i];
    e->parts.at = copy;
    e->parts.n = n;
    return e;
}

const struct expr *expr_sequence(struct grammar_builder *b, const struct expr *const *parts,
                                 size_t n)
{
    return expr_parts(b, EXPR_SEQUENCE, parts, n);
}

const struct expr *expr_choice(struct grammar_builder *b, const struct expr *const *parts, size_t n)
{
    return expr_parts(b, EXPR_CHOICE, parts, n);
}

const struct expr *expr_both(struct grammar_builder *b, const struct expr *a, const struct expr *z)
{
    return expr_parts(b, EXPR_BOTH, (const struct expr *const[]){a, z}, 2);
}

const struct expr *expr_but(struct grammar_builder *b, const struct expr *a, const struct expr *z)
{
    return expr_parts(b, EXPR_BUT, (const struct expr *const[]){a, z}, 2);
}

const struct expr *expr_repeat(struct grammar_builder *b, const struct expr *of, uint32_t min,
                               uint32_t max)
{
    if (min > max)
        expr_fail(b, STATUS_INVALID, "a repetition of at least %u and at most %u is empty", min,
                  max);
    struct expr *e = new_expr(b, EXPR_REPEAT, of->depth);
    if (e == NULL)
        return &nothing;
    e->repeat.of = of;
    e->repeat.min = min;
    e->repeat.max = max;
    return e;
}

const struct expr *expr_optional(struct grammar_builder *b, const struct expr *of)
{
    return expr_repeat(b, of, 0, 1);
}

const struct expr *expr_rule(struct grammar_builder *b, uint32_t rule)
{
    struct expr *e = new_expr(b, EXPR_RULE, 0);
    if (e == NULL)
        return &nothing;
    e->rule = rule;
    return e;
}

const struct expr *expr_multiple(struct grammar_builder *b, uint32_t m, uint32_t n_decimals)
{
    struct expr *e = new_expr(b, EXPR_MULTIPLE, 0);
    if (m == 0)
        expr_fail(b, STATUS_INVALID, "nothing but 0 is a multiple of 0");
    if (e == NULL || m == 0)
        return &nothing;
    e->multiple.m = m;
    e->multiple.n_decimals = n_decimals;
    return e;
}

static const struct expr *until(struct grammar_builder *b, const struct expr_bytes *triggers,
                                size_t n, size_t which)
{
    struct expr *e = new_expr(b, EXPR_UNTIL, 0);
    struct expr_bytes *copy = expr_alloc(b, n, sizeof *copy);
    if (e == NULL || copy == NULL)
        return &nothing;
    for (size_t i = 0; i < n; i++) {
        char *bytes = expr_alloc(b, triggers[i].n, 1);
        if (triggers[i].n == 0)
            expr_fail(b, STATUS_INVALID, "a trigger of a grammar is empty");
        if (bytes == NULL || triggers[i].n == 0)
            return &nothing;
        memcpy(bytes, triggers[i].bytes, triggers[i].n);
        copy[i] = (struct expr_bytes){bytes, triggers[i].n};
    }
    e->until.triggers = copy;
    e->until.n = n;
    e->until.which = which;
    return e;
}

const struct expr *expr_until(struct grammar_builder *b, const struct expr_bytes *triggers,
                              size_t n)
{
    return until(b, triggers, n, EXPR_NONE);
}

const struct expr *expr_through(struct grammar_builder *b, const struct expr_bytes *triggers,
                                size_t n, size_t which)
{
    return until(b, triggers, n, which);
}

/* Room for one more in a list of the builder's memory; NULL after a failure. */
static void *grow(struct grammar_builder *b, void *at, size_t n, size_t *room, size_t size)
{
    if (n < *room)
        return at;
    size_t more = *room > 0 ? 2 * *room : 8;
    void *out = expr_alloc(b, more, size);
    if (out == NULL)
        return NULL;
    if (n > 0)
        memcpy(out, at, n * size);
    *room = more;
    return out;
}

void expr_list_add(struct grammar_builder *b, struct expr_list *list, const struct expr *e)
{
    void *at = grow(b, (void *)list->at, list->n, &list->room, sizeof(const struct expr *));
    if (at == NULL)
        return;
    list->at = at;
    list->at[list->n++] = e;
}

/* --- rules --- */

uint32_t rule_declare(struct grammar_builder *b, const char *name, size_t n)
{
    struct rule *rules = grow(b, b->rules, b->n_rules, &b->rules_room, sizeof *rules);
    char *copy = expr_alloc(b, n + 1, 1);
    if (rules == NULL || copy == NULL)
        return 0;
    memcpy(copy, name, n);
    b->rules = rules;
    b->rules[b->n_rules] = (struct rule){.name = copy};
    return (uint32_t)b->n_rules++;
}

void rule_define(struct grammar_builder *b, uint32_t rule, const struct expr *e)
{
    if (b->error.status == STATUS_OK)
        b->rules[rule].expr = e;
}

size_t expr_n_rules(const struct grammar_builder *b)
{
    return b->n_rules;
}

const char *rule_name(const struct grammar_builder *b, uint32_t rule)
{
    return rule < b->n_rules ? b->rules[rule].name : "";
}

const struct expr *rule_expr(const struct grammar_builder *b, uint32_t rule)
{
    return rule < b->n_rules ? b->rules[rule].expr : NULL;
}
