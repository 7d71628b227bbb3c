/* arrays.c - arrays of JSON: first items by place, then any number of one kind; items that must be
 * among them, items that differ. See schema.h. */
#include "api/schema/internal.h"

enum {
    DISTINCT_MOST = 10,     /* values of "uniqueItems" */
    DISTINCT_MOST_FEW = 15, /* the same of at most three items */
    SETS_MOST = 3000,       /* of values that have come */
    PLACES_MOST = 100,      /* items that are counted beside "contains" */
};

struct array_bounds {
    uint32_t min, max;
};

static const struct expr *after_comma(struct schema *s, const struct expr *item)
{
    return SEQUENCE(s, TEXT(s, ","), space(s), item);
}

static const struct expr *bracketed(struct schema *s, const struct expr *inside)
{
    return SEQUENCE(s, TEXT(s, "["), space(s), inside, TEXT(s, "]"));
}

/* The items after the first n_done, and white space before the end. rest: NULL where none more may
 * come. */
static const struct expr *items_after(struct schema *s, const struct expr_list *first,
                                      const struct expr *rest, size_t n_done,
                                      const struct array_bounds *b)
{
    const uint32_t max = b->max;
    const struct expr *tail = space(s);
    if (rest != NULL && max > first->n) {
        size_t before = first->n > n_done ? first->n : n_done;
        uint32_t least = b->min > before ? b->min - (uint32_t)before : 0;
        uint32_t most = max == EXPR_MANY ? EXPR_MANY : max > before ? max - (uint32_t)before : 0;
        tail = SEQUENCE(s, expr_repeat(s->b, after_comma(s, rest), least, most), tail);
    }
    for (size_t i = first->n; i-- > n_done;) {
        const struct expr *with = SEQUENCE(s, after_comma(s, first->at[i]), tail);
        tail = i >= max ? space(s) : i < b->min ? with : CHOICE(s, with, space(s));
    }
    return tail;
}

/* --- items that differ --- */

struct distinct {
    const struct expr *values[DISTINCT_MOST_FEW + 1];
    size_t n;
    uint32_t first_rule; /* of the set of none */
    const struct array_bounds *bounds;
};

static size_t count_of(size_t set)
{
    return (size_t)__builtin_popcountll(set);
}

/* What may follow once the values of a set have come. */
static const struct expr *after_set(struct schema *s, const struct distinct *d,
                                    const uint32_t *rule, size_t set)
{
    struct expr_list list = {0};
    if (count_of(set) >= d->bounds->min)
        expr_list_add(s->b, &list, set == 0 ? TEXT(s, "") : space(s));
    for (size_t i = 0; i < d->n && count_of(set) < d->bounds->max; i++) {
        const size_t more = set | (size_t)1 << i;
        const struct expr *value = set == 0 ? d->values[i] : after_comma(s, d->values[i]);
        if (more != set)
            expr_list_add(s->b, &list, SEQUENCE(s, value, expr_rule(s->b, rule[more])));
    }
    return expr_choice(s->b, list.at, list.n);
}

static const struct expr *distinct_items(struct schema *s, const struct distinct *d)
{
    const size_t n_sets = (size_t)1 << d->n;
    uint32_t *rule = expr_alloc(s->b, n_sets, sizeof *rule);
    size_t n_used = 0;
    for (size_t set = 0; rule != NULL && set < n_sets; set++)
        if (count_of(set) <= d->bounds->max) {
            rule[set] = rule_declare(s->b, "distinct", 8);
            n_used++;
        }
    if (n_used > SETS_MOST)
        schema_lacks(s, "uniqueItems", " of so many values");
    if (rule == NULL || expr_status(s->b) != STATUS_OK)
        return TEXT(s, "");
    for (size_t set = 0; set < n_sets; set++)
        if (count_of(set) <= d->bounds->max)
            rule_define(s->b, rule[set], after_set(s, d, rule, set));
    return expr_rule(s->b, rule[0]);
}

/* Items of few values: each once. */
static const struct expr *unique_items(struct schema *s, const struct cJSON *items,
                                       const struct array_bounds *b)
{
    struct distinct d = {.bounds = b};
    const struct cJSON *plain = schema_plain(s, items);
    const struct cJSON *values = schema_member(plain, "enum");
    const struct cJSON *type = schema_member(plain, "type");
    const size_t most = (b->max <= 3 ? DISTINCT_MOST_FEW : DISTINCT_MOST) + 1;
    for (const struct cJSON *one = values ? values->child : NULL; one && d.n < most;
         one = one->next) {
        bool again = !schema_allows(s, plain, one);
        for (const struct cJSON *other = values->child; other != one; other = other->next)
            again |= cJSON_Compare(other, one, true);
        if (!again)
            d.values[d.n++] = literal_value(s, one);
    }
    const struct cJSON *value = schema_member(plain, "const");
    if (values == NULL && value != NULL)
        d.values[d.n++] = literal_value(s, value);
    else if (values == NULL && cJSON_IsString(type) && schema_types(s, plain, 0) == T_BOOLEAN) {
        d.values[d.n++] = TEXT(s, "true");
        d.values[d.n++] = TEXT(s, "false");
    }
    if (d.n == 0 || d.n == most) {
        schema_lacks(s, "uniqueItems", " of anything but a few given values");
        return TEXT(s, "");
    }
    return bracketed(s, distinct_items(s, &d));
}

/* --- items that must be among them --- */

/* Items of one kind, of which least to most are like `wanted` too. */
static const struct expr *containing(struct schema *s, const struct cJSON *schema,
                                     const struct cJSON *items, const struct array_bounds *b)
{
    const struct cJSON *wanted = schema_member(schema, "contains");
    const uint32_t least = schema_count(s, schema, "minContains", 1);
    const uint32_t most = schema_count(s, schema, "maxContains", EXPR_MANY);
    const bool counted = b->max != EXPR_MANY;
    const uint32_t last = counted ? b->max : b->min > 1 ? b->min : 1; /* items told apart */
    const uint32_t counts = most != EXPR_MANY ? most + 1 : least + 1;
    if (last > PLACES_MOST || (uint64_t)(last + 1) * counts > SETS_MOST) {
        schema_lacks(s, "contains", " among so many items");
        return TEXT(s, "");
    }
    const struct cJSON *like = items != NULL ? compose_both(s, items, wanted) : wanted;
    const struct cJSON *other = items;
    if (most != EXPR_MANY) { /* all others must not count */
        const struct cJSON *unwanted = negate(s, wanted, "contains");
        other = items != NULL && unwanted != NULL ? compose_both(s, items, unwanted) : unwanted;
    }
    if (expr_status(s->b) != STATUS_OK)
        return TEXT(s, "");
    const struct expr *yes = s->read(s, like);
    const struct expr *no = other != NULL ? s->read(s, other) : any_value(s);
    const size_t n_rules = (size_t)(last + 1) * counts;
    const uint32_t first = rule_declare(s->b, "contains", 8);
    for (size_t i = 1; i < n_rules; i++)
        rule_declare(s->b, "contains", 8);
    for (uint32_t i = 0; i <= last; i++)
        for (uint32_t k = 0; k < counts; k++) {
            const uint32_t next = i < last ? i + 1 : last;
            const uint32_t more = k + 1 < counts ? k + 1 : k;
            const bool full = (counted && i == last);
            struct expr_list list = {0};
            if (k >= least && i >= b->min)
                expr_list_add(s->b, &list, i == 0 ? TEXT(s, "") : space(s));
            if (!full)
                expr_list_add(s->b, &list,
                              SEQUENCE(s, i == 0 ? no : after_comma(s, no),
                                       expr_rule(s->b, first + next * counts + k)));
            if (!full && (most == EXPR_MANY || k < most))
                expr_list_add(s->b, &list,
                              SEQUENCE(s, i == 0 ? yes : after_comma(s, yes),
                                       expr_rule(s->b, first + next * counts + more)));
            rule_define(s->b, first + i * counts + k, expr_choice(s->b, list.at, list.n));
        }
    return bracketed(s, expr_rule(s->b, first));
}

/* --- arrays --- */

static const struct expr *listed_items(struct schema *s, const struct cJSON *prefix,
                                       const struct cJSON *items, const struct array_bounds *b)
{
    struct expr_list first = {0};
    for (const struct cJSON *one = prefix ? prefix->child : NULL; one != NULL; one = one->next)
        expr_list_add(s->b, &first, s->read(s, one));
    const struct expr *rest = NULL;
    if (!cJSON_IsFalse(items) && b->max > first.n)
        rest = items != NULL ? s->read(s, items) : any_value(s);
    const struct expr *empty = SEQUENCE(s, TEXT(s, "["), space(s), TEXT(s, "]"));
    const struct expr *one = first.n > 0 ? first.at[0] : rest;
    if (b->max == 0 || one == NULL)
        return b->min > 0 ? nothing_left(s, "minItems") : empty;
    if (rest == NULL && b->min > first.n)
        return nothing_left(s, "minItems");
    const struct expr *full = bracketed(s, SEQUENCE(s, one, items_after(s, &first, rest, 1, b)));
    return b->min == 0 ? CHOICE(s, empty, full) : full;
}

const struct expr *array_expr(struct schema *s, const struct cJSON *schema)
{
    const struct array_bounds b = {.min = schema_count(s, schema, "minItems", 0),
                                   .max = schema_count(s, schema, "maxItems", EXPR_MANY)};
    const struct cJSON *prefix = schema_member(schema, "prefixItems");
    const struct cJSON *items = schema_member(schema, "items");
    const bool wants = schema_member(schema, "contains") != NULL &&
                       (schema_count(s, schema, "minContains", 1) > 0 ||
                        schema_member(schema, "maxContains") != NULL);
    const bool unique = cJSON_IsTrue(schema_member(schema, "uniqueItems")) && b.max > 1;
    if (cJSON_IsArray(items)) { /* as drafts before 2020 had it */
        prefix = items;
        items = schema_member(schema, "additionalItems");
    }
    if (items == NULL && schema_member(schema, "contains") == NULL)
        items = schema_member(schema, "unevaluatedItems");
    else if (items == NULL && schema_member(schema, "unevaluatedItems") != NULL)
        schema_lacks(s, "unevaluatedItems", " beside \"contains\"");
    if (b.min > b.max)
        expr_fail(s->b, STATUS_INVALID, "\"minItems\" of the schema is above \"maxItems\"");
    if (prefix != NULL && !cJSON_IsArray(prefix))
        expr_fail(s->b, STATUS_INVALID, "\"prefixItems\" of the schema must be an array");
    if (prefix != NULL && prefix->child != NULL && (wants || unique))
        schema_lacks(s, wants ? "contains" : "uniqueItems", " beside \"prefixItems\"");
    if (wants && unique)
        schema_lacks(s, "contains", " beside \"uniqueItems\"");
    if (expr_status(s->b) != STATUS_OK)
        return TEXT(s, "");
    if (unique)
        return unique_items(s, items, &b);
    return wants ? containing(s, schema, items, &b) : listed_items(s, prefix, items, &b);
}
