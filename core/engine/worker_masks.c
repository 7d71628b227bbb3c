/* worker_masks.c - what a worker's threads need to keep texts inside grammars.
 *
 * Taken by whoever first asks for the model's vocabulary, long after the start; used by the team
 * from then on, without allocating.
 */
#include "engine/worker_state.h"

#include <stdlib.h>

enum status worker_make_masks(struct worker *w, const struct vocabulary *v, struct error *err)
{
    const size_t n_slots = w->setup->options->max_batch;
    struct worker_masks *masks = &w->masks;
    masks->n_words = vocabulary_n_words(v);
    masks->scratch = calloc(w->n_threads, sizeof *masks->scratch);
    masks->bits = calloc(n_slots * masks->n_words, sizeof *masks->bits);
    masks->guided = calloc(n_slots, sizeof *masks->guided);
    enum status status = STATUS_OK;
    if (masks->scratch == NULL || masks->bits == NULL || masks->guided == NULL)
        status = error_no_memory(err, n_slots * masks->n_words * sizeof *masks->bits,
                                 "a worker's masks");
    for (unsigned i = 0; i < w->n_threads && status == STATUS_OK; i++)
        status = mask_scratch_create(&masks->scratch[i], v, err);
    if (status != STATUS_OK)
        worker_drop_masks(w);
    return status;
}

void worker_drop_masks(struct worker *w)
{
    for (unsigned i = 0; i < w->n_threads && w->masks.scratch != NULL; i++)
        mask_scratch_destroy(w->masks.scratch[i]);
    free(w->masks.scratch);
    free(w->masks.bits);
    free(w->masks.guided);
    w->masks = (struct worker_masks){0};
}
