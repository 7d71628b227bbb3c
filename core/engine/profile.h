/* profile.h - where an engine's time goes, and what its memory was taken for.
 *
 * Any thread; recording goes on inside the workers meanwhile. What a record holds and how it is
 * reported: core/profile.
 */
#pragma once

#include "profile/recorder.h"

struct engine;

/* Every worker records its steps from here on, until the stop. One at a time: STATUS_FULL. */
enum status engine_profile_start(struct engine *engine, const struct record_options *options,
                                 struct error *err);
/* out: [n_workers], what each has recorded, the caller's to destroy; NULL: it is dropped.
 * STATUS_NO_MEMORY (nothing is handed out, and the recording has ended all the same). */
enum status engine_profile_stop(struct engine *engine, struct record **out, struct error *err);

struct engine_memory { /* bytes, of all workers */
    size_t weights;    /* the model's arena: packed matrices, tables */
    size_t kv;         /* pages of keys and values */
    size_t activations;
    size_t tables;  /* slots, rows */
    size_t profile; /* recorders; address space, touched when they record */
};
void engine_memory(const struct engine *engine, struct engine_memory *out);
