/* compare.h - what two reports say of each other, for those who show it.
 *
 * compare.c finds it, compare_print.c and compare_json.c show it, compare_verb.c is the verb. Main
 * thread.
 */
#pragma once

#include "profile/stats.h"
#include "report/profile.h"

#include <stdbool.h>
#include <stdio.h>

#define COMPARE_SIGNIFICANT 0.05
#define COMPARE_SMALLEST    0.005 /* smaller changes do not matter to a user */

enum verdict { WITHIN_NOISE, SLOWER, FASTER };

struct change {
    const char *name, *label; /* for programs, for people */
    double before, after;     /* means, ms */
    double ratio;             /* after / before */
    double part;              /* what it adds: to itself; a scope to a generated token's time */
    struct interval interval;
    double p, adjusted_p;
    enum verdict verdict;
    bool regression; /* beyond what --fail-on-regression allows */
};

struct table { /* rows that are judged together */
    struct change rows[PROFILE_SCOPES];
    size_t n;
    bool of_scopes;
    bool ranked; /* by ranks; else by the logarithms' means */
};

struct compared_names { /* static, or the summaries' */
    const char *names[PROFILE_SCOPES], *labels[PROFILE_SCOPES];
    size_t n;
};

struct comparison {
    const char *file_a, *file_b;
    struct profile_summary a, b;
    struct table whole, scopes;
    struct compared_names came, gone;  /* scopes in B only, in A only */
    struct compared_names differences; /* what is not the same in both, beside the times */
    bool comparable;                   /* ... and none of it means other work */
    bool asked;                        /* for regressions above allowed */
    double allowed;
    bool failed;
    double *x, *y; /* samples of one row */
};

/* Fills all but a, b, the files, asked and allowed, which the caller has set. x and y are the
 * caller's to free. STATUS_NO_MEMORY. */
enum status compare_reports(struct comparison *c, struct error *err);

void compare_print(const struct comparison *c, FILE *out, bool colour);
void compare_write_json(const struct comparison *c, struct json_writer *w);
/* How runs differ as a whole, and how to tell that from the code's doing: for both forms. */
extern const char compare_caution[];
/* "Mann-Whitney", "Welch" */
const char *compare_test_name(const struct table *table);
