/*
 * The time that retention locks count by. The wall clock alone would not do: whoever sets it forward, or
 * feeds it a wrong time over the network, would end every lock. So the catalog keeps a mark that only grows
 * by the time that this machine was seen to run (CLOCK_BOOTTIME within one boot); a lock ends when both the
 * wall clock and that count are past its date. What passes while the machine is off does not count: a lock
 * then lasts longer, never shorter. It protects from the clock and not from the machine's root, who can write
 * the catalog and the store.
 */
#ifndef HOLDFAST_SERVER_LOCK_CLOCK_H
#define HOLDFAST_SERVER_LOCK_CLOCK_H

#include "server/catalog/catalog.h"

enum { LOCK_CLOCK_BOOT_SIZE = 64 };

struct lock_clock_mark {
    int64_t counted_ms;              /* as a wall time; 0: not begun */
    int64_t behind_ms;               /* the wall clock then */
    int64_t boot_ms;                 /* since the machine's boot, when it was counted */
    char boot[LOCK_CLOCK_BOOT_SIZE]; /* which boot that was */
};

struct lock_time {
    int64_t now_ms;    /* a lock whose date is at or before this has ended */
    int64_t begin_ms;  /* a new lock counts from here */
    int64_t behind_ms; /* how far the count is behind the wall clock; 0 when it is not */
};

/* Pure: bring the mark to this boot, boot_ms after it began, at this wall time, and say what time it is. A
 * wall clock that is before 2025 has not been set yet and begins no count. */
void lock_clock_count(struct lock_clock_mark *mark, const char *boot, int64_t boot_ms, int64_t wall_ms,
                      struct lock_time *time);

/* The time now, by the catalog's mark, which is brought up to date. Blocks; thread-safe. CATALOG_FAILED. */
int lock_clock_read(struct catalog *catalog, struct lock_time *time, struct error *err);

#endif
