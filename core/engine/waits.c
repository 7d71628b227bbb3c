/* waits.c - when a job gets its place, and the refusal of one that would wait too long.
 *
 * Any thread, under the queue's lock. Predicted from the workers' measured rates by a small
 * simulation (forecast.h), only when a job has to wait.
 */
#include "engine/waits.h"

#define MS_NS  UINT64_C(1000000)
#define FAR_NS (UINT64_MAX / 2) /* later than anything that is predicted */

/* The time from its first step to its end, in a batch as full as now: its own tokens, and as many
 * prompts as there are places. Of the loads last taken. */
static uint64_t job_ns(const struct queue *q, const struct job *job)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < q->n_open; i++) {
        const struct worker_load *load = &q->loads[i];
        size_t n_batch = load->n_running > 0 ? load->n_running : 1;
        sum += (job->max_tokens - job->n_tokens) * load->answer_token_ns +
               (job->n_prompt + job->n_tokens) * n_batch * load->prompt_token_ns;
    }
    return q->n_open > 0 ? sum / q->n_open : 0;
}

/* Takes the workers' loads and fills the forecast with the running sequences. */
static void forecast_running(struct queue *q)
{
    forecast_clear(&q->forecast);
    for (size_t i = 0; i < q->n_open; i++) {
        struct worker_load *load = &q->loads[i];
        worker_load(q->workers[i], load, q->left_tokens);
        for (size_t k = 0; k < load->n_left; k++)
            forecast_add_place(&q->forecast, load->unread * load->prompt_token_ns +
                                                 q->left_tokens[k] * load->answer_token_ns);
    }
}

/* When the n-th in the line (0: the first that waits) gets its place; refused clients that were
 * told to come back count after the line. */
static uint64_t turn_ns(struct queue *q, size_t n)
{
    forecast_running(q);
    uint64_t sum = 0;
    size_t i = 0;
    for (const struct job *job = q->head; job && i < n; job = job->next, i++) {
        uint64_t ns = job_ns(q, job);
        forecast_take(&q->forecast, ns);
        sum += ns;
    }
    uint64_t beyond = 0;
    if (n > i && i > 0 && q->forecast.n_places > 0)
        beyond = (n - i) * (sum / i) / q->forecast.n_places;
    return forecast_next(&q->forecast) + beyond;
}

uint64_t waits_turn_ns(struct queue *q, struct job *const *jobs, size_t n, size_t n_free)
{
    forecast_running(q);
    for (size_t i = 0; i < n_free; i++)
        forecast_add_place(&q->forecast, 0);
    for (const struct job *job = q->head; job; job = job->next)
        forecast_take(&q->forecast, job_ns(q, job));
    for (size_t i = 0; i + 1 < n; i++)
        forecast_take(&q->forecast, job_ns(q, jobs[i]));
    return forecast_next(&q->forecast);
}

/* When n of the running sequences have ended. */
static uint64_t ends_ns(struct queue *q, size_t n)
{
    forecast_running(q);
    for (size_t i = 1; i < n && i < q->forecast.n_places; i++)
        forecast_take(&q->forecast, FAR_NS);
    return forecast_next(&q->forecast);
}

uint64_t waits_read_ns(struct queue *q, size_t i, size_t n_tokens)
{
    worker_load(q->workers[i], &q->loads[i], q->left_tokens);
    return n_tokens * q->loads[i].shared_token_ns;
}

/* Says when to come back: after wait_ns at the earliest, and half of it more. A client that comes
 * too early is refused anew, one that comes late loses little; and a crowd that arrives at once is
 * judged by rates that were measured without it. */
static void set_retry_after(struct queue *q, uint64_t now, uint64_t wait_ns, uint64_t *retry_ms)
{
    size_t per_second = q->max_queue > 0 ? q->max_queue : 1;
    *retry_ms = 1000 * forecast_tell(&q->forecast, now, wait_ns + wait_ns / 2, per_second);
}

enum status waits_refuse_full(struct queue *q, size_t n, size_t n_over, uint64_t now,
                              uint64_t *retry_ms, struct error *err)
{
    /* The first one told may come when the first that waits has been placed, the second with the
     * second, ...; and a group when as many have been as it lacks places. */
    size_t n_told = forecast_told(&q->forecast, now);
    uint64_t wait = q->n == 0 && n > 1 ? ends_ns(q, n_over) : turn_ns(q, n_told + n_over - 1);
    set_retry_after(q, now, wait, retry_ms);
    if (n > 1)
        return error_set(err, STATUS_FULL,
                         "the queue is too full for the request's %zu answers: %zu wait, and there "
                         "is room for %zu more",
                         n, q->n_places, n - n_over);
    return error_set(err, STATUS_FULL, "the queue is full, with %zu waiting", q->n_places);
}

enum status waits_refuse_long(struct queue *q, uint64_t now, uint64_t wait, uint64_t *retry_ms,
                              struct error *err)
{
    uint64_t turn = turn_ns(q, q->n + forecast_told(&q->forecast, now));
    set_retry_after(q, now, turn > q->max_wait_ns ? turn - q->max_wait_ns : 0, retry_ms);
    return error_set(
        err, STATUS_TOO_LATE, "the predicted wait of %llu ms is longer than the allowed %llu ms",
        (unsigned long long)(wait / MS_NS), (unsigned long long)(q->max_wait_ns / MS_NS));
}

enum status waits_refuse_deadline(struct queue *q, uint64_t now, uint64_t late_ns,
                                  uint64_t *retry_ms, struct error *err)
{
    set_retry_after(q, now, late_ns, retry_ms);
    return error_set_param(
        err, STATUS_TOO_LATE, "deadline_ms",
        "the deadline cannot be met: the first token would come %llu ms after it",
        (unsigned long long)(late_ns / MS_NS + (late_ns % MS_NS != 0)));
}

uint64_t waits_late_by(const struct job *job, uint64_t first_token)
{
    return job->deadline_ns != 0 && first_token >= job->deadline_ns
               ? first_token - job->deadline_ns + 1
               : 0;
}
