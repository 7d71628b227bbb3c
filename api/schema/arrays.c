/* arrays.c - arrays of JSON: first items by place, then any number of one kind. See schema.h. */
#include "api/schema/internal.h"

static const struct expr *after_comma(struct schema *s, const struct expr *item)
{
    return SEQUENCE(s, TEXT(s, ","), space(s), item);
}

/* The items after the first n_done, and white space before the end. rest: NULL where none more may
 * come. */
static const struct expr *items_after(struct schema *s, const struct expr_list *first,
                                      const struct expr *rest, size_t n_done, uint32_t min,
                                      uint32_t max)
{
    const struct expr *tail = space(s);
    if (rest != NULL && max > first->n) {
        size_t before = first->n > n_done ? first->n : n_done;
        uint32_t least = min > before ? min - (uint32_t)before : 0;
        uint32_t most = max == EXPR_MANY ? EXPR_MANY : max > before ? max - (uint32_t)before : 0;
        tail = SEQUENCE(s, expr_repeat(s->b, after_comma(s, rest), least, most), tail);
    }
    for (size_t i = first->n; i-- > n_done;) {
        const struct expr *with = SEQUENCE(s, after_comma(s, first->at[i]), tail);
        tail = i >= max ? space(s) : i < min ? with : CHOICE(s, with, space(s));
    }
    return tail;
}

const struct expr *array_expr(struct schema *s, const struct cJSON *schema)
{
    static const char *const lacking[] = {"contains", "minContains", "maxContains",
                                          "unevaluatedItems"};
    for (size_t i = 0; i < sizeof lacking / sizeof *lacking; i++)
        if (schema_member(schema, lacking[i]) != NULL)
            schema_lacks(s, lacking[i], "");
    if (cJSON_IsTrue(schema_member(schema, "uniqueItems")))
        schema_lacks(s, "uniqueItems", "");
    const struct cJSON *prefix = schema_member(schema, "prefixItems");
    const struct cJSON *items = schema_member(schema, "items");
    if (cJSON_IsArray(items)) { /* as drafts before 2020 had it */
        prefix = items;
        items = schema_member(schema, "additionalItems");
    }
    uint32_t min = schema_count(s, schema, "minItems", 0);
    uint32_t max = schema_count(s, schema, "maxItems", EXPR_MANY);
    if (min > max)
        expr_fail(s->b, STATUS_INVALID, "\"minItems\" of the schema is above \"maxItems\"");
    struct expr_list first = {0};
    if (prefix != NULL && !cJSON_IsArray(prefix))
        expr_fail(s->b, STATUS_INVALID, "\"prefixItems\" of the schema must be an array");
    else if (prefix != NULL)
        for (const struct cJSON *one = prefix->child; one != NULL; one = one->next)
            expr_list_add(s->b, &first, s->read(s, one));
    const struct expr *rest = NULL;
    if (!cJSON_IsFalse(items) && max > first.n)
        rest = items != NULL ? s->read(s, items) : any_value(s);
    const struct expr *empty = SEQUENCE(s, TEXT(s, "["), space(s), TEXT(s, "]"));
    const struct expr *one = first.n > 0 ? first.at[0] : rest;
    if (max == 0 || one == NULL) {
        if (min > 0)
            expr_fail(s->b, STATUS_INVALID, "an array of the schema has no item to hold");
        return empty;
    }
    if (rest == NULL && min > first.n)
        expr_fail(s->b, STATUS_INVALID, "an array of the schema has fewer items than it needs");
    const struct expr *full = SEQUENCE(s, TEXT(s, "["), space(s), one,
                                       items_after(s, &first, rest, 1, min, max), TEXT(s, "]"));
    return min == 0 ? CHOICE(s, empty, full) : full;
}
