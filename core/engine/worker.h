/* worker.h - one worker: a team of threads with its own KV cache, buffers and counters, computing
 * its sequences in steps.
 *
 * All that the engine and the queue may know of it. Any thread may call; jobs are placed by one
 * thread at a time (the queue's lock). A worker knows nothing of the queue: it calls what it was
 * given (struct worker_line). How it is made: worker_state.h.
 */
#pragma once

#include "base/error.h"
#include "engine/job.h"
#include "engine/options.h"
#include "engine/profile.h"
#include "engine/progress.h"
#include "engine/stats.h"

struct model;
struct tokenizer;
struct vocabulary;
struct worker;

struct growth_bounds;

struct worker_line { /* where its jobs come from; called without the worker's lock */
    void *ctx;
    void (*has_room)(void *ctx); /* a place or pages have become free: waiting jobs may be placed */
    void (*no_memory)(void *ctx); /* the system has none for the pages that some job lacks */
    /* The job had to give its pages to an older one: it goes on, here or elsewhere, when it is
     * placed again. */
    void (*gives_back)(void *ctx, struct job *job);
    void (*step_begins)(void *ctx, uint64_t now_ns); /* waiting jobs may have become too late */
};

struct worker_setup { /* what all workers share; borrowed, read-only */
    const struct model *model;
    const struct tokenizer *tokenizer;
    const struct engine_options *options;
    const int32_t *end_ids; /* [n_end_ids]: tokens that end a text; the tokenizer's */
    size_t n_end_ids;
    size_t kv_bytes; /* of one worker */
    const char *abort_text;
    struct worker_line line;
    struct progress *progress;
};

/* Starts its thread: the leader of n_threads, of which n_active work at first. STATUS_NO_MEMORY,
 * STATUS_IO. */
enum status worker_create(struct worker **out, const struct worker_setup *setup, unsigned n_threads,
                          unsigned n_active, struct error *err);
/* So many work from its next step on; 0: the leader alone does what is left. */
void worker_set_threads(struct worker *w, unsigned n);
/* What its KV cache may take of the system's memory from now on, and should give back. */
void worker_bound_memory(struct worker *w, const struct growth_bounds *bounds);
/* Until it has its memory and is warm. STATUS_NO_MEMORY, STATUS_IO, STATUS_INTERNAL. */
enum status worker_wait_started(struct worker *w, struct error *err);
/* Before its first job: it runs n sequences at once, of the options' max_batch at most. */
void worker_limit(struct worker *w, size_t n);
/* What a step of n decoding sequences takes, as far as is known. */
uint64_t worker_step_ns(const struct worker *w, size_t n);
void worker_stop(struct worker *w);    /* asks it to end what it runs, FINISH_CANCELLED */
void worker_destroy(struct worker *w); /* takes NULL; joins after worker_stop, and frees */

/* What its threads need to keep texts inside grammars, taken when the first one is asked for,
 * before any such job is placed. Once. STATUS_NO_MEMORY. */
enum status worker_make_masks(struct worker *w, const struct vocabulary *v, struct error *err);
void worker_drop_masks(struct worker *w); /* they may not be there; no such job has been placed */

/* This worker's offer to a job. */
struct worker_offer {
    bool has_slot;
    size_t cached_pages; /* of its prompt */
    size_t n_running;
    size_t unread; /* prompt tokens still to be read here */
};
/* False: no room for it now; *out is filled all the same. */
bool worker_look(struct worker *w, const struct job *job, struct worker_offer *out);
/* Takes the job: pages are promised and its slot filled. False when the room is gone. A job that
 * was given back is read from the beginning, its answer so far like a prompt, and goes on from
 * there. */
bool worker_place(struct worker *w, struct job *job);

/* A worker's load, for predicting waits; a moment's values. */
struct worker_load {
    size_t n_running;
    size_t unread;            /* prompt tokens still to be read */
    uint64_t prompt_token_ns; /* reading one in steps of prompts alone */
    uint64_t shared_token_ns; /* reading one beside what runs now: half of each step is theirs */
    uint64_t answer_token_ns; /* for each token that a request is allowed, as requests end lately */
    size_t n_left;            /* running sequences that will make more tokens */
};
/* left_tokens: [max_batch], the first n_left are filled: how many each may still make. */
void worker_load(const struct worker *w, struct worker_load *out, uint32_t *left_tokens);

void worker_abort(
    struct worker *w); /* what runs now ends with FINISH_ERROR and the setup's abort_text */

/* False: it has work, and no step has ended for limit_ns. */
bool worker_alive(const struct worker *w, uint64_t now_ns, uint64_t limit_ns);
/* Once started: its warm-up gave keys or values that the cache's type cannot hold. */
bool worker_is_out_of_range(const struct worker *w);
/* Its share of the sums. */
void worker_add_stats(const struct worker *w, struct engine_stats *out);
void worker_add_memory(const struct worker *w, struct engine_memory *out);
struct recorder *worker_recorder(const struct worker *w); /* borrowed */
