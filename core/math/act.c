/* act.c - carves activations, and moves rows of them. */
#include "math/act.h"

#include "math/matrix.h"

#include <string.h>

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

void act_carve(struct act *act, struct arena *arena, size_t n_rows, size_t n_cols)
{
    act->n_cols = n_cols;
    act->f32_stride = round_up(n_cols, PANEL_ROWS);
    act->q_stride = round_up(n_cols, 256) + 64; /* an odd number of lines: rows' same columns lie in
                                                 * different sets of a cache */
    act->b_stride = round_up(n_cols, 512) / 32;
    act->f32 = arena_carve(arena, n_rows * act->f32_stride, sizeof *act->f32);
    act->q8 = arena_carve(arena, n_rows * act->q_stride, sizeof *act->q8);
    act->q8_scale = arena_carve(arena, n_rows * act->b_stride, sizeof *act->q8_scale);
    act->q8_sum = arena_carve(arena, n_rows * act->b_stride, sizeof *act->q8_sum);
    act->q8k = arena_carve(arena, n_rows * act->q_stride, sizeof *act->q8k);
    act->q8k_scale = arena_carve(arena, n_rows * act->b_stride, sizeof *act->q8k_scale);
    act->q8k_sum = arena_carve(arena, n_rows * act->b_stride * 2, sizeof *act->q8k_sum);
}

struct act act_from(const struct act *act, size_t t)
{
    struct act rows = *act;
    rows.f32 += t * act->f32_stride;
    rows.q8 += t * act->q_stride;
    rows.q8_scale += t * act->b_stride;
    rows.q8_sum += t * act->b_stride;
    rows.q8k += t * act->q_stride;
    rows.q8k_scale += t * act->b_stride;
    rows.q8k_sum += t * act->b_stride * 2;
    return rows;
}

void act_copy_row(const struct act *dst, size_t i, const struct act *src, size_t t,
                  enum act_format format)
{
    const struct act to = act_from(dst, i), from = act_from(src, t);
    const size_t n = src->n_cols;
    switch (format) {
    case ACT_Q8:
        memcpy(to.q8, from.q8, n);
        memcpy(to.q8_scale, from.q8_scale, n / 32 * sizeof *to.q8_scale);
        memcpy(to.q8_sum, from.q8_sum, n / 32 * sizeof *to.q8_sum);
        break;
    case ACT_Q8K:
        memcpy(to.q8k, from.q8k, n);
        memcpy(to.q8k_scale, from.q8k_scale, n / 256 * sizeof *to.q8k_scale);
        memcpy(to.q8k_sum, from.q8k_sum, n / 16 * sizeof *to.q8k_sum);
        break;
    case ACT_F32:
    case ACT_FORMATS:
        memcpy(to.f32, from.f32, n * sizeof *to.f32);
        break;
    }
}
