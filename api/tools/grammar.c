/* grammar.c - see grammar.h: what comes before calls and between them. */
#include "api/tools/grammar.h"

#include "api/tools/internal.h"
#include "base/append.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

enum { MARKS_MAX = 8 };

/* Texts at which free text ends. */
struct marks {
    struct expr_bytes at[MARKS_MAX];
    size_t n;
};

static void add_mark(struct marks *marks, const char *bytes, size_t n)
{
    marks->at[marks->n++] = (struct expr_bytes){bytes, n};
}

/* --- calls --- */

static const struct expr *call_of(struct grammar_builder *b, const struct tool_set *set,
                                  const struct tool *tool)
{
    const struct expr *arguments = call_arguments(b, set->family, tool);
    return call_pattern(b, set->family->call, tool, arguments);
}

static const struct expr *any_call(struct grammar_builder *b, const struct tool_set *set)
{
    struct expr_list calls = {0};
    for (size_t i = 0; i < set->n_tools && expr_status(b) == STATUS_OK; i++)
        if (tool_set_may_call(set, &set->tools[i]))
            expr_list_add(b, &calls, call_of(b, set, &set->tools[i]));
    uint32_t rule = rule_declare(b, "call", 4);
    rule_define(b, rule, expr_choice(b, calls.at, calls.n));
    return expr_rule(b, rule);
}

/* A section without its trigger. */
static const struct expr *section(struct grammar_builder *b, const struct tool_set *set)
{
    const struct tool_family *family = set->family;
    const struct expr *call = any_call(b, set), *more = TEXT(b, "");
    if (set->parallel && family->between != NULL)
        more = expr_repeat(b, SEQUENCE(b, call_pattern(b, family->between, NULL, NULL), call), 0,
                           EXPR_MANY);
    uint32_t rule = rule_declare(b, "section", 7);
    rule_define(b, rule,
                SEQUENCE(b, call_pattern(b, family->begin, NULL, NULL), call, more,
                         call_pattern(b, family->end, NULL, NULL)));
    return expr_rule(b, rule);
}

/* What may come after the first trigger: its section, and others. */
static const struct expr *sections(struct grammar_builder *b, const struct tool_set *set)
{
    const struct expr *one = section(b, set), *space = call_space(b);
    if (!set->parallel || set->family->trigger == NULL || set->family->between != NULL)
        return SEQUENCE(b, one, space);
    const struct expr *again = SEQUENCE(b, space, TEXT(b, set->family->trigger), one);
    return SEQUENCE(b, one, expr_repeat(b, again, 0, EXPR_MANY), space);
}

/* --- answers that may begin with a call, where no trigger tells calls from text --- */

/* Texts that begin a call, each up to its arguments: every way to write the blanks. */
struct heads {
    char (*at)[2 * TOOL_NAME_MAX + 64];
    size_t n, room;
};

static void add_heads(struct heads *heads, const char *pattern, const struct tool *tool,
                      const char *so_far, size_t n)
{
    char text[sizeof heads->at[0]];
    memcpy(text, so_far, n);
    for (const char *p = pattern; *p != '\0' && n + TOOL_NAME_MAX + 2 < sizeof text; p++) {
        if (p[0] == '$' && p[1] == 'A')
            break;
        if (*p == '\1') { /* with the part, and without it */
            const char *end = strchr(p, '\2');
            add_heads(heads, end + 1, tool, text, n);
            continue;
        }
        if (*p == ' ') {
            add_heads(heads, p + 1, tool, text, n);
            text[n++] = ' ';
        } else if (p[0] == '$' && p[1] == 'N') {
            memcpy(text + n, tool->name, tool->n_name);
            n += tool->n_name;
            p++;
        } else if (*p != '\2' && *p != '\n') {
            text[n++] = *p;
        }
    }
    if (heads->n == heads->room)
        return;
    memcpy(heads->at[heads->n], text, n);
    heads->at[heads->n++][n] = '\0';
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Texts that go on from heads[0..n), which have their first `depth` bytes in common, and away from
 * them all. */
static void add_other_ways(struct grammar_builder *b, struct expr_list *list,
                           const struct heads *heads, size_t from, size_t to, size_t depth,
                           const struct expr *rest)
{
    struct expr_range *taken = expr_alloc(b, to - from + 4, sizeof *taken);
    size_t n = 0;
    if (taken == NULL || heads->at[from][depth] == '\0')
        return;
    if (depth == 0) { /* white space before the answer is none of it */
        taken[n++] = (struct expr_range){'\t', '\n'};
        taken[n++] = (struct expr_range){'\r', '\r'};
        taken[n++] = (struct expr_range){' ', ' '};
    }
    for (size_t i = from, end; i < to; i = end) {
        for (end = i; end < to && heads->at[end][depth] == heads->at[i][depth];)
            end++;
        taken[n++] = (struct expr_range){(uint32_t)(unsigned char)heads->at[i][depth],
                                         (uint32_t)(unsigned char)heads->at[i][depth]};
        add_other_ways(b, list, heads, i, end, depth + 1, rest);
    }
    const struct expr *away = SEQUENCE(b, expr_class(b, taken, n, true), rest);
    expr_list_add(b, list,
                  SEQUENCE(b, expr_text(b, heads->at[from], depth),
                           depth > 0 ? expr_optional(b, away) : away));
}

/* Free text that no call begins. */
static const struct expr *text_without_head(struct grammar_builder *b, const struct tool_set *set,
                                            const struct expr *rest)
{
    char pattern[128];
    size_t n = 0;
    const size_t room = 8 * set->n_tools;
    struct heads heads = {.at = expr_alloc(b, room + 1, sizeof heads.at[0]), .room = room};
    struct expr_list list = {0};
    if (heads.at == NULL)
        return rest;
    append_text(pattern, sizeof pattern, &n, "%s%s", set->family->begin, set->family->call);
    for (size_t i = 0; i < set->n_tools; i++)
        if (tool_set_may_call(set, &set->tools[i]))
            add_heads(&heads, pattern, &set->tools[i], "", 0);
    qsort(heads.at, heads.n, sizeof heads.at[0], by_text);
    add_other_ways(b, &list, &heads, 0, heads.n, 0, rest);
    expr_list_add(b, &list, TEXT(b, ""));
    return expr_choice(b, list.at, list.n);
}

/* --- answers --- */

static const struct expr *answer(struct grammar_builder *b, const struct tool_set *set,
                                 const struct expr *text)
{
    const char *trigger = set->family->trigger;
    struct expr_list list = {0};
    struct marks marks = {.n = 0};
    bool calls = set->choice != TOOLS_NONE && set->n_tools > 0;
    if (calls && set->choice == TOOLS_REQUIRED)
        return trigger != NULL ? SEQUENCE(b, TEXT(b, trigger), sections(b, set)) : sections(b, set);
    if (text != NULL && !calls)
        return text;
    if (text != NULL)
        return CHOICE(b, text,
                      trigger != NULL ? SEQUENCE(b, TEXT(b, trigger), sections(b, set))
                                      : sections(b, set));
    if (trigger == NULL) {
        if (!calls)
            return expr_until(b, NULL, 0);
        return CHOICE(b, sections(b, set), text_without_head(b, set, expr_until(b, NULL, 0)));
    }
    if (set->n_tools > 0) /* also where none may be called */
        add_mark(&marks, trigger, strlen(trigger));
    expr_list_add(b, &list, expr_until(b, marks.at, marks.n));
    if (calls)
        expr_list_add(b, &list,
                      SEQUENCE(b, expr_through(b, marks.at, marks.n, 0), sections(b, set)));
    return expr_choice(b, list.at, list.n);
}

/* --- messages in channels --- */

static const struct expr *call_in_channel(struct grammar_builder *b, const struct tool *tool)
{
    static const struct tool_family json = {.form = FORM_JSON};
    const struct expr *name = TEXT(b, tool->name);
    const struct expr *kind = expr_optional(
        b, SEQUENCE(b, TEXT(b, " "), expr_optional(b, TEXT(b, "<|constrain|>")), TEXT(b, "json")));
    const struct expr *to = SEQUENCE(b, TEXT(b, " to=functions."), name);
    return SEQUENCE(b,
                    CHOICE(b, SEQUENCE(b, TEXT(b, "<|channel|>commentary"), to),
                           SEQUENCE(b, to, TEXT(b, "<|channel|>commentary"))),
                    kind, TEXT(b, "<|message|>"), call_arguments(b, &json, tool));
}

/* An answer is messages: reasoning, text for the user, a call, after which it ends. */
static const struct expr *channels(struct grammar_builder *b, const struct tool_set *set,
                                   const struct expr *text)
{
    static const char end[] = "<|end|>";
    static const char *const others[] = {"<|start|>", "<|channel|>", "<|message|>",
                                         "<|constrain|>"};
    const bool calls = set->choice != TOOLS_NONE && set->n_tools > 0;
    struct marks marks = {.n = 0};
    struct expr_list last = {0}, closed = {0};
    add_mark(&marks, end, strlen(end));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        add_mark(&marks, others[i], strlen(others[i]));
    expr_list_add(b, &closed, expr_through(b, marks.at, marks.n, 0));
    const struct expr *name = CHOICE(b, TEXT(b, "analysis"), TEXT(b, "commentary"));
    const struct expr *message = SEQUENCE(b, TEXT(b, "<|channel|>"), name, TEXT(b, "<|message|>"),
                                          closed.at[0], TEXT(b, "<|start|>assistant"));
    if (set->choice != TOOLS_REQUIRED || !calls) {
        const struct expr *body = text != NULL ? text : expr_until(b, marks.at, marks.n);
        const struct expr *any =
            text != NULL ? TEXT(b, "final") : CHOICE(b, TEXT(b, "final"), name);
        expr_list_add(b, &last,
                      SEQUENCE(b, TEXT(b, "<|channel|>"), any, TEXT(b, "<|message|>"), body));
    }
    for (size_t i = 0; calls && i < set->n_tools && expr_status(b) == STATUS_OK; i++)
        if (tool_set_may_call(set, &set->tools[i]))
            expr_list_add(b, &last, call_in_channel(b, &set->tools[i]));
    return SEQUENCE(b, expr_repeat(b, message, 0, EXPR_MANY), expr_choice(b, last.at, last.n));
}

/* --- all --- */

static const struct expr *with_thought(struct grammar_builder *b, const struct tool_set *set,
                                       const struct expr *after, enum tool_thought thought,
                                       const struct reasoning_tags *tags)
{
    struct marks marks = {.n = 0};
    struct expr_list list = {0};
    uint32_t rule = rule_declare(b, "answer", 6);
    rule_define(b, rule, after);
    add_mark(&marks, tags->close, strlen(tags->close));
    if (set->choice != TOOLS_REQUIRED) /* it may end before it has closed */
        expr_list_add(b, &list, expr_until(b, marks.at, marks.n));
    expr_list_add(
        b, &list,
        SEQUENCE(b, expr_through(b, marks.at, marks.n, 0), call_space(b), expr_rule(b, rule)));
    const struct expr *thinks = expr_choice(b, list.at, list.n);
    if (thought == THOUGHT_UNDER_WAY)
        return thinks;
    return CHOICE(b, expr_rule(b, rule), SEQUENCE(b, call_space(b), TEXT(b, tags->open), thinks));
}

const struct expr *tool_grammar(struct grammar_builder *b, const struct tool_set *set,
                                const struct expr *text, enum tool_thought thought,
                                const struct reasoning_tags *tags)
{
    if (set->family->channels)
        return channels(b, set, text);
    const struct expr *after = answer(b, set, text);
    return thought == THOUGHT_NONE ? after : with_thought(b, set, after, thought, tags);
}

/* --- keys --- */

struct grammar_key {
    char *bytes;
    size_t n, room;
    bool failed;
};

static void add_bytes(struct grammar_key *key, const char *bytes, size_t n)
{
    if (key->n + n + 1 > key->room) {
        size_t room = 2 * key->room + n + 256;
        char *more = key->failed ? NULL : realloc(key->bytes, room);
        key->failed |= more == NULL;
        if (more == NULL)
            return;
        key->bytes = more;
        key->room = room;
    }
    if (key->bytes == NULL)
        return;
    memcpy(key->bytes + key->n, bytes, n);
    key->n += n;
    key->bytes[key->n++] = '\0'; /* parts stay apart */
}

char *tool_grammar_key(const struct tool_set *set, const char *text, enum tool_thought thought,
                       const struct reasoning_tags *tags, size_t *n)
{
    struct grammar_key key = {.n = 0};
    const char flags[] = {(char)('0' + (int)set->choice), (char)('0' + (int)thought),
                          set->parallel ? 'p' : 's'};
    add_bytes(&key, "tools", 5);
    add_bytes(&key, flags, sizeof flags);
    add_bytes(&key, set->family->name, strlen(set->family->name));
    if (text != NULL)
        add_bytes(&key, text, strlen(text));
    if (thought != THOUGHT_NONE)
        add_bytes(&key, tags->close, strlen(tags->close));
    for (size_t i = 0; i < set->n_tools; i++) {
        const struct tool *tool = &set->tools[i];
        char *schema = tool->schema != NULL ? cJSON_PrintUnformatted(tool->schema) : strdup("");
        add_bytes(&key, tool_set_may_call(set, tool) ? "+" : "-", 1);
        add_bytes(&key, tool->name, tool->n_name);
        key.failed |= schema == NULL;
        if (schema != NULL)
            add_bytes(&key, schema, strlen(schema));
        free(schema);
    }
    if (key.failed) {
        free(key.bytes);
        return NULL;
    }
    *n = key.n;
    return key.bytes;
}
