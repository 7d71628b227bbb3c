/* messages.c - appends messages as JSON. State: struct messages, the caller's. */
#include "cli/chat/messages.h"

#include "api/json/json.h"

#include <stdlib.h>
#include <string.h>

static enum status reserve(struct messages *m, size_t n_more, struct error *err)
{
    if (m->n + n_more <= m->room)
        return STATUS_OK;
    size_t room = 2 * (m->n + n_more);
    char *text = realloc(m->text, room);
    if (text == NULL)
        return error_no_memory(err, room, "the conversation");
    m->text = text;
    m->room = room;
    return STATUS_OK;
}

enum status messages_add(struct messages *m, const char *role, const char *content, size_t n,
                         struct error *err)
{
    enum { FRAME = 128 };
    enum status status = reserve(m, json_string_bound(n) + FRAME, err);
    if (status != STATUS_OK)
        return status;
    struct json_writer w = {.out = m->text + m->n, .room = m->room - m->n};
    json_raw(&w, m->n == 0 ? "[" : m->n_messages == 0 ? "" : ",");
    json_name_text(&w, "{", "role", role);
    json_name(&w, ",", "content");
    json_string(&w, content, n);
    json_raw(&w, "}");
    m->n += w.n;
    m->n_messages++;
    return STATUS_OK;
}

enum status messages_set_system(struct messages *m, const char *content, size_t n,
                                struct error *err)
{
    struct messages fresh = {0};
    enum status status = STATUS_OK;
    if (n > 0 && (status = messages_add(&fresh, "system", content, n, err)) != STATUS_OK)
        return status;
    fresh.n_first = fresh.n;
    /* The rest after the old system message, or after the opening bracket. */
    size_t skip = m->n_first > 0 ? m->n_first : m->n > 0 ? 1 : 0, n_rest = m->n - skip;
    bool has_rest = m->n_messages > (m->n_first > 0 ? 1u : 0u);
    if ((status = reserve(&fresh, n_rest + 4, err)) != STATUS_OK) {
        messages_free(&fresh);
        return status;
    }
    const char *rest = m->text != NULL ? m->text + skip : "";
    if (has_rest && rest[0] == ',') {
        rest++;
        n_rest--;
    }
    if (has_rest && fresh.text != NULL) {
        fresh.text[fresh.n] = n > 0 ? ',' : '[';
        memcpy(fresh.text + fresh.n + 1, rest, n_rest);
        fresh.n += n_rest + 1;
    }
    fresh.n_messages = m->n_messages - (m->n_first > 0) + (n > 0);
    messages_free(m);
    *m = fresh;
    return STATUS_OK;
}

void messages_cut(struct messages *m, size_t n, size_t n_messages)
{
    m->n = n;
    m->n_messages = n_messages;
}

const char *messages_json(struct messages *m, size_t *n)
{
    if (reserve(m, 4, NULL) != STATUS_OK)
        return NULL;
    *n = m->n;
    if (m->n == 0)
        m->text[(*n)++] = '[';
    m->text[(*n)++] = ']'; /* beyond m->n: the next message writes over it */
    m->text[*n] = '\0';
    return m->text;
}

void messages_clear(struct messages *m)
{
    messages_cut(m, m->n_first, m->n_first > 0 ? 1 : 0);
}

void messages_free(struct messages *m)
{
    free(m->text);
    *m = (struct messages){0};
}
