/* strings.c - strings of JSON: lengths, patterns and formats. See schema.h.
 *
 * A pattern or a format is an expression of characters; in_json writes it as JSON does.
 */
#include "api/schema/internal.h"

#include "grammar/read.h"
#include "grammar/regular.h"

#include <string.h>

enum {
    LAST_CODE_POINT = 0x10FFFF,
    LENGTH_MOST = 2000,       /* characters that are counted */
    LENGTH_MOST_BESIDE = 500, /* the same, beside a pattern */
};

/* --- patterns --- */

static bool is_any(const struct expr *e)
{
    return e->class.n == 1 && e->class.ranges[0].first == 0 &&
           e->class.ranges[0].last == LAST_CODE_POINT;
}

/* The same expression over characters as they stand in JSON. */
static const struct expr *in_json(struct schema *s, const struct expr *e)
{
    struct expr_list list = {0};
    switch (e->kind) {
    case EXPR_TEXT:
        return literal_characters(s, e->text.bytes, e->text.n);
    case EXPR_CLASS:
        return is_any(e) ? any_character(s) : character_of(s, e->class.ranges, e->class.n, false);
    case EXPR_SEQUENCE:
    case EXPR_CHOICE:
        for (size_t i = 0; i < e->parts.n; i++)
            expr_list_add(s->b, &list, in_json(s, e->parts.at[i]));
        return e->kind == EXPR_SEQUENCE ? expr_sequence(s->b, list.at, list.n)
                                        : expr_choice(s->b, list.at, list.n);
    case EXPR_REPEAT:
        return expr_repeat(s->b, in_json(s, e->repeat.of), e->repeat.min, e->repeat.max);
    case EXPR_RULE:
    case EXPR_UNTIL:
    case EXPR_MULTIPLE:
    case EXPR_BOTH:
    case EXPR_BUT:
        break;
    }
    return e;
}

const struct expr *string_pattern(struct schema *s, const char *pattern)
{
    return regex_read(s->b, pattern, strlen(pattern), false);
}

bool name_matches(struct schema *s, const char *name, const char *pattern)
{
    return regular_matches(s->b, string_pattern(s, pattern), name, strlen(name));
}

const struct expr *pattern_inside(struct schema *s, const char *pattern)
{
    return in_json(s, string_pattern(s, pattern));
}

/* --- formats --- */

#define YEAR      "(\\d{3}[1-9]|\\d\\d[1-9]0|\\d[1-9]00|[1-9]000)"
#define LEAP_YEAR "(\\d\\d(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)"
#define DATE                                                                                       \
    "(" YEAR "-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|"          \
    "02-(0[1-9]|1\\d|2[0-8]))|" LEAP_YEAR "-02-29)"
#define HOUR  "([01]\\d|2[0-3])"
#define TIME  HOUR ":[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-]" HOUR ":[0-5]\\d)"
#define LABEL "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
/* the same of any length, where it stands among others */
#define WORD           "[A-Za-z0-9](-*[A-Za-z0-9])*"
#define BYTE           "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define IPV4           BYTE "(\\." BYTE "){3}"
#define H              "[0-9A-Fa-f]{1,4}"
#define PATH_CHARACTER "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
#define QUERY          "(\\?(" PATH_CHARACTER "|[/?])*)?(#(" PATH_CHARACTER "|[/?])*)?"
#define URI                                                                                        \
    "[A-Za-z][A-Za-z0-9+.-]*:(//([A-Za-z0-9._~-]+@)?(" WORD "(\\." WORD                            \
    ")*)(:\\d{1,5})?(/" PATH_CHARACTER "*)*|" PATH_CHARACTER "+)" QUERY

static const struct {
    const char *name, *pattern;
} formats[] = {
    {"date", DATE},
    {"time", TIME},
    {"date-time", DATE "T" TIME},
    {"email", "[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@(" WORD "\\.)+[A-Za-z]{2,24}"},
    {"hostname", LABEL "(\\." LABEL ")*"},
    {"uuid", "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"},
    {"ipv4", IPV4},
    {"ipv6", "(" H ":){7}" H "|(" H ":){1,7}:|(" H ":){1,6}:" H "|(" H ":){1,5}(:" H "){1,2}|(" H
             ":){1,4}(:" H "){1,3}|(" H ":){1,3}(:" H "){1,4}|(" H ":){1,2}(:" H "){1,5}|" H ":(:" H
             "){1,6}|:(:" H "){1,7}|::"},
    {"uri", URI},
    {"url", URI},
    {"uri-reference", URI "|(/|//" WORD ")?(" PATH_CHARACTER "|/)*" QUERY},
    {"json-pointer", "(/([^/~]|~[01])*)*"},
    {"byte", "([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"},
    {"duration", "P(\\d+W|(\\d+Y(\\d+M(\\d+D)?)?|\\d+M(\\d+D)?|\\d+D)(T(\\d+H(\\d+M(\\d+S)?)?|"
                 "\\d+M(\\d+S)?|\\d+S))?|T(\\d+H(\\d+M(\\d+S)?)?|\\d+M(\\d+S)?|\\d+S))"},
};

const char *schema_format_pattern(const char *format)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, format) == 0)
            return formats[i].pattern;
    return NULL;
}

/* For people alone, in OpenAPI: any string. */
static bool format_describes(const char *name)
{
    return strcmp(name, "password") == 0 || strcmp(name, "binary") == 0;
}

const struct expr *string_format(struct schema *s, const char *name)
{
    const char *pattern = schema_format_pattern(name);
    if (pattern != NULL)
        return regex_read(s->b, pattern, strlen(pattern), true);
    expr_fail(s->b, STATUS_UNSUPPORTED,
              "the format \"%.40s\" is not supported: date, time, date-time, duration, email, "
              "hostname, ipv4, ipv6, uri, uri-reference, uuid, json-pointer and byte are",
              name);
    return TEXT(s, "");
}

/* --- several bounds at once --- */

static const struct expr *canonical(struct schema *s)
{
    return expr_repeat(s->b, character_of(s, NULL, 0, true), 0, EXPR_MANY);
}

static const struct expr *also(struct schema *s, const struct expr *have, const struct expr *more)
{
    return have != NULL ? expr_both(s->b, have, more) : more;
}

/* One text or several. */
static const struct expr *each_of(struct schema *s, const struct cJSON *schema, const char *keyword,
                                  const struct expr *(*read)(struct schema *s, const char *text),
                                  const struct expr *have)
{
    const struct cJSON *value = schema_member(schema, keyword);
    for (const struct cJSON *one = cJSON_IsArray(value) ? value->child : value; one != NULL;
         one = cJSON_IsArray(value) ? one->next : NULL) {
        const char *text = cJSON_GetStringValue(one);
        if (text == NULL)
            expr_fail(s->b, STATUS_INVALID, "\"%s\" of the schema must be a string", keyword);
        else if (strcmp(keyword, "format") != 0 || !format_describes(text))
            have = also(s, have, in_json(s, read(s, text)));
    }
    return have;
}

/* Less what "not" takes away. */
static const struct expr *less(struct schema *s, const struct cJSON *schema,
                               const struct expr *have)
{
    const struct cJSON *without = schema_member(schema, "not");
    struct expr_list list = {0};
    for (const struct cJSON *one = without ? without->child : NULL; one != NULL; one = one->next) {
        const char *pattern = cJSON_GetStringValue(schema_member(one, "pattern"));
        const struct cJSON *values = schema_member(one, "enum");
        if (pattern != NULL)
            expr_list_add(s->b, &list, pattern_inside(s, pattern));
        for (const struct cJSON *value = values ? values->child : NULL; value; value = value->next)
            if (cJSON_IsString(value))
                expr_list_add(
                    s->b, &list,
                    literal_characters(s, value->valuestring, strlen(value->valuestring)));
    }
    if (list.n == 0)
        return have;
    return expr_but(s->b, also(s, have, canonical(s)), expr_choice(s->b, list.at, list.n));
}

const struct expr *string_inside(struct schema *s, const struct cJSON *schema, bool formats_count)
{
    uint32_t min = schema_count(s, schema, "minLength", 0);
    uint32_t max = schema_count(s, schema, "maxLength", EXPR_MANY);
    const struct cJSON *encoding = schema_member(schema, "contentEncoding");
    if (min > max) {
        expr_fail(s->b, STATUS_INVALID, "\"minLength\" of the schema is above \"maxLength\"");
        return NULL;
    }
    if (schema_member(schema, "contentMediaType"))
        schema_lacks(s, "contentMediaType", "");
    const struct expr *e = each_of(s, schema, "pattern", string_pattern, NULL);
    if (formats_count)
        e = each_of(s, schema, "format", string_format, e);
    if (encoding != NULL && cJSON_IsString(encoding) &&
        strcmp(encoding->valuestring, "base64") == 0)
        e = also(s, e, in_json(s, string_format(s, "byte")));
    else if (encoding != NULL)
        schema_lacks(s, "contentEncoding", " other than base64");
    const uint32_t most = e == NULL ? LENGTH_MOST : LENGTH_MOST_BESIDE;
    if (min > most)
        schema_lacks(s, "minLength", e == NULL ? " of more than 2000" : " of more than 500");
    if (min > 0 || max != EXPR_MANY) /* what is counted no further ends there */
        e = also(
            s, e,
            expr_repeat(s->b, any_character(s), min, max == EXPR_MANY || max <= most ? max : most));
    return less(s, schema, e);
}

const struct expr *string_expr(struct schema *s, const struct cJSON *schema)
{
    const struct expr *inside = string_inside(s, schema, true);
    return inside != NULL ? quoted(s, inside) : any_string(s);
}
