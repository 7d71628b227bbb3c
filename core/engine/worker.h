/* worker.h - one worker: a team of threads with its own KV cache, buffers and counters, computing
 * its sequences in steps.
 *
 * Its thread (the team's leader) owns everything but what `lock` guards: the index of the KV cache,
 * the free slots and the list of new arrivals. Other threads place jobs (worker_look, worker_place,
 * with the batcher's lock held first) and read the atomics. A slot belongs to the batcher until it
 * is taken from the arrivals, then to the worker's thread.
 */
#pragma once

#include "base/arena.h"
#include "base/team.h"
#include "engine/engine.h"
#include "engine/progress.h"
#include "engine/rates.h"
#include "forward/forward.h"
#include "profile/recorder.h"
#include "text/sampler.h"

#include <pthread.h>
#include <stdatomic.h>

struct batcher;

struct slot { /* the place of one running sequence */
    struct job *job;
    struct kv_seq kv;
    int32_t *tokens;           /* [n_context]: the prompt, then what was sampled */
    size_t n_tokens;           /* known; the last ones may not be computed yet */
    size_t n_cached;           /* of the prompt, taken from the cache */
    size_t n_rows;             /* in this step */
    bool sampled;              /* in this step */
    int32_t sample;            /* the id, when sampled */
    enum finish_reason finish; /* FINISH_NONE: goes on */
    _Atomic bool aborted;      /* by engine_abort_all */
    _Atomic uint32_t left_prompt,
        left_tokens; /* still to read, still to make at most; for forecasts */
};

struct worker_counters { /* one writer: the worker's thread; relaxed */
    _Atomic uint64_t generated, prompt_computed, prompt_cached, cancelled[3];
    _Atomic uint64_t n_steps, step_ns, step_sequences;
    _Atomic uint64_t seconds_bucket[ENGINE_STEP_BUCKETS + 1];
    _Atomic uint64_t sequences_bucket[ENGINE_SIZE_BUCKETS + 1];
};

struct worker_setup { /* what all workers share; borrowed, read-only */
    const struct model *model;
    const struct tokenizer *tokenizer;
    const struct engine_options *options;
    const int32_t *end_ids; /* [n_end_ids]: tokens that end a text */
    size_t n_end_ids;
    size_t kv_bytes; /* of one worker */
    const char *abort_text;
    struct batcher *batcher;
    struct progress *progress;
};

struct worker {
    const struct worker_setup *setup;
    unsigned n_threads;
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* arrivals, the end, and the end of starting */
    struct kv *kv;          /* its index: under the lock */
    uint32_t *free_slots;   /* [max_batch] a stack; under the lock */
    size_t n_free_slots;
    uint32_t *arrivals; /* [max_batch]; under the lock */
    size_t n_arrivals;
    bool started, stop; /* under the lock */
    enum status start_status;
    struct error start_error;

    /* its thread's */
    struct team *team;
    struct forward *forward;
    struct sampler **samplers; /* [n_threads] */
    struct arena arena;
    struct slot *slots; /* [max_batch] */
    uint32_t *order;    /* [n_active] slots, in the order of admission */
    size_t n_active;
    struct row *rows; /* [max_batch + step_tokens] */
    size_t n_rows;
    uint32_t *sampling; /* [n_sampling] slots that sample in this step, in the rows' order */
    size_t n_sampling;
    struct job **done; /* [n_done] finished in this step: to be published */
    size_t n_done;
    struct recorder *recorder;
    struct record_work work; /* of this step, when somebody profiles it */
    bool folding;            /* the team has been given the recorder's fold */

    struct worker_counters counters;
    struct rates rates;
    _Atomic size_t n_running; /* admitted and not finished */
    _Atomic uint64_t last_step_ns;
};

enum status worker_start(struct worker *w, const struct worker_setup *setup, unsigned n_threads,
                         struct error *err); /* starts the thread */
enum status worker_wait_started(struct worker *w, struct error *err);
void worker_stop(struct worker *w);    /* asks it to end what it runs, FINISH_CANCELLED */
void worker_destroy(struct worker *w); /* joins and frees; takes a zeroed one */

/* How welcome a job is here: false without room for it. */
struct worker_offer {
    bool has_slot;
    size_t cached_pages; /* of its prompt */
    size_t n_running;
    size_t unread; /* prompt tokens still to be read here */
};
bool worker_look(struct worker *w, const struct job *job, struct worker_offer *out);
/* Takes the job: pages are promised and its slot filled. False when the room is gone. */
bool worker_place(struct worker *w, struct job *job);
void worker_abort(
    struct worker *w); /* what runs now ends with FINISH_ERROR and the setup's abort_text */

/* step_profile.c: what a step leaves in the profiles of the worker and of the jobs in it */
enum recorder_wish step_profile_wish(const struct worker *w); /* of jobs */
/* Behind the forward pass: the team begins to add it up. */
void step_profile_fold(struct worker *w, size_t n_decode, size_t n_prompt);
void step_profile_wait(struct worker *w); /* before the team has other work */
/* Before the step's results are published, and behind that. */
void step_profile_share(struct worker *w, uint64_t step_ns);
void step_profile_end(struct worker *w);

/* step.c */
void worker_step(struct worker *w); /* one step of all active sequences */
void worker_end_all(struct worker *w, enum finish_reason reason);
enum status worker_warm_up(struct worker *w,
                           struct error *err); /* faults in, measures, leaves no trace */
