/* reply_profile.c - a request's own breakdown, for who asked for it: where the time of the steps
 * went that it took part in. Pure; allocates nothing. */
#include "api/reply_parts.h"

static void put_ms(struct json_writer *w, const char *name, double ns)
{
    json_raw(w, name);
    json_double(w, ns * 1e-6, 3);
}

/* Times of all its steps; where only some were recorded, those are scaled up. */
static void put_share(struct json_writer *w, const struct job_share *share)
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
    json_raw(w, "}");
}

void reply_put_profile(struct json_writer *w, const struct job *job)
{
    json_raw(w, ",\"profile\":{\"prefill\":");
    put_share(w, &job->profile->prompt);
    json_raw(w, ",\"decode\":");
    put_share(w, &job->profile->answer);
    json_raw(w, "}");
}
