/* profile.c - a request's own breakdown, for who asked for it: where the time of the steps
 * went that it took part in, what they moved, and what was done before and after them. Loop thread;
 * allocates nothing. */
#include "api/native/parts.h"

#include "base/clock.h"
#include "engine/engine.h"
#include "model/cost.h"

#include <math.h>

static void put_ms(struct json_writer *w, const char *name, double ns)
{
    json_raw(w, name);
    json_double(w, ns * 1e-6, 3);
}

/* How much all its steps moved, how fast, and how near their products and attention come to the
 * machine's limits. */
static void put_moved(struct json_writer *w, const struct job_share *share,
                      const struct generation_profile *p)
{
    struct record_cost all = {0};
    struct report_limit_ns at_limits = {0};
    for (size_t layer = 0; layer <= p->model->shape.n_layers; layer++) {
        for (int scope = 0; scope < SCOPES; scope++) {
            struct record_cost cost;
            cost_of(&cost, p->model, p->kv_type, (enum scope)scope, layer, &share->work);
            record_cost_add(&all, &cost);
            report_add_limit(&at_limits, &p->limits, (enum scope)scope,
                             cost_matrix_type(p->model, (enum scope)scope, layer), &cost);
        }
    }
    const double ns = share->times.wall, per_s = ns > 0 ? record_cost_bytes(&all) / ns * 1e9 : 0;
    const bool known = at_limits.longer > 0 && ns > 0;
    json_raw(w, ",\"bytes\":");
    json_double(w, per_s * share->wall_ns * 1e-9, 0);
    json_raw(w, ",\"gb_s\":");
    json_double(w, per_s * 1e-9, 3);
    json_raw(w, ",\"fraction\":");
    json_double(w, known ? at_limits.longer / ns : NAN, 4);
    json_raw(w, !known                                  ? ",\"bound\":null"
                : at_limits.memory >= at_limits.compute ? ",\"bound\":\"memory\""
                                                        : ",\"bound\":\"compute\"");
}

/* Times of all its steps; where only some were recorded, those are scaled up. */
static void put_share(struct json_writer *w, const struct job_share *share,
                      const struct generation_profile *p)
{
    const struct step_times *t = &share->times;
    double scale = t->wall > 0 ? share->wall_ns / t->wall : 0, matrices = 0;
    double attention = t->total[SCOPE_ATTENTION] + t->total[SCOPE_ATTENTION_MERGE];
    json_raw(w, "{\"steps\":");
    json_uint(w, share->n_steps);
    json_raw(w, ",\"recorded_steps\":");
    json_uint(w, share->n_recorded);
    json_raw(w, ",\"mean_sequences\":");
    json_double(w, share->n_recorded > 0 ? share->work.n_sequences / (double)share->n_recorded : 0,
                2);
    put_ms(w, ",\"total_ms\":", share->wall_ns);
    put_ms(w, ",\"attention_ms\":", attention * scale);
    json_raw(w, ",\"matmul_ms\":{");
    for (unsigned type = 0, n = 0; type < SCOPE_NONE; type++) {
        if (t->matrix[type] <= 0)
            continue;
        json_raw(w, n++ > 0 ? ",\"" : "\"");
        json_raw(w, type < WEIGHT_TYPES ? weight_infos[type].name : "mixed");
        put_ms(w, "\":", t->matrix[type] * scale);
        matrices += t->matrix[type];
    }
    put_ms(w, "},\"sampling_ms\":", t->total[SCOPE_SAMPLE] * scale);
    double other = t->wall - attention - matrices - t->total[SCOPE_SAMPLE];
    put_ms(w, ",\"other_ms\":", other > 0 ? other * scale : 0);
    put_ms(w, ",\"waiting_ms\":", t->waiting * scale);
    put_moved(w, share, p);
    json_raw(w, "}");
}

static void put_limits(struct json_writer *w, const struct generation_profile *p)
{
    json_raw(w, ",\"limits\":");
    if (p->limits.read_bytes_s <= 0) {
        json_raw(w, "null");
        return;
    }
    json_raw(w, "{\"read_gb_s\":");
    json_double(w, p->limits.read_bytes_s * 1e-9, 3);
    json_raw(w, ",\"beside_work\":");
    json_bool(w, p->limits.beside_work);
    put_ms(w, ",\"measuring_ms\":", (double)p->measuring_ns);
    json_raw(w, "}");
}

void native_put_profile(struct json_writer *w, const struct job *job,
                        const struct generation_profile *profile)
{
    struct generation_times times;
    generation_times(job, &times);
    put_ms(w, ",\"profile\":{\"queue_ms\":", times.queue * 1e6);
    put_ms(w, ",\"tokenize_ms\":", (double)profile->tokenize_ns);
    put_ms(w, ",\"write_ms\":",
           (double)(profile->write_ns + clock_now_ns() - profile->write_begin_ns));
    put_limits(w, profile);
    json_raw(w, ",\"prefill\":");
    put_share(w, &job->profile->prompt, profile);
    json_raw(w, ",\"decode\":");
    put_share(w, &job->profile->answer, profile);
    json_raw(w, "}");
}
