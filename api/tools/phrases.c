/* phrases.c - what all forms of calls are made of: patterns, strings without quotes, members with
 * commas between. See internal.h. */
#include "api/tools/internal.h"

#include "api/schema/schema.h"
#include "grammar/read.h"

#include <cjson/cJSON.h>

#include <string.h>

static const struct cJSON *member(const struct cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

const struct expr *call_space(struct grammar_builder *b)
{
    static const struct expr_range ranges[] = {{'\t', '\n'}, {'\r', '\r'}, {' ', ' '}};
    return expr_repeat(b, expr_class(b, ranges, sizeof ranges / sizeof ranges[0], false), 0,
                       GRAMMAR_SPACE_MAX);
}

const struct expr *call_through(struct grammar_builder *b, const char *mark)
{
    const struct expr_bytes bytes = {mark, strlen(mark)};
    return expr_through(b, &bytes, 1, 0);
}

/* --- patterns --- */

static const struct expr *id(struct grammar_builder *b)
{
    static const struct expr_range ranges[] = {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}};
    return expr_repeat(b, expr_class(b, ranges, 3, false), 9, 9); /* as Mistral's are */
}

static const struct expr *number(struct grammar_builder *b)
{
    static const struct expr_range digits[] = {{'0', '9'}};
    return expr_repeat(b, expr_class(b, digits, 1, false), 1, 3);
}

/* pattern[0..n), n ending it. */
static const struct expr *part_of_pattern(struct grammar_builder *b, const char *pattern,
                                          const char *end, const struct tool *tool,
                                          const struct expr *arguments)
{
    struct expr_list list = {0};
    const char *literal = pattern;
    for (const char *p = pattern; p < end; p++) {
        const struct expr *e = NULL;
        const char *next = p;
        if (*p == '\n')
            e = call_space(b);
        else if (*p == ' ')
            e = expr_optional(b, TEXT(b, " "));
        else if (*p == '\1') {
            next = strchr(p, '\2');
            e = expr_optional(b, part_of_pattern(b, p + 1, next, tool, arguments));
        } else if (*p == '$') {
            next = p + 1;
            e = *next == 'N'   ? TEXT(b, tool->name)
                : *next == 'A' ? arguments
                : *next == 'I' ? id(b)
                               : number(b);
        }
        if (e == NULL)
            continue;
        if (p > literal)
            expr_list_add(b, &list, expr_text(b, literal, (size_t)(p - literal)));
        expr_list_add(b, &list, e);
        p = next;
        literal = p + 1;
    }
    if (end > literal)
        expr_list_add(b, &list, expr_text(b, literal, (size_t)(end - literal)));
    return expr_sequence(b, list.at, list.n);
}

const struct expr *call_pattern(struct grammar_builder *b, const char *pattern,
                                const struct tool *tool, const struct expr *arguments)
{
    return part_of_pattern(b, pattern, pattern + strlen(pattern), tool, arguments);
}

/* --- strings without quotes --- */

const struct expr *call_before_mark(struct grammar_builder *b, const struct expr *value,
                                    const char *mark, bool line)
{
    return SEQUENCE(b, value, line ? expr_optional(b, TEXT(b, "\n")) : TEXT(b, ""), TEXT(b, mark));
}

/* So many characters: the mark's first may not be among them. */
static const struct expr *characters(struct grammar_builder *b, const struct cJSON *schema,
                                     char without)
{
    const struct cJSON *min = member(schema, "minLength"), *max = member(schema, "maxLength");
    const struct expr_range one = {(uint32_t)(unsigned char)without,
                                   (uint32_t)(unsigned char)without};
    double least = cJSON_IsNumber(min) ? min->valuedouble : 0;
    double most = cJSON_IsNumber(max) ? max->valuedouble : -1;
    if (least < 0 || least > 1e6 || most > 1e6)
        expr_fail(b, STATUS_TOO_LARGE, "the length of a string is too large");
    return expr_repeat(b, expr_class(b, &one, 1, true), (uint32_t)least,
                       most >= 0 ? (uint32_t)most : EXPR_MANY);
}

static const struct expr *given_strings(struct grammar_builder *b, const struct cJSON *values,
                                        const struct cJSON *value, const char *mark, bool line)
{
    struct expr_list list = {0};
    if (cJSON_IsString(value))
        expr_list_add(b, &list, TEXT(b, value->valuestring));
    for (const struct cJSON *one = values != NULL ? values->child : NULL; one; one = one->next)
        if (cJSON_IsString(one))
            expr_list_add(b, &list, TEXT(b, one->valuestring));
    return call_before_mark(b, expr_choice(b, list.at, list.n), mark, line);
}

const struct expr *call_bare_string(struct grammar_builder *b, const struct cJSON *root,
                                    const struct cJSON *schema, const char *mark, bool line)
{
    const struct cJSON *ref = member(schema, "$ref"), *any = member(schema, "anyOf");
    const struct cJSON *values = member(schema, "enum"), *value = member(schema, "const");
    const char *pattern = cJSON_GetStringValue(member(schema, "pattern"));
    const char *format = cJSON_GetStringValue(member(schema, "format"));
    if (ref != NULL)
        return call_bare_string(b, root, schema_at(root, cJSON_GetStringValue(ref)), mark, line);
    any = any != NULL ? any : member(schema, "oneOf");
    if (any != NULL) {
        struct expr_list list = {0};
        for (const struct cJSON *one = any->child; one != NULL; one = one->next)
            expr_list_add(b, &list, call_bare_string(b, root, one, mark, line));
        return expr_choice(b, list.at, list.n);
    }
    if (values != NULL || value != NULL)
        return given_strings(b, values, value, mark, line);
    if (pattern != NULL)
        return call_before_mark(b, regex_read(b, pattern, strlen(pattern), false), mark, line);
    if (format != NULL) {
        const char *known = schema_format_pattern(format);
        if (known == NULL) {
            expr_fail(b, STATUS_UNSUPPORTED, "the format \"%.40s\" is not supported", format);
            return TEXT(b, "");
        }
        return call_before_mark(b, regex_read(b, known, strlen(known), true), mark, line);
    }
    if (member(schema, "minLength") != NULL || member(schema, "maxLength") != NULL)
        return call_before_mark(b, characters(b, schema, mark[0]), mark, line);
    return call_through(b, mark);
}

/* --- members --- */

const struct expr *call_members(struct grammar_builder *b, const struct tool_members *m)
{
    const struct expr *comma = SEQUENCE(b, TEXT(b, ","), call_space(b));
    const struct expr *others = TEXT(b, "");
    struct expr_list first = {0};
    bool needed = false;
    uint32_t *rules = expr_alloc(b, m->n + 1, sizeof *rules);
    if (rules == NULL)
        return others;
    for (size_t i = 0; i <= m->n; i++)
        rules[i] = rule_declare(b, "arguments", 9);
    if (m->other != NULL)
        others = expr_repeat(b, SEQUENCE(b, comma, m->other), 0, EXPR_MANY);
    rule_define(b, rules[m->n], others);
    for (size_t i = m->n; i-- > 0;) {
        const struct expr *next = expr_rule(b, rules[i + 1]);
        const struct expr *with = SEQUENCE(b, comma, m->items[i], next);
        rule_define(b, rules[i], m->needed[i] ? with : CHOICE(b, with, next));
    }
    for (size_t i = 0; i < m->n && !needed; i++) {
        needed = m->needed[i];
        expr_list_add(b, &first, SEQUENCE(b, m->items[i], expr_rule(b, rules[i + 1])));
    }
    if (!needed && m->other != NULL)
        expr_list_add(b, &first, SEQUENCE(b, m->other, others));
    if (!needed)
        expr_list_add(b, &first, TEXT(b, ""));
    return expr_choice(b, first.at, first.n);
}
