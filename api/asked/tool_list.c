/* tool_list.c - see tool_list.h. */
#include "api/asked/tool_list.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum status tool_list_begin(struct tool_list *list, size_t n_source, struct error *err)
{
    /* A tool has its name at least, and is written with not much more around it. */
    size_t room = 16 * n_source + 64;
    list->memory = malloc(room);
    if (list->memory == NULL)
        return error_no_memory(err, room, "tools");
    list->text = (struct json_writer){.out = list->memory, .room = room};
    return STATUS_OK;
}

static struct json_span member(struct json_span object, const char *wanted)
{
    struct json_span name, value;
    for (size_t at = 0; json_next_member(object.at, object.n, &at, &name, &value);)
        if (name.n == strlen(wanted) && memcmp(name.at, wanted, name.n) == 0)
            return value;
    return (struct json_span){NULL, 0};
}

static void put_member(struct json_writer *w, const char *before, const char *name,
                       struct json_span value, const char *absent)
{
    json_raw(w, before);
    json_raw(w, name);
    json_raw(w, ":");
    if (value.n == 0 || value.at[0] == 'n') {
        json_raw(w, absent);
        return;
    }
    w->full |= w->room - w->n < value.n;
    if (!w->full)
        memcpy(w->out + w->n, value.at, value.n);
    w->n += w->full ? 0 : value.n;
}

void tool_list_add(struct tool_list *list, struct json_span tool, const char *parameters)
{
    struct json_writer *w = &list->text;
    json_raw(w, w->n > 0 ? ",{\"type\":\"function\",\"function\":{"
                         : "[{\"type\":\"function\",\"function\":{");
    put_member(w, "", "\"name\"", member(tool, "name"), "\"\"");
    put_member(w, ",", "\"description\"", member(tool, "description"), "\"\"");
    put_member(w, ",", "\"parameters\"", member(tool, parameters),
               "{\"type\":\"object\",\"properties\":{}}");
    json_raw(w, "}}");
}

struct json_span tool_list_end(struct tool_list *list)
{
    if (list->text.n == 0)
        return (struct json_span){NULL, 0};
    json_raw(&list->text, "]");
    assert(!list->text.full);
    return (struct json_span){list->text.out, list->text.n};
}

void tool_list_free(struct tool_list *list)
{
    free(list->memory);
    *list = (struct tool_list){.memory = NULL};
}
