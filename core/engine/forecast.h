/* forecast.h - when will a place be free: a small simulation of the line, and a ledger of what
 * refused clients were told.
 *
 * Places (running sequences) become free at predicted times; each waiting job takes the first, for
 * its predicted duration. Clients that were refused come back when they were told to: they count as
 * waiting too, and never more of them are sent to one second than the queue has places, so that
 * those who do as told find one. Guarded by the queue's lock.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { FORECAST_SECONDS = 256 }; /* how far the ledger looks ahead */

struct forecast {
    uint64_t *free_at; /* [max_places] a heap, the earliest first; ns from now; owned */
    size_t n_places, max_places;
    struct {
        uint64_t second; /* CLOCK_MONOTONIC */
        uint32_t n;      /* clients told to come back in it */
    } told[FORECAST_SECONDS];
};

enum status forecast_init(struct forecast *f, size_t max_places, struct error *err);
void forecast_free(struct forecast *f); /* takes a zeroed one */

void forecast_clear(struct forecast *f);                  /* no places */
void forecast_add_place(struct forecast *f, uint64_t ns); /* free in ns */
uint64_t
forecast_next(const struct forecast *f); /* when the first place is free; 0 without places */
void forecast_take(struct forecast *f, uint64_t ns); /* the next in line takes that place, for ns */

/* Refused clients that were told to come back later than now. */
size_t forecast_told(const struct forecast *f, uint64_t now_ns);
/* Enters one more into the ledger: the whole seconds, >= 1, after which it should come back, at
 * least wait_ns; per_second: how many may be sent to one second. */
uint64_t forecast_tell(struct forecast *f, uint64_t now_ns, uint64_t wait_ns, size_t per_second);
