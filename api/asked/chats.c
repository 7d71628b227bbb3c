/* chats.c - conversations on the way to jobs: templates, the prompts that they make, and what comes
 * of tools. Any thread; holds nothing between calls. */
#include "api/asked/calling.h"
#include "api/asked/shaping.h"
#include "base/clock.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status asked_template(const char *field, const struct cJSON *value,
                           const struct chat_template *model, const struct api_limits *limits,
                           struct chat_template **out, struct error *err)
{
    if (!cJSON_IsString(value))
        return error_set_param(err, STATUS_INVALID, field, "%s must be a string, not %s", field,
                               fields_type_name(value));
    if (!limits->request_templates)
        return error_set_param(err, STATUS_UNSUPPORTED, field,
                               "%s: this server takes no templates from requests "
                               "(--request-templates)",
                               field);
    if (model == NULL)
        return error_set(err, STATUS_UNABLE, "%s", chat_template_fault(model));
    return chat_template_other(out, model, value->valuestring, strlen(value->valuestring), err);
}

/* The prompt that a template makes of a conversation, and what is known of its answer. */
struct chat_of_body {
    struct asking *asking;
    const struct chat_template *template;
    struct chat_request request; /* as the template is asked */
    struct calling calling;
    struct chat_prompt prompt;
    struct reasoning reasoning;
    int32_t *ids;
};

static enum status render(struct chat_of_body *r, const char *field, size_t *n_ids,
                          struct error *err)
{
    struct asking *a = r->asking;
    const char *written = r->request.tools.n > 0 ? chat_template_source_for_tools(r->template)
                                                 : chat_template_source(r->template);
    enum status status = calling_begin(&r->calling, a, written, &r->request, err);
    if (status == STATUS_OK)
        status = chat_render(r->template, &r->request, &r->prompt, err);
    if (status == STATUS_INVALID && calling_tries_again(&r->calling, &r->request))
        status = chat_render(r->template, &r->request, &r->prompt, err);
    if (status == STATUS_OK)
        status = chat_tokenize(&r->prompt, field, a->source->tokenizer, &r->ids, n_ids, err);
    return status;
}

/* The shape of the answer, or what it may be with its calls. */
static enum status take_grammar(struct chat_of_body *r, struct generation *g,
                                struct builder_values *values, struct error *err)
{
    struct asking *a = r->asking;
    const struct chat_prompt *prompt = &r->prompt;
    const char *written = chat_template_source(r->template);
    reasoning_begin(&r->reasoning, a->source->limits->reasoning ? reasoning_find(written) : NULL,
                    prompt->text, prompt->n_text);
    enum shaping_before before = shaping_before(&r->reasoning, prompt->text, prompt->n_text);
    enum status status =
        r->calling.constrains
            ? calling_grammar(&r->calling, a, &r->reasoning, before != SHAPING_NOTHING, err)
            : asking_grammar(a, g, before, r->reasoning.tags, err);
    values->grammar = a->grammar;
    return status;
}

enum status asking_add_chat(struct asking *a, struct generation *g,
                            const struct chat_request *request, const char *field,
                            struct error *err)
{
    struct chat_template *own = NULL; /* that the body brings */
    enum status status = STATUS_OK;
    if (a->values.chat_template != NULL && request->other == NULL)
        status =
            asked_template(asking_name(a, offsetof(struct asked, chat_template)),
                           a->values.chat_template, a->source->chat, a->source->limits, &own, err);
    if (status != STATUS_OK)
        return status;
    struct chat_of_body r = {.asking = a, .request = *request};
    if (own != NULL)
        r.request.other = own;
    r.template = r.request.other != NULL ? r.request.other : a->source->chat;
    struct builder_values values = a->builder;
    const size_t first = g->n_choices;
    uint64_t begin_ns = clock_now_ns();
    status = render(&r, field, &values.n_ids, err);
    g->tokenize_ns += clock_now_ns() - begin_ns;
    values.ids = r.ids;
    a->names.prompt = field;
    if (status == STATUS_OK)
        values.n_common = chat_common_ids(&r.prompt, a->source->tokenizer, r.ids, values.n_ids);
    if (status == STATUS_OK)
        status = take_grammar(&r, g, &values, err);
    if (status == STATUS_OK)
        status = builder_add(g, &values, &a->names, a->source->tokenizer, a->source->limits, err);
    for (size_t i = first; status == STATUS_OK && i < g->n_choices; i++)
        g->choices[i].reasoning = r.reasoning;
    if (status == STATUS_OK)
        calling_finish(&r.calling, a, g, first);
    if (status == STATUS_OK)
        calling_show_tags(a, r.reasoning.tags, g, first);
    g->chat = true;
    free(r.ids);
    calling_free(&r.calling);
    chat_prompt_free(&r.prompt);
    chat_template_destroy(own);
    return status;
}

enum status asking_join_kwargs(const struct asking *a, const char *members, char **out,
                               struct json_span *kwargs, struct error *err)
{
    struct json_span given = a->values.template_kwargs, effort = a->values.reasoning_effort;
    *kwargs = given;
    if (given.n > 0 && given.at[0] != '{')
        return error_set_param(
            err, STATUS_INVALID, asking_name(a, offsetof(struct asked, template_kwargs)),
            "%s must be an object", asking_name(a, offsetof(struct asked, template_kwargs)));
    if (effort.n > 0 && effort.at[0] != '"')
        return error_set_param(
            err, STATUS_INVALID, asking_name(a, offsetof(struct asked, reasoning_effort)),
            "%s must be a string", asking_name(a, offsetof(struct asked, reasoning_effort)));
    if (effort.n == 0 && members[0] == '\0')
        return STATUS_OK;
    size_t room = strlen(members) + effort.n + given.n + 64;
    char *text = malloc(room);
    if (text == NULL)
        return error_no_memory(err, room, "a template's variables");
    int n =
        snprintf(text, room, "{%s%s%.*s%s", members, effort.n > 0 ? "\"reasoning_effort\":" : "",
                 (int)effort.n, effort.n > 0 ? effort.at : "", effort.n > 0 ? "," : "");
    const char *rest = given.n > 0 ? given.at + 1 : "}";
    size_t n_rest = given.n > 0 ? given.n - 1 : 1, space = 0;
    while (strchr(" \t\r\n", rest[space]) != NULL)
        space++;
    if (rest[space] == '}')
        n--; /* the comma */
    memcpy(text + n, rest, n_rest);
    *out = text;
    *kwargs = (struct json_span){text, (size_t)n + n_rest};
    return STATUS_OK;
}
