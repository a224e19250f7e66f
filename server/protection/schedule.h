/*
 * When a policy's backups are due: pure computation on a policy and its zone, for the scheduler and for
 * previews. Thread-safe; nothing blocks but where it says so.
 *
 * interval   the instants whose distance from midnight UTC of 1970 is a multiple of N minutes
 * hourly     minute M of each of the 24 hours of a day
 * daily      times of the day; weekly: the same, on days that must be named
 *
 * Hourly, daily and weekly name times on the clocks of the policy's zone. Such a run is at the first instant
 * at which those clocks show that time or, having jumped over it, a later one: a time that does not exist
 * runs when the clock jumps, one that occurs twice runs once. Runs that fall on the same instant are one.
 * Every kind runs only on the policy's days, which are days of the zone.
 */
#ifndef HOLDFAST_SERVER_SCHEDULE_H
#define HOLDFAST_SERVER_SCHEDULE_H

#include "server/catalog/catalog.h"
#include "server/protection/time_zone.h"

enum { SCHEDULE_TIMES_MAX = 24, SCHEDULE_NEVER = -1, SCHEDULE_EVERY_DAY = 127 };

/* "06:00,22:00" into minutes of the day, ascending. SCHEDULE_INVALID: not a list of times, or one twice. */
int schedule_parse_times(const char *text, unsigned minutes[SCHEDULE_TIMES_MAX], size_t *count,
                         struct error *err);

/* Is there such a schedule, with at least minimum_minutes between the runs of an interval? SCHEDULE_INVALID
 * says what is wrong in which field. Reads the zone's file. */
int schedule_check(const struct catalog_policy *policy, unsigned minimum_minutes, struct error *err);

/* The first scheduled instant after after_ms, or SCHEDULE_NEVER. Spreading is not in it, and whether the
 * policy is enabled does not matter. */
int64_t schedule_next(const struct catalog_policy *policy, const struct time_zone *zone, int64_t after_ms);

/* Whether the run at this instant is for a time that the clocks jumped over. */
bool schedule_is_moved(const struct catalog_policy *policy, const struct time_zone *zone, int64_t at_ms);

/* By how much a VM's starts are shifted within the policy's spread: always the same for one VM. */
int64_t schedule_spread_ms(const struct catalog_policy *policy, const char *vm_id);

/* Whether both say the same about when backups start. */
bool schedule_is_same(const struct catalog_policy *a, const struct catalog_policy *b);

#endif
