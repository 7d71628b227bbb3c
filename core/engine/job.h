/* job.h - one request for text or for a vector, the only object that the loop thread and a worker
 * share.
 *
 * The submitter fills the request part and never touches it again; a worker alone writes the result
 * part, which only grows; the loop thread reads what n_ready (acquire) says is complete. When
 * finished reads true (acquire) the worker has let go of the job for ever, and its owner may
 * destroy it. All memory is taken at creation: a token costs nothing.
 */
#pragma once

#include "base/error.h"
#include "base/utf8.h"
#include "model/pooling.h"
#include "profile/recorder.h"
#include "text/sampler.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct grammar;
struct guide;

enum { JOB_STOPS_MAX = 16, JOB_STOP_IDS_MAX = 32, JOB_LOGPROBS_MAX = 20, JOB_SHOWN_MAX = 32 };

enum finish_reason {
    FINISH_NONE,
    FINISH_STOP,
    FINISH_LENGTH,
    FINISH_DEADLINE,
    FINISH_CANCELLED,
    FINISH_ERROR
};
enum job_phase { JOB_QUEUED, JOB_PREFILL, JOB_DECODE };

struct stop_string {
    const char *bytes; /* UTF-8, non-empty; borrowed from the job */
    size_t n;
};

struct token_record {
    int32_t id;
    uint32_t text_end; /* bytes of the job's text up to and including this token's */
    bool whole; /* it ends where a character does: the tokens up to it have a text of their own,
                   which ends at text_end; only such tokens are the last one that is ready */
};

struct logprob_record { /* of one token; only when n_logprobs >= 0 */
    float logprob;
    uint32_t n_top;
    struct logprob top[JOB_LOGPROBS_MAX];
};

struct job_share {    /* of a job's prompt, or of its answer: the steps it took part in */
    uint64_t n_steps; /* n_recorded of them in detail */
    uint64_t n_recorded;
    double wall_ns;          /* of all steps */
    struct step_times times; /* sums over the recorded ones */
    struct record_work work; /* likewise: of all who took part in them */
};

struct job_profile { /* only when asked for */
    struct job_share prompt, answer;
};

struct job {
    /* --- the request: written before engine_submit, read-only after --- */
    const int32_t *prompt; /* [n_prompt], owned; its worker writes what it samples after it */
    size_t n_prompt;
    size_t max_tokens; /* n_prompt + max_tokens <= context; 0: the prompt is read, that is all */
    size_t min_tokens;
    enum pooling pooling; /* POOLING_NONE: text; else the prompt's vector, and no token is made
                             (max_tokens is 0) */
    bool ignore_eos;
    bool keep_stop;  /* the stop string that ends the text stays in it */
    size_t n_given;  /* tokens of its answer that another run of it has made: they stand after the
                        prompt and are read like it, and each must be what is drawn there */
    size_t n_common; /* prompt tokens that others are likely to begin with, as with a system prompt;
                        0: none are known of */
    bool no_cache;   /* the prompt is computed anew, whatever the prefix cache has */
    bool progress;   /* n_read is kept, and announced with each step */
    int n_logprobs;  /* -1: none; 0..20 */
    bool drawn_from; /* they are the probabilities that were drawn from, after all filters */
    int n_prompt_logprobs; /* likewise, of the prompt's tokens */
    struct sampling sampling;
    struct stop_string stops[JOB_STOPS_MAX];
    size_t n_stops;
    struct stop_string stop_guard;      /* where the text has this, no stop string ends it any more;
                                           static; n 0: none */
    int32_t stop_ids[JOB_STOP_IDS_MAX]; /* tokens that end the text as an EOS does */
    size_t n_stop_ids;
    struct grammar *grammar;          /* the shape of its text, a reference of its own; NULL: any */
    int32_t shown_ids[JOB_SHOWN_MAX]; /* control tokens that are part of its text, by their name */
    size_t n_shown;
    uint64_t salt; /* whose cached prefixes it may share (hash of its API key); 0 without keys */
    uint64_t arrived_ns;  /* CLOCK_MONOTONIC, when its body was complete */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: none */

    /* --- the result: written by one worker --- */
    char *text;    /* valid UTF-8, only grows; owned; sized for max_tokens; not NUL-terminated */
    float *vector; /* [n_vector], owned; with pooling, final once finished */
    size_t n_vector;
    struct token_record *tokens;     /* [max_tokens], owned */
    struct logprob_record *logprobs; /* [max_tokens] or NULL, owned */
    struct logprob_record
        *prompt_logprobs; /* [n_prompt] or NULL, owned; those that job_has_prompt_logprob says,
                             which are all when a token is ready; else n_top and logprob are 0 */
    struct job_profile *profile; /* NULL: not asked for; owned; final once finished */
    _Atomic uint32_t n_ready; /* tokens whose text is complete: tokens[0 .. n_ready) and text up to
                                 tokens[n_ready-1].text_end */
    _Atomic bool finished;    /* release: everything below is final */
    _Atomic bool cancelled;   /* set by the loop thread through engine_cancel */
    _Atomic uint32_t n_read;  /* with progress: prompt tokens that are there, cached or computed; */
    _Atomic uint32_t n_found; /* of them, found in the prefix cache; read it after n_read */
    _Atomic int phase;        /* enum job_phase: waiting, given to a worker, first token made */

    /* --- final once finished --- */
    enum finish_reason finish;
    struct error error;  /* when FINISH_ERROR */
    int stop_index;      /* of stops: the one that ended the text; -1: none did */
    int32_t stop_id;     /* the token that did, an EOS or one of stop_ids; TOKEN_NONE: none did */
    size_t n_tokens;     /* records in tokens (an EOS that ended the text is not among them) */
    size_t n_text;       /* bytes of text */
    size_t n_completion; /* tokens sampled, that EOS included */
    size_t n_cached;     /* prompt tokens found in the prefix cache */
    uint64_t started_ns; /* first step; 0: never */
    uint64_t read_ns; /* the prompt has been read, with the first token or without one; 0: never */
    uint64_t first_token_ns, last_token_ns; /* 0: none */
    enum job_phase cancelled_in;            /* when FINISH_CANCELLED */

    /* --- the engine's own --- */
    struct job *next;    /* in the queue */
    bool begun;          /* engine_resume has taken the tokens given */
    size_t n_checked;    /* of those taken: this run has drawn them too */
    char *stop_memory;   /* what job_stop_bytes hands out */
    uint64_t ticket;     /* its place in the order of arrival */
    unsigned overtaken;  /* times a later job went first */
    unsigned n_denials;  /* attempts to get memory for it that failed, while nothing ran */
    unsigned n_aborts;   /* of the queue, when it came in */
    size_t n_places;     /* of the queue's that it takes: a request for vectors takes one, held by
                            the last of its jobs */
    size_t n_counted;    /* prompt tokens that the counters know, and whose log-probabilities there
                            are: read again after a preemption, they count no more */
    struct guide *guide; /* with a grammar: where the text stands in it; owned */
    struct {             /* output.c's state */
        struct utf8_stream utf8;
        size_t n_raw;      /* bytes written to text, held back ones included */
        size_t n_split;    /* records, the last ones, whose bytes end within a character */
        uint32_t n_passed; /* records of which nothing is held back */
        uint32_t n_ready;  /* of them, those up to the last whole one */
        uint32_t
            *borders; /* [stop_bytes]: each stop string's prefix function, one after the other */
        uint32_t matched[JOB_STOPS_MAX]; /* bytes of each stop string that the text ends with */
        bool guarded;                    /* the text has the guard */
    } output;
};

/* Everything that job_create needs to take all memory at once. */
struct job_size {
    size_t n_prompt, max_tokens;
    size_t n_biases;
    size_t stop_bytes;       /* of all stop strings together */
    size_t max_piece;        /* the tokenizer's */
    size_t n_vector;         /* 0: none */
    struct grammar *grammar; /* NULL: none; else the job takes a reference of its own */
    bool logprobs, prompt_logprobs, profile;
};

/* One allocation for everything, and one more for the place in a grammar; zeroed but for n_logprobs
 * and n_prompt_logprobs = -1. The submitter then copies its prompt, biases and stops into the
 * places given: prompt is writable through job_prompt, biases through job_biases, stop text through
 * job_stop_bytes. STATUS_NO_MEMORY, STATUS_TOO_LARGE. */
enum status job_create(struct job **out, const struct job_size *size, struct error *err);
void job_destroy(struct job *job);    /* takes NULL; only when never submitted, or finished */
int32_t *job_prompt(struct job *job); /* [n_prompt + max_tokens]: the prompt, then its worker's */
struct logit_bias *job_biases(struct job *job);
char *job_stop_bytes(struct job *job);

/* Tokens of the answer that are there without having been made by this run. */
static inline size_t job_n_resumed(const struct job *job)
{
    return job->n_given > 0 ? job->n_given - 1 : 0;
}

/* The first position whose next token was given and is yet to be drawn; SIZE_MAX: there is none. */
static inline size_t job_check_from(const struct job *job)
{
    return job->n_checked < job_n_resumed(job) ? job->n_prompt - 1 + job->n_checked : SIZE_MAX;
}

static inline bool job_checks(const struct job *job, size_t position)
{
    return position >= job_check_from(job) && position + 1 < job->n_prompt + job_n_resumed(job);
}

/* When the first token is ready or the job final: whether the record of the prompt's token i is
 * there. The first token's never is; in a job that was cut short those not read yet are not. */
static inline bool job_has_prompt_logprob(const struct job *job, size_t i)
{
    return i > 0 && i <= job->n_counted;
}

/* Whether all positions of its prompt must be computed for it: none may come from a cache. */
static inline bool job_pools_all(const struct job *job)
{
    return job->pooling == POOLING_MEAN || job->pooling == POOLING_CLS;
}

/* Whether a control token is part of its text. */
static inline bool job_shows(const struct job *job, int32_t id)
{
    bool shows = false;
    for (size_t i = 0; i < job->n_shown; i++)
        shows |= job->shown_ids[i] == id;
    return shows;
}

static inline bool job_wants_prompt_logprobs(const struct job *job)
{
    return job->prompt_logprobs && job->n_prompt_logprobs >= 0;
}
