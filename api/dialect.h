/* dialect.h - an API's language: how a body becomes a generation, and a generation becomes bytes.
 *
 * One row for each API. A route names its dialect; from the request's body to its last byte, errors
 * included, everything that differs between APIs goes through here, so that no other file asks
 * which one it serves. Decoding may run on any thread; writers run on the loop thread, fill the
 * caller's memory and allocate nothing. Knows nothing of sockets.
 */
#pragma once

#include "api/errors.h"
#include "api/generation.h"

struct chat_template;
struct shaping;
struct field_table;

struct generation_source { /* what decode reads; borrowed */
    const char *body;
    size_t n_body;
    bool plain; /* Content-Type is text/plain */
    const struct tokenizer *tokenizer;
    const struct api_limits *limits;
    const struct chat_template *chat; /* the model's; NULL: it has none */
    struct gguf_string rank_template; /* of a query and a document; n 0: the model has none */
    const struct shaping *shaping;    /* compiles shapes; NULL: they are read, and that is all */
    bool must_not_wait;               /* what takes long is postponed: see generation.postponed */
};

struct dialect {
    const char *name;                 /* "native" */
    const struct field_table *fields; /* that a body may hold; which have no effect is a column */
    const char *types[ANSWER_FORMS];  /* Content-Type by form */
    bool vectors;                     /* its jobs make vectors, not text */
    bool on_pool;                     /* decoding takes long: never on the loop thread */
    const char *keep_alive;           /* what breaks a long silence of ANSWER_SSE; NULL: nothing */
    const char *id_header;            /* also carries the request's id, beside X-Request-Id; NULL */

    /* Fills the first part of a zeroed generation; on failure it stays zeroed. Errors as in
     * native.h. */
    enum status (*decode)(struct generation *g, const struct generation_source *source,
                          struct error *err);
    /* The form of the answer; accept: the header, or NULL. */
    enum answer_form (*form)(const struct generation *g, const char *accept);

    /* Once it is decoded and has its form: where its client stands, which has had events of it
     * (the header Last-Event-ID, or NULL). STATUS_INVALID. NULL: its events have no ids, and the
     * header says nothing. */
    enum status (*resume)(struct generation *g, const char *last_event_id, struct error *err);

    /* ANSWER_JSON: bytes at most, and the answer; 0: no room. Every job is finished, and none has
     * failed. */
    size_t (*whole_bound)(const struct generation *g);
    size_t (*whole)(const struct generation *g, char *out, size_t room);

    /* The other forms: the least room with which event always advances, and whatever is ready,
     * endings and errors of finished jobs included (0: nothing, or no room). It sets g->complete
     * with the last of it. */
    size_t (*event_min)(const struct generation *g);
    size_t (*event)(struct generation *g, char *out, size_t room);

    /* An error as a body, NUL-terminated; param NULL or "": none. The message is cut where it does
     * not fit: still well-formed when room >= 1024. Returns its length; 0: no room. */
    size_t (*error)(const struct api_error *what, const char *message, const char *param, char *out,
                    size_t room);
};
