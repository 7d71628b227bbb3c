/* set.h - the tools of one request, and how the model it goes to writes calls of them.
 *
 * Filled while a body is decoded, read-only after; any thread. Errors name the field that they are
 * given. Knows nothing of templates' rendering, jobs or HTTP.
 */
#pragma once

#include "api/tools/family.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct cJSON;

enum {
    TOOLS_MAX = 512,     /* of a request */
    TOOL_NAME_MAX = 128, /* bytes */
};

/* How the values of a parameter stand in syntaxes that write strings without quotes. */
enum tool_value {
    VALUE_TEXT,     /* strings alone: as they are */
    VALUE_JSON,     /* as JSON; strings, where there are some besides, with quotes */
    VALUE_NULLABLE, /* strings as they are, or null */
    VALUE_ANY,      /* of no schema: what is JSON and no string, or else text */
};

struct tool_parameter {
    const char *key; /* as the schema has it; borrowed from the schema */
    size_t n_key;
    char *lead; /* owned: "KEY":, as JSON */
    size_t n_lead;
    enum tool_value value;
    const struct cJSON *schema; /* of its values; NULL: any */
    bool needed;
};

struct tool {
    char *name; /* owned */
    size_t n_name;
    bool barred;          /* it is known, and may not be called now */
    struct cJSON *schema; /* of its arguments; owned; NULL: any object */
    struct tool_parameter *parameters;
    size_t n_parameters;
    bool open; /* takes parameters of other names; whose values are: */
    enum tool_value other;
    const struct cJSON *other_schema; /* NULL: any */
};

enum tool_choice { TOOLS_NONE, TOOLS_AUTO, TOOLS_REQUIRED };

struct tool_set { /* zeroed first */
    const struct tool_family *family;
    struct tool *tools;
    size_t n_tools;
    enum tool_choice choice;
    bool parallel; /* several calls in one answer */
};

/* One more. parameters: a JSON Schema, copied; NULL: none. field: "tools[0].function", for errors.
 * STATUS_INVALID (the name, a name twice, parameters that are no object's), STATUS_NO_MEMORY. */
enum status tool_set_add(struct tool_set *set, const char *field, const struct cJSON *name,
                         const struct cJSON *parameters, struct error *err);
/* What a tool is for, which templates read: a string, null or left out (NULL). STATUS_INVALID. */
enum status tool_check_description(const char *field, const struct cJSON *description,
                                   struct error *err);
/* The schema of its arguments, a reference followed; NULL: any object. */
const struct cJSON *tool_schema(const struct tool *tool);
/* NULL: there is none of that name. */
const struct tool *tool_set_find(const struct tool_set *set, const char *name, size_t n);
/* No other than this may be called. STATUS_INVALID: there is none of that name. */
enum status tool_set_only(struct tool_set *set, const char *field, const char *name,
                          struct error *err);
/* One that was barred may be called. STATUS_INVALID: the name is none of theirs, or no string. */
enum status tool_set_allow(struct tool_set *set, const char *field, const struct cJSON *name,
                           struct error *err);
bool tool_set_may_call(const struct tool_set *set, const struct tool *tool);
/* Whether answers must be told apart: there are tools, or the syntax is one of channels. */
bool tool_set_tells(const struct tool_set *set);
void tool_set_free(struct tool_set *set); /* takes a zeroed one */

/* A call's id, NUL-terminated, the same whenever it is asked for: of the request's, of which answer
 * and of which call. As models want it that write ids (Mistral's); prefix: as others have it. */
enum { TOOL_ID_MAX = 32 };
void tool_call_id(const struct tool_set *set, const char *prefix, const char *request,
                  size_t choice, size_t index, char out[TOOL_ID_MAX]);
