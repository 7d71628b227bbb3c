/* step_profile.c - what a step had to do, and to whose profiles its time goes.
 *
 * The worker's thread, while a profile is wanted. The step is added up by a helper while the
 * leader samples and publishes. A job is given the whole time of the steps it took part in, as its
 * client waited for all of it, before their results are published: a finished job's profile is
 * final.
 */
#include "engine/worker_state.h"

/* A prompt takes one step, or a few that differ: none stands for another. */
enum recorder_wish step_profile_wish(const struct worker *w)
{
    enum recorder_wish wish = WISH_NONE;
    for (size_t i = 0; i < w->n_active; i++) {
        const struct slot *slot = worker_active(w, i);
        if (slot->job->profile == NULL)
            continue;
        if (slot->n_tokens == slot->job->n_prompt)
            return WISH_THIS;
        wish = WISH_SOME;
    }
    return wish;
}

/* What a row sees through a window (0: all). */
struct sight {
    double positions, blocks;
};

static struct sight sight_of(const struct row *row, uint32_t window)
{
    const uint32_t first = window > 0 && row->position >= window ? row->position + 1 - window : 0;
    const uint32_t n_blocks = row->position / KV_PAGE - first / KV_PAGE + 1;
    return (struct sight){(double)(row->position + 1 - first), (double)n_blocks};
}

static void count_row(struct record_work *work, const struct row *row, uint32_t window,
                      bool last_of_sequence)
{
    const struct sight all = sight_of(row, 0), some = sight_of(row, window);
    work->n_positions += all.positions;
    work->n_window_positions += some.positions;
    work->n_kv_blocks += last_of_sequence ? all.blocks : 0;
    work->n_window_blocks += last_of_sequence ? some.blocks : 0;
    work->n_sequences += last_of_sequence;
    if (!row->wants_logits && !row->wants_vector)
        return;
    work->n_wanted++;
    work->n_positions_wanted += all.positions;
    work->n_kv_blocks_wanted += all.blocks;
    work->n_window_positions_wanted += some.positions;
    work->n_window_blocks_wanted += some.blocks;
}

/* Of layers that have one; 0: there are none. */
static uint32_t window_of(const struct shape *shape)
{
    uint32_t window = 0;
    for (size_t i = 0; i < shape->n_layers; i++)
        window = shape->layers[i].window > window ? shape->layers[i].window : window;
    return window;
}

/* The last layer's rows are fewer. */
static void count_experts(const struct worker *w, struct record_work *work)
{
    const uint32_t *read = forward_experts(w->forward);
    const struct shape *shape = &w->setup->model->shape;
    const size_t last = shape->n_layers - 1;
    size_t n = 0;
    if (read == NULL)
        return;
    for (size_t i = 0; i < last; i++) {
        work->n_experts += read[i];
        n += shape->layers[i].has_experts;
    }
    work->n_experts = n > 0 ? work->n_experts / (double)n : 0;
    work->n_experts_wanted = read[last];
}

static void measure_work(const struct worker *w, struct record_work *out)
{
    const uint32_t window = window_of(&w->setup->model->shape);
    struct record_work work = {
        .n_steps = 1, .n_rows = (double)w->n_rows, .n_sampled = (double)w->n_wanted};
    for (size_t i = 0; i < w->n_rows; i++)
        count_row(&work, &w->rows[i], window,
                  i + 1 == w->n_rows || w->rows[i + 1].seq != w->rows[i].seq);
    work.n_steps_wanted = work.n_wanted > 0;
    count_experts(w, &work);
    *out = work;
}

static void give_to_job(struct job_share *share, uint64_t step_ns, const struct step_times *times,
                        const struct record_work *work)
{
    share->n_steps++;
    share->wall_ns += (double)step_ns;
    if (times == NULL)
        return;
    share->n_recorded++;
    share->times.wall += times->wall;
    share->times.waiting += times->waiting;
    for (size_t i = 0; i < SCOPES; i++)
        share->times.total[i] += times->total[i];
    for (size_t i = 0; i < SCOPE_NONE; i++)
        share->times.matrix[i] += times->matrix[i];
    record_work_add(&share->work, work);
}

static void give_to_jobs(const struct worker *w, uint64_t step_ns, const struct step_times *times,
                         const struct record_work *work)
{
    for (size_t i = 0; i < w->n_active; i++) {
        const struct slot *slot = worker_active(w, i);
        struct job_profile *profile = slot->job->profile;
        if (profile == NULL || slot->n_rows == 0)
            continue;
        /* Not committed yet. What is read again after a preemption belongs to the answer. */
        bool reads_prompt =
            slot->n_given == slot->job->n_prompt && slot->kv.n_positions < slot->n_given;
        give_to_job(reads_prompt ? &profile->prompt : &profile->answer, step_ns, times, work);
    }
}

static void fold(void *arg, size_t phase, size_t chunk, unsigned rank)
{
    struct worker *w = arg;
    (void)phase, (void)chunk, (void)rank;
    recorder_fold(w->recorder);
}

void step_profile_fold(struct worker *w, size_t n_decode, size_t n_prompt)
{
    static const uint32_t one_chunk = 1;
    if (!recorder_is_active(w->recorder))
        return;
    measure_work(w, &w->work);
    struct recorder_step step = {.kind = n_prompt == 0   ? RECORD_DECODE
                                         : n_decode == 0 ? RECORD_PREFILL
                                                         : RECORD_MIXED,
                                 .work = &w->work};
    step.phases = forward_phases(w->forward, &step.n_phases);
    recorder_describe(w->recorder, &step);
    w->folding = recorder_is_recording(w->recorder);
    if (w->folding)
        team_start(w->team, &(struct team_work){fold, w, &one_chunk, 1});
    recorder_cut(w->recorder, CUT_DESCRIBE);
}

void step_profile_wait(struct worker *w)
{
    if (w->folding)
        team_finish(w->team);
    w->folding = false;
}

void step_profile_share(struct worker *w, uint64_t step_ns)
{
    if (recorder_is_active(w->recorder) && step_profile_wish(w) != WISH_NONE) {
        step_profile_wait(w);
        const bool recorded = recorder_is_recording(w->recorder);
        give_to_jobs(w, step_ns, recorded ? recorder_times(w->recorder) : NULL, &w->work);
    }
    recorder_cut(w->recorder, CUT_RECORD);
}

void step_profile_end(struct worker *w)
{
    recorder_cut(w->recorder, CUT_PUBLISH);
    step_profile_wait(w);
    recorder_end(w->recorder);
}
