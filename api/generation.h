/* generation.h - one request for text, whatever its dialect: what it asked for, its jobs, and how
 * far they have been sent.
 *
 * A dialect's decode fills the first part; the service fills the second before the first byte goes
 * out, submits the jobs, and from then on owns neither them nor anything that they hold: the
 * registry of jobs does. Writers read all of it and move only the choices' marks. Pure; decoding on
 * any thread, writing on the loop thread. Knows nothing of JSON or sockets.
 */
#pragma once

#include "api/accept.h"
#include "api/reasoning.h"
#include "api/tools/reader.h"
#include "base/error.h"
#include "engine/job.h"
#include "profile/report.h"
#include "text/tokenizer/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dialect;

struct api_limits {
    size_t n_context;                            /* positions of a sequence */
    size_t max_prompt_tokens, max_output_tokens; /* 0: what the context allows */
    size_t max_json_depth, max_json_nodes;
    size_t max_choices;     /* answers of one request, all prompts together */
    enum pooling pooling;   /* how texts become vectors; POOLING_NONE: they do not */
    size_t n_vector;        /* numbers of a vector; of ranks, scores */
    size_t max_inputs;      /* texts of one request that become vectors */
    bool vectors_alone;     /* the model writes no text */
    bool request_templates; /* chat templates that are sent with requests are taken */
    bool reasoning;         /* what a template marks as reasoning is told apart from the answer */
    size_t step_tokens;     /* of a prompt, in one step at most: its progress is told in so many */
};

struct generation_profile { /* what a request's profile says besides its steps */
    const struct model *model;
    enum kv_type kv_type;
    struct report_limits limits; /* of a worker while no other works; zeroed: not measured */
    uint64_t measuring_ns;       /* that the request waited for them */
    uint64_t tokenize_ns;
    uint64_t write_ns;       /* what went out before took */
    uint64_t write_begin_ns; /* CLOCK_MONOTONIC: of the writing under way */
};

struct generation_mark { /* how far a job has been sent; zeroed to begin */
    uint32_t n_tokens;
    uint32_t n_text; /* bytes */
    bool done;       /* its last event is written: nothing more comes */
    uint32_t n_read; /* of the prompt, where its progress is told */
    bool begun;      /* what was there of it to begin with has been told */
};

enum { GENERATION_MODEL_MAX = 128, GENERATION_FIELD_MAX = 64, GENERATION_PRINT_MAX = 72 };

struct choice { /* one of the answers */
    struct job *job;
    const struct job *scored; /* of the same prompt, with its log-probabilities; often job */
    struct generation_mark sent;
    struct reasoning reasoning; /* of chat dialects: how its text is told apart, and sent */
    struct tool_reader reader;  /* the same where the generation has tools */
    uint32_t n_logged;          /* then: tokens whose log-probabilities were sent */
    size_t progress_tokens;     /* of the prompt, between two marks of its progress; 0: any */
    unsigned stage;             /* the dialect's own: what has been written before its text */
    char *echo;                 /* the prompt's text, where it is echoed; owned */
    size_t n_echo;
};

struct generation { /* zeroed first */
    /* --- set by decode --- */
    struct choice *choices;      /* [n_choices], owned; a job too, until it is submitted */
    size_t n_choices, n_prompts; /* n_choices / n_prompts of each prompt, in order */
    bool stream;                 /* the answer comes in events */
    bool profile;                /* the jobs have profiles */
    bool has_seed;               /* else the service draws one for each job */
    uint64_t deadline_ms;        /* after arrival; 0: none */
    uint64_t tokenize_ns;        /* what turning the prompts into ids took */
    char asked_model[GENERATION_MODEL_MAX]; /* the model named, cut where longer; "": none was */
    char ignored[GENERATION_FIELD_MAX];     /* a field that a lenient dialect let be; "": none */
    bool chat;                              /* messages, not a prompt */
    bool echo;                              /* the prompt's text comes before the answer's */
    bool include_usage;                     /* a stream says what it cost */
    bool has_given; /* tokens of the answer came with the request: the job's n_given */
    char wanted_model[GENERATION_PRINT_MAX];      /* fingerprints without which it is not to be */
    char wanted_arithmetic[GENERATION_PRINT_MAX]; /* served; "": any */
    bool postponed;         /* decoding has failed, but for want of time alone: again on the pool */
    struct tool_set *tools; /* that may be called, or whose calls are to be told from text; owned;
                               NULL: none */
    void *wishes;           /* the dialect's own; malloc'ed, owned */

    /* --- set by the service; borrowed --- */
    const struct dialect *dialect;
    enum answer_form form;
    bool resumes; /* its client has had so many tokens: events go on after them */
    uint32_t resume_at;
    const char *id;    /* the request's, [A-Za-z0-9._-] */
    const char *model; /* as it is served */
    uint64_t created;  /* Unix seconds */
    const struct tokenizer *tokenizer;
    const struct generation_profile *measured; /* NULL: no profile was asked for */

    /* --- the dialect's writers --- */
    unsigned stage; /* zero at first: what has been written beside the choices */
    bool complete;  /* of an answer in events: nothing more comes */
};

/* Appends a choice, which then owns the job. STATUS_NO_MEMORY: the job stays the caller's. */
enum status generation_add(struct generation *g, struct job *job, struct error *err);
/* Keeps the prompt's text with a choice: a copy, ill-formed parts as U+FFFD. */
enum status generation_echo(struct choice *choice, const char *text, size_t n, struct error *err);
/* Takes a zeroed one. with_jobs: they were never submitted. */
void generation_free(struct generation *g, bool with_jobs);

/* How much of a job may be sent now. `finished` is read first: when true, all else is final. */
struct generation_ready {
    bool finished;
    size_t n_tokens, n_text;
};
struct generation_ready generation_ready(const struct job *job);

struct generation_times { /* ms, with decimals; see the API's reference */
    double queue, prefill, decode, first_token, tokens_per_second;
};
void generation_times(const struct job *job, struct generation_times *out); /* of a finished job */

/* Whether every job is finished. True: everything of theirs is final. */
bool generation_finished(const struct generation *g);
/* Whether a job has more tokens ready, or has told of more of its prompt, than was sent. */
bool generation_has_news(const struct choice *choice);

/* Whether the choice's job has come to where its client is; then its mark stands there. */
bool generation_reach(struct generation *g);
/* What is wrong where it never will: it has ended before. */
enum status generation_unreached(const struct generation *g, struct error *err);

/* The next thing to be told of how far a prompt is read, as the mark that the choice then has:
 * first what was cached, then every so many tokens, last the whole prompt. So what is told does not
 * depend on how the reading was cut, or on when the reader came. False: nothing new. */
bool generation_progress(const struct choice *choice, struct generation_mark *to);

/* Tokens of all choices together; each prompt's counted once. */
struct generation_usage {
    size_t prompt, cached, completion;
};
struct generation_usage generation_usage(const struct generation *g); /* of finished jobs */

/* Tokens of a finished job up to its answer's first: what the model thought, and the tags. */
size_t generation_thought_tokens(const struct choice *choice);

/* Calls of tools in a finished choice. */
size_t generation_n_calls(const struct generation *g, const struct choice *choice);

const char *generation_finish_name(enum finish_reason reason); /* "stop", "length", "deadline" */
/* Whether a finished job is an error (errors_of_job) instead of an answer. */
bool generation_failed(const struct job *job);
