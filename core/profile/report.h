/* report.h - a record made readable: the tree of calls, the hot paths, layers, and how near each
 * part comes to what the machine can do.
 *
 * Built once from a record, the costs of its work and the machine's limits; plain data from then
 * on. Times are of all steps (record_extrapolate), in nanoseconds. Knows nothing of models, files
 * or formats: its builder says what its work cost.
 */
#pragma once

#include "profile/counters.h"
#include "profile/record.h"
#include "profile/stats.h"

enum { REPORT_INSIGHTS = 16 };

/* --- what it is made from --- */

struct report_limits {        /* of a worker's threads together; 0: not measured */
    double read_bytes_s;      /* reading working_set bytes again and again */
    double alone_bytes_s;     /* the same while no other worker does anything */
    double working_set;       /* bytes: the weights that a decoding step reads */
    double ops_s[SCOPE_NONE]; /* by weight type: two a multiply-add; SCOPE_MIXED: the slowest of
                                 those that stand together */
    double float_ops_s;       /* attention */
    bool beside_work;         /* measured while requests were running: too low */
};

/* The times that parts of a step take at the limits, added up. */
struct report_limit_ns {
    double memory, compute; /* ns: all at the one, all at the other */
    double longer;          /* each part at the longer of the two */
};
/* Adds a scope whose matrices are of that type (enum weight_type, SCOPE_MIXED or SCOPE_NONE).
 * Products and attention: what streams weights and keys. The rest works on a few
 * kilobytes in the nearest cache, for which no limit is measured. */
void report_add_limit(struct report_limit_ns *sums, const struct report_limits *limits,
                      enum scope scope, unsigned matrix, const struct record_cost *cost);

struct report_model {
    const char *weights; /* "Q4_0": the type that most weights have */
    double weight_bytes; /* that a decoding step reads */
    double n_context;
    bool is_float;   /* F32, F16, BF16 */
    double q8_bytes; /* the same weights as Q8_0 */
};

struct report_session { /* one request, or several at once, from an idle engine to an idle engine */
    double wall_ns, prompt_ns, decode_ns; /* decode: the first token to the last */
    double n_prompt, n_tokens;            /* of all its requests */
    double scope_ns[SCOPES];              /* recorded, a generated token */
};

struct report_overhead { /* recording on and off, step by step */
    bool measured;
    size_t n_pairs, n_starts; /* neighbouring steps; engines that they ran on */
    double step_ns;           /* a step that is not recorded: the median */
    double part;              /* of a step that recording adds: the median start's median ratio */
    struct interval interval; /* 95 of 100 resamplings */
};

struct report_input { /* all borrowed until report_destroy */
    const struct record *record;
    const struct record_cost
        *costs;               /* [RECORD_KINDS][n_layers + 1][SCOPES], of the recorded work */
    const unsigned *matrices; /* [n_layers + 1][SCOPES]: enum weight_type, SCOPE_MIXED or
                                 SCOPE_NONE */
    struct report_limits limits;
    struct report_model model;
    const struct report_session *sessions; /* [n_sessions] */
    size_t n_sessions;
    const struct counters *counters;        /* NULL: none */
    const struct report_overhead *overhead; /* NULL: none */
};

/* --- what it says --- */

enum report_role { /* of a node */
                   NODE_ENGINE,
                   NODE_STEP,
                   NODE_LAYER,
                   NODE_HEAD,
                   NODE_SCOPE,
                   NODE_WAITING /* threads without work while others had some */
};

struct report_node {
    enum report_role role;
    unsigned depth;        /* its parent is the nearest before it with a smaller one */
    enum record_kind kind; /* below the engine */
    enum scope scope;      /* of NODE_SCOPE and what waits in it */
    size_t layer;          /* n_layers: of none */
    double total, self;    /* ns; self: without its children */
    uint64_t calls;
};

struct report_bound { /* a part against the machine's limits */
    struct record_cost cost;
    double bytes_s, ops_s;        /* achieved */
    double memory_ns, compute_ns; /* at the one limit, at the other; 0: none is known for it */
    double limit_ns; /* what it would take at the limits: each part at its longer one */
    bool by_memory;  /* the longer of the two, else arithmetic */
    double fraction; /* limit_ns of what it took */
};

struct report_path { /* a scope, over all layers and kinds of steps */
    enum scope scope;
    uint64_t calls;
    double total, self, share; /* share: of all steps */
    double mean, min, p50, p95, max;
    uint64_t allocated;
    struct report_bound bound;
};

struct report_layer {
    uint64_t calls;
    double total, share;
    double scopes[SCOPES]; /* totals */
};

struct report_steps { /* of one kind */
    struct record_steps steps;
    double n;                        /* that the totals stand for */
    double mean, min, p50, p95, max; /* of the recorded ones */
    struct report_bound bound;       /* of the whole step: its products and attention */
    struct report_bound scopes[SCOPES];
    double scope_ns[SCOPES]; /* totals */
};

struct report_insight {
    char name[32];  /* "decode_limit" */
    double gain;    /* part of all time that is at stake; 0: none, it is information */
    char text[400]; /* one or two sentences with the numbers they follow from */
};

struct report {
    struct report_input in;
    double total_ns, attributed; /* of all steps; the part that stands in scopes */
    double waiting_ns;
    struct report_steps kinds[RECORD_KINDS];
    struct report_node *nodes; /* [n_nodes], a parent before its children */
    size_t n_nodes;
    struct report_path paths[SCOPES]; /* [n_paths], the largest total first */
    size_t n_paths;
    struct report_layer *layers;                     /* [record's n_layers] */
    struct report_insight insights[REPORT_INSIGHTS]; /* [n_insights], the largest gain first */
    size_t n_insights;
    double tokens_s;        /* over the sessions, else over the time covered; 0: none were made */
    double prompt_tokens_s; /* over the sessions, else over a worker's steps of prompts alone */
    double ms_per_token;    /* over the sessions, else over a worker's steps */
    double allocated_per_token, moved_per_token; /* bytes: asked of the heap; moved when decoding */
};

/* STATUS_NO_MEMORY. */
enum status report_create(struct report **out, const struct report_input *input, struct error *err);
void report_destroy(struct report *report); /* takes NULL */

/* insights.c: what the numbers mean; part of report_create. */
void report_find_insights(struct report *report);

/* "engine", "step", "layer", "head", a scope's name, "waiting". Static. */
const char *report_node_name(const struct report_node *node);
