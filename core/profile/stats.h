/* stats.h - what a few numbers say: their middle, their spread, and whether two sets of them differ
 * by more than chance.
 *
 * Pure functions; the resampling has a fixed seed, so that the same numbers give the same answer.
 */
#pragma once

#include <stddef.h>

struct interval {
    double low, high;
};

double stats_mean(const double *x, size_t n); /* 0 of none */
/* x is sorted. */
double stats_median(double *x, size_t n);

/* Where mean(b) / mean(a) lies in 95 of 100 resamplings of both sets with replacement (Efron, 1979;
 * percentiles). With fewer than 2 numbers on a side, or a mean of 0: 0 to infinity. */
struct interval stats_bootstrap_ratio(const double *a, size_t n_a, const double *b, size_t n_b);
/* The same of the median of one set. x is sorted. */
struct interval stats_bootstrap_median(double *x, size_t n);

/* The two-sided probability that two samples of one distribution lie at least as far apart in their
 * ranks (Mann and Whitney, 1947): exact up to 20 numbers on each side without ties, else by the
 * normal approximation. 1 when a side is empty. */
double stats_rank_test(const double *a, size_t n_a, const double *b, size_t n_b);
/* The least that it can be for so many numbers on each side, without ties: when one side lies
 * wholly above the other. */
double stats_rank_least(size_t n_a, size_t n_b);

/* The same for the means of the logarithms, by Welch's t test (1947): two numbers on each side
 * suffice where a change is large against the spread, but the logarithms are taken for normally
 * distributed. 1 when a side has fewer than 2, or a number that has no logarithm. */
double stats_welch_test(const double *a, size_t n_a, const double *b, size_t n_b);

/* Probabilities of n tests made together, adjusted so that of those below a level that part at most
 * is due to chance (Benjamini and Hochberg, 1995; tests independent, or positively dependent). p,
 * out: [n], not the same */
void stats_adjust(const double *p, size_t n, double *out);
