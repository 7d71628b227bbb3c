/* scope.h - the categories a step's time is split into.
 *
 * One list for the recorder, the costs and the reports. A scope belongs to a layer, to the head, or
 * to the step itself. Static data; any thread.
 */
#pragma once

#include "base/team.h"
#include "math/quant.h"

#include <stddef.h>

/* In the order in which a step comes to them. */
enum scope {
    SCOPE_SCHEDULE, /* which sequences take part; their rows and pages */
    SCOPE_EMBED,

    SCOPE_ATTN_NORM, /* with rounding to the format that the next matrices read, as every norm */
    SCOPE_QKV,
    SCOPE_ROPE, /* with the norms of heads, and keys and values into the cache */
    SCOPE_ATTENTION,
    SCOPE_ATTENTION_MERGE,
    SCOPE_CONV,         /* of recurrent layers, with their gates */
    SCOPE_RECURRENCE,   /* their rule, with the norm of its answers */
    SCOPE_OUTPUT_ROUND, /* activations to the format that the next matrix reads */
    SCOPE_OUTPUT,       /* with the addition to the residual, as SCOPE_DOWN */
    SCOPE_FFN_NORM,
    SCOPE_ROUTER, /* which experts a row goes to, and the rows sorted by them */
    SCOPE_GATE_UP,
    SCOPE_ACTIVATION,
    SCOPE_DOWN_ROUND,
    SCOPE_DOWN,

    SCOPE_HEAD_NORM,
    SCOPE_HEAD, /* the logits */

    SCOPE_MASK, /* which tokens a grammar allows */
    SCOPE_SAMPLE,
    SCOPE_TEXT,    /* ids to text, stop strings */
    SCOPE_PUBLISH, /* pages given back, waiting jobs placed, readers woken */
    SCOPE_RECORD,  /* the profile's own bookkeeping */
    SCOPES,
};

enum scope_place { PLACE_STEP, PLACE_LAYER, PLACE_HEAD };

struct scope_info {
    const char *name;  /* "ffn_gate_up": what JSON says */
    const char *label; /* "FFN gate/up": what people read */
    enum scope_place place;
};

extern const struct scope_info scope_infos[SCOPES];

/* Instead of a weight type: matrices of several types; no matrix. */
enum { SCOPE_MIXED = WEIGHT_TYPES, SCOPE_NONE };

/* One phase of a step (team.h). */
struct scope_phase {
    enum scope scope;
    enum scope parts[TEAM_PARTS]; /* what its marks set apart; SCOPES: nothing */
    size_t layer;                 /* the number of layers: of none */
    unsigned matrix; /* enum weight_type of the matrices that it multiplies by; SCOPE_NONE: none */
};
