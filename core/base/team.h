/* team.h - a fixed set of threads that run the same function together, and the barrier between its
 * phases.
 *
 * The leader is the thread that calls team_run (rank 0); helpers are created once and wait, first
 * spinning for a moment, then asleep, so that an idle team uses no CPU. Compute only: a team's
 * function never blocks on anything but the barrier.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>

struct team;
typedef void team_fn(void *arg, unsigned rank);

/* n_threads >= 1, the leader counted. on_start (may be NULL) runs once on each helper before its
 * first work. STATUS_NO_MEMORY, STATUS_IO. */
enum status team_create(struct team **out, unsigned n_threads, void (*on_start)(void),
                        struct error *err);
void team_destroy(struct team *team); /* takes NULL; leader only, outside team_run */

unsigned team_size(const struct team *team);

/* Runs fn(arg, rank) on every thread and returns when all are done. What the leader wrote before is
 * visible to all, and what any thread wrote is visible to the leader after. Leader only. */
void team_run(struct team *team, team_fn *fn, void *arg);

/* Inside team_run: nobody goes on before everybody has arrived; writes before are visible after. */
void team_barrier(struct team *team, unsigned rank);
