/* profile_run.h - what `profile` measures: sessions on an engine of its own, the recorder's own
 * cost, the machine's limits and single kernels; and how a report's document is put together.
 *
 * Main thread; the engine's workers compute. Everything is measured first and read afterwards.
 */
#pragma once

#include "api/profile.h"
#include "config/settings.h"
#include "engine/engine.h"
#include "profile/limits.h"
#include "server/load.h"
#include "server/profile_model.h"
#include "server/server.h"
#include "server/terminal.h"

/* --- the parts that a live profile needs too (profile_document.c) --- */

struct profile_parts {       /* of one report; zeroed first */
    struct record **records; /* [n_records], owned: of each worker */
    size_t n_records;
    struct record *total; /* owned: their sum */
    struct record_cost *costs;
    unsigned *matrices;
    struct counters counters;
    bool has_counters;
    struct report_overhead overhead;
    struct report_session *sessions; /* [n_sessions] owned */
    size_t n_sessions;
    struct report_limits limits;
    struct report *report; /* owned */
    struct profile_document document;
    char limits_note[96];
};

/* Measures what a worker's steps of the model are held against. */
enum status profile_measure_limits(struct report_limits *out, struct limits *limits,
                                   const struct model *model, const struct engine_plan *plan,
                                   struct error *err);

/* Report and document from what is there; model and engine stay borrowed. */
enum status profile_build(struct profile_parts *parts, const struct server_model *model,
                          const struct engine *engine, enum kv_type kv, struct error *err);
void profile_parts_free(struct profile_parts *parts); /* takes a zeroed one */

/* The document in one of its forms, malloc'ed, NUL behind it. */
enum status profile_render(const struct profile_document *document, enum profile_form form,
                           char **out, size_t *n, struct error *err);

/* --- the verb's own --- */

struct profile_plan {
    size_t sessions, tokens, prompt, batch;
    uint64_t seed;
    float temperature;
    bool overhead; /* measure the recorder's own cost */
};

/* Sessions on a new engine; fills all of parts but report and document. */
enum status profile_sessions(struct profile_parts *parts, const struct loaded *loaded,
                             const struct settings *settings, const struct profile_plan *plan,
                             struct engine **engine, struct progress *progress, struct error *err);

enum { PROFILE_KERNELS = 9 };
/* matmul, softmax and GELU at 128, 256 and 512, three iterations each. */
enum status profile_kernels(struct profile_kernel *out, const struct kernels *kernels,
                            struct error *err);

/* For people: Markdown to standard output, with colour and bars on a terminal. */
enum status profile_print(const struct profile_document *document, struct error *err);

/* Compares the two reports that are the settings' arguments (profile_compare.c); returns the exit
 * code. */
int profile_compare(const struct settings *settings);
