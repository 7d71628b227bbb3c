/* shaping.c - keys, and what is compiled for those that are new. See shaping.h. */
#include "api/asked/shaping.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPACE_MOST = 4 /* characters between thoughts and the answer */ };

/* --- what comes before --- */

enum shaping_before shaping_before(const struct reasoning *reasoning, const char *prompt,
                                   size_t n_prompt)
{
    const struct reasoning_tags *tags = reasoning->tags;
    if (tags == NULL)
        return SHAPING_NOTHING;
    if (reasoning->stage == REASONING_INSIDE)
        return SHAPING_THINKS;
    return reasoning_ends_with(tags->close, prompt, n_prompt) ? SHAPING_NOTHING : SHAPING_MAY_THINK;
}

static const struct expr *spaces(struct grammar_builder *b)
{
    static const struct expr_range ranges[] = {{'\t', '\n'}, {'\r', '\r'}, {' ', ' '}};
    return expr_repeat(b, expr_class(b, ranges, sizeof ranges / sizeof ranges[0], false), 0,
                       SPACE_MOST);
}

static const struct expr *after_thoughts(struct grammar_builder *b,
                                         const struct reasoning_tags *tags,
                                         const struct expr *answer)
{
    const struct expr_bytes close = {tags->close, strlen(tags->close)};
    const struct expr *const parts[] = {expr_through(b, &close, 1, 0), spaces(b), answer};
    return expr_sequence(b, parts, sizeof parts / sizeof parts[0]);
}

static const struct expr *with_thoughts(struct grammar_builder *b, enum shaping_before before,
                                        const struct reasoning_tags *tags,
                                        const struct expr *answer)
{
    if (before == SHAPING_NOTHING)
        return answer;
    /* A rule: it may stand in two places. */
    uint32_t rule = rule_declare(b, "answer", 6);
    rule_define(b, rule, answer);
    answer = expr_rule(b, rule);
    const struct expr *thinks = after_thoughts(b, tags, answer);
    if (before == SHAPING_THINKS)
        return thinks;
    const struct expr *const opened[] = {spaces(b), expr_string(b, tags->open), thinks};
    const struct expr *const either[] = {answer, expr_sequence(b, opened, 3)};
    return expr_choice(b, either, 2);
}

/* --- compiling --- */

struct shape_making {
    const struct shaping *shaping;
    const struct answer_shape *shape;
    enum shaping_before before;
    const struct reasoning_tags *tags;
};

static enum status make(void *ctx, struct grammar **out, struct error *err)
{
    const struct shape_making *m = ctx;
    const struct shaping *shaping = m->shaping;
    const struct vocabulary *vocabulary;
    struct grammar_builder *b = NULL;
    enum status status = shaping->vocabulary(shaping->engine, &vocabulary, err);
    if (status == STATUS_OK)
        status = expr_builder_create(&b, &shaping->limits, err);
    if (status != STATUS_OK)
        return status;
    const struct expr *root = with_thoughts(b, m->before, m->tags, shape_expr(b, m->shape));
    status = grammar_build(out, b, root, vocabulary, &shaping->limits, err);
    expr_builder_destroy(b);
    return status;
}

/* The failure in the words of the API: the field's, and the client's to mend. */
static enum status blame(const struct answer_shape *shape, struct error *err)
{
    struct error cause = *err;
    if (cause.status == STATUS_TOO_LARGE)
        cause.status = STATUS_INVALID;
    if (cause.status != STATUS_INVALID && cause.status != STATUS_UNSUPPORTED)
        return cause.status;
    return error_set_param(err, cause.status, shape->field, "%s: %s", shape->path, cause.text);
}

/* --- keys --- */

/* All that the grammar depends on, as bytes, malloc'ed. */
static enum status make_key(const struct shape_making *m, char **out, size_t *n, struct error *err)
{
    const char *close = m->before != SHAPING_NOTHING ? m->tags->close : "";
    char *text = shape_text(m->shape);
    size_t room = text != NULL ? strlen(text) + strlen(close) + 8 : 0;
    char *key = text != NULL ? malloc(room) : NULL;
    if (key != NULL) {
        *n = (size_t)snprintf(key, room, "%d%s\n%s", (int)m->before, close, text);
        *out = key;
    }
    free(text);
    return key != NULL ? STATUS_OK : error_no_memory(err, room, "a shape");
}

enum status shaping_grammar(const struct shaping *shaping, const struct answer_shape *shape,
                            enum shaping_before before, const struct reasoning_tags *tags,
                            bool may_compile, struct grammar **out, struct error *err)
{
    struct shape_making making = {shaping, shape, before, tags};
    struct error cause = {.status = STATUS_OK};
    char *key = NULL;
    size_t n_key = 0;
    enum status status = make_key(&making, &key, &n_key, err);
    if (status != STATUS_OK)
        return status;
    if (may_compile) {
        status = grammar_cache_get(shaping->cache, key, n_key, make, &making, out, &cause);
        if (status != STATUS_OK) {
            status = blame(shape, &cause);
            if (err != NULL)
                *err = cause;
        }
    } else {
        *out = grammar_cache_find(shaping->cache, key, n_key);
    }
    free(key);
    return status;
}
