/* allowance.c - looks at affinity and control groups, and has the engine follow. Loop thread, but
 * for look(). */
#include "server/allowance.h"

#include "config/settings.h"
#include "engine/engine.h"
#include "engine/plan.h"
#include "engine/stats.h"
#include "server/log.h"

#include <stdio.h>
#include <string.h>

/* Parts of a limit that stay free: one of 20 (5 %) of what is taken ahead of need, and of 50 (2 %)
 * of all. Memory is short where something waited for it in so many percent of the time; a cache
 * then gives back one part of 8 at each look. */
enum { AHEAD_PART = 20, NEED_PART = 50, PRESSURE = 10, PRESSURE_PART = 8 };

/* --- the look, on libuv's pool --- */

static void look(uv_work_t *work)
{
    struct allowance *a = work->data;
    const char *root = a->settings->cgroup_root;
    const struct cpu_mask before = a->found.cpu.affinity;
    if (cpu_follow_affinity(&a->found.cpu) && a->known)
        cpu_spread_affinity(&before, &a->found.cpu.affinity);
    cgroup_look(&a->found.group, root != NULL ? root : "");
    cpu_take_limits(&a->found.cpu, &a->found.group);
}

/* --- what follows from it --- */

static uint64_t growth(uint64_t last, uint64_t now)
{
    return now > last ? now - last : 0;
}

void allowance_count(struct allowance_counts *counts, const struct cgroup *last,
                     const struct cgroup *now)
{
    if (now->place != last->place)
        return;
    counts->n_periods += growth(last->n_periods, now->n_periods);
    counts->n_throttled += growth(last->n_throttled, now->n_throttled);
    counts->throttled_ns += growth(last->throttled_ns, now->throttled_ns);
}

void allowance_memory(const struct allowance *a, uint64_t resident_bytes, uint64_t *limit,
                      uint64_t *used)
{
    const struct cgroup_memory *hard = &a->group.hard, *soft = &a->group.soft;
    const bool is_soft = soft->limit > 0 && (hard->limit == 0 || soft->limit < hard->limit);
    const struct cgroup_memory *nearest = is_soft ? soft : hard;
    *limit = nearest->limit;
    *used = nearest->used;
    if (nearest->limit == 0) {
        *limit = a->cpu.memory_bytes;
        *used = resident_bytes;
    }
}

/* How far it may go to a limit, a part of which stays free; INT64_MAX: there is none. */
static int64_t room_before(const struct cgroup_memory *m, uint64_t part)
{
    return m->limit > 0 ? m->room - (int64_t)(m->limit / part) : INT64_MAX;
}

static uint64_t bound_of(int64_t room)
{
    return room == INT64_MAX ? UINT64_MAX : room > 0 ? (uint64_t)room : 0;
}

struct allowance_memory allowance_bounds(const struct cgroup *group, uint64_t kv_bytes)
{
    const int64_t soft = room_before(&group->soft, AHEAD_PART);
    const int64_t hard = room_before(&group->hard, AHEAD_PART);
    const int64_t ahead = soft < hard ? soft : hard;
    struct allowance_memory m = {.ahead = bound_of(ahead),
                                 .need = bound_of(room_before(&group->hard, NEED_PART)),
                                 .back = ahead < 0 ? (uint64_t)-ahead : 0};
    if (group->pressure >= PRESSURE) {
        m.ahead = 0;
        if (m.back < kv_bytes / PRESSURE_PART)
            m.back = kv_bytes / PRESSURE_PART;
    }
    return m;
}

static void follow_memory(struct allowance *a)
{
    struct engine_stats stats;
    engine_stats(a->engine, &stats);
    const uint64_t page = engine_plan(a->engine)->page_bytes;
    const struct allowance_memory m = allowance_bounds(&a->group, stats.kv.n_there * page);
    engine_bound_memory(a->engine, m.ahead, m.need, m.back);
    if (m.back > 0 && !a->short_of_memory)
        log_line(LOG_INFO, "memory is short (%llu MiB too much): cached prefixes are given back",
                 (unsigned long long)(m.back >> 20));
    a->short_of_memory = m.back > 0;
}

static void follow_processors(struct allowance *a)
{
    const struct engine_plan *plan = engine_plan(a->engine);
    const unsigned before = engine_threads(a->engine);
    if (a->settings->threads != 0)
        return;
    engine_set_threads(a->engine, a->cpu.n_usable);
    const unsigned now = engine_threads(a->engine);
    if (now == before)
        return;
    char found[CPU_TEXT_MAX];
    cpu_describe(&a->cpu, found);
    snprintf(a->threads_why, sizeof a->threads_why,
             "threads: %u (%s), %u at start; workers: %u with jobs, of %u", now,
             now < a->cpu.n_usable ? "there is room for no more" : plan_limit_of_cores(&a->cpu),
             plan->n_threads, now < plan->n_workers ? now : plan->n_workers, plan->n_workers);
    log_line(LOG_INFO, "the machine gives %s now; %s", found, a->threads_why);
}

static void follow(struct allowance *a)
{
    follow_processors(a);
    follow_memory(a);
}

static void on_looked(uv_work_t *work, int status)
{
    struct allowance *a = work->data;
    (void)status; /* never cancelled */
    a->looking = false;
    if (a->closed)
        return;
    if (a->known)
        allowance_count(&a->counts, &a->group, &a->found.group);
    a->cpu = a->found.cpu;
    a->group = a->found.group;
    a->known = true;
    if (a->engine != NULL)
        follow(a);
    a->settled(a->ctx);
}

static void on_timer(uv_timer_t *timer)
{
    struct allowance *a = timer->data;
    if (!a->looking)
        a->looking = uv_queue_work(timer->loop, &a->work, look, on_looked) == 0;
}

void allowance_init(struct allowance *a, uv_loop_t *loop, const struct settings *settings,
                    void (*settled)(void *ctx), void *ctx)
{
    *a = (struct allowance){.settings = settings, .settled = settled, .ctx = ctx};
    uv_timer_init(loop, &a->timer);
    a->timer.data = a->work.data = a;
    uv_timer_start(&a->timer, on_timer, 0, ALLOWANCE_LOOK_MS);
}

void allowance_follow(struct allowance *a, struct engine *engine)
{
    a->engine = engine;
}

void allowance_close(struct allowance *a)
{
    a->closed = true;
    a->engine = NULL;
}
