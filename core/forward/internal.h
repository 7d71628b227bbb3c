/* internal.h - a forward pass, as forward.c (memory and the step), layer.c (what a step is) and the
 * files of phases (phases.h) see it, and no other file.
 *
 * Letters in shapes: T rows of the step, E n_embd, H heads, G KV heads, D head size, F n_ff, V
 * vocabulary. Strides are rounded up to whole panels.
 */
#pragma once

#include "forward/attention.h"
#include "forward/experts.h"
#include "forward/forward.h"
#include "math/act.h"

#include <stdatomic.h>

/* The products' inputs. */
enum input {
    INPUT_NORMED,   /* of E: QKV, gate/up and the head */
    INPUT_ATTENDED, /* of H * D: attn_output */
    INPUT_HIDDEN,   /* of F: down */
    INPUTS,
};

enum { OWN_ROWS = 2 }; /* so few rows are normed and rounded by each thread for itself */

/* One for each thread, on cache lines of its own. */
struct thread_scratch {
    _Alignas(64) struct act inputs[INPUTS]; /* [OWN_ROWS]; the F32 of those that are only rounded
                                               is shared by all threads */
    size_t phase, made; /* the phase under way, by its place in the step; the one whose input has
                           been made */
    uint32_t weight; /* ticks that one tick set apart in this chunk stands for; 0: none are taken */
};

struct planned_phase;

struct forward {
    const struct model *model;
    const struct kernels *kernels;
    struct kv *kv;
    struct team *team;
    size_t max_rows, max_logits;
    size_t embd_stride, q_stride, kv_stride, ff_stride, vocab_stride; /* floats */

    float *x;                  /* [T][embd_stride]: the residual stream */
    float *q, *k, *v;          /* [T][q_stride], [T][kv_stride] twice */
    float *up;                 /* [T][ff_stride] */
    float *proj;               /* [T][embd_stride]: a projection before it joins the residual */
    struct act inputs[INPUTS]; /* [T] */
    struct act dense;          /* [1]: between a vector's two matrices, where the model has them */
    float *dense_y;            /* likewise, as it comes from the first */

    /* of recurrent layers, where the model has any; the gate is attention's too */
    size_t mix_stride, gate_stride, alpha_stride;
    float *mix;                         /* [T][mix_stride]: queries, keys and values */
    float *gate;                        /* [T][gate_stride] */
    float *alpha, *beta;                /* [T][alpha_stride]: a value head's, made by its rows */
    const float *query_norm, *key_norm; /* [D]: weights that make a length of RMS */

    struct thread_scratch *own; /* [n_threads] */
    struct attention *attention;
    struct experts *experts; /* NULL: no layer has any */
    float *logits;           /* [max_logits][vocab_stride] */
    struct arena arena;

    /* of the current step */
    const struct row *rows;
    size_t n_rows;
    uint32_t *wanted; /* [max_rows]: the rows that want anything, ascending; only they go on after
                         the last layer's keys and values, as rows 0 .. n_wanted */
    size_t n_wanted;
    uint32_t *logits_of;  /* [max_logits]: those of them that want logits */
    uint32_t *vectors_of; /* [max_rows]: those that want their vector */
    size_t n_logits, n_vectors;
    struct run *runs; /* [n_runs] */
    size_t n_runs;
    uint32_t *places;                /* [n_rows]: of a row among the wanted ones; or NO_PLACE */
    _Atomic uint8_t *out_of_range;   /* [max_rows]: 1 where a key or value was */
    _Atomic uint32_t n_out_of_range; /* stores of such; 0: none of the flags is set */
    struct planned_phase *plan;      /* [n_plan]: all phases of a step */
    size_t n_plan;
    uint32_t *phases;   /* [n_phases]: those with something to do; room for forward_max_phases() */
    uint32_t *n_chunks; /* [n_phases] */
    size_t n_phases;

    const struct team_marks *marks; /* for a profile; NULL: none */
};

struct range {
    size_t begin, end;
};

struct run { /* rows of one sequence that stand together */
    size_t first, n;
};

#define NO_PLACE UINT32_MAX

struct phase {
    size_t (*items)(const struct forward *f, size_t layer); /* 0: the step has no such phase */
    void (*run)(struct forward *f, size_t layer, struct range r, unsigned rank);
    enum scope scope;
    enum scope parts[TEAM_PARTS]; /* what its function sets apart; SCOPES: nothing */
};

/* A phase in its place: the layer, or n_layers for those of none. */
struct planned_phase {
    const struct phase *phase;
    size_t layer;
};

/* All of a step's [forward_max_phases()]. */
void forward_list_phases(const struct model *model, struct planned_phase *out);
