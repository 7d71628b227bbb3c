/* stats.c - small-sample statistics. Pure. */
#include "profile/stats.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

enum { RESAMPLES = 2000, EXACT_MAX = 20 };

double stats_mean(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return n > 0 ? sum / (double)n : 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The numbers are sorted. */
static double middle(const double *x, size_t n)
{
    if (n == 0)
        return 0;
    return n % 2 == 1 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

double stats_median(double *x, size_t n)
{
    if (n > 0)
        qsort(x, n, sizeof *x, compare);
    return middle(x, n);
}

/* --- resampling --- */

/* Below n, from a generator whose every state comes once (Steele et al., 2014). */
static size_t draw(uint64_t *state, size_t n)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (size_t)((z ^ (z >> 31)) % n);
}

static double mean_of_resample(const double *x, size_t n, uint64_t *state)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[draw(state, n)];
    return sum / (double)n;
}

static struct interval inner_95(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return (struct interval){values[n / 40], values[n - 1 - n / 40]};
}

struct interval stats_bootstrap_ratio(const double *a, size_t n_a, const double *b, size_t n_b)
{
    double ratios[RESAMPLES];
    uint64_t state = 1;
    if (n_a < 2 || n_b < 2)
        return (struct interval){0, INFINITY};
    for (size_t i = 0; i < RESAMPLES; i++) {
        double mean = mean_of_resample(a, n_a, &state);
        if (mean <= 0)
            return (struct interval){0, INFINITY};
        ratios[i] = mean_of_resample(b, n_b, &state) / mean;
    }
    return inner_95(ratios, RESAMPLES);
}

struct interval stats_bootstrap_median(double *x, size_t n)
{
    double medians[RESAMPLES];
    uint64_t state = 1;
    if (n < 2)
        return (struct interval){-INFINITY, INFINITY};
    qsort(x, n, sizeof *x, compare);
    /* The median of a resample is the number at the median of n drawn places. */
    double *places = calloc(n, sizeof *places);
    if (places == NULL)
        return (struct interval){-INFINITY, INFINITY};
    size_t rounds = n > 500 ? RESAMPLES / 4 : RESAMPLES;
    for (size_t i = 0; i < rounds; i++) {
        for (size_t k = 0; k < n; k++)
            places[k] = x[draw(&state, n)];
        medians[i] = stats_median(places, n);
    }
    free(places);
    return inner_95(medians, rounds);
}

/* --- ranks --- */

/* The part of all orders of n_a and n_b numbers in which the first have a rank sum statistic of at
 * most u: counts by the recurrence f(a, b, u) = f(a - 1, b, u - b) + f(a, b - 1, u). */
static double exact_part(size_t n_a, size_t n_b, size_t u)
{
    enum { U_MAX = EXACT_MAX * EXACT_MAX };
    double(*counts)[EXACT_MAX + 1][U_MAX + 1] = calloc(EXACT_MAX + 1, sizeof *counts);
    if (counts == NULL)
        return 1;
    for (size_t a = 0; a <= n_a; a++) {
        for (size_t b = 0; b <= n_b; b++) {
            for (size_t k = 0; k <= a * b; k++) {
                if (a == 0 || b == 0)
                    counts[a][b][k] = k == 0;
                else
                    counts[a][b][k] = (k >= b ? counts[a - 1][b][k - b] : 0) + counts[a][b - 1][k];
            }
        }
    }
    double below = 0, all = 0;
    for (size_t k = 0; k <= n_a * n_b; k++) {
        all += counts[n_a][n_b][k];
        below += k <= u ? counts[n_a][n_b][k] : 0;
    }
    free(counts);
    return below / all;
}

double stats_rank_test(const double *a, size_t n_a, const double *b, size_t n_b)
{
    double u = 0; /* pairs in which a is less; half of those that are equal */
    bool ties = false;
    if (n_a == 0 || n_b == 0)
        return 1;
    for (size_t i = 0; i < n_a; i++) {
        for (size_t k = 0; k < n_b; k++) {
            u += a[i] < b[k] ? 1 : a[i] == b[k] ? 0.5 : 0;
            ties = ties || a[i] == b[k];
        }
    }
    double pairs = (double)n_a * (double)n_b;
    double least = u < pairs - u ? u : pairs - u, p;
    if (n_a <= EXACT_MAX && n_b <= EXACT_MAX && !ties) {
        p = 2 * exact_part(n_a, n_b, (size_t)least);
    } else {
        double deviation = sqrt(pairs * (double)(n_a + n_b + 1) / 12);
        double z = (pairs / 2 - least - 0.5) / deviation; /* corrected for whole numbers */
        p = erfc((z > 0 ? z : 0) / sqrt(2));
    }
    return p < 1 ? p : 1;
}

double stats_rank_least(size_t n_a, size_t n_b)
{
    double orders = 1; /* of two sides: n_a + n_b over n_a */
    for (size_t i = 1; i <= n_a; i++)
        orders *= (double)(n_b + i) / (double)i;
    return orders > 2 ? 2 / orders : 1;
}

/* --- means --- */

/* Two-sided, of Student's t with so many degrees of freedom (1 at least). With x = root(freedom) *
 * tan(angle) the density is a power of the cosine, whose integral Simpson's rule finds. */
static double beyond_t(double t, double freedom)
{
    enum { STEPS = 2000 };
    double from = atan(t / sqrt(freedom)), step = (acos(0) - from) / (double)STEPS, sum = 0;
    for (int i = 0; i <= STEPS; i++) {
        double weight = i == 0 || i == STEPS ? 1 : i % 2 == 1 ? 4 : 2;
        double cosine = cos(from + i * step);
        sum += weight * (freedom > 1 ? pow(cosine > 0 ? cosine : 0, freedom - 1) : 1);
    }
    double scale = exp(lgamma((freedom + 1) / 2) - lgamma(freedom / 2)) / sqrt(2 * acos(0));
    return 2 * scale * sum * step / 3;
}

struct sample {
    double mean, error; /* of logarithms; error: the mean's variance */
};

static bool all_positive(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(x[i] > 0))
            return false;
    return true;
}

static struct sample sample_of(const double *x, size_t n)
{
    struct sample s = {0, 0};
    for (size_t i = 0; i < n; i++)
        s.mean += log(x[i]) / (double)n;
    for (size_t i = 0; i < n; i++)
        s.error += (log(x[i]) - s.mean) * (log(x[i]) - s.mean);
    s.error /= (double)(n - 1) * (double)n;
    return s;
}

double stats_welch_test(const double *a, size_t n_a, const double *b, size_t n_b)
{
    if (n_a < 2 || n_b < 2 || !all_positive(a, n_a) || !all_positive(b, n_b))
        return 1;
    const struct sample x = sample_of(a, n_a), y = sample_of(b, n_b);
    double error = x.error + y.error, apart = fabs(x.mean - y.mean);
    if (error <= 0)
        return apart > 0 ? 0 : 1;
    double freedom =
        error * error /
        (x.error * x.error / (double)(n_a - 1) + y.error * y.error / (double)(n_b - 1));
    return beyond_t(apart / sqrt(error), freedom);
}

/* --- many tests --- */

void stats_adjust(const double *p, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++) {
        size_t rank = 0; /* how many are no larger */
        for (size_t k = 0; k < n; k++)
            rank += p[k] <= p[i];
        double adjusted = p[i] * (double)n / (double)rank;
        out[i] = adjusted < 1 ? adjusted : 1;
    }
    /* None may be larger than that of a larger p. What is already lowered changes no minimum. */
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            if (p[k] >= p[i] && out[k] < out[i])
                out[i] = out[k];
}
