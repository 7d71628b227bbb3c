/* tools.c - what a message's body says of tools: those that may be called, the choice among them,
 * and whether results are of calls. Any thread; holds nothing between calls. */
#include "api/anthropic/parts.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <string.h>

enum { PATH_ROOM = 48 };

static enum status read_tool(struct tool_set *set, struct tool_list *list, const struct cJSON *tool,
                             struct json_span text, size_t i, struct error *err)
{
    char path[PATH_ROOM];
    const struct cJSON *type = values_member(tool, "type");
    snprintf(path, sizeof path, "tools.%zu", i);
    if (!cJSON_IsObject(tool))
        return error_set_param(err, STATUS_INVALID, path, "%s must be an object", path);
    if (type != NULL && !values_is_text(type, "custom"))
        return error_set_param(err, STATUS_UNSUPPORTED, path,
                               "%s: tools of type \"custom\" are supported; give the others as "
                               "such, with their input_schema",
                               path);
    enum status status = tool_check_description(path, values_member(tool, "description"), err);
    if (status != STATUS_OK)
        return status;
    tool_list_add(list, text, "input_schema");
    return tool_set_add(set, path, values_member(tool, "name"), values_member(tool, "input_schema"),
                        err);
}

static enum status read_choice(struct tool_set *set, const struct cJSON *choice, struct error *err)
{
    const struct cJSON *type = values_member(choice, "type"), *name;
    if (cJSON_IsTrue(values_member(choice, "disable_parallel_tool_use")))
        set->parallel = false;
    if (choice == NULL || values_is_text(type, "auto"))
        return STATUS_OK;
    if (values_is_text(type, "none")) {
        set->choice = TOOLS_NONE;
        return STATUS_OK;
    }
    if (!values_is_text(type, "any") && !values_is_text(type, "tool"))
        return error_set_param(err, STATUS_INVALID, "tool_choice.type",
                               "tool_choice.type must be \"auto\", \"any\", \"tool\" or \"none\"");
    if (set->n_tools == 0)
        return error_set_param(err, STATUS_INVALID, "tool_choice", "tool_choice needs tools");
    set->choice = TOOLS_REQUIRED;
    if (values_is_text(type, "any"))
        return STATUS_OK;
    name = values_member(choice, "name");
    if (!cJSON_IsString(name))
        return error_set_param(err, STATUS_INVALID, "tool_choice.name",
                               "tool_choice.name must be the name of a tool");
    return tool_set_only(set, "tool_choice.name", name->valuestring, err);
}

/* --- results --- */

/* Whether a block before this message calls with the id. */
static bool is_called(const struct cJSON *messages, const struct cJSON *until, const char *id)
{
    for (const struct cJSON *m = messages->child; m != until; m = m->next) {
        const struct cJSON *content = values_member(m, "content");
        for (const struct cJSON *b = cJSON_IsArray(content) ? content->child : NULL; b != NULL;
             b = b->next)
            if (values_is_text(values_member(b, "type"), "tool_use") &&
                values_is_text(values_member(b, "id"), id))
                return true;
    }
    return false;
}

static enum status check_results(const struct cJSON *messages, struct error *err)
{
    size_t i = 0;
    for (const struct cJSON *m = cJSON_IsArray(messages) ? messages->child : NULL; m != NULL;
         m = m->next, i++) {
        const struct cJSON *content = values_member(m, "content");
        size_t k = 0;
        for (const struct cJSON *b = cJSON_IsArray(content) ? content->child : NULL; b != NULL;
             b = b->next, k++) {
            const struct cJSON *id = values_member(b, "tool_use_id");
            if (!values_is_text(values_member(b, "type"), "tool_result") || !cJSON_IsString(id) ||
                is_called(messages, m, id->valuestring))
                continue;
            char path[PATH_ROOM];
            snprintf(path, sizeof path, "messages.%zu.content.%zu", i, k);
            return error_set_param(err, STATUS_INVALID, path,
                                   "%s: no tool_use block before it has the id \"%.100s\"", path,
                                   id->valuestring);
        }
    }
    return STATUS_OK;
}

enum status anthropic_read_tools(struct asking *a, struct tool_list *list, struct error *err)
{
    const struct asked *v = &a->values;
    const struct cJSON *tools = values_member(a->found.root, "tools");
    struct tool_set *set = NULL;
    struct json_span text;
    size_t i = 0;
    if (tools != NULL && !cJSON_IsArray(tools))
        return error_set_param(err, STATUS_INVALID, "tools", "tools must be an array");
    enum status status = check_results(values_member(a->found.root, "messages"), err);
    if (status == STATUS_OK)
        status = asking_tools(a, true, &set, err);
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
