/* conversation.c - Anthropic's messages as a conversation in OpenAI's shape: what each block is,
 * and what cannot be taken. Any thread; holds nothing between calls. */
#include "api/anthropic/parts.h"

#include <stdio.h>
#include <string.h>

enum { PATH_MAX_BYTES = 48 };

struct block { /* the members of a content block that are read */
    struct json_span type, text, thinking;
};

static enum status wrong(const char *path, const char *why, struct error *err)
{
    return error_set_param(err, STATUS_INVALID, path, "%s %s", path, why);
}

static bool is_name(struct json_span name, const char *text)
{
    return name.n == strlen(text) && memcmp(name.at, text, name.n) == 0;
}

static bool is_string(struct json_span value)
{
    return value.n > 0 && value.at[0] == '"';
}

static struct block read_block(struct json_span object)
{
    struct block b = {.type = {NULL, 0}};
    struct json_span name, value;
    for (size_t at = 0; json_next_member(object.at, object.n, &at, &name, &value);) {
        if (is_name(name, "type"))
            b.type = value;
        else if (is_name(name, "text"))
            b.text = value;
        else if (is_name(name, "thinking"))
            b.thinking = value;
    }
    return b;
}

/* What is known and cannot be taken, by what it would need. */
static const char *why_not(struct json_span type)
{
    static const struct {
        const char *type, *why;
    } rows[] = {
        {"image", "is an image; this model reads text alone"},
        {"document", "is a document; send its text in a text block"},
        {"search_result", "is a search result; send its text in a text block"},
        {"tool_use", "is a tool call; tools are not supported yet"},
        {"tool_result", "is a tool's result; tools are not supported yet"},
        {"server_tool_use", "is a tool call; this server has no tools of its own"},
        {"container_upload", "is a file; this server keeps no files"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (json_is_string(type, rows[i].type))
            return rows[i].why;
    return NULL;
}

static enum status add_block(struct turns *t, struct json_span object, const char *path,
                             bool assistant, struct error *err)
{
    struct block b = read_block(object);
    if (object.at[0] != '{' || !is_string(b.type))
        return wrong(path, "must be an object with a type, such as {\"type\":\"text\",...}", err);
    if (json_is_string(b.type, "text")) {
        if (!is_string(b.text))
            return wrong(path, "needs its text, a string", err);
        turns_text(t, b.text);
        return STATUS_OK;
    }
    if (assistant && json_is_string(b.type, "redacted_thinking")) /* nothing that could be read */
        return STATUS_OK;
    if (assistant && json_is_string(b.type, "thinking")) {
        if (!is_string(b.thinking))
            return wrong(path, "needs its thinking, a string", err);
        turns_thought(t, b.thinking);
        return STATUS_OK;
    }
    const char *why = why_not(b.type);
    if (why != NULL)
        return error_set_param(err, STATUS_UNSUPPORTED, path, "%s %s", path, why);
    return wrong(path, assistant ? "must be a text or thinking block" : "must be a text block",
                 err);
}

/* A string, or an array of blocks. */
static enum status add_content(struct turns *t, struct json_span content, const char *path,
                               bool assistant, struct error *err)
{
    struct json_span block;
    enum status status = STATUS_OK;
    if (is_string(content)) {
        turns_text(t, content);
        return STATUS_OK;
    }
    if (content.n == 0 || content.at[0] != '[')
        return wrong(path, "must be a string or an array of content blocks", err);
    size_t i = 0;
    for (size_t at = 0;
         status == STATUS_OK && json_next_element(content.at, content.n, &at, &block); i++) {
        char inner[PATH_MAX_BYTES + 24];
        snprintf(inner, sizeof inner, "%s.%zu", path, i);
        status = add_block(t, block, inner, assistant, err);
    }
    return status;
}

static enum status add_message(struct turns *t, struct json_span message, size_t i,
                               struct error *err)
{
    struct json_span name, value, role = {NULL, 0}, content = {NULL, 0};
    char path[PATH_MAX_BYTES];
    for (size_t at = 0; json_next_member(message.at, message.n, &at, &name, &value);) {
        if (is_name(name, "role"))
            role = value;
        else if (is_name(name, "content"))
            content = value;
    }
    bool user = json_is_string(role, "user"), assistant = json_is_string(role, "assistant");
    if (!user && !assistant && !json_is_string(role, "system")) {
        snprintf(path, sizeof path, "messages.%zu.role", i);
        return wrong(path, "must be \"user\", \"assistant\" or \"system\"", err);
    }
    snprintf(path, sizeof path, "messages.%zu.content", i);
    /* Turns of one role that follow each other are one in this API. */
    turns_role(t, user ? "user" : assistant ? "assistant" : "system", true);
    return add_content(t, content, path, assistant, err);
}

enum status anthropic_conversation(struct json_span system, struct json_span messages,
                                   struct turns *out, bool *continues, struct error *err)
{
    struct json_span message;
    size_t n = 0;
    if (messages.n == 0)
        return error_set_param(err, STATUS_INVALID, "messages",
                               "messages is missing: give an array of messages");
    if (messages.at[0] != '[')
        return wrong("messages", "must be an array of messages", err);
    enum status status = turns_begin(out, messages.n + system.n, err);
    if (status == STATUS_OK && system.n > 0) {
        turns_role(out, "system", true);
        status = add_content(out, system, "system", false, err);
    }
    for (size_t at = 0;
         status == STATUS_OK && json_next_element(messages.at, messages.n, &at, &message); n++)
        status = add_message(out, message, n, err);
    if (status == STATUS_OK && n == 0)
        status = wrong("messages", "must hold at least one message", err);
    *continues = out->role != NULL && strcmp(out->role, "assistant") == 0;
    return status;
}
