/* worker_state.h - what a worker is made of, for the files that are the worker: worker.c (memory,
 * thread, what others call), step.c and step_profile.c.
 *
 * Its thread (the team's leader) owns everything but what `lock` guards: the index of the KV cache,
 * the free slots and the list of new arrivals. A slot belongs to the placing thread until it is
 * taken from the arrivals, then to the worker's thread; other threads read the atomics.
 */
#pragma once

#include "base/arena.h"
#include "base/team.h"
#include "engine/growth.h"
#include "engine/rates.h"
#include "engine/worker.h"
#include "forward/forward.h"
#include "guide/guide.h"
#include "model/model.h"
#include "text/sampler.h"
#include "text/tokenizer/tokenizer.h"

#include <pthread.h>
#include <stdatomic.h>

struct slot { /* the place of one running sequence */
    struct job *job;
    struct kv_seq kv;
    int32_t *tokens;           /* the job's: its prompt, then what was sampled */
    size_t n_tokens;           /* known; the last ones may not be computed yet */
    size_t n_given;            /* of them, when it was placed: the prompt, and after a preemption
                                * what had been sampled; they are read many at a time */
    size_t n_rows;             /* in this step */
    bool sampled;              /* in this step */
    int32_t sample;            /* the id, when sampled */
    bool certain;              /* the grammar left no choice about it */
    size_t n_followers;        /* nor about so many after it, which stand in tokens already */
    enum finish_reason finish; /* FINISH_NONE: goes on */
    _Atomic bool aborted;      /* by engine_abort_all */
    _Atomic uint32_t left_prompt,
        left_tokens; /* still to read, still to make at most; for forecasts */
};

struct wanted { /* logits of one row of this step: a sample, what a given token is compared with, or
                   the log-probability of the prompt's next token */
    uint32_t slot, position;
    int32_t drawn; /* instead of a given token; TOKEN_NONE: none can be */
};

struct pooled { /* the vector of one row of this step */
    uint32_t slot;
};

struct worker_masks {              /* NULL and 0 until some text must keep to a grammar */
    struct mask_scratch **scratch; /* [n_threads] */
    uint64_t *bits;                /* [max_batch][n_words]: of each slot */
    size_t n_words;
    uint32_t *guided; /* [max_batch] slots whose texts keep to one, of this step */
};

struct worker_counters { /* one writer: the worker's thread; relaxed */
    _Atomic uint64_t generated, prompt_computed, prompt_cached, cancelled[3];
    _Atomic uint64_t preemptions, recomputed, forced;
    _Atomic uint64_t n_steps, step_ns, step_sequences;
    _Atomic uint64_t seconds_bucket[ENGINE_STEP_BUCKETS + 1];
    _Atomic uint64_t sequences_bucket[ENGINE_SIZE_BUCKETS + 1];
};

struct worker {
    const struct worker_setup *setup;
    unsigned n_threads;         /* of its team */
    _Atomic unsigned n_working; /* of them, from the next step on */
    pthread_t thread;
    bool has_thread;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* arrivals, the end, and the end of starting */
    struct kv *kv;          /* its index: under the lock */
    struct growth growth;   /* of its memory */
    uint32_t *free_slots;   /* [max_batch] a stack; under the lock */
    size_t n_free_slots;
    uint32_t *arrivals; /* [max_batch]; under the lock */
    size_t n_arrivals;
    bool started, stop; /* under the lock */
    bool out_of_range;  /* of the cache's type, in the warm-up; constant once started */
    enum status start_status;
    struct error start_error;

    /* its thread's */
    struct team *team;
    struct forward *forward;
    struct sampler **samplers; /* [n_threads] */
    struct worker_masks masks;
    struct arena arena;
    struct slot *slots; /* [max_batch] */
    uint32_t *order;    /* [n_active] slots, the oldest job's first */
    size_t n_active;
    struct row *rows; /* [max_batch + step_tokens] */
    size_t n_rows;
    struct wanted *wanted; /* [n_wanted] of this step, in the rows' order; n_logits at most */
    size_t n_wanted, n_logits;
    struct pooled *pooled; /* [n_pooled] of this step, in the rows' order; as many as rows */
    size_t n_pooled;
    struct job **done; /* [n_done] finished in this step: to be published */
    size_t n_done;
    struct job **preempted; /* [n_preempted] in this step: to be given back */
    size_t n_preempted;
    struct recorder *recorder;
    struct record_work work; /* of this step, when it is profiled */
    bool folding;            /* the team has been given the recorder's fold */

    struct worker_counters counters;
    struct rates rates;
    _Atomic size_t n_running; /* admitted and not finished */
    _Atomic uint64_t last_step_ns;
};

static inline struct slot *worker_active(const struct worker *w, size_t i)
{
    return &w->slots[w->order[i]];
}

/* One writer: no locked instruction needed. */
static inline void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline uint64_t *worker_mask(struct worker *w, const struct slot *slot)
{
    return w->masks.bits + (size_t)(slot - w->slots) * w->masks.n_words;
}

/* step_sample.c */
void step_mask(struct worker *w);   /* what may come, of those whose texts keep to a grammar */
void step_sample(struct worker *w); /* all logits that were wanted */
void step_take_samples(struct worker *w, uint64_t now_ns); /* in the rows' order */

/* step_vectors.c */
/* Whether a job's vector has to do with the hidden state at a position. */
bool step_wants_vector(const struct worker *w, const struct slot *slot, size_t position);
/* After the forward pass: adds the rows' vectors to their jobs', and ends those that are whole. */
void step_take_vectors(struct worker *w, uint64_t now_ns);

/* step_profile.c: what a step leaves in the profiles of the worker and of the jobs in it */
enum recorder_wish step_profile_wish(const struct worker *w); /* of jobs */
/* After the forward pass: the team begins to add it up. */
void step_profile_fold(struct worker *w, size_t n_decode, size_t n_prompt);
void step_profile_wait(struct worker *w); /* before the team has other work */
/* Before the step's results are published, and after that. */
void step_profile_share(struct worker *w, uint64_t step_ns);
void step_profile_end(struct worker *w);

/* step.c */
void worker_step(struct worker *w); /* one step of all active sequences */
void worker_end_all(struct worker *w, enum finish_reason reason);
enum status worker_warm_up(struct worker *w,
                           struct error *err); /* faults in, measures, leaves no trace */
