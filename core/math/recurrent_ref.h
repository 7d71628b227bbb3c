/* recurrent_ref.h - the definition of what recurrent layers compute: gates, the short convolution,
 * the gated delta rule.
 *
 * A part of kernels_ref.c, which includes it once in each of its two builds: the same rules hold.
 * Pure; any thread. */
#pragma once

static void sigmoid_mul(float *y, const float *gate, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = y[i] / (1.0f + fmath_exp_inline(-gate[i]));
}

static void conv(const float *const *taps, size_t n_taps, const float *w, size_t w_stride,
                 const float *bias, size_t n, bool silu, float *y)
{
    for (size_t i = 0; i < n; i++) {
        float acc = bias != NULL ? bias[i] : 0.0f;
        for (size_t j = 0; j < n_taps; j++)
            acc = fmaf(taps[j][i], w[j * w_stride + i], acc);
        y[i] = silu ? fmath_silu_inline(acc) : acc;
    }
}

/* k . q, in the lanes and the tree of every reduction. */
static float delta_meet(const float *k, const float *q, size_t n)
{
    float lane[LANES] = {0};
    for (size_t j = 0; j < n; j++)
        lane[j % LANES] = fmaf(k[j], q[j], lane[j % LANES]);
    return tree(lane);
}

/* One position of one value's row of the state. What the new state answers to the query is made of
 * the old state's answers, (g S + d k^T) q = g (S q) + d (k . q): both are chains over the keys, in
 * one pass. */
static float delta_step(const struct delta *d, size_t t, float meet, float value, float *row)
{
    const float *q = d->q + t * d->qk_stride, *k = d->k + t * d->qk_stride;
    const float decay = d->decay[t * d->gate_stride], beta = d->beta[t * d->gate_stride];
    float to_key = 0.0f, to_query = 0.0f;
    for (size_t j = 0; j < d->size; j++) {
        to_key = fmaf(row[j * PANEL_ROWS], k[j], to_key);
        to_query = fmaf(row[j * PANEL_ROWS], q[j], to_query);
    }
    float change = beta * (value - decay * to_key);
    for (size_t j = 0; j < d->size; j++)
        row[j * PANEL_ROWS] = fmaf(k[j], change, decay * row[j * PANEL_ROWS]);
    return fmaf(change, meet, decay * to_query);
}

static void delta(const struct delta *d)
{
    const size_t n_floats = delta_state_floats(d->size);
    if (d->from == NULL)
        memset(d->state, 0, n_floats * sizeof *d->state);
    else if (d->from != d->state)
        memcpy(d->state, d->from, n_floats * sizeof *d->state);
    for (size_t t = 0; t < d->n_positions; t++) {
        float *v = d->v + t * d->v_stride;
        float meet = delta_meet(d->k + t * d->qk_stride, d->q + t * d->qk_stride, d->size);
        for (size_t i = 0; i < d->size; i++)
            v[i] = delta_step(d, t, meet, v[i],
                              d->state + (i / PANEL_ROWS * d->size * PANEL_ROWS + i % PANEL_ROWS));
    }
}
