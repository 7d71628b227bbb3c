/* conversation.c - the input of a response as a conversation in OpenAI's older shape: what each
 * item is, and what cannot be taken. Any thread; holds nothing between calls. */
#include "api/responses/parts.h"

#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 64 };

struct item { /* the members of an item, or of a content part, that are read */
    struct json_span type, role, content, text, refusal, call_id, name, arguments, output;
};

static enum status wrong(const char *path, const char *why, struct error *err)
{
    return error_set_param(err, STATUS_INVALID, path, "%s %s", path, why);
}

static enum status unsupported(const char *path, const char *why, struct error *err)
{
    return error_set_param(err, STATUS_UNSUPPORTED, path, "%s %s", path, why);
}

static bool is_string(struct json_span value)
{
    return value.n > 0 && value.at[0] == '"';
}

static struct item read_item(struct json_span object)
{
    struct item item = {.type = {NULL, 0}};
    const struct {
        const char *name;
        struct json_span *value;
    } rows[] = {{"type", &item.type}, {"role", &item.role},           {"content", &item.content},
                {"text", &item.text}, {"refusal", &item.refusal},     {"call_id", &item.call_id},
                {"name", &item.name}, {"arguments", &item.arguments}, {"output", &item.output}};
    struct json_span name, value;
    for (size_t at = 0; json_next_member(object.at, object.n, &at, &name, &value);)
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            if (name.n == strlen(rows[i].name) && memcmp(name.at, rows[i].name, name.n) == 0)
                *rows[i].value = value;
    return item;
}

static enum status add_part(struct turns *t, struct json_span object, const char *path,
                            struct error *err)
{
    struct item part = read_item(object);
    if (object.at[0] != '{' || !is_string(part.type))
        return wrong(path, "must be an object with a type, such as {\"type\":\"input_text\",...}",
                     err);
    struct json_span text = part.text;
    if (json_is_string(part.type, "refusal"))
        text = part.refusal;
    else if (json_is_string(part.type, "input_image") || json_is_string(part.type, "input_file") ||
             json_is_string(part.type, "input_audio"))
        return unsupported(path, "is not text; this model reads text only", err);
    else if (!json_is_string(part.type, "input_text") &&
             !json_is_string(part.type, "output_text") && !json_is_string(part.type, "text"))
        return wrong(path, "must be an input_text or output_text part", err);
    if (!is_string(text))
        return wrong(path, "needs its text, a string", err);
    turns_text(t, text);
    return STATUS_OK;
}

static enum status add_content(struct turns *t, struct json_span content, const char *path,
                               struct error *err)
{
    struct json_span part;
    enum status status = STATUS_OK;
    if (is_string(content)) {
        turns_text(t, content);
        return STATUS_OK;
    }
    if (content.n == 0 || content.at[0] != '[')
        return wrong(path, "must be a string or an array of content parts", err);
    size_t i = 0;
    for (size_t at = 0; status == STATUS_OK && json_next_element(content.at, content.n, &at, &part);
         i++) {
        char inner[PATH_BYTES];
        snprintf(inner, sizeof inner, "%.40s[%zu]", path, i);
        status = add_part(t, part, inner, err);
    }
    return status;
}

static enum status add_message(struct turns *t, const struct item *item, size_t i,
                               struct error *err)
{
    char path[PATH_BYTES];
    const char *role = NULL;
    if (json_is_string(item->role, "user"))
        role = "user";
    else if (json_is_string(item->role, "assistant"))
        role = "assistant";
    else if (json_is_string(item->role, "system") || json_is_string(item->role, "developer"))
        role = "system"; /* the one of the two that templates know */
    snprintf(path, sizeof path, "input[%zu].role", i);
    if (role == NULL)
        return wrong(path, "must be \"user\", \"assistant\", \"system\" or \"developer\"", err);
    snprintf(path, sizeof path, "input[%zu].content", i);
    turns_role(t, role, strcmp(role, "system") == 0);
    return add_content(t, item->content, path, err);
}

/* A call that an earlier answer made, and what came of it. */
static enum status add_call(struct turns *t, const struct item *item, const char *path,
                            struct error *err)
{
    if (!is_string(item->call_id) || !is_string(item->name) || !is_string(item->arguments))
        return wrong(path, "needs its call_id, name and arguments, strings", err);
    turns_role(t, "assistant", true);
    turns_call(t, item->call_id, item->name, item->arguments);
    return STATUS_OK;
}

static enum status add_output(struct turns *t, const struct item *item, const char *path,
                              struct error *err)
{
    if (!is_string(item->call_id))
        return wrong(path, "needs its call_id, a string", err);
    turns_result(t, item->call_id);
    return add_content(t, item->output, path, err);
}

static enum status add_item(struct turns *t, struct json_span object, size_t i, struct error *err)
{
    char path[PATH_BYTES];
    struct item item = read_item(object);
    snprintf(path, sizeof path, "input[%zu]", i);
    if (object.at[0] != '{')
        return wrong(path, "must be an object", err);
    if (item.type.n == 0 || json_is_string(item.type, "message"))
        return add_message(t, &item, i, err);
    if (json_is_string(item.type, "reasoning")) /* templates leave earlier reasoning out */
        return STATUS_OK;
    if (json_is_string(item.type, "function_call"))
        return add_call(t, &item, path, err);
    if (json_is_string(item.type, "function_call_output"))
        return add_output(t, &item, path, err);
    if (json_is_string(item.type, "item_reference"))
        return unsupported(path, "refers to an item; this server keeps none", err);
    if (!is_string(item.type))
        return wrong(path, "needs a type that is a string", err);
    return error_set_param(err, STATUS_UNSUPPORTED, path,
                           "%s is of type %.*s; messages and calls of functions are supported",
                           path, (int)(item.type.n < 40 ? item.type.n : 40), item.type.at);
}

enum status responses_conversation(struct json_span instructions, struct json_span input,
                                   struct turns *out, struct error *err)
{
    if (instructions.n > 0 && !is_string(instructions))
        return wrong("instructions", "must be a string", err);
    if (input.n == 0)
        return error_set_param(err, STATUS_INVALID, "input",
                               "input is missing: give a string, or an array of items");
    if (!is_string(input) && input.at[0] != '[')
        return wrong("input", "must be a string or an array of items", err);
    enum status status = turns_begin(out, instructions.n + input.n, err);
    if (status != STATUS_OK)
        return status;
    if (instructions.n > 0) {
        turns_role(out, "system", false);
        turns_text(out, instructions);
    }
    if (is_string(input)) {
        turns_role(out, "user", false);
        turns_text(out, input);
        return STATUS_OK;
    }
    struct json_span item;
    size_t n = 0, n_before = out->n_turns;
    for (size_t at = 0; status == STATUS_OK && json_next_element(input.at, input.n, &at, &item);
         n++)
        status = add_item(out, item, n, err);
    if (status == STATUS_OK && out->n_turns == n_before && instructions.n == 0)
        status = wrong("input", "must hold at least one message", err);
    return status;
}
