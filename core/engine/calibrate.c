/* calibrate.c - a few decode steps on one thread and in a team, in turn. See calibrate.h. */
#include "engine/calibrate.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/team.h"
#include "forward/forward.h"
#include "forward/kv.h"

enum {
    STEPS = KV_PAGE / 4, /* of one trial: positions of the one page it takes */
    TRIAL_NS = 8000000,  /* a trial stops after it */
    NEAR_ENOUGH = 5,     /* trials of each that agree: settled */
    ROUNDS_MIN = 32,     /* where they do not agree */
    ROUNDS_MAX = 200,
    ROUNDS_SAME = 16,    /* that find nothing better: settled */
    BETTER = 3,          /* percent by which a step is clearly better; less is about as good */
    LIMIT_NS = 250000000 /* no more rounds after it */
};

struct trial {
    struct kv *kv;
    struct team *team;
    struct forward *forward;
};

static void trial_free(struct trial *t)
{
    forward_destroy(t->forward);
    team_destroy(t->team);
    kv_destroy(t->kv);
}

static enum status trial_create(struct trial *t, const struct model *model,
                                const struct kernels *kernels, enum kv_type kv_type,
                                unsigned n_threads, struct error *err)
{
    enum status status =
        team_create(&t->team, n_threads, forward_max_phases(model), cpu_set_float_mode, err);
    if (status == STATUS_OK)
        status = kv_create(&t->kv, model, kv_type, kv_bytes_for(&model->shape, kv_type, KV_PAGE, 1),
                           1, false, err);
    if (status == STATUS_OK)
        status = forward_create(&t->forward, model, kernels, t->kv, t->team, 1, 1, err);
    return status;
}

/* The best step of one sequence that begins anew; 0: no page for it. */
static uint64_t best_step(struct trial *t, bool encoder)
{
    static const int32_t token = 0;
    struct kv_seq seq = {0};
    size_t n_cached;
    if (!kv_begin(t->kv, &seq, 0, SIZE_MAX, &token, 1, STEPS, &n_cached))
        return 0;
    uint64_t best = 0, begin = clock_now_ns(), end = begin;
    for (uint32_t i = 0; i < STEPS && end - begin < TRIAL_NS; i++) {
        struct row row = {.token = token,
                          .position = i,
                          .seq = &seq,
                          .wants_logits = !encoder,
                          .wants_vector = encoder};
        kv_extend(t->kv, &seq, 1);
        uint64_t before = clock_now_ns();
        forward_run(t->forward, &row, 1);
        end = clock_now_ns();
        best = best == 0 || end - before < best ? end - before : best;
    }
    kv_end(t->kv, &seq);
    return best;
}

/* --- what is found --- */

/* Keeps the smaller one and counts what comes near it; true when it is clearly smaller. */
static bool keep_best(uint64_t *best, unsigned *n_near, uint64_t ns)
{
    if (ns == 0 || (*best > 0 && ns * (100 - BETTER) > *best * 100))
        return false;
    bool clearly = *best == 0 || ns * 100 < *best * (100 - BETTER);
    *n_near = clearly ? 1 : *n_near + 1;
    *best = *best == 0 || ns < *best ? ns : *best;
    return clearly;
}

void calibration_add(struct calibration *c, uint64_t alone_ns, uint64_t team_ns)
{
    bool alone = keep_best(&c->alone_ns, &c->alone_near, alone_ns);
    bool team = keep_best(&c->team_ns, &c->team_near, team_ns);
    c->n_rounds++;
    c->n_unchanged = alone || team ? 0 : c->n_unchanged + 1;
}

bool calibration_settled(const struct calibration *c)
{
    return (c->alone_near >= NEAR_ENOUGH && c->team_near >= NEAR_ENOUGH) ||
           c->n_rounds >= ROUNDS_MAX ||
           (c->n_rounds >= ROUNDS_MIN && c->n_unchanged >= ROUNDS_SAME);
}

enum status calibrate(struct calibration *out, const struct model *model,
                      const struct kernels *kernels, enum kv_type kv_type, unsigned n_threads,
                      struct error *err)
{
    struct trial alone = {0}, team = {0};
    struct calibration found = {0};
    cpu_set_float_mode();
    enum status status = trial_create(&alone, model, kernels, kv_type, 1, err);
    if (status == STATUS_OK)
        status = trial_create(&team, model, kernels, kv_type, n_threads, err);
    for (uint64_t begin = clock_now_ns(); status == STATUS_OK && !calibration_settled(&found) &&
                                          clock_now_ns() - begin < LIMIT_NS;) {
        uint64_t alone_ns = best_step(&alone, model->shape.encoder);
        calibration_add(&found, alone_ns, best_step(&team, model->shape.encoder));
    }
    trial_free(&alone);
    trial_free(&team);
    if (status == STATUS_OK)
        *out = found;
    return status;
}
