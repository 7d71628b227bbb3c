/* messages.h - a conversation as the JSON array that chat templates are given. Main thread. */
#pragma once

#include "base/error.h"

#include <stddef.h>

struct messages { /* zeroed: empty; messages_free it */
    char *text;   /* "[{...},{...}" without the closing bracket, NUL-terminated; owned */
    size_t n, room;
    size_t n_first; /* bytes up to the end of the system message; 0: there is none */
    size_t n_messages;
};

/* Appends one; role is plain. STATUS_NO_MEMORY. */
enum status messages_add(struct messages *m, const char *role, const char *content, size_t n,
                         struct error *err);
/* Sets or replaces the system message, which stands first; n = 0: removes it. */
enum status messages_set_system(struct messages *m, const char *content, size_t n,
                                struct error *err);
/* Takes back what was added after the array had n bytes and so many messages. */
void messages_cut(struct messages *m, size_t n, size_t n_messages);
/* The whole array; valid until the next change. NULL: out of memory. */
const char *messages_json(struct messages *m, size_t *n);
/* All but the system message go. */
void messages_clear(struct messages *m);
void messages_free(struct messages *m);
