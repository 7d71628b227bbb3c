/* forecast.c - a heap of times, and a ring of seconds. Guarded by the queue's lock. */
#include "engine/forecast.h"

#include <stdlib.h>

#define SECOND_NS UINT64_C(1000000000)

enum status forecast_init(struct forecast *f, size_t max_places, struct error *err)
{
    *f = (struct forecast){.max_places = max_places};
    f->free_at = calloc(max_places, sizeof *f->free_at);
    if (!f->free_at)
        return error_no_memory(err, max_places * sizeof *f->free_at, "the forecast of waits");
    return STATUS_OK;
}

void forecast_free(struct forecast *f)
{
    free(f->free_at);
    f->free_at = NULL;
}

void forecast_clear(struct forecast *f)
{
    f->n_places = 0;
}

void forecast_add_place(struct forecast *f, uint64_t ns)
{
    if (f->n_places == f->max_places)
        return;
    size_t i = f->n_places++;
    for (; i > 0 && f->free_at[(i - 1) / 2] > ns; i = (i - 1) / 2)
        f->free_at[i] = f->free_at[(i - 1) / 2];
    f->free_at[i] = ns;
}

uint64_t forecast_next(const struct forecast *f)
{
    return f->n_places > 0 ? f->free_at[0] : 0;
}

void forecast_take(struct forecast *f, uint64_t ns)
{
    if (f->n_places == 0)
        return;
    uint64_t at = f->free_at[0] + ns;
    size_t i = 0;
    for (size_t child = 1; child < f->n_places; child = 2 * i + 1) {
        if (child + 1 < f->n_places && f->free_at[child + 1] < f->free_at[child])
            child++;
        if (f->free_at[child] >= at)
            break;
        f->free_at[i] = f->free_at[child];
        i = child;
    }
    f->free_at[i] = at;
}

size_t forecast_told(const struct forecast *f, uint64_t now_ns)
{
    size_t n = 0;
    for (size_t i = 0; i < FORECAST_SECONDS; i++)
        if (f->told[i].second > now_ns / SECOND_NS)
            n += f->told[i].n;
    return n;
}

uint64_t forecast_tell(struct forecast *f, uint64_t now_ns, uint64_t wait_ns, size_t per_second)
{
    uint64_t now = now_ns / SECOND_NS;
    uint64_t wait = wait_ns / SECOND_NS + (wait_ns % SECOND_NS != 0);
    for (wait = wait > 0 ? wait : 1; wait < FORECAST_SECONDS; wait++) {
        size_t i = (now + wait) % FORECAST_SECONDS;
        if (f->told[i].second != now + wait) {
            f->told[i].second = now + wait;
            f->told[i].n = 0;
        }
        if (f->told[i].n < per_second) {
            f->told[i].n++;
            break;
        }
    }
    return wait;
}
