/* values.c - any JSON value at all, and given ones. See schema.h.
 *
 * Each kind is one rule of the grammar, made when it is first asked for, so that all places that
 * allow it share its masks.
 */
#include "api/schema/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INDENT = 40 }; /* blanks of a new line at most */

const struct expr *space(struct schema *s)
{
    static const struct expr_range blank[] = {{' ', ' '}}, tab[] = {{'\t', '\t'}};
    if (s->space == NO_RULE) {
        s->space = rule_declare(s->b, "space", 5);
        const struct expr *indent =
            CHOICE(s, expr_repeat(s->b, expr_class(s->b, blank, 1, false), 0, INDENT),
                   expr_repeat(s->b, expr_class(s->b, tab, 1, false), 1, INDENT / 4));
        rule_define(s->b, s->space,
                    CHOICE(s, TEXT(s, ""), TEXT(s, " "), SEQUENCE(s, TEXT(s, "\n"), indent)));
    }
    return expr_rule(s->b, s->space);
}

/* open, parts with commas, close: parts are at least one where there are any. */
static const struct expr *listed(struct schema *s, const char *open, const struct expr *part,
                                 const char *close)
{
    const struct expr *more =
        expr_repeat(s->b, SEQUENCE(s, TEXT(s, ","), space(s), part), 0, EXPR_MANY);
    return SEQUENCE(s, TEXT(s, open),
                    CHOICE(s, space(s), SEQUENCE(s, space(s), part, more, space(s))),
                    TEXT(s, close));
}

const struct expr *any_object(struct schema *s)
{
    if (s->object == NO_RULE) {
        s->object = rule_declare(s->b, "object", 6);
        rule_define(
            s->b, s->object,
            listed(s, "{", SEQUENCE(s, any_string(s), TEXT(s, ":"), space(s), any_value(s)), "}"));
    }
    return expr_rule(s->b, s->object);
}

const struct expr *any_array(struct schema *s)
{
    if (s->array == NO_RULE) {
        s->array = rule_declare(s->b, "array", 5);
        rule_define(s->b, s->array, listed(s, "[", any_value(s), "]"));
    }
    return expr_rule(s->b, s->array);
}

const struct expr *any_value(struct schema *s)
{
    if (s->value == NO_RULE) {
        s->value = rule_declare(s->b, "value", 5);
        rule_define(s->b, s->value,
                    CHOICE(s, any_object(s), any_array(s), any_string(s), any_number(s),
                           TEXT(s, "true"), TEXT(s, "false"), TEXT(s, "null")));
    }
    return expr_rule(s->b, s->value);
}

/* --- given values --- */

static const struct expr *literal_number(struct schema *s, double value)
{
    char text[64];
    if (value == floor(value) && fabs(value) < 1e15) {
        snprintf(text, sizeof text, "%.0f", value == 0 ? 0.0 : value);
    } else {
        int digits = 15;
        do
            snprintf(text, sizeof text, "%.*g", digits, value);
        while (strtod(text, NULL) != value && ++digits <= 17);
    }
    return TEXT(s, text);
}

static const struct expr *literal_parts(struct schema *s, const struct cJSON *value)
{
    const bool is_object = cJSON_IsObject(value);
    struct expr_list list = {0};
    expr_list_add(s->b, &list, TEXT(s, is_object ? "{" : "["));
    for (const struct cJSON *part = value->child; part != NULL; part = part->next) {
        if (part != value->child)
            expr_list_add(s->b, &list, TEXT(s, ","));
        expr_list_add(s->b, &list, space(s));
        if (is_object) {
            expr_list_add(s->b, &list, literal_string(s, part->string));
            expr_list_add(s->b, &list, TEXT(s, ":"));
            expr_list_add(s->b, &list, space(s));
        }
        expr_list_add(s->b, &list, literal_value(s, part));
    }
    if (value->child != NULL)
        expr_list_add(s->b, &list, space(s));
    expr_list_add(s->b, &list, TEXT(s, is_object ? "}" : "]"));
    return expr_sequence(s->b, list.at, list.n);
}

const struct expr *literal_value(struct schema *s, const struct cJSON *value)
{
    if (cJSON_IsString(value))
        return literal_string(s, value->valuestring);
    if (cJSON_IsNumber(value))
        return literal_number(s, value->valuedouble);
    if (cJSON_IsBool(value))
        return TEXT(s, cJSON_IsTrue(value) ? "true" : "false");
    return cJSON_IsNull(value) ? TEXT(s, "null") : literal_parts(s, value);
}
