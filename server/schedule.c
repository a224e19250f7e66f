#include "server/schedule.h"

#include "base/digest.h"
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum { MINUTE_S = 60, DAY_S = 86400, SECOND_MS = 1000 };

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
            return error_set(err, ERROR_SCHEDULE_INVALID, "More than %d times a day", SCHEDULE_TIMES_MAX);
        }
        if (take_time(next, &minute) != 0) {
            return error_set(err, ERROR_SCHEDULE_INVALID, "%.100s is not a time of day such as 22:00", text);
        }
        if (!insert(minutes, *count, minute)) {
            return error_set(err, ERROR_SCHEDULE_INVALID, "%.5s is there twice in %.100s", next, text);
        }
        (*count)++;
        next += 5;
        if (*next == '\0') {
            return 0;
        }
        if (*next != ',') {
            return error_set(err, ERROR_SCHEDULE_INVALID, "Times are separated by commas: %.100s", text);
        }
    }
}

static int64_t floor_divide(int64_t value, int64_t by)
{
    return (value >= 0 ? value : value - (by - 1)) / by;
}

static int64_t next_daily(const struct catalog_policy *policy, const struct time_zone *zone, int64_t after_ms)
{
    unsigned minutes[SCHEDULE_TIMES_MAX];
    size_t count;
    struct error ignored;
    if (schedule_parse_times(policy->daily_times, minutes, &count, &ignored) != 0) {
        return SCHEDULE_NEVER;
    }
    int64_t after_s = floor_divide(after_ms, SECOND_MS);
    int64_t today = floor_divide(after_s + time_zone_offset(zone, after_s), DAY_S);
    for (int64_t day = today - 1; day <= today + 8; day++) {
        if ((policy->days >> calendar_weekday(day) & 1) == 0) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
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
    if (policy->schedule == SCHEDULE_INTERVAL && policy->interval_minutes > 0) {
        int64_t interval_ms = (int64_t)policy->interval_minutes * MINUTE_S * SECOND_MS;
        return (floor_divide(after_ms, interval_ms) + 1) * interval_ms;
    }
    return policy->schedule == SCHEDULE_DAILY ? next_daily(policy, zone, after_ms) : SCHEDULE_NEVER;
}

int64_t schedule_spread_ms(const struct catalog_policy *policy, const char *vm_id)
{
    uint32_t hash = digest_crc32c(0, vm_id, strlen(vm_id));
    return policy->spread_minutes == 0 ? 0 : (int64_t)(hash % (policy->spread_minutes * 60u)) * SECOND_MS;
}
