#include "server/protection/protection.h"

#include "base/clock.h"
#include "server/protection/schedule.h"
#include <ctype.h>
#include <string.h>

enum {
    TITLE_MIN = 2,
    TITLE_MAX = 50,
    INTERVAL_MIN_MINUTES = 1, /* operators can't go below what holdfastd.conf says */
    KEEP_MAX = 100000,
    LOCK_MAX_DAYS = 3653,
    SNAPSHOT_DAYS_MAX = 5,
};

void policy_default(struct catalog_policy *policy)
{
    *policy = (struct catalog_policy){.id = "",
                                      .name = "",
                                      .enabled = true,
                                      .schedule = SCHEDULE_DAILY,
                                      .daily_times = "22:00",
                                      .days = SCHEDULE_EVERY_DAY,
                                      .time_zone = "UTC",
                                      .priority = PRIORITY_NORMAL,
                                      .keep_days = 30,
                                      .snapshot_days = 2,
                                      .consistency = "filesystem",
                                      .changed_by = ""};
}

int protection_check_name(const char *name, struct error *err)
{
    size_t length = strlen(name);
    bool valid = length >= TITLE_MIN && length <= TITLE_MAX && isalpha((unsigned char)name[0]);
    for (size_t i = 1; valid && i < length; i++) {
        valid = isalnum((unsigned char)name[i]) || name[i] == '-';
    }
    return valid ? 0
                 : error_set(
                       err, ERROR_POLICY_NAME_INVALID,
                       "\"%.60s\" can't be a name here: %d to %d letters, digits and hyphens, a letter first",
                       name, TITLE_MIN, TITLE_MAX);
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
    if (policy->snapshot_days > SNAPSHOT_DAYS_MAX) {
        return error_set(err, ERROR_RETENTION_INVALID,
                         "Snapshots stay on their hosts for %d days at most, not for %u", SNAPSHOT_DAYS_MAX,
                         policy->snapshot_days);
    }
    return any ? 0
               : error_set(err, ERROR_RETENTION_INVALID,
                           "Nothing would be kept but the last point: name days or counts");
}

int policy_check(const struct catalog_policy *policy, struct error *err)
{
    if (protection_check_name(policy->name, err) != 0 ||
        schedule_check(policy, INTERVAL_MIN_MINUTES, err) != 0 || check_retention(policy, err) != 0) {
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
    made.created_ms = made.changed_ms = made.schedule_changed_ms = clock_wall_ms();
    return catalog_policy_insert(catalog, &made, err);
}

int policy_edit(struct catalog *catalog, const struct catalog_policy *edited,
                const struct catalog_policy *policy, struct error *err)
{
    struct catalog_policy made = *policy;
    if (policy_check(policy, err) != 0) {
        return -1;
    }
    made.id = edited->id;
    made.version = edited->version;
    made.schedule_changed_ms =
        schedule_is_same(edited, policy) ? edited->schedule_changed_ms : clock_wall_ms();
    return catalog_policy_update(catalog, &made, err);
}
