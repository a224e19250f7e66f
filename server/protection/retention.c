#include "server/protection/retention.h"

#include "base/clock.h"
#include "server/protection/lock_clock.h"
#include <string.h>

enum { DAY_S = 86400, SECOND_MS = 1000 };

enum period { PERIOD_DAY, PERIOD_WEEK, PERIOD_MONTH, PERIOD_YEAR };

/* A number that is the same for all instants of one period, and no other. */
static int64_t period_of(enum period period, int64_t days)
{
    int year, month, day;
    calendar_date(days, &year, &month, &day);
    switch (period) {
    case PERIOD_WEEK:
        return (days + 3) / 7; /* 1970 began on a Thursday, weeks begin on Monday */
    case PERIOD_MONTH:
        return (int64_t)year * 12 + month;
    case PERIOD_YEAR:
        return year;
    case PERIOD_DAY:
    default:
        return days;
    }
}

/* The newest point of each of the last `keep` periods that have one. */
static void keep_periods(enum period period, unsigned keep, unsigned reason, const struct time_zone *zone,
                         const struct catalog_point *points, size_t count, unsigned *reasons)
{
    int64_t last = INT64_MIN;
    for (size_t i = 0; i < count && keep > 0; i++) {
        int64_t utc_s = points[i].time_ms / SECOND_MS;
        int64_t now = period_of(period, (utc_s + time_zone_offset(zone, utc_s)) / DAY_S);
        if (points[i].damaged || now == last) {
            continue;
        }
        last = now;
        reasons[i] |= reason;
        keep--;
    }
}

const char *const retention_reason_names[] = {
    "last",    "held",   "retain-until", "days",      "latest",    "daily", "weekly",
    "monthly", "yearly", "locked",       "no-policy", "last-good", NULL};

int retention_time_read(struct catalog *catalog, struct retention_time *time, struct error *err)
{
    struct lock_time lock;
    if (lock_clock_read(catalog, &lock, err) != 0) {
        return -1;
    }
    *time = (struct retention_time){.now_ms = clock_wall_ms(), .lock_ms = lock.now_ms};
    return 0;
}

/* What does not depend on a policy. */
static unsigned own_reasons(const struct catalog_point *point, const struct retention_time *time)
{
    return (point->held ? RETENTION_HELD : 0u) |
           (point->retain_until_ms > time->now_ms ? RETENTION_UNTIL : 0u) |
           (point->locked_until_ms > time->lock_ms ? RETENTION_LOCKED : 0u);
}

/* The newest that is whole, or the newest of all when none is. */
static void keep_last(const struct catalog_point *points, size_t count, unsigned *reasons)
{
    size_t last = 0;
    while (last < count && points[last].damaged) {
        last++;
    }
    if (count > 0) {
        reasons[last < count ? last : 0] |= RETENTION_LAST;
    }
}

void retention_decide(const struct catalog_policy *policy, const struct time_zone *zone,
                      const struct catalog_point *points, size_t count, const struct retention_time *time,
                      unsigned *reasons)
{
    for (size_t i = 0; i < count; i++) {
        reasons[i] = own_reasons(&points[i], time) | (policy == NULL ? RETENTION_ALWAYS : 0u);
    }
    if (policy == NULL) {
        return;
    }
    int64_t oldest_ms = time->now_ms - (int64_t)policy->keep_days * DAY_S * SECOND_MS;
    unsigned latest = policy->keep_latest;
    for (size_t i = 0; i < count; i++) {
        if (policy->keep_days > 0 && points[i].time_ms > oldest_ms) {
            reasons[i] |= RETENTION_AGE;
        }
        if (!points[i].damaged && latest > 0) {
            reasons[i] |= RETENTION_LATEST;
            latest--;
        }
    }
    keep_last(points, count, reasons);
    keep_periods(PERIOD_DAY, policy->keep_daily, RETENTION_DAILY, zone, points, count, reasons);
    keep_periods(PERIOD_WEEK, policy->keep_weekly, RETENTION_WEEKLY, zone, points, count, reasons);
    keep_periods(PERIOD_MONTH, policy->keep_monthly, RETENTION_MONTHLY, zone, points, count, reasons);
    keep_periods(PERIOD_YEAR, policy->keep_yearly, RETENTION_YEARLY, zone, points, count, reasons);
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t retention_until_ms(const struct catalog_policy *policy, const struct catalog_point *point,
                           unsigned reasons)
{
    int64_t until_ms = 0;
    if ((reasons & RETENTION_UNTIL) != 0) {
        until_ms = later(until_ms, point->retain_until_ms);
    }
    if ((reasons & RETENTION_LOCKED) != 0) {
        until_ms = later(until_ms, point->locked_until_ms);
    }
    if ((reasons & RETENTION_AGE) != 0 && policy != NULL) {
        until_ms = later(until_ms, point->time_ms + (int64_t)policy->keep_days * DAY_S * SECOND_MS);
    }
    return until_ms;
}
