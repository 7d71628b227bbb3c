/* messages.c - copies messages member by member. Any thread. */
#include "api/ollama/messages.h"

#include <stdlib.h>
#include <string.h>

static void put_span(struct json_writer *w, struct json_span span)
{
    if (w->full || w->room - w->n < span.n) {
        w->full = true;
        return;
    }
    memcpy(w->out + w->n, span.at, span.n);
    w->n += span.n;
}

static enum status begin(struct ollama_messages *m, struct json_writer *w, size_t room,
                         struct error *err)
{
    m->text = malloc(room);
    if (m->text == NULL)
        return error_no_memory(err, room, "a conversation");
    *w = (struct json_writer){.out = m->text, .room = room};
    json_raw(w, "[");
    return STATUS_OK;
}

static enum status end(struct ollama_messages *m, struct json_writer *w, struct error *err)
{
    json_raw(w, "]");
    if (w->full)
        return error_set(err, STATUS_INTERNAL, "a conversation did not fit its room");
    m->span = (struct json_span){w->out, w->n};
    return STATUS_OK;
}

enum status ollama_messages_of_prompt(struct ollama_messages *m, struct json_span system,
                                      const char *prompt, struct error *err)
{
    struct json_writer w;
    enum status status = begin(m, &w, 128 + system.n + json_string_bound(strlen(prompt)), err);
    if (status != STATUS_OK)
        return status;
    if (system.n > 2) { /* more than its quotes */
        json_raw(&w, "{\"role\":\"system\",\"content\":");
        put_span(&w, system);
        json_raw(&w, "},");
        m->n++;
    }
    json_raw(&w, "{\"role\":\"user\",\"content\":");
    json_string(&w, prompt, strlen(prompt));
    json_raw(&w, "}");
    m->n++;
    return end(m, &w, err);
}

/* An empty list, object or string, null, false: a member that says nothing. */
static bool is_empty(struct json_span value)
{
    size_t at = 0;
    struct json_span element;
    if (value.at[0] == '[')
        return !json_next_element(value.at, value.n, &at, &element);
    return json_is_string(value, "") || value.at[0] == 'n' || value.at[0] == 'f';
}

static bool is_named(struct json_span name, const char *text)
{
    return name.n == strlen(text) && memcmp(name.at, text, name.n) == 0;
}

static enum status put_message(struct json_writer *w, struct json_span message, struct error *err)
{
    static const struct {
        const char *ours, *theirs;
    } names[] = {{"reasoning_content", "thinking"}, {"name", "tool_name"}};
    struct json_span name, value;
    const char *before = "{\"";
    for (size_t at = 0; json_next_member(message.at, message.n, &at, &name, &value);) {
        if (is_named(name, "images")) {
            if (!is_empty(value))
                return error_set_param(err, STATUS_UNSUPPORTED, "messages",
                                       "messages: this model reads text only, no images");
            continue;
        }
        json_raw(w, before);
        size_t i = 0, n_names = sizeof names / sizeof names[0];
        while (i < n_names && !is_named(name, names[i].theirs))
            i++;
        if (i < n_names)
            json_raw(w, names[i].ours);
        else
            put_span(w, name);
        json_raw(w, "\":");
        put_span(w, value);
        before = ",\"";
    }
    json_raw(w, before[0] == '{' ? "{}" : "}");
    return STATUS_OK;
}

enum status ollama_messages_of_chat(struct ollama_messages *m, struct json_span messages,
                                    struct error *err)
{
    struct json_writer w;
    struct json_span message;
    if (messages.at[0] != '[')
        return error_set_param(err, STATUS_INVALID, "messages",
                               "messages must be an array of messages");
    /* Each renamed member makes the text longer by less than its own length. */
    enum status status = begin(m, &w, 2 * messages.n + 16, err);
    for (size_t at = 0;
         status == STATUS_OK && json_next_element(messages.at, messages.n, &at, &message);) {
        json_raw(&w, m->n++ > 0 ? "," : "");
        if (message.at[0] != '{')
            status = error_set_param(err, STATUS_INVALID, "messages",
                                     "messages[%zu] must be an object", m->n - 1);
        else
            status = put_message(&w, message, err);
    }
    return status == STATUS_OK ? end(m, &w, err) : status;
}

void ollama_messages_free(struct ollama_messages *m)
{
    free(m->text);
    *m = (struct ollama_messages){.text = NULL};
}
