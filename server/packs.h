/* packs.h - keeps the loaded model's packed weights for the next start (--pack-cache).
 *
 * Once the service answers, by a thread of libuv's pool: nothing waits for it, and an ending
 * service leaves the file out. That it cannot be kept is said in the log, once. Loop thread, but
 * for the writing.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <uv.h>

struct service;

struct packs { /* zeroed first */
    uv_work_t work;
    bool keeping;
    _Atomic bool stop;
    struct error error; /* the writing thread's, until it is done */
    enum status status;
};

/* Once the model is there. */
void packs_begin(struct service *service);
void packs_stop(
    struct service *service); /* soon service_settled is called, where it was under way */
