/* recorder.h - one worker's recorder: it marks a step while it runs, and adds it up afterwards.
 *
 * Off, it costs a worker one look at a flag a step. The worker's thread calls the functions between
 * recorder_begin and recorder_end, in that order, but the fold, which any thread may do meanwhile;
 * start, stop and take may come from any thread, while steps run. A step is recorded whole or not
 * at all. All memory is taken at creation. Knows nothing of jobs or models.
 */
#pragma once

#include "base/team.h"
#include "profile/record.h"

struct recorder;

/* line_bytes: as in record_create. STATUS_NO_MEMORY. */
enum status recorder_create(struct recorder **out, const struct record_shape *shape,
                            size_t line_bytes, struct error *err);
void recorder_destroy(struct recorder *recorder); /* takes NULL */
size_t
recorder_bytes(const struct recorder *recorder); /* its memory; touched when a recording starts */

/* --- any thread --- */

struct record_options {
    unsigned every; /* one step in so many is recorded, drawn; 0: every one, or as RECORD_SHORT_NS
                       says */
};

/* Forgets what there was and begins. */
void recorder_start(struct recorder *recorder, const struct record_options *options);
void recorder_stop(struct recorder *recorder);
/* A copy of all that was gathered; the caller's. STATUS_NO_MEMORY. */
enum status recorder_take(struct recorder *recorder, struct record **out, struct error *err);

/* --- the worker's thread --- */

enum recorder_wish { /* of others, even when the recorder is off */
                     WISH_NONE,
                     WISH_SOME, /* to know of such steps: some of them stand for all */
                     WISH_THIS  /* to know of this very one */
};

/* A step begins. */
void recorder_begin(struct recorder *recorder, enum recorder_wish wish);
/* Whether this step is wanted (its work at least), and whether it is recorded. */
bool recorder_is_active(const struct recorder *recorder);
bool recorder_is_recording(const struct recorder *recorder);

/* The sections of a step: what has just ended. DESCRIBE and RECORD are the recorder's own, and what
 * the worker waits for a fold after PUBLISH. */
enum recorder_cut {
    CUT_SCHEDULE,
    CUT_FORWARD,
    CUT_DESCRIBE,
    CUT_MASK, /* only where there were masks to make */
    CUT_SAMPLE,
    CUT_TEXT,
    CUT_RECORD,
    CUT_PUBLISH,
    RECORDER_CUTS
};
void recorder_cut(struct recorder *recorder, enum recorder_cut cut);

/* Where the forward pass, and a team that makes masks or samples in one phase, put their marks;
 * NULL when the step is not recorded. */
const struct team_marks *recorder_forward_marks(const struct recorder *recorder);
const struct team_marks *recorder_mask_marks(const struct recorder *recorder);
const struct team_marks *recorder_sample_marks(const struct recorder *recorder);

struct recorder_step {
    enum record_kind kind;
    const struct record_work *work;
    const uint32_t *phases; /* [n_phases]: which of record_shape's; borrowed until recorder_end */
    size_t n_phases;
};

/* Describes the step, after CUT_FORWARD. Only when active. */
void recorder_describe(struct recorder *recorder, const struct recorder_step *step);

/* Adds up what the forward pass has left. Once for each step that is recorded, by one thread,
 * after recorder_describe; the others' marks must be visible to it. */
void recorder_fold(struct recorder *recorder);

struct step_times { /* of a recorded step up to its text; ns */
    double wall;
    double total[SCOPES];      /* busy and waiting */
    double waiting;            /* of all scopes: threads without work */
    double matrix[SCOPE_NONE]; /* the totals of products by weight type, SCOPE_MIXED included */
};

/* After the fold and CUT_TEXT, until the next step. */
const struct step_times *recorder_times(struct recorder *recorder);

/* After the fold. */
void recorder_end(struct recorder *recorder);
