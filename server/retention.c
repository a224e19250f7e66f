#include "server/retention.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/protection.h"
#include <stdlib.h>
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

void retention_decide(const struct catalog_policy *policy, const struct time_zone *zone,
                      const struct catalog_point *points, size_t count, int64_t now_ms, unsigned *reasons)
{
    int64_t oldest_ms = now_ms - (int64_t)policy->keep_days * DAY_S * SECOND_MS;
    bool has_whole = false;
    unsigned latest = policy->keep_latest;
    for (size_t i = 0; i < count; i++) {
        const struct catalog_point *point = &points[i];
        reasons[i] = point->held ? RETENTION_HELD : 0;
        if (point->retain_until_ms > now_ms) {
            reasons[i] |= RETENTION_UNTIL;
        }
        if (policy->keep_days > 0 && point->time_ms > oldest_ms) {
            reasons[i] |= RETENTION_AGE;
        }
        if (!point->damaged && !has_whole) {
            reasons[i] |= RETENTION_LAST;
            has_whole = true;
        }
        if (!point->damaged && latest > 0) {
            reasons[i] |= RETENTION_LATEST;
            latest--;
        }
    }
    if (count > 0 && !has_whole) {
        reasons[0] |= RETENTION_LAST; /* damaged, but all there is */
    }
    keep_periods(PERIOD_DAY, policy->keep_daily, RETENTION_DAILY, zone, points, count, reasons);
    keep_periods(PERIOD_WEEK, policy->keep_weekly, RETENTION_WEEKLY, zone, points, count, reasons);
    keep_periods(PERIOD_MONTH, policy->keep_monthly, RETENTION_MONTHLY, zone, points, count, reasons);
    keep_periods(PERIOD_YEAR, policy->keep_yearly, RETENTION_YEARLY, zone, points, count, reasons);
}

/* All points of a VM, newest first. */
static int read_points(struct catalog *catalog, struct arena *arena, const char *vm_id,
                       struct catalog_point **all, size_t *all_count, struct error *err)
{
    struct catalog_point_filter filter = {.vm_id = vm_id};
    struct catalog_page page = {0};
    const struct catalog_point *points;
    size_t count;
    *all = NULL;
    *all_count = 0;
    do {
        if (catalog_point_list(catalog, arena, &filter, &page, &points, &count, err) != 0) {
            free(*all);
            return -1;
        }
        if (count > 0) {
            *all = memory_resize(*all, *all_count + count, sizeof **all);
            memcpy(*all + *all_count, points, count * sizeof *points);
            *all_count += count;
            page.after = points[count - 1].number;
        }
    } while (count == CATALOG_PAGE_MAX);
    return 0;
}

static int apply_to_vm(struct server *server, const struct catalog_policy *policy,
                       const struct time_zone *zone, const char *vm_id, uint64_t *deleted, struct error *err)
{
    struct arena *arena = arena_create();
    struct catalog_point *points;
    size_t count;
    int result = read_points(server_catalog(server), arena, vm_id, &points, &count, err);
    if (result == 0) {
        unsigned *reasons = memory_array(count + 1, sizeof *reasons);
        retention_decide(policy, zone, points, count, clock_wall_ms(), reasons);
        for (size_t i = 0; i < count; i++) {
            if (reasons[i] != 0) {
                continue;
            }
            if (protection_delete_point(server, points[i].id, err) != 0) {
                if (err->code != ERROR_JOB_CONFLICT) { /* a job uses it: next time */
                    log_error("recovery point not deleted", err);
                }
                continue;
            }
            (*deleted)++;
            log_event(LOG_INFO, "recovery point expired", "point=%s vm=\"%s\"", points[i].id,
                      points[i].vm_name);
        }
        free(reasons);
        free(points);
    }
    arena_destroy(arena);
    return result;
}

static int apply_to_group(struct server *server, const struct catalog_group *group, uint64_t *deleted,
                          struct error *err)
{
    struct catalog *catalog = server_catalog(server);
    struct arena *arena = arena_create();
    const struct catalog_policy *policy = catalog_policy_find(catalog, arena, group->policy_id, err);
    struct time_zone *zone = policy != NULL ? time_zone_open(policy->time_zone, err) : NULL;
    struct catalog_vm_filter filter = {.group_id = group->id};
    struct catalog_page page = {0};
    const struct catalog_vm *vms;
    size_t count = CATALOG_PAGE_MAX;
    int result = zone != NULL ? 0 : -1;
    while (result == 0 && count == CATALOG_PAGE_MAX) {
        result = catalog_vm_list(catalog, arena, &filter, &page, &vms, &count, err);
        for (size_t i = 0; result == 0 && i < count; i++) {
            page.after = vms[i].number;
            if (vms[i].point_count > 1) {
                result = apply_to_vm(server, policy, zone, vms[i].id, deleted, err);
            }
        }
    }
    time_zone_close(zone);
    arena_destroy(arena);
    return result;
}

int retention_apply(struct server *server, uint64_t *deleted, struct error *err)
{
    struct arena *arena = arena_create();
    struct catalog_page page = {0};
    const struct catalog_group *groups;
    size_t count = CATALOG_PAGE_MAX;
    int result = 0;
    *deleted = 0;
    while (result == 0 && count == CATALOG_PAGE_MAX) {
        result = catalog_group_list(server_catalog(server), arena, &page, &groups, &count, err);
        for (size_t i = 0; result == 0 && i < count; i++) {
            page.after = groups[i].number;
            result = apply_to_group(server, &groups[i], deleted, err);
        }
    }
    arena_destroy(arena);
    return result;
}
