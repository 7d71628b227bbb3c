/* calling.c - see calling.h. */
#include "api/asked/calling.h"

#include "api/asked/shaping.h"
#include "api/tools/grammar.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

enum status asking_tools(struct asking *a, bool parallel, struct tool_set **out, struct error *err)
{
    a->tools = calloc(1, sizeof *a->tools);
    if (a->tools == NULL)
        return error_no_memory(err, sizeof *a->tools, "tools");
    a->tools->choice = TOOLS_AUTO;
    a->tools->parallel = parallel;
    *out = a->tools;
    return STATUS_OK;
}

/* Whether a conversation has calls or results of earlier turns: a look that may err on the safe
 * side. */
static bool tells_calls(struct json_span messages)
{
    return memmem(messages.at, messages.n, "tool", 4) != NULL;
}

/* What the template cannot tell the model of, its messages tell. */
static enum status write_history(struct calling *c, struct chat_request *request, struct error *err)
{
    free(c->memory);
    c->memory = NULL;
    if (c->history.describes)
        request->tools = (struct json_span){NULL, 0};
    return tool_history_write(&c->history, &c->memory, &request->messages, err);
}

enum status calling_begin(struct calling *c, struct asking *a, const char *template,
                          struct chat_request *request, struct error *err)
{
    struct tool_set *set = a->tools;
    if (set == NULL)
        return STATUS_OK;
    set->family = tool_family_find(template);
    if (set->n_tools == 0)
        set->choice = TOOLS_NONE;
    const bool is_plain = set->family == tool_family_plain();
    const bool knows_calls = template == NULL || strstr(template, "tool_calls") != NULL;
    c->history = (struct tool_history){.set = set,
                                       .messages = request->messages,
                                       .tools = request->tools,
                                       .describes = is_plain && set->n_tools > 0,
                                       .results_too = is_plain};
    enum status status = STATUS_OK;
    if (tool_set_tells(set))
        c->set = set;
    c->constrains = set->n_tools > 0;
    if (c->history.describes || (!knows_calls && tells_calls(request->messages)))
        status = write_history(c, request, err);
    return status;
}

bool calling_tries_again(struct calling *c, struct chat_request *request)
{
    if (!c->history.describes || c->history.in_user)
        return false;
    c->history.in_user = true;
    return write_history(c, request, NULL) == STATUS_OK;
}

/* --- the grammar --- */

struct call_making {
    const struct shaping *shaping;
    const struct tool_set *set;
    const struct answer_shape *shape; /* of an answer without calls */
    enum tool_thought thought;
    const struct reasoning_tags *tags;
};

static enum status make(void *ctx, struct grammar **out, struct error *err)
{
    const struct call_making *m = ctx;
    const struct vocabulary *vocabulary;
    struct grammar_builder *b = NULL;
    enum status status = m->shaping->vocabulary(m->shaping->engine, &vocabulary, err);
    if (status == STATUS_OK)
        status = expr_builder_create(&b, &m->shaping->limits, err);
    if (status != STATUS_OK)
        return status;
    const struct expr *text = m->shape->kind != SHAPE_NONE ? shape_expr(b, m->shape) : NULL;
    const struct expr *root = tool_grammar(b, m->set, text, m->thought, m->tags);
    status = grammar_build(out, b, root, vocabulary, &m->shaping->limits, err);
    expr_builder_destroy(b);
    return status;
}

enum status calling_grammar(const struct calling *c, struct asking *a,
                            const struct reasoning *reasoning, bool may_think, struct error *err)
{
    const struct shaping *shaping = a->source->shaping;
    struct call_making making = {shaping, c->set, &a->shape, THOUGHT_NONE, reasoning->tags};
    struct error cause = {.status = STATUS_OK};
    size_t n_key = 0;
    if (shaping == NULL || a->grammar != NULL)
        return STATUS_OK;
    if (may_think)
        making.thought =
            reasoning->stage == REASONING_INSIDE ? THOUGHT_UNDER_WAY : THOUGHT_MAY_COME;
    char *text = NULL; /* the shape's kind and what it says */
    if (a->shape.kind != SHAPE_NONE)
        text = shape_text(&a->shape);
    char *key = a->shape.kind != SHAPE_NONE && text == NULL
                    ? NULL
                    : tool_grammar_key(c->set, text, making.thought, making.tags, &n_key);
    free(text);
    if (key == NULL)
        return error_no_memory(err, sizeof making, "tools");
    enum status status =
        grammar_cache_get(shaping->cache, key, n_key, make, &making, &a->grammar, &cause);
    free(key);
    if (status == STATUS_TOO_LARGE)
        status = STATUS_INVALID;
    if (status == STATUS_INVALID || status == STATUS_UNSUPPORTED)
        return error_set_param(err, status, "tools", "tools: %s", cause.text);
    if (status != STATUS_OK && err != NULL)
        *err = cause;
    return status;
}

/* --- jobs --- */

/* The control token of this name; TOKEN_NONE: it is none, or there is no such token. */
static int32_t control_token(const struct tokenizer *tokenizer, const char *name)
{
    int32_t ids[256];
    size_t n = 0, n_name = strlen(name);
    if (tokenizer_max_ids(tokenizer, n_name) > sizeof ids / sizeof ids[0] ||
        tokenizer_encode(tokenizer, name, n_name, TOKENIZER_PARSE_SPECIAL, ids, &n, NULL) !=
            STATUS_OK)
        return TOKEN_NONE;
    return n == 1 && tokenizer_is_control(tokenizer, ids[0]) ? ids[0] : TOKEN_NONE;
}

static void show(struct job *job, int32_t id)
{
    if (id != TOKEN_NONE && !job_shows(job, id) && job->n_shown < JOB_SHOWN_MAX)
        job->shown_ids[job->n_shown++] = id;
}

void calling_finish(const struct calling *c, struct asking *a, struct generation *g, size_t first)
{
    const struct tokenizer *tokenizer = a->source->tokenizer;
    if (c->set == NULL)
        return;
    for (size_t i = first; i < g->n_choices; i++) {
        const char *begin = tool_family_begins(c->set->family);
        tool_reader_begin(&g->choices[i].reader, c->set, &g->choices[i].reasoning);
        g->choices[i].job->stop_guard = (struct stop_string){begin, strlen(begin)};
    }
    for (size_t k = 0; k < TOOL_SHOWN_MAX && c->set->family->shown[k] != NULL; k++) {
        int32_t id = control_token(tokenizer, c->set->family->shown[k]);
        for (size_t i = first; i < g->n_choices; i++)
            show(g->choices[i].job, id);
    }
}

void calling_show_tags(const struct asking *a, const struct reasoning_tags *tags,
                       struct generation *g, size_t first)
{
    if (tags == NULL)
        return;
    const int32_t open =
        control_token(a->source->tokenizer, tags->mark != NULL ? tags->mark : tags->open);
    const int32_t close = control_token(a->source->tokenizer, tags->close);
    for (size_t i = first; i < g->n_choices; i++) {
        show(g->choices[i].job, open);
        show(g->choices[i].job, close);
    }
}

void calling_free(struct calling *c)
{
    free(c->memory);
    *c = (struct calling){.set = NULL};
}
