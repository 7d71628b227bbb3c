/* phases.h - what the files of phases share: how a phase is written, and the products that most of
 * them are made of.
 *
 * A phase says how many items it has (rows, panels of output rows, (row, head) pairs or attention
 * tasks; none: the step goes without it), and computes a range of them; any thread of the team may.
 * A file exports a group of phases that follow each other; layer.c lists the groups of each layer
 * by what the layer is. A new kind of layer is a file with a group, and a line there.
 *
 * Every phase ends in a barrier, which costs time. So where rows are few each thread norms and
 * rounds what its product reads by itself: the same functions of the same values, in fewer phases.
 * Private to core/forward.
 */
#pragma once

#include "forward/internal.h"

struct phase_group {
    const struct phase *phases;
    size_t n;
};

/* Of a layer, in this order: how it mixes positions, what it makes of that, and the rest. */
extern const struct phase_group attention_phases;    /* attend_layer.c */
extern const struct phase_group delta_phases;        /* delta_layer.c */
extern const struct phase_group output_phases;       /* mixed.c */
extern const struct phase_group feed_forward_phases; /* feed_forward.c */
extern const struct phase_group expert_phases;       /* expert_layer.c */
/* After each half, where the residual itself is normed. residual_norms.c */
extern const struct phase_group attended_norm_phases, expanded_norm_phases;

#define NOTHING SCOPES /* a phase's part: it sets none apart */
#define PHASE_GROUP(array)                                                                         \
    {                                                                                              \
        array, sizeof(array) / sizeof *(array)                                                     \
    }

static inline bool is_last(const struct forward *f, size_t layer)
{
    return layer + 1 == f->model->shape.n_layers;
}

/* Rows that go on after a layer's keys and values: behind the last layer's, those that want logits
 * (they stand first then). */
static inline size_t rows_on(const struct forward *f, size_t layer)
{
    return is_last(f, layer) ? f->n_wanted : f->n_rows;
}

/* Behind the last layer's keys and values row i is the i-th that wants logits: their residuals move
 * to the front. In a phase in which no item reads residuals. */
void gather_residuals(const struct forward *f);

/* --- recurrent layers: delta_layer.c --- */

void delta_carve(struct forward *f); /* their buffers */
void delta_plan(struct forward *f);  /* before a step */

static inline const struct layer_shape *shape_of(const struct forward *f, size_t layer)
{
    return &f->model->shape.layers[layer];
}

/* --- inputs of products: made in a phase of their own, or by each thread --- */

/* Norms (weight NULL: copies) rows of the residual stream, and rounds each once to every format
 * that the readers want. */
void norm_rows(const struct forward *f, const struct norm *norm, struct act *act, struct range r,
               const struct linear *const *readers, size_t n_readers);
/* One row, at x; y may be x. */
void norm_row(const struct forward *f, const struct norm *norm, const float *x, float *y);
/* Rounds row t once to each format that the given matrices read. */
void round_row(const struct forward *f, const struct act *act, size_t t,
               const struct linear *const *readers, size_t n_readers);
/* Rounds rows that are there in F32. */
void round_rows(const struct forward *f, struct act *act, struct range r,
                const struct linear *reader);

typedef void make_fn(const struct forward *f, size_t layer, struct act *act, struct range r);

/* Items of the phase that makes an input of so many rows. */
static inline size_t input_items(size_t n_rows)
{
    return n_rows > OWN_ROWS ? n_rows : 0;
}

/* A product's input of n_rows rows. Made by each thread that needs it, in the first part of the
 * product's phase, where no phase has made it. */
const struct act *product_input(const struct forward *f, size_t layer, enum input which,
                                size_t n_rows, make_fn *make, unsigned rank);

/* --- products --- */

/* Many rows are cut into bands, so that a thread goes on with rows that it has made itself: they
 * are in its cache, and it reads each panel for all of them. Items are the panels of the first
 * band, then those of the second, and so on. */
size_t product_items(const struct forward *f, size_t n_panels, size_t n_rows);
/* Cuts the first piece, which lies in one band, off a range of such items: its panels and rows.
 * False: there is none. */
struct piece {
    struct range panels, rows;
};
bool next_piece(const struct forward *f, size_t n_panels, size_t n_rows, struct range *items,
                struct piece *out);

/* y = W x + b for panels [p0, p1). */
void linear_panels(const struct forward *f, const struct linear *l, size_t p0, size_t p1,
                   const struct act *x, size_t n_rows, float *y, size_t stride);

struct product {
    const struct linear *linear; /* n_rows 0: there is none */
    float *y;                    /* [n_rows][stride] */
    size_t stride;
};
/* Several products of one input: a band's panels are those of all of them, one after the other. */
size_t parts_items(const struct forward *f, const struct product *parts, size_t n, size_t n_rows);
void project_parts(const struct forward *f, const struct product *parts, size_t n, struct range r,
                   const struct act *x, size_t n_rows);

/* What joins the residual: x += scale * (W act + b), or, where it is normed first, only the product
 * into f->proj; then a phase of post_norm_items rows adds it. r: of product_items. */
void project_residual(struct forward *f, const struct linear *l, const struct norm *post,
                      const struct act *act, size_t n_rows, struct range r);
static inline size_t post_norm_items(const struct norm *post, size_t n_rows)
{
    return post->weight != NULL ? n_rows : 0;
}
void add_normed(struct forward *f, const struct norm *post, struct range rows);
/* The second half of project_residual: what stands in f->proj. */
void join_residual(struct forward *f, const struct norm *post, const struct piece *piece);

/* x *= scale, where it is not 1. */
void scale_values(float *x, float scale, size_t n);

/* --- the range of the cache's type --- */

/* Notes a row whose key or value is a number, but none that the cache can hold. range.c. */
void check_range(struct forward *f, size_t t, const float *k, const float *v, size_t n);

/* --- what a phase sets apart, for a profile: two looks at the clock around it --- */

/* Places in the phases' lists of parts. */
enum { PART_INPUT = 0, PART_ROPE = 0, PART_ACTIVATION = 1 };

/* The thread's mark of the phase under way, where a profile is recorded. */
static inline struct team_mark *mark_of(const struct forward *f, unsigned rank)
{
    return team_mark_at(f->marks, rank, f->own[rank].phase);
}

static inline void add_part(const struct forward *f, unsigned rank, size_t part, uint64_t begin,
                            uint32_t weight)
{
    uint32_t ticks = (uint32_t)(f->marks->clock() - begin);
    /* A slow counter: nothing would say that it was not done. */
    mark_of(f, rank)->parts[part] += weight * (ticks > 0 ? ticks : 1);
}

/* Sets a chunk's part apart. */
static inline uint64_t part_begin(const struct forward *f, unsigned rank)
{
    return __builtin_expect(f->own[rank].weight > 0, false) ? f->marks->clock() : 0;
}

static inline void part_end(const struct forward *f, unsigned rank, size_t part, uint64_t begin)
{
    if (__builtin_expect(f->own[rank].weight > 0, false))
        add_part(f, rank, part, begin, f->own[rank].weight);
}

/* For work that a thread does once, at the beginning of its part of the phase: that look at the
 * clock has been taken. */
static inline void part_end_since_begin(const struct forward *f, unsigned rank, size_t part)
{
    if (__builtin_expect(f->marks != NULL, false))
        add_part(f, rank, part, mark_of(f, rank)->begin, 1);
}
