#include "server/protection/schedule.h"

#include "base/digest.h"
#include <ctype.h>
#include <string.h>

enum {
    MINUTE_S = 60,
    HOUR_MINUTES = 60,
    DAY_S = 86400,
    SECOND_MS = 1000,
    DAYS_AHEAD = 9, /* a day of the week comes again within these, though its only time be jumped over */
};

static int take_time(const char *text, unsigned *minute)
{
    for (int i = 0; i < 5; i++) {
        if (i == 2 ? text[i] != ':' : !isdigit((unsigned char)text[i])) {
            return -1;
        }
    }
    unsigned hour = (unsigned)(text[0] - '0') * 10 + (unsigned)(text[1] - '0');
    unsigned rest = (unsigned)(text[3] - '0') * 10 + (unsigned)(text[4] - '0');
    *minute = hour * 60 + rest;
    return hour <= 23 && rest <= 59 ? 0 : -1;
}

/* Into its place; false when it is there already. */
static bool insert(unsigned *minutes, size_t count, unsigned minute)
{
    size_t at = count;
    while (at > 0 && minutes[at - 1] > minute) {
        minutes[at] = minutes[at - 1];
        at--;
    }
    minutes[at] = minute;
    return at == 0 || minutes[at - 1] != minute;
}

int schedule_parse_times(const char *text, unsigned minutes[SCHEDULE_TIMES_MAX], size_t *count,
                         struct error *err)
{
    *count = 0;
    for (const char *next = text;; next++) {
        unsigned minute;
        if (*count == SCHEDULE_TIMES_MAX) {
            return error_set(err, ERROR_SCHEDULE_INVALID, "daily_times: more than %d times a day",
                             SCHEDULE_TIMES_MAX);
        }
        if (take_time(next, &minute) != 0) {
            return error_set(err, ERROR_SCHEDULE_INVALID,
                             "daily_times: \"%.5s\" in \"%.100s\" is not a time of day from 00:00 to 23:59",
                             next, text);
        }
        if (!insert(minutes, *count, minute)) {
            return error_set(err, ERROR_SCHEDULE_INVALID, "daily_times: %.5s is there twice in \"%.100s\"",
                             next, text);
        }
        (*count)++;
        next += 5;
        if (*next == '\0') {
            return 0;
        }
        if (*next != ',') {
            return error_set(err, ERROR_SCHEDULE_INVALID,
                             "daily_times: \"%.100s\" is no list of times with commas between", text);
        }
    }
}

static int64_t floor_divide(int64_t value, int64_t by)
{
    return (value >= 0 ? value : value - (by - 1)) / by;
}

static int64_t local_day(const struct time_zone *zone, int64_t utc_s)
{
    return floor_divide(utc_s + time_zone_offset(zone, utc_s), DAY_S);
}

static bool runs_on(const struct catalog_policy *policy, int64_t day)
{
    return (policy->days >> calendar_weekday(day) & 1) != 0;
}

static int64_t next_interval(const struct catalog_policy *policy, const struct time_zone *zone,
                             int64_t after_ms)
{
    int64_t interval_s = (int64_t)policy->interval_minutes * MINUTE_S;
    int64_t after_s = floor_divide(after_ms, SECOND_MS);
    for (int tries = 0; interval_s > 0 && tries < DAYS_AHEAD; tries++) {
        int64_t at_s = (floor_divide(after_s, interval_s) + 1) * interval_s;
        int64_t day = local_day(zone, at_s);
        if (runs_on(policy, day)) {
            return at_s * SECOND_MS;
        }
        after_s = time_zone_to_utc(zone, (day + 1) * DAY_S) - 1;
    }
    return SCHEDULE_NEVER;
}

/* The named times of a day, ascending; 0 when the policy has none. */
static size_t named_times(const struct catalog_policy *policy, unsigned minutes[SCHEDULE_TIMES_MAX])
{
    size_t count = 0;
    struct error ignored;
    if (policy->schedule == SCHEDULE_HOURLY) {
        for (; count < SCHEDULE_TIMES_MAX; count++) {
            minutes[count] = (unsigned)count * HOUR_MINUTES + policy->hour_minute;
        }
        return count;
    }
    return schedule_parse_times(policy->daily_times, minutes, &count, &ignored) == 0 ? count : 0;
}

static int64_t next_named(const struct catalog_policy *policy, const struct time_zone *zone, int64_t after_ms)
{
    unsigned minutes[SCHEDULE_TIMES_MAX];
    size_t count = named_times(policy, minutes);
    int64_t today = local_day(zone, floor_divide(after_ms, SECOND_MS));
    for (int64_t day = today - 1; day < today + DAYS_AHEAD; day++) {
        for (size_t i = 0; i < count && runs_on(policy, day); i++) {
            int64_t at_ms = time_zone_to_utc(zone, day * DAY_S + (int64_t)minutes[i] * MINUTE_S) * SECOND_MS;
            if (at_ms > after_ms) {
                return at_ms;
            }
        }
    }
    return SCHEDULE_NEVER;
}

int64_t schedule_next(const struct catalog_policy *policy, const struct time_zone *zone, int64_t after_ms)
{
    switch (policy->schedule) {
    case SCHEDULE_INTERVAL:
        return next_interval(policy, zone, after_ms);
    case SCHEDULE_HOURLY:
    case SCHEDULE_DAILY:
    case SCHEDULE_WEEKLY:
        return next_named(policy, zone, after_ms);
    default:
        return SCHEDULE_NEVER;
    }
}

bool schedule_is_moved(const struct catalog_policy *policy, const struct time_zone *zone, int64_t at_ms)
{
    unsigned minutes[SCHEDULE_TIMES_MAX];
    int64_t at_s = floor_divide(at_ms, SECOND_MS);
    int64_t local_s = at_s + time_zone_offset(zone, at_s);
    if (policy->schedule == SCHEDULE_INTERVAL) {
        return false;
    }
    size_t count = named_times(policy, minutes);
    for (size_t i = 0; i < count; i++) {
        if (local_s - floor_divide(local_s, DAY_S) * DAY_S == (int64_t)minutes[i] * MINUTE_S) {
            return false;
        }
    }
    return true;
}

int64_t schedule_spread_ms(const struct catalog_policy *policy, const char *vm_id)
{
    uint32_t hash = digest_crc32c(0, vm_id, strlen(vm_id));
    return policy->spread_minutes == 0 ? 0 : (int64_t)(hash % (policy->spread_minutes * 60u)) * SECOND_MS;
}

bool schedule_is_same(const struct catalog_policy *a, const struct catalog_policy *b)
{
    return a->enabled == b->enabled && a->schedule == b->schedule &&
           a->interval_minutes == b->interval_minutes && a->hour_minute == b->hour_minute &&
           strcmp(a->daily_times, b->daily_times) == 0 && a->days == b->days &&
           strcmp(a->time_zone, b->time_zone) == 0 && a->spread_minutes == b->spread_minutes;
}
