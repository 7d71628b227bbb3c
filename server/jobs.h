/* jobs.h - the jobs that the service has given to its engine: who owns them, and who reads them.
 *
 * The registry owns every submitted job until it is final and has no reader any more; connections
 * and requests only read. A request may read several jobs, a job may have several readers, each
 * with a position of its own, and one may come later: it finds all tokens from the first on. A job
 * whose last active reader has left is cancelled, unless it is kept under a name; at most
 * JOBS_KEPT_MAX are. Loop thread. Knows nothing of HTTP.
 */
#pragma once

#include "engine/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JOBS_KEPT_MAX = 64, JOBS_NAME_MAX = 64 };

struct job_entry;

struct job_reader { /* the reader's own memory; zeroed but for the two functions */
    struct job_reader *next;
    struct job_entry *entry; /* NULL: reads none */
    bool active;             /* wants the job to go on */
    bool ended;              /* knows that it is final */
    /* Both return whether they have resumed something, so that the loop must be driven. */
    bool (*news)(struct job_reader *reader); /* tokens may have come */
    bool (*end)(struct job_reader *reader);  /* once: the job is final. May detach any reader. */
};

struct jobs { /* zeroed, but for the engine */
    struct engine *engine;
    struct job_entry *first;
    size_t n, n_kept;
    /* While readers are told: whose turn is next. What goes meanwhile is passed over. */
    struct job_entry *next_entry;
    struct job_reader *next_reader;
};

/* Queues the jobs of one request, all or none, and gives each its first reader. On success they are
 * the registry's; else they stay the caller's: STATUS_NO_MEMORY, or what engine_submit_all says. */
enum status jobs_submit(struct jobs *jobs, struct job *const *list,
                        struct job_reader *const *readers, size_t n, uint64_t *retry_ms,
                        struct error *err);

/* One more reader. When the job is final already, reader->ended says so and end is not called. */
void jobs_attach(struct job_entry *entry, struct job_reader *reader);
/* The reader needs no more tokens, but waits for the end. Takes a reader of none. */
void jobs_leave(struct jobs *jobs, struct job_reader *reader);
/* The reader goes. Takes a reader of none. */
void jobs_detach(struct jobs *jobs, struct job_reader *reader);

struct job *jobs_job(const struct job_entry *entry);

/* Keeps a job, running or final, while it has no reader, under a name (at most JOBS_NAME_MAX
 * bytes). Where JOBS_KEPT_MAX are kept, the oldest final one without a reader is let go; false when
 * there is none, or the name is taken or too long. */
bool jobs_keep(struct jobs *jobs, struct job_entry *entry, const char *name);
void jobs_let_go(struct jobs *jobs, struct job_entry *entry);
struct job_entry *jobs_find(const struct jobs *jobs, const char *name); /* NULL: none */

/* Tells every reader what is new, and frees what is final and unread. Returns whether the loop must
 * be driven. */
bool jobs_poll(struct jobs *jobs);

/* After the engine is gone: frees what is left. */
void jobs_free(struct jobs *jobs);
