/* pooling.h - how a sequence's hidden states become one vector: the numbers that files use for it.
 */
#pragma once

enum pooling {
    POOLING_NONE, /* they do not: the model writes text */
    POOLING_MEAN, /* of all positions */
    POOLING_CLS,  /* the first position's */
    POOLING_LAST, /* the last position's */
    POOLING_RANK, /* a score, by a head over one of them */
    POOLINGS
};

/* "none", "mean", ...: settings and /info. */
extern const char *const pooling_names[POOLINGS];
