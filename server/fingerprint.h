/* fingerprint.h - which model a replica serves, and how it computes: two values by which clients
 * tell whether an answer that one replica began can go on at another.
 *
 * `model` is the SHA-256 of the model file's bytes (of a split model, of all files one after the
 * other), read in the background by a thread that gives way to all others, so that it costs
 * no start-up time and few tokens; "" until then. `arithmetic` is that of everything else that
 * decides an answer's bits. Loop thread, but for the reading.
 */
#pragma once

#include "engine/loaded_model.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

enum { FINGERPRINT_TEXT = 65, FINGERPRINT_HEADER = 176 };

struct arithmetic { /* what decides bits, besides the model's file and the request */
    const char *kv_type;
    const char *template; /* SHA-256 of the chat template's text; "": there is none */
    bool reasoning;       /* what a template marks as reasoning is told apart */
};

struct fingerprint { /* zeroed first */
    char model[FINGERPRINT_TEXT], arithmetic[FINGERPRINT_TEXT];
    char header[FINGERPRINT_HEADER]; /* X-Model-Fingerprint's value; "": nothing is known yet */
    bool failed;                     /* the files cannot be read any more: model stays "" */

    struct loaded_model loaded; /* from here on: the reading */
    void (*wake)(void *ctx);
    void *wake_ctx;
    pthread_t thread;
    bool reading;
    _Atomic bool stop;
    _Atomic int done; /* 1: found holds it; -1: failed */
    char found[FINGERPRINT_TEXT];
};

/* Says what the arithmetic is, and begins to read the model's bytes. wake: called by the thread
 * that reads, when there is something to poll. */
void fingerprint_begin(struct fingerprint *f, const struct loaded_model *loaded,
                       const struct arithmetic *arithmetic, void (*wake)(void *ctx), void *ctx);
/* True, once: the model's part has become known, or never will be. */
bool fingerprint_poll(struct fingerprint *f);
void fingerprint_end(struct fingerprint *f); /* takes one that never began */

enum fingerprint_match { FINGERPRINT_SAME, FINGERPRINT_OTHER, FINGERPRINT_UNKNOWN };
/* Against what a request demands; "": any. UNKNOWN: not yet, or never (failed). */
enum fingerprint_match fingerprint_match(const struct fingerprint *f, const char *model,
                                         const char *arithmetic);
