/* machine.c - when limits are measured, and for whom. Loop thread, but for measure(). */
#include "server/machine.h"

#include "base/clock.h"
#include "engine/stats.h"
#include "report/profile_document.h"
#include "server/service.h"

static bool is_busy(const struct engine_stats *stats)
{
    return stats->running > 0 || stats->queued > 0;
}

static void measure(uv_work_t *work) /* on libuv's pool */
{
    struct service *service = work->data;
    struct machine *m = &service->machine;
    const struct loaded_model *model = &service->model;
    struct engine_stats before, after;
    struct limits *limits = NULL;
    struct error err;
    engine_stats(service->engine, &before);
    m->found.status = limits_create(&limits, model->cpu, model->kernels, &err);
    if (m->found.status == STATUS_OK)
        m->found.status = profile_measure_limits(&m->found.limits, limits, model->model,
                                                 engine_plan(service->engine), &err);
    limits_destroy(limits);
    engine_stats(service->engine, &after);
    m->found.limits.beside_work =
        is_busy(&before) || is_busy(&after) || before.n_steps != after.n_steps;
}

static void on_measured(uv_work_t *work, int status)
{
    struct service *service = work->data;
    struct machine *m = &service->machine;
    (void)status; /* never cancelled */
    m->measuring = false;
    if (m->found.status == STATUS_OK) {
        m->known = true;
        m->limits = m->found.limits;
        m->measured_ns = clock_now_ns();
    }
    m->measured(service);
    service_settled(service);
}

bool machine_ready(struct service *service)
{
    struct machine *m = &service->machine;
    struct engine_stats stats;
    if (m->measuring)
        return false;
    engine_stats(service->engine, &stats);
    if (m->known && (!m->limits.beside_work || is_busy(&stats)))
        return true;
    m->work.data = service;
    m->measuring = uv_queue_work(&service->loop.uv, &m->work, measure, on_measured) == 0;
    return !m->measuring;
}
