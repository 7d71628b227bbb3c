/* turns.c - one turn at a time: a single text stays a string, several become text parts. */
#include "api/asked/turns.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum status turns_begin(struct turns *t, size_t n_source, struct error *err)
{
    /* A part is never written longer than twice what it takes in a body. */
    size_t room = 2 * n_source + 512;
    *t = (struct turns){.memory = malloc(3 * room)};
    if (t->memory == NULL)
        return error_no_memory(err, 3 * room, "a conversation");
    t->text = (struct json_writer){.out = t->memory, .room = room};
    t->thoughts = (struct json_writer){.out = t->memory + room, .room = room};
    t->calls = (struct json_writer){.out = t->memory + 2 * room, .room = room};
    json_raw(&t->text, "[");
    return STATUS_OK;
}

static void put_span(struct json_writer *w, struct json_span span)
{
    if (w->full || w->room - w->n < span.n) {
        w->full = true;
        return;
    }
    memcpy(w->out + w->n, span.at, span.n);
    w->n += span.n;
}

static void put_part(struct turns *t, struct json_span string)
{
    json_raw(&t->text, "{\"type\":\"text\",\"text\":");
    put_span(&t->text, string);
    json_raw(&t->text, "}");
}

static void close_turn(struct turns *t)
{
    if (t->role == NULL)
        return;
    if (t->n_texts == 0)
        json_raw(&t->text, "\"\"");
    else if (t->n_texts == 1)
        put_span(&t->text, t->first);
    else
        json_raw(&t->text, "]");
    if (t->thoughts.n > 0) {
        json_raw(&t->text, ",\"reasoning_content\":\"");
        put_span(&t->text, (struct json_span){t->thoughts.out, t->thoughts.n});
        json_raw(&t->text, "\"");
    }
    if (t->calls.n > 0) {
        json_raw(&t->text, ",\"tool_calls\":[");
        put_span(&t->text, (struct json_span){t->calls.out, t->calls.n});
        json_raw(&t->text, "]");
    }
    if (t->call.n > 0) {
        json_raw(&t->text, ",\"tool_call_id\":");
        put_span(&t->text, t->call);
    }
    json_raw(&t->text, "}");
    t->thoughts.n = t->calls.n = t->n_texts = 0;
    t->call = (struct json_span){NULL, 0};
    t->role = NULL;
}

void turns_role(struct turns *t, const char *role, bool joins)
{
    if (joins && t->role != NULL && strcmp(t->role, role) == 0)
        return;
    close_turn(t);
    json_raw(&t->text, t->n_turns > 0 ? ",{\"role\":\"" : "{\"role\":\"");
    json_raw(&t->text, role);
    json_raw(&t->text, "\",\"content\":");
    t->role = role;
    t->n_turns++;
}

void turns_text(struct turns *t, struct json_span string)
{
    if (t->n_texts == 0) {
        t->first = string;
    } else {
        if (t->n_texts == 1) {
            json_raw(&t->text, "[");
            put_part(t, t->first);
        }
        json_raw(&t->text, ",");
        put_part(t, string);
    }
    t->n_texts++;
}

void turns_thought(struct turns *t, struct json_span string)
{
    put_span(&t->thoughts, (struct json_span){string.at + 1, string.n - 2});
}

void turns_call(struct turns *t, struct json_span id, struct json_span name, struct json_span input)
{
    struct json_writer *w = &t->calls;
    json_raw(w, w->n > 0 ? ",{\"id\":" : "{\"id\":");
    put_span(w, id);
    json_raw(w, ",\"type\":\"function\",\"function\":{\"name\":");
    put_span(w, name);
    json_raw(w, ",\"arguments\":");
    put_span(w, input);
    json_raw(w, "}}");
}

void turns_result(struct turns *t, struct json_span id)
{
    turns_role(t, "tool", false);
    t->call = id;
}

struct json_span turns_end(struct turns *t)
{
    close_turn(t);
    json_raw(&t->text, "]");
    assert(!t->text.full && !t->thoughts.full && !t->calls.full);
    return (struct json_span){t->text.out, t->text.n};
}

void turns_free(struct turns *t)
{
    free(t->memory);
    *t = (struct turns){.memory = NULL};
}
