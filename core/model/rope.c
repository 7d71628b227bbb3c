/* rope.c - rotary position tables. Pure functions, start-up only.
 *
 * Frequencies, YaRN's correction range, its ramp and its attention factor are those of ggml's rope
 * (ggml_rope_yarn_corr_dims, rope_yarn), in double precision. floor and ceil are made from rint,
 * which is one instruction everywhere.
 */
#include "model/rope.h"

#include "math/fmath.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* A factor above it stands for a pair that does not turn. */
#define STILL 1e6

static double floor_of(double x)
{
    double nearest = rint(x);
    return nearest > x ? nearest - 1 : nearest;
}

/* The pair that turns n_turns times within the original context (Peng et al., 2023, section 3.2).
 */
static double correction_pair(const struct rotation *r, double n_turns)
{
    double turns_per_base = (double)r->original_context / (n_turns * 2 * pi);
    return (double)r->dim * fmath_log_d(turns_per_base) / (2 * fmath_log_d((double)r->base));
}

struct frequencies {
    double scale;     /* of interpolated positions: 1 / factor */
    double low, high; /* YaRN: pairs below low are left alone, above high interpolated */
    double ext;       /* YaRN: how much of that applies */
    double magnitude; /* of cos and sin */
};

static struct frequencies prepare(const struct rotation *r)
{
    struct frequencies f = {.scale = 1, .magnitude = (double)r->attn_factor};
    if (r->scaling != ROPE_SCALING_NONE)
        f.scale = 1 / (double)r->factor;
    if (r->scaling == ROPE_SCALING_YARN && r->ext_factor != 0) {
        double low = floor_of(correction_pair(r, (double)r->beta_fast));
        double high = -floor_of(-correction_pair(r, (double)r->beta_slow));
        double last = (double)r->dim - 1;
        f.low = low > 0 ? low : 0;
        f.high = high < last ? high : last;
        f.ext = (double)r->ext_factor;
        f.magnitude *= 1 + 0.1 * fmath_log_d(1 / f.scale);
        if (r->log_multiplier != 0)
            f.magnitude /= 1 + 0.1 * (double)r->log_multiplier * fmath_log_d(1 / f.scale);
    }
    return f;
}

/* How many radians pair i turns per position. */
static double pair_frequency(const struct rotation *r, const struct frequencies *f,
                             const float *factors, size_t i)
{
    double plain = fmath_pow_d((double)r->base, -2 * (double)i / (double)r->dim);
    if (factors != NULL)
        plain = (double)factors[i] > STILL ? 0 : plain / (double)factors[i];
    double interpolated = plain * f->scale;
    if (f->ext == 0)
        return interpolated;
    double width = f->high - f->low > 0.001 ? f->high - f->low : 0.001;
    double ramp = ((double)i - f->low) / width;
    double keep = (1 - (ramp < 0 ? 0 : ramp > 1 ? 1 : ramp)) * f->ext;
    return interpolated * (1 - keep) + plain * keep;
}

void rope_tables(const struct rotation *rotation, const float *freq_factors, size_t n_positions,
                 float *cos, float *sin)
{
    struct frequencies f = prepare(rotation);
    size_t n_pairs = rotation->dim / 2;
    for (size_t i = 0; i < n_pairs; i++) {
        double frequency = pair_frequency(rotation, &f, freq_factors, i);
        for (size_t p = 0; p < n_positions; p++) {
            double s, c;
            fmath_sincos_d((double)p * frequency, &s, &c);
            cos[p * n_pairs + i] = (float)(c * f.magnitude);
            sin[p * n_pairs + i] = (float)(s * f.magnitude);
        }
    }
}
