/* tool_list.h - writes tools in OpenAI's shape, as templates know them, from the parts of a body
 * whose API has another shape. Texts are copied as they stand in the body. Any thread; the memory
 * is the caller's list until tool_list_free. */
#pragma once

#include "api/json/json.h"
#include "base/error.h"

#include <stddef.h>

struct tool_list { /* zeroed first */
    char *memory;
    struct json_writer text;
};

/* n_source: bytes of all that will be copied. */
enum status tool_list_begin(struct tool_list *list, size_t n_source, struct error *err);
/* Members of a tool's object in the body, which calls its parameters so. */
void tool_list_add(struct tool_list *list, struct json_span tool, const char *parameters);
/* The array; n 0 where nothing was added. */
struct json_span tool_list_end(struct tool_list *list);
void tool_list_free(struct tool_list *list); /* takes a zeroed one */
