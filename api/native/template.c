/* template.c - the body of POST /apply-template, and its answer. On libuv's pool; the result is
 * malloc'ed for the caller. */
#include "api/native/native.h"

#include "api/asked/asked.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

struct template_values {
    struct json_span messages, tools, documents, kwargs;
    const struct cJSON *chat_template;
    bool add_generation_prompt, continue_final_message;
};

#define AT(member) .offset = offsetof(struct template_values, member)
static const struct field template_rows[] = {
    {"messages", FIELD_RAW, AT(messages)},
    {"tools", FIELD_RAW, .nullable = true, AT(tools)},
    {"documents", FIELD_RAW, .nullable = true, AT(documents)},
    {"add_generation_prompt", FIELD_BOOL, .initial = true, AT(add_generation_prompt)},
    {"continue_final_message", FIELD_BOOL, AT(continue_final_message)},
    {"chat_template_kwargs", FIELD_RAW, .nullable = true, AT(kwargs)},
    {"chat_template", FIELD_ANY, .nullable = true, AT(chat_template)},
};
const struct field_table native_template_fields = {
    .fields = template_rows, .n_fields = sizeof template_rows / sizeof template_rows[0]};

static enum status check(const struct template_values *v, struct error *err)
{
    if (v->messages.n == 0)
        return error_set_param(err, STATUS_INVALID, "messages",
                               "messages is missing: give an array of messages");
    if (v->kwargs.n > 0 && v->kwargs.at[0] != '{')
        return error_set_param(err, STATUS_INVALID, "chat_template_kwargs",
                               "chat_template_kwargs must be an object");
    return STATUS_OK;
}

enum status native_apply_template(const char *body, size_t n, const struct chat_template *model,
                                  const struct api_limits *limits, char **text, size_t *n_text,
                                  struct error *err)
{
    struct template_values v;
    struct field_limits bounds = {.max_depth = limits->max_json_depth,
                                  .max_nodes = limits->max_json_nodes};
    struct fields_found found = {.root = NULL};
    struct chat_template *other = NULL;
    struct chat_prompt prompt = {.text = NULL};
    enum status status = fields_read(&native_template_fields, &bounds, body, n, &v, &found, err);
    if (status != STATUS_OK)
        return status;
    status = check(&v, err);
    if (status == STATUS_OK && v.chat_template != NULL)
        status = asked_template("chat_template", v.chat_template, model, limits, &other, err);
    struct chat_request request = {.messages = v.messages,
                                   .tools = v.tools,
                                   .documents = v.documents,
                                   .kwargs = v.kwargs,
                                   .other = other,
                                   .add_generation_prompt =
                                       v.add_generation_prompt && !v.continue_final_message,
                                   .continue_final_message = v.continue_final_message};
    if (status == STATUS_OK)
        status = chat_render(model, &request, &prompt, err);
    if (status == STATUS_OK) {
        *text = prompt.text;
        *n_text = prompt.n_text;
        prompt.text = NULL;
    }
    chat_prompt_free(&prompt);
    chat_template_destroy(other);
    fields_free(&found);
    return status;
}

size_t native_prompt_bound(size_t n_text)
{
    return json_string_bound(n_text) + sizeof "{\"prompt\":}\n";
}

size_t native_prompt(const char *text, size_t n_text, char *out, size_t room)
{
    struct json_writer w = {.out = out, .room = room};
    json_name(&w, "{", "prompt");
    json_string(&w, text, n_text);
    json_raw(&w, "}\n");
    return w.full ? 0 : w.n;
}
