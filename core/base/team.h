/* team.h - a fixed set of threads that do a list of phases together, each phase cut into chunks.
 *
 * Any thread may do any chunk; a phase begins when every chunk of the one before is done. The
 * team waits only for threads in mid-chunk: when the system takes a thread's processor away,
 * or has not given it one yet, the others do its chunks, so that a crowded machine costs its share
 * and no more. The leader is the thread that calls team_run (rank 0); helpers are created once and
 * wait, first spinning for a moment, then asleep, so that an idle team uses no CPU.
 */
#pragma once

#include "base/error.h"
#include "base/ticks.h"

#include <stddef.h>
#include <stdint.h>

struct team;

/* Does one chunk of one phase; rank says which thread does it (for scratch memory of its own,
 * nothing else). */
typedef void team_fn(void *arg, size_t phase, size_t chunk, unsigned rank);

struct team_work {
    team_fn *fn;
    void *arg;
    const uint32_t *n_chunks; /* [n_phases], each at least 1 */
    size_t n_phases;
};

/* n_threads >= 1, the leader counted; max_phases: of one team_run. on_start (may be NULL) runs once
 * on each helper before its first work. STATUS_NO_MEMORY, STATUS_IO. */
enum status team_create(struct team **out, unsigned n_threads, size_t max_phases,
                        void (*on_start)(void), struct error *err);
void team_destroy(struct team *team); /* takes NULL; leader only, outside team_run */

unsigned team_size(const struct team *team);

/* How many of them work from now on, the leader counted: 1 to team_size. The others sleep, and what
 * is to be done is cut for those that are left. Leader only, outside team_run. */
void team_set_active(struct team *team, unsigned n_active);
unsigned team_active(const struct team *team);

/* Does all phases and returns. What the leader wrote before is visible to every chunk, what a chunk
 * wrote to every chunk of later phases and to the leader after. Leader only. */
void team_run(struct team *team, const struct team_work *work);

/* The same in two halves: between them helpers do what they can, and the leader anything but work
 * for the team; what they have left it does at the end. n_chunks stays borrowed until then. */
void team_start(struct team *team, const struct team_work *work);
void team_finish(struct team *team);

/* --- for a profile: when each thread worked on each phase --- */

enum { TEAM_PARTS = 2 };

struct team_mark {
    uint64_t begin, end;        /* in the clock's ticks */
    uint32_t parts[TEAM_PARTS]; /* ticks of what the phase's function sets apart */
    uint32_t allocated;         /* alloc_bytes() at its begin, its lower half */
    uint32_t run;               /* of team_marks */
};

struct team_marks {
    ticks_fn *clock;
    struct team_mark *marks; /* [n_threads][stride] */
    size_t stride;           /* at least the phases of a run */
    uint32_t
        run; /* stands in every mark made: one that a thread did not come to has an older one */
};

static inline struct team_mark *team_mark_at(const struct team_marks *marks, unsigned rank,
                                             size_t phase)
{
    return marks->marks + rank * marks->stride + phase;
}

/* Where the next runs leave their marks, until called with NULL. Borrowed. Leader only, outside
 * team_run.
 */
void team_set_marks(struct team *team, const struct team_marks *marks);
