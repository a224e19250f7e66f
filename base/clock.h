/*
 * Time behind an interface that tests can set. Wall time is for people and schedules, monotonic time for
 * durations and deadlines. Thread-safe.
 */
#ifndef HOLDFAST_BASE_CLOCK_H
#define HOLDFAST_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum { CLOCK_TEXT_SIZE = 25 }; /* "2026-01-31T10:00:00.123Z" and a NUL */

int64_t clock_wall_ms(void);      /* since 1970-01-01T00:00:00Z */
int64_t clock_monotonic_ms(void); /* since an arbitrary start */
int64_t clock_monotonic_us(void);
/* So long from now, of CLOCK_MONOTONIC whatever tests set: for pthread_cond_timedwait of a condition that is
 * on that clock, and for sem_clockwait. */
struct timespec clock_deadline(int64_t timeout_ms);

/* For tests: from now on both clocks stand at these values and move only by clock_test_advance_ms. */
void clock_test_set(int64_t wall_ms);
void clock_test_advance_ms(int64_t ms);
void clock_test_clear(void);

/* RFC 3339 in UTC with milliseconds, into out[CLOCK_TEXT_SIZE]; returns out. */
const char *clock_format_wall(int64_t wall_ms, char *out);
/* RFC 3339 (fraction optional, "Z" or an offset), or a date "2026-01-31" (midnight UTC). -1 when it is
 * neither. */
int clock_parse_wall(const char *text, int64_t *wall_ms);

#endif
