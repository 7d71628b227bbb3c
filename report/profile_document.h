/* profile_document.h - from what was recorded to a document: its parts, the report, and its text in
 * any form. Shared by the verb and by the profiles of live traffic.
 *
 * Any thread; holds no state.
 */
#pragma once

#include "engine/engine.h"
#include "engine/loaded_model.h"
#include "profile/counters.h"
#include "profile/limits.h"
#include "profile/report.h"
#include "report/profile.h"

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
enum status profile_build(struct profile_parts *parts, const struct loaded_model *model,
                          const struct engine *engine, enum kv_type kv, struct error *err);
void profile_parts_free(struct profile_parts *parts); /* takes a zeroed one */

/* The document in one of its forms, malloc'ed, with a NUL after it. */
enum status profile_render(const struct profile_document *document, enum profile_form form,
                           char **out, size_t *n, struct error *err);
