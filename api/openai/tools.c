/* tools.c - what a chat's body says of tools: those that may be called, and the calls and results
 * of earlier turns. Any thread; holds nothing between calls. */
#include "api/openai/openai.h"

#include "api/asked/calling.h"
#include "base/append.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <string.h>

enum { PATH_ROOM = 64 };

static enum status wrong(const char *path, const char *why, struct error *err)
{
    return error_set_param(err, STATUS_INVALID, path, "%s %s", path, why);
}

/* --- the tools --- */

static enum status read_tool(struct tool_set *set, const struct cJSON *tool, size_t i,
                             struct error *err)
{
    char path[PATH_ROOM];
    const struct cJSON *type = values_member(tool, "type");
    const struct cJSON *function = values_member(tool, "function");
    snprintf(path, sizeof path, "tools[%zu]", i);
    if (!cJSON_IsObject(tool))
        return wrong(path, "must be an object", err);
    if (type != NULL && !values_is_text(type, "function"))
        return error_set_param(err, STATUS_UNSUPPORTED, path,
                               "%s: only tools of type \"function\" are supported", path);
    snprintf(path, sizeof path, "tools[%zu].function", i);
    if (!cJSON_IsObject(function))
        return wrong(path, "must be an object with a name and parameters", err);
    enum status status = tool_check_description(path, values_member(function, "description"), err);
    if (status != STATUS_OK)
        return status;
    return tool_set_add(set, path, values_member(function, "name"),
                        values_member(function, "parameters"), err);
}

/* {"mode": "auto" | "required", "tools": [...]}: some of the tools. */
static enum status read_allowed(struct tool_set *set, const struct cJSON *allowed,
                                struct error *err)
{
    const struct cJSON *mode = values_member(allowed, "mode"), *one;
    const struct cJSON *tools = values_member(allowed, "tools");
    if (!cJSON_IsArray(tools) || tools->child == NULL ||
        (!values_is_text(mode, "auto") && !values_is_text(mode, "required")))
        return wrong("tool_choice.allowed_tools",
                     "needs its mode, \"auto\" or \"required\", and a list of tools", err);
    set->choice = values_is_text(mode, "auto") ? TOOLS_AUTO : TOOLS_REQUIRED;
    for (size_t i = 0; i < set->n_tools; i++)
        set->tools[i].barred = true;
    cJSON_ArrayForEach(one, tools)
    {
        const struct cJSON *name = values_member(values_member(one, "function"), "name");
        enum status status = tool_set_allow(set, "tool_choice.allowed_tools",
                                            name != NULL ? name : values_member(one, "name"), err);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status read_choice(struct tool_set *set, const struct cJSON *choice, struct error *err)
{
    const struct cJSON *function = values_member(choice, "function");
    if (choice == NULL || values_is_text(choice, "auto"))
        return STATUS_OK;
    if (values_is_text(choice, "none")) {
        set->choice = TOOLS_NONE;
        return STATUS_OK;
    }
    if (set->n_tools == 0)
        return wrong("tool_choice", "needs tools", err);
    set->choice = TOOLS_REQUIRED;
    if (values_is_text(choice, "required") || values_is_text(choice, "any"))
        return STATUS_OK;
    if (values_is_text(values_member(choice, "type"), "allowed_tools"))
        return read_allowed(set, values_member(choice, "allowed_tools"), err);
    if (!cJSON_IsObject(choice) || !cJSON_IsString(values_member(function, "name")))
        return wrong("tool_choice",
                     "must be \"none\", \"auto\", \"required\" or {\"type\": \"function\", "
                     "\"function\": {\"name\": ...}}",
                     err);
    return tool_set_only(set, "tool_choice", values_member(function, "name")->valuestring, err);
}

/* --- calls and results of earlier turns --- */

static enum status check_call(const struct cJSON *call, size_t i, size_t k, struct error *err)
{
    char path[PATH_ROOM];
    const struct cJSON *function = values_member(call, "function");
    const struct cJSON *arguments = values_member(function, "arguments");
    snprintf(path, sizeof path, "messages[%zu].tool_calls[%zu]", i, k);
    if (!cJSON_IsObject(call) || !cJSON_IsString(values_member(function, "name")))
        return wrong(path, "must be an object with its function's name", err);
    if (arguments != NULL && !cJSON_IsString(arguments) && !cJSON_IsObject(arguments))
        return wrong(path, "must have arguments that are a string of JSON", err);
    return STATUS_OK;
}

/* Whether a message before this one calls with the id. */
static bool is_called(const struct cJSON *messages, const struct cJSON *until, const char *id)
{
    for (const struct cJSON *m = messages->child; m != until; m = m->next) {
        const struct cJSON *calls = values_member(m, "tool_calls");
        for (const struct cJSON *call = calls != NULL ? calls->child : NULL; call != NULL;
             call = call->next)
            if (values_is_text(values_member(call, "id"), id))
                return true;
    }
    return false;
}

static enum status check_message(const struct cJSON *messages, const struct cJSON *message,
                                 size_t i, struct error *err)
{
    char path[PATH_ROOM];
    const struct cJSON *calls = values_member(message, "tool_calls");
    const struct cJSON *id = values_member(message, "tool_call_id");
    enum status status = STATUS_OK;
    snprintf(path, sizeof path, "messages[%zu].tool_calls", i);
    if (calls != NULL && !cJSON_IsArray(calls))
        return wrong(path, "must be an array", err);
    size_t k = 0;
    for (const struct cJSON *call = calls != NULL ? calls->child : NULL;
         call != NULL && status == STATUS_OK; call = call->next)
        status = check_call(call, i, k++, err);
    if (status != STATUS_OK || !values_is_text(values_member(message, "role"), "tool"))
        return status;
    snprintf(path, sizeof path, "messages[%zu].tool_call_id", i);
    if (id == NULL)
        return STATUS_OK; /* servers take results without one, in the order of the calls */
    if (!cJSON_IsString(id))
        return wrong(path, "must be a string", err);
    if (!is_called(messages, message, id->valuestring))
        return error_set_param(err, STATUS_INVALID, path,
                               "%s: no call of an earlier message has the id \"%.100s\"", path,
                               id->valuestring);
    return STATUS_OK;
}

static enum status check_messages(const struct cJSON *messages, struct error *err)
{
    size_t i = 0;
    const struct cJSON *message;
    enum status status = STATUS_OK;
    if (!cJSON_IsArray(messages))
        return STATUS_OK; /* is told of elsewhere */
    cJSON_ArrayForEach(message, messages)
    {
        if (status == STATUS_OK)
            status = check_message(messages, message, i++, err);
    }
    return status;
}

enum status openai_read_tools(struct asking *a, struct error *err)
{
    const struct asked *v = &a->values;
    const struct cJSON *tools = values_member(a->found.root, "tools"), *tool;
    enum status status = check_messages(values_member(a->found.root, "messages"), err);
    size_t i = 0;
    struct tool_set *set = NULL;
    if (status == STATUS_OK && tools != NULL && !cJSON_IsArray(tools))
        return wrong("tools", "must be an array", err);
    if (status == STATUS_OK)
        status = asking_tools(a, v->parallel_calls, &set, err);
    cJSON_ArrayForEach(tool, tools)
    {
        if (status == STATUS_OK)
            status = read_tool(set, tool, i++, err);
    }
    return status == STATUS_OK ? read_choice(set, v->tool_choice, err) : status;
}
