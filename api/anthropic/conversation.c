/* conversation.c - Anthropic's messages as a conversation in OpenAI's shape: what each block is,
 * and what cannot be taken. Any thread; holds nothing between calls. */
#include "api/anthropic/parts.h"

#include <stdio.h>
#include <string.h>

enum { PATH_MAX_BYTES = 48 };

struct block { /* the members of a content block that are read */
    struct json_span type, text, thinking, id, name, input, tool_use_id, content;
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
    const struct {
        const char *name;
        struct json_span *value;
    } rows[] = {{"type", &b.type},         {"text", &b.text},
                {"thinking", &b.thinking}, {"id", &b.id},
                {"name", &b.name},         {"input", &b.input},
                {"content", &b.content},   {"tool_use_id", &b.tool_use_id}};
    struct json_span name, value;
    for (size_t at = 0; json_next_member(object.at, object.n, &at, &name, &value);)
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            if (is_name(name, rows[i].name))
                *rows[i].value = value;
    return b;
}

/* Kinds of content that are known and cannot be taken, by what they would need. */
static const char *why_not(struct json_span type)
{
    static const struct {
        const char *type, *why;
    } rows[] = {
        {"image", "is an image; this model reads text only"},
        {"document", "is a document; send its text in a text block"},
        {"search_result", "is a search result; send its text in a text block"},
        {"server_tool_use", "is a tool call; this server has no tools of its own"},
        {"container_upload", "is a file; this server keeps no files"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (json_is_string(type, rows[i].type))
            return rows[i].why;
    return NULL;
}

enum speaker { SPEAKER_SYSTEM, SPEAKER_USER, SPEAKER_ASSISTANT, SPEAKER_TOOL };

/* The turn that a block belongs to: turns of one role that follow each other are one in this API. A
 * tool's turn begins with its result. */
static void open_turn(struct turns *t, enum speaker speaker)
{
    static const char *const names[] = {"system", "user", "assistant"};
    if (speaker != SPEAKER_TOOL)
        turns_role(t, names[speaker], true);
}

static enum status add_content(struct turns *t, struct json_span content, const char *path,
                               enum speaker speaker, struct error *err);

static enum status add_result(struct turns *t, const struct block *b, const char *path,
                              struct error *err)
{
    if (!is_string(b->tool_use_id))
        return wrong(path, "needs its tool_use_id, a string", err);
    turns_result(t, b->tool_use_id);
    return b->content.n > 0 ? add_content(t, b->content, path, SPEAKER_TOOL, err) : STATUS_OK;
}

/* A block that only the assistant may have. False: it is none. */
static bool add_assistants(struct turns *t, const struct block *b, const char *path,
                           enum status *status, struct error *err)
{
    *status = STATUS_OK;
    if (json_is_string(b->type, "redacted_thinking")) /* nothing that could be read */
        return true;
    if (json_is_string(b->type, "thinking")) {
        if (is_string(b->thinking))
            turns_thought(t, b->thinking);
        else
            *status = wrong(path, "needs its thinking, a string", err);
        return true;
    }
    if (!json_is_string(b->type, "tool_use"))
        return false;
    if (is_string(b->id) && is_string(b->name) && b->input.n > 0 && b->input.at[0] == '{')
        turns_call(t, b->id, b->name, b->input);
    else
        *status = wrong(path, "needs its id and name, strings, and its input, an object", err);
    return true;
}

static enum status add_block(struct turns *t, struct json_span object, const char *path,
                             enum speaker speaker, struct error *err)
{
    struct block b = read_block(object);
    enum status status;
    if (object.at[0] != '{' || !is_string(b.type))
        return wrong(path, "must be an object with a type, such as {\"type\":\"text\",...}", err);
    if (speaker == SPEAKER_USER && json_is_string(b.type, "tool_result"))
        return add_result(t, &b, path, err);
    open_turn(t, speaker);
    if (json_is_string(b.type, "text")) {
        if (!is_string(b.text))
            return wrong(path, "needs its text, a string", err);
        turns_text(t, b.text);
        return STATUS_OK;
    }
    if (speaker == SPEAKER_ASSISTANT && add_assistants(t, &b, path, &status, err))
        return status;
    const char *why = why_not(b.type);
    if (why != NULL)
        return error_set_param(err, STATUS_UNSUPPORTED, path, "%s %s", path, why);
    return wrong(path,
                 speaker == SPEAKER_ASSISTANT ? "must be a text, thinking or tool_use block"
                 : speaker == SPEAKER_USER    ? "must be a text or tool_result block"
                                              : "must be a text block",
                 err);
}

/* A string, or an array of blocks. */
static enum status add_content(struct turns *t, struct json_span content, const char *path,
                               enum speaker speaker, struct error *err)
{
    struct json_span block;
    enum status status = STATUS_OK;
    if (is_string(content)) {
        open_turn(t, speaker);
        turns_text(t, content);
        return STATUS_OK;
    }
    if (content.n == 0 || content.at[0] != '[')
        return wrong(path, "must be a string or an array of content blocks", err);
    size_t i = 0;
    for (size_t at = 0;
         status == STATUS_OK && json_next_element(content.at, content.n, &at, &block); i++) {
        char inner[PATH_MAX_BYTES + 24];
        snprintf(inner, sizeof inner, "%.56s.%zu", path, i);
        status = add_block(t, block, inner, speaker, err);
    }
    if (i == 0)
        open_turn(t, speaker);
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
    enum speaker speaker = SPEAKER_TOOL;
    if (json_is_string(role, "user"))
        speaker = SPEAKER_USER;
    else if (json_is_string(role, "assistant"))
        speaker = SPEAKER_ASSISTANT;
    else if (json_is_string(role, "system"))
        speaker = SPEAKER_SYSTEM;
    if (speaker == SPEAKER_TOOL) {
        snprintf(path, sizeof path, "messages.%zu.role", i);
        return wrong(path, "must be \"user\", \"assistant\" or \"system\"", err);
    }
    snprintf(path, sizeof path, "messages.%zu.content", i);
    return add_content(t, content, path, speaker, err);
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
    if (status == STATUS_OK && system.n > 0)
        status = add_content(out, system, "system", SPEAKER_SYSTEM, err);
    for (size_t at = 0;
         status == STATUS_OK && json_next_element(messages.at, messages.n, &at, &message); n++)
        status = add_message(out, message, n, err);
    if (status == STATUS_OK && n == 0)
        status = wrong("messages", "must hold at least one message", err);
    *continues = out->role != NULL && strcmp(out->role, "assistant") == 0;
    return status;
}
