/* act.c - carves activations. */
#include "math/act.h"

#include "math/matrix.h"

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

void act_carve(struct act *act, struct arena *arena, size_t n_rows, size_t n_cols)
{
    act->n_cols = n_cols;
    act->f32_stride = round_up(n_cols, PANEL_ROWS);
    act->q_stride = round_up(n_cols, 256);
    act->b_stride = round_up(n_cols, 512) / 32;
    act->f32 = arena_carve(arena, n_rows * act->f32_stride, sizeof *act->f32);
    act->q8 = arena_carve(arena, n_rows * act->q_stride, sizeof *act->q8);
    act->q8_scale = arena_carve(arena, n_rows * act->b_stride, sizeof *act->q8_scale);
    act->q8_sum = arena_carve(arena, n_rows * act->b_stride, sizeof *act->q8_sum);
    act->q8k = arena_carve(arena, n_rows * act->q_stride, sizeof *act->q8k);
    act->q8k_scale = arena_carve(arena, n_rows * act->b_stride, sizeof *act->q8k_scale);
    act->q8k_sum = arena_carve(arena, n_rows * act->b_stride * 2, sizeof *act->q8k_sum);
}
