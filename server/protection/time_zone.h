/*
 * Time zones by name, from the system's own data (tzdata; RFC 8536 describes the files). A zone is read once
 * and then immutable: thread-safe.
 */
#ifndef HOLDFAST_SERVER_TIME_ZONE_H
#define HOLDFAST_SERVER_TIME_ZONE_H

#include "base/error.h"
#include <stdint.h>

struct time_zone;

/* "UTC", "Europe/Zurich". SCHEDULE_INVALID when the system has no such zone. UTC never fails. */
struct time_zone *time_zone_open(const char *name, struct error *err);
void time_zone_close(struct time_zone *zone); /* NULL is fine */

/* Seconds east of UTC at an instant (seconds since 1970 UTC). */
int32_t time_zone_offset(const struct time_zone *zone, int64_t utc_s);
/* The instant at which clocks there show local_s (seconds since 1970, of local time). A time that occurs
 * twice is the first of the two; one that does not exist is the instant of the change, the next that does. */
int64_t time_zone_to_utc(const struct time_zone *zone, int64_t local_s);

/* Days since 1970 of a date in the proleptic Gregorian calendar; month 1 to 12. */
int64_t calendar_days(int year, int month, int day);
/* And back. */
void calendar_date(int64_t days, int *year, int *month, int *day);
/* 0 Sunday to 6 Saturday. */
int calendar_weekday(int64_t days);

#endif
