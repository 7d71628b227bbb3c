/* known_load.h - a worker's steps as a recorder sees them, with times that are made up: two layers
 * of a few phases, and two threads. */
#pragma once

#include "profile/recorder.c" /* NOLINT(bugprone-suspicious-include): with a clock of its own */

#include <check.h>

enum { LOAD_LAYERS = 2, LOAD_PHASES = 1 + 2 * 2 + 1, LOAD_THREADS = 2 };

/* embed; each layer QKV, and gate/up with its activation; the head. */
static const struct scope_phase load_phases[LOAD_PHASES] = {
    {SCOPE_EMBED, {SCOPES, SCOPES}, LOAD_LAYERS, SCOPE_NONE},
    {SCOPE_QKV, {SCOPES, SCOPES}, 0, WEIGHT_Q4_0},
    {SCOPE_GATE_UP, {SCOPES, SCOPE_ACTIVATION}, 0, WEIGHT_Q4_0},
    {SCOPE_QKV, {SCOPES, SCOPES}, 1, WEIGHT_Q4_0},
    {SCOPE_GATE_UP, {SCOPES, SCOPE_ACTIVATION}, 1, WEIGHT_Q6_K},
    {SCOPE_HEAD, {SCOPES, SCOPES}, LOAD_LAYERS, SCOPE_MIXED},
};

static uint64_t load_now; /* the clock's ticks */

static uint64_t load_clock(void)
{
    return load_now;
}

static inline struct recorder *load_recorder(void)
{
    const struct record_shape shape = {load_phases, LOAD_PHASES, LOAD_LAYERS, LOAD_THREADS};
    struct recorder *r;
    struct error err;
    ck_assert_int_eq(recorder_create(&r, &shape, 1 << 16, &err), STATUS_OK);
    r->clock = r->forward.clock = r->sample.clock = load_clock;
    return r;
}

enum load_team {
    LOAD_BOTH,        /* each phase: the leader all of it, the helper a half */
    LOAD_LEADER_ONLY, /* the helper comes to none */
    LOAD_LEADER_LATE  /* the helper has done gate/up when the leader comes to it */
};

/* The ticks of each phase. */
static const uint64_t load_ticks[LOAD_PHASES] = {100, 200, 300, 200, 100, 50};

/* For the step's i-th phase. */
static inline void load_marks(const struct team_marks *marks, size_t i, uint32_t phase,
                              enum load_team team)
{
    const uint64_t ticks = load_ticks[phase];
    const uint32_t part = load_phases[phase].parts[1] != SCOPES ? (uint32_t)ticks / 4 : 0;
    const bool late = team == LOAD_LEADER_LATE && load_phases[phase].scope == SCOPE_GATE_UP;
    struct team_mark *leader = team_mark_at(marks, 0, i), *helper = team_mark_at(marks, 1, i);
    *leader = (struct team_mark){
        .begin = late ? load_now + ticks : load_now, .end = load_now + ticks, .run = marks->run};
    leader->parts[1] = late ? 0 : part;
    if (team == LOAD_LEADER_ONLY)
        return;
    *helper = (struct team_mark){.begin = load_now, .end = load_now + ticks / 2, .run = marks->run};
    helper->parts[1] = part;
}

struct load_run { /* the phases of one step */
    uint32_t phases[LOAD_PHASES];
    size_t n_phases;
};

/* A step of 1100 ticks: 20 of scheduling; its phases, a quarter of gate/up (both threads) set
 * apart; 25 for its description, 50 of sampling, 30 of text; 15 for jobs, 0 for publishing, 10 for
 * the end. NULL: it was not recorded. */
static inline const struct step_times *load_step_of(struct recorder *r, enum record_kind kind,
                                                    bool wanted, enum load_team team,
                                                    const struct load_run *run)
{
    recorder_begin(r, wanted ? WISH_SOME : WISH_NONE);
    load_now += 20;
    recorder_cut(r, CUT_SCHEDULE);
    const struct team_marks *marks = recorder_forward_marks(r);
    for (size_t i = 0; i < run->n_phases; i++) {
        if (marks != NULL)
            load_marks(marks, i, run->phases[i], team);
        load_now += load_ticks[run->phases[i]];
    }
    recorder_cut(r, CUT_FORWARD);
    load_now += 25;
    const struct record_work work = {
        .n_steps = 1, .n_rows = 1, .n_wanted = 1, .n_steps_wanted = 1, .n_sampled = 1};
    const bool recorded = recorder_is_recording(r);
    if (recorder_is_active(r))
        recorder_describe(r, &(struct recorder_step){kind, &work, run->phases, run->n_phases});
    recorder_cut(r, CUT_DESCRIBE);
    if (recorded)
        recorder_fold(r);
    load_now += 50;
    recorder_cut(r, CUT_SAMPLE);
    load_now += 30;
    recorder_cut(r, CUT_TEXT);
    const struct step_times *times = recorded && wanted ? recorder_times(r) : NULL;
    load_now += 15;
    recorder_cut(r, CUT_RECORD);
    recorder_cut(r, CUT_PUBLISH);
    load_now += 10;
    recorder_end(r);
    return times != NULL || !recorded ? times : recorder_times(r);
}

static const struct load_run load_all = {{0, 1, 2, 3, 4, 5}, LOAD_PHASES};

static inline const struct step_times *load_step(struct recorder *r, enum record_kind kind,
                                                 bool wanted)
{
    return load_step_of(r, kind, wanted, LOAD_BOTH, &load_all);
}

enum { LOAD_TICKS = 20 + 950 + 25 + 50 + 30 + 15 + 10 }; /* of one step */
