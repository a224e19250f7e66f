/*
 * When a policy's backups are due: pure computation on a policy and its zone, for the scheduler and for
 * previews. Every N minutes counts from midnight UTC of 1970; daily times are of the policy's zone.
 */
#ifndef HOLDFAST_SERVER_SCHEDULE_H
#define HOLDFAST_SERVER_SCHEDULE_H

#include "server/catalog.h"
#include "server/time_zone.h"

enum { SCHEDULE_TIMES_MAX = 24, SCHEDULE_NEVER = -1 };

/* "06:00,22:00" into minutes of the day, ascending. SCHEDULE_INVALID: not a list of times, or one twice. */
int schedule_parse_times(const char *text, unsigned minutes[SCHEDULE_TIMES_MAX], size_t *count,
                         struct error *err);

/* The first scheduled instant after after_ms, or SCHEDULE_NEVER. Spreading is not in it. */
int64_t schedule_next(const struct catalog_policy *policy, const struct time_zone *zone, int64_t after_ms);

/* By how much a VM's starts are shifted within the policy's spread: always the same for one VM. */
int64_t schedule_spread_ms(const struct catalog_policy *policy, const char *vm_id);

#endif
