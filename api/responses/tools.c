/* tools.c - what a response's body says of tools: those that may be called, the choice among them,
 * and whether outputs are of calls. Any thread; holds nothing between calls. */
#include "api/responses/parts.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <string.h>

enum { PATH_ROOM = 48 };

static enum status read_tool(struct tool_set *set, struct tool_list *list, const struct cJSON *tool,
                             struct json_span text, size_t i, struct error *err)
{
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "tools[%zu]", i);
    if (!cJSON_IsObject(tool))
        return error_set_param(err, STATUS_INVALID, path, "%s must be an object", path);
    if (!values_is_text(values_member(tool, "type"), "function"))
        return error_set_param(err, STATUS_UNSUPPORTED, path,
                               "%s: only tools of type \"function\" are supported", path);
    enum status status = tool_check_description(path, values_member(tool, "description"), err);
    if (status != STATUS_OK)
        return status;
    tool_list_add(list, text, "parameters");
    return tool_set_add(set, path, values_member(tool, "name"), values_member(tool, "parameters"),
                        err);
}

static enum status read_allowed(struct tool_set *set, const struct cJSON *choice, struct error *err)
{
    const struct cJSON *tools = values_member(choice, "tools"), *one;
    enum status status = STATUS_OK;
    if (!cJSON_IsArray(tools) || tools->child == NULL)
        return error_set_param(err, STATUS_INVALID, "tool_choice.tools",
                               "tool_choice.tools must be a list of tools");
    if (values_is_text(values_member(choice, "mode"), "auto"))
        set->choice = TOOLS_AUTO;
    for (size_t i = 0; i < set->n_tools; i++)
        set->tools[i].barred = true;
    cJSON_ArrayForEach(one, tools)
    {
        if (status == STATUS_OK)
            status = tool_set_allow(set, "tool_choice.tools", values_member(one, "name"), err);
    }
    return status;
}

static enum status read_choice(struct tool_set *set, const struct cJSON *choice, struct error *err)
{
    const struct cJSON *type = values_member(choice, "type"), *name;
    if (choice == NULL || values_is_text(choice, "auto"))
        return STATUS_OK;
    if (values_is_text(choice, "none")) {
        set->choice = TOOLS_NONE;
        return STATUS_OK;
    }
    if (set->n_tools == 0)
        return error_set_param(err, STATUS_INVALID, "tool_choice", "tool_choice needs tools");
    set->choice = TOOLS_REQUIRED;
    if (values_is_text(choice, "required"))
        return STATUS_OK;
    if (values_is_text(type, "allowed_tools"))
        return read_allowed(set, choice, err);
    name = values_member(choice, "name");
    if (!values_is_text(type, "function") || !cJSON_IsString(name))
        return error_set_param(err, STATUS_INVALID, "tool_choice",
                               "tool_choice must be \"none\", \"auto\", \"required\" or "
                               "{\"type\": \"function\", \"name\": ...}");
    return tool_set_only(set, "tool_choice", name->valuestring, err);
}

/* Whether an item before this one calls with the id. */
static bool is_called(const struct cJSON *input, const struct cJSON *until, const char *id)
{
    for (const struct cJSON *item = input->child; item != until; item = item->next)
        if (values_is_text(values_member(item, "type"), "function_call") &&
            values_is_text(values_member(item, "call_id"), id))
            return true;
    return false;
}

static enum status check_outputs(const struct cJSON *input, struct error *err)
{
    size_t i = 0;
    for (const struct cJSON *item = cJSON_IsArray(input) ? input->child : NULL; item != NULL;
         item = item->next, i++) {
        const struct cJSON *id = values_member(item, "call_id");
        if (!values_is_text(values_member(item, "type"), "function_call_output") ||
            !cJSON_IsString(id) || is_called(input, item, id->valuestring))
            continue;
        char path[PATH_ROOM];
        snprintf(path, sizeof path, "input[%zu].call_id", i);
        return error_set_param(err, STATUS_INVALID, path,
                               "%s: no function_call before it has the id \"%.100s\"", path,
                               id->valuestring);
    }
    return STATUS_OK;
}

enum status responses_read_tools(struct asking *a, struct tool_list *list, struct error *err)
{
    const struct asked *v = &a->values;
    const struct cJSON *tools = values_member(a->found.root, "tools");
    struct tool_set *set = NULL;
    struct json_span text;
    size_t i = 0;
    if (tools != NULL && !cJSON_IsArray(tools))
        return error_set_param(err, STATUS_INVALID, "tools", "tools must be an array");
    enum status status = check_outputs(values_member(a->found.root, "input"), err);
    if (status == STATUS_OK)
        status = asking_tools(a, v->parallel_calls, &set, err);
    if (status == STATUS_OK)
        status = tool_list_begin(list, v->tools.n, err);
    const struct cJSON *tool = tools != NULL ? tools->child : NULL;
    for (size_t at = 0; status == STATUS_OK && tool != NULL &&
                        json_next_element(v->tools.at, v->tools.n, &at, &text);
         tool = tool->next)
        status = read_tool(set, list, tool, text, i++, err);
    a->tells_calls = true;
    return status == STATUS_OK ? read_choice(set, v->tool_choice, err) : status;
}
