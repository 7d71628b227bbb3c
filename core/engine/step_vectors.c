/* step_vectors.c - how the hidden states of a step's rows become vectors of the jobs that asked for
 * one. The worker's thread. */
#include "engine/worker_state.h"

#include <string.h>

bool step_wants_vector(const struct worker *w, const struct slot *slot, size_t position)
{
    switch (slot->job->pooling) {
    case POOLING_MEAN:
        return true;
    case POOLING_CLS:
        return position == 0;
    case POOLING_LAST:
        return position + 1 == slot->n_tokens;
    case POOLING_RANK:
        return position == (w->setup->model->shape.encoder ? 0 : slot->n_tokens - 1);
    case POOLING_NONE:
    case POOLINGS:
        break;
    }
    return false;
}

/* One row's, in ascending positions: a sum does not depend on how the prompt was cut into steps. */
static void pool(struct worker *w, struct job *job, const float *state)
{
    const struct kernels *kernels = w->setup->options->kernels;
    if (job->pooling == POOLING_RANK)
        forward_score(w->forward, state, job->vector);
    else if (job->pooling == POOLING_MEAN)
        kernels->add(job->vector, state, job->n_vector);
    else
        memcpy(job->vector, state, job->n_vector * sizeof *state);
}

/* Its prompt is read. */
static void end_vector(struct worker *w, struct slot *slot, uint64_t now)
{
    struct job *job = slot->job;
    job->read_ns = now;
    slot->finish = FINISH_LENGTH;
    for (size_t i = 0; job->pooling == POOLING_MEAN && i < job->n_vector; i++)
        job->vector[i] /= (float)job->n_prompt;
    if (job->pooling != POOLING_RANK)
        forward_finish_vector(w->forward, job->vector);
    if (w->setup->options->kernels->all_finite(job->vector, job->n_vector))
        return;
    error_set(&job->error, STATUS_INTERNAL,
              "the model's numbers for this text are beyond what a float holds");
    slot->finish = FINISH_ERROR;
}

void step_take_vectors(struct worker *w, uint64_t now_ns)
{
    for (size_t i = 0; i < w->n_pooled; i++)
        pool(w, w->slots[w->pooled[i].slot].job, forward_vector(w->forward, i));
    for (size_t i = 0; i < w->n_active; i++) {
        struct slot *slot = worker_active(w, i);
        if (slot->job->pooling != POOLING_NONE && slot->finish == FINISH_NONE && slot->n_rows > 0 &&
            slot->kv.n_positions + slot->n_rows == slot->n_tokens)
            end_vector(w, slot, now_ns);
    }
}
