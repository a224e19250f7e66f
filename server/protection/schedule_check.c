#include "server/protection/schedule.h"

enum {
    INTERVAL_MAX_MINUTES = 7 * 24 * 60,
    DAY_MINUTES = 24 * 60,
    HOUR_MINUTES = 60,
    SPREAD_MAX_MINUTES = 24 * 60,
};

static int check_interval(const struct catalog_policy *policy, unsigned minimum_minutes, struct error *err)
{
    if (policy->interval_minutes < minimum_minutes || policy->interval_minutes > INTERVAL_MAX_MINUTES) {
        return error_set(err, ERROR_SCHEDULE_INVALID,
                         "interval_minutes: every %u minutes is not possible, %u to %d (a week) are",
                         policy->interval_minutes, minimum_minutes, INTERVAL_MAX_MINUTES);
    }
    if (policy->interval_minutes >= DAY_MINUTES && policy->days != SCHEDULE_EVERY_DAY) {
        return error_set(err, ERROR_SCHEDULE_INVALID,
                         "days: every %u minutes can't be kept to days of the week, a weekly schedule can",
                         policy->interval_minutes);
    }
    return 0;
}

static int check_times(const struct catalog_policy *policy, struct error *err)
{
    unsigned minutes[SCHEDULE_TIMES_MAX];
    size_t count;
    if (policy->schedule == SCHEDULE_WEEKLY && policy->days == SCHEDULE_EVERY_DAY) {
        return error_set(err, ERROR_SCHEDULE_INVALID,
                         "days: a weekly schedule needs its days, on all seven it is a daily one");
    }
    return schedule_parse_times(policy->daily_times, minutes, &count, err);
}

static int check_kind(const struct catalog_policy *policy, unsigned minimum_minutes, struct error *err)
{
    switch (policy->schedule) {
    case SCHEDULE_INTERVAL:
        return check_interval(policy, minimum_minutes, err);
    case SCHEDULE_HOURLY:
        return policy->hour_minute < HOUR_MINUTES
                   ? 0
                   : error_set(err, ERROR_SCHEDULE_INVALID, "hour_minute: an hour has no minute %u, 0 to 59",
                               policy->hour_minute);
    case SCHEDULE_DAILY:
    case SCHEDULE_WEEKLY:
        return check_times(policy, err);
    default:
        return 0;
    }
}

/* A VM's turn must have come before the next run. */
static int check_spread(const struct catalog_policy *policy, struct error *err)
{
    unsigned most = SPREAD_MAX_MINUTES;
    if (policy->schedule == SCHEDULE_INTERVAL && policy->interval_minutes < most) {
        most = policy->interval_minutes;
    } else if (policy->schedule == SCHEDULE_HOURLY) {
        most = HOUR_MINUTES;
    }
    return policy->spread_minutes <= most
               ? 0
               : error_set(err, ERROR_SCHEDULE_INVALID,
                           "spread_minutes: starts can't be spread over %u minutes, %u at most here",
                           policy->spread_minutes, most);
}

int schedule_check(const struct catalog_policy *policy, unsigned minimum_minutes, struct error *err)
{
    if (policy->days == 0 || policy->days > SCHEDULE_EVERY_DAY) {
        return error_set(err, ERROR_SCHEDULE_INVALID,
                         "days: %u is no set of days, 1 (Sunday) to 64 (Saturday) added up", policy->days);
    }
    if (check_kind(policy, minimum_minutes, err) != 0 || check_spread(policy, err) != 0) {
        return -1;
    }
    struct time_zone *zone = time_zone_open(policy->time_zone, err);
    time_zone_close(zone);
    return zone != NULL ? 0 : -1;
}
