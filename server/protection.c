#include "server/protection.h"

#include "base/clock.h"
#include "server/schedule.h"
#include <ctype.h>
#include <string.h>

enum {
    TITLE_MIN = 2,
    TITLE_MAX = 50,
    INTERVAL_MAX_MINUTES = 7 * 24 * 60,
    SPREAD_MAX_MINUTES = 24 * 60,
    KEEP_MAX = 100000,
    LOCK_MAX_DAYS = 3653,
    EVERY_DAY = 127,
};

void policy_default(struct catalog_policy *policy)
{
    *policy = (struct catalog_policy){.id = "",
                                      .name = "",
                                      .enabled = true,
                                      .schedule = SCHEDULE_DAILY,
                                      .daily_times = "22:00",
                                      .days = EVERY_DAY,
                                      .time_zone = "UTC",
                                      .keep_days = 30,
                                      .snapshot_days = 2,
                                      .consistency = "filesystem"};
}

int protection_check_name(const char *name, struct error *err)
{
    size_t length = strlen(name);
    bool valid = length >= TITLE_MIN && length <= TITLE_MAX && isalpha((unsigned char)name[0]);
    for (size_t i = 1; valid && i < length; i++) {
        valid = isalnum((unsigned char)name[i]) || name[i] == '-';
    }
    return valid ? 0 : error_set(err, ERROR_POLICY_NAME_INVALID, "\"%.60s\" can't be a name here", name);
}

static int check_schedule(const struct catalog_policy *policy, struct error *err)
{
    unsigned minutes[SCHEDULE_TIMES_MAX];
    size_t count;
    if (policy->schedule == SCHEDULE_INTERVAL &&
        (policy->interval_minutes == 0 || policy->interval_minutes > INTERVAL_MAX_MINUTES)) {
        return error_set(err, ERROR_SCHEDULE_INVALID, "Every %u minutes: 1 to %d (a week) are possible",
                         policy->interval_minutes, INTERVAL_MAX_MINUTES);
    }
    if (policy->schedule == SCHEDULE_DAILY) {
        if (schedule_parse_times(policy->daily_times, minutes, &count, err) != 0) {
            return -1;
        }
        if (policy->days == 0 || policy->days > EVERY_DAY) {
            return error_set(err, ERROR_SCHEDULE_INVALID, "At least one day of the week is needed");
        }
    }
    if (policy->spread_minutes > SPREAD_MAX_MINUTES) {
        return error_set(err, ERROR_SCHEDULE_INVALID, "Starts can be spread over %d minutes at most",
                         SPREAD_MAX_MINUTES);
    }
    struct time_zone *zone = time_zone_open(policy->time_zone, err);
    time_zone_close(zone);
    return zone != NULL ? 0 : -1;
}

static int check_retention(const struct catalog_policy *policy, struct error *err)
{
    const unsigned counts[] = {policy->keep_days,   policy->keep_latest,  policy->keep_daily,
                               policy->keep_weekly, policy->keep_monthly, policy->keep_yearly};
    bool any = false;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        any = any || counts[i] > 0;
        if (counts[i] > KEEP_MAX) {
            return error_set(err, ERROR_RETENTION_INVALID, "%u is too much: %d at most", counts[i], KEEP_MAX);
        }
    }
    if (policy->lock_days > LOCK_MAX_DAYS) {
        return error_set(
            err, ERROR_RETENTION_INVALID,
            "A lock of %u days is too much: %d (ten years) at most, since nobody can end it early",
            policy->lock_days, LOCK_MAX_DAYS);
    }
    return any ? 0
               : error_set(err, ERROR_RETENTION_INVALID,
                           "Nothing would be kept but the last point: name days or counts");
}

int policy_check(const struct catalog_policy *policy, struct error *err)
{
    if (protection_check_name(policy->name, err) != 0 || check_schedule(policy, err) != 0 ||
        check_retention(policy, err) != 0) {
        return -1;
    }
    if (strcmp(policy->consistency, "application") != 0 && strcmp(policy->consistency, "filesystem") != 0 &&
        strcmp(policy->consistency, "crash") != 0) {
        return error_set(err, ERROR_REQUEST_INVALID,
                         "There is no consistency %.40s: application, filesystem or crash",
                         policy->consistency);
    }
    return 0;
}

int policy_create(struct catalog *catalog, const struct catalog_policy *policy, char id[IDENTITY_SIZE],
                  struct error *err)
{
    struct catalog_policy made = *policy;
    if (policy_check(policy, err) != 0) {
        return -1;
    }
    identity_create(id);
    made.id = id;
    made.version = 1;
    made.created_ms = made.changed_ms = clock_wall_ms();
    return catalog_policy_insert(catalog, &made, err);
}

int policy_edit(struct catalog *catalog, const struct catalog_policy *policy, struct error *err)
{
    return policy_check(policy, err) != 0 ? -1 : catalog_policy_update(catalog, policy, err);
}

const char *protection_state(const struct catalog_vm *vm)
{
    if (vm->group_id[0] == '\0') {
        return "unprotected";
    }
    if (vm->group_stopped) {
        return "stopped";
    }
    if (!vm->present) {
        return "vanished";
    }
    if (vm->point_count == 0) {
        return "waiting";
    }
    return strcmp(vm->last_backup, "failed") == 0 ? "failing" : "protected";
}
