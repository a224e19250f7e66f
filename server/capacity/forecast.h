/*
 * When a store is full, from what it held on the days before. A pure function: the median of the slopes
 * between all pairs of days (Theil 1950, Sen 1968), which a few odd days, such as a first backup or a large
 * deletion, do not move.
 */
#ifndef HOLDFAST_SERVER_CAPACITY_FORECAST_H
#define HOLDFAST_SERVER_CAPACITY_FORECAST_H

#include <stddef.h>
#include <stdint.h>

enum { FORECAST_DAYS = 30, FORECAST_DAYS_MIN = 7 };

struct forecast_sample {
    int64_t day; /* since 1970 */
    uint64_t bytes;
};

enum forecast_kind {
    FORECAST_UNKNOWN, /* fewer than FORECAST_DAYS_MIN samples, or they span fewer days */
    FORECAST_STEADY,  /* does not grow */
    FORECAST_GROWS,
};

struct forecast {
    enum forecast_kind kind;
    int64_t bytes_per_day; /* unless unknown; may be negative */
    int64_t days_left;     /* FORECAST_GROWS: whole days until free_bytes are used up */
};

/* samples: of the last FORECAST_DAYS days, oldest first, at most one a day; more are ignored. */
void forecast_make(const struct forecast_sample *samples, size_t count, uint64_t free_bytes,
                   struct forecast *forecast);
const char *forecast_kind_name(enum forecast_kind kind); /* "not-enough-history", "steady", "grows" */

#endif
