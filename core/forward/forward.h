/* forward.h - the transformer: one call computes one step for a whole batch of rows.
 *
 * Each worker has one struct forward: all its
 * buffers, sized at creation. Every output depends on the row's own sequence alone, bit for bit:
 * work is split by output rows, heads and fixed spans, never by partial sums. Runs on the worker's
 * team; called by its leader. Knows nothing of jobs or sampling.
 */
#pragma once

#include "base/error.h"
#include "base/team.h"
#include "forward/batch.h"
#include "forward/kv.h"
#include "math/kernels.h"
#include "model/model.h"
#include "profile/scope.h"

#include <stddef.h>
#include <stdint.h>

struct forward;

/* Phases of one step: what the team it runs on must have room for. */
size_t forward_max_phases(const struct model *model);

/* max_rows: of one step; max_logits: rows of them that want logits. STATUS_NO_MEMORY. */
enum status forward_create(struct forward **out, const struct model *model,
                           const struct kernels *kernels, struct kv *kv, struct team *team,
                           size_t max_rows, size_t max_logits, struct error *err);
void forward_destroy(struct forward *forward); /* takes NULL */

/* Computes the rows, storing their keys and values. */
void forward_run(struct forward *forward, const struct row *rows, size_t n_rows);

/* After a run: rows that gave a key or a value which is a number, but none that the cache's type
 * can hold (F16: beyond 65504): it holds an infinity instead, and what their sequences compute from
 * then on is worth nothing. Other sequences are not harmed. */
size_t forward_n_out_of_range(const struct forward *forward);
bool forward_is_out_of_range(const struct forward *forward, size_t row);

/* After a run: the logits [n_vocab] of the i-th row that wanted them, in the rows' order; valid
 * until the next run. The caller may change them. */
float *forward_logits(const struct forward *forward, size_t i);
/* Likewise the hidden state [n_embd], after the output norm, of the i-th row that wanted it. */
const float *forward_vector(const struct forward *forward, size_t i);
/* The scores [n_scores] that the model's head gives a vector of a run: probabilities where it is a
 * decoder's, whose head is a part of its vocabulary. Its worker's thread, between runs. */
void forward_score(struct forward *forward, const float *vector, float *scores);
/* What the model makes of a text's pooled vector [n_embd], in place; most leave it as it is. Its
 * worker's thread, between runs. */
void forward_finish_vector(struct forward *forward, float *vector);
size_t forward_bytes(const struct forward *forward); /* what its buffers take */

/* After a run: to how many experts each layer's rows went, [n_layers]; NULL: no layer has any. */
const uint32_t *forward_experts(const struct forward *forward);

/* --- for a profile --- */

/* The scope of the i-th of forward_max_phases. */
struct scope_phase forward_phase(const struct model *model, size_t i);

/* The phases of the last run: those that had something to do, ascending; *n: how many. */
const uint32_t *forward_phases(const struct forward *forward, size_t *n);

/* Where the next runs leave their marks, phase by phase; NULL: none. Borrowed. */
void forward_set_marks(struct forward *forward, const struct team_marks *marks);
