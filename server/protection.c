#include "server/protection.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/catalog_snapshots.h"
#include "server/schedule.h"
#include <ctype.h>
#include <string.h>

enum {
    TITLE_MIN = 2,
    TITLE_MAX = 50,
    INTERVAL_MAX_MINUTES = 7 * 24 * 60,
    SPREAD_MAX_MINUTES = 24 * 60,
    KEEP_MAX = 100000,
    SNAPSHOT_DAYS_MAX = 5,
    DISKS_MAX = 32,
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

int group_create(struct server *server, const char *name, const char *policy_id, char id[IDENTITY_SIZE],
                 struct error *err)
{
    if (protection_check_name(name, err) != 0) {
        return -1;
    }
    identity_create(id);
    struct catalog_group group = {
        .id = id, .name = name, .policy_id = policy_id, .created_ms = clock_wall_ms()};
    return catalog_group_insert(server_catalog(server), &group, err);
}

/* Whether a VM can be protected now: it is there, its host answers, it has disks that can be backed up. */
static int check_vm(struct server *server, struct arena *arena, const struct catalog_vm *vm,
                    struct error *err)
{
    const struct catalog_vm_disk *disks;
    size_t count;
    if (catalog_vm_check_present(vm, err) != 0) {
        return -1;
    }
    if (!agents_connected(server_agents(server), vm->host_id)) {
        return error_set(err, ERROR_HOST_UNREACHABLE, "Host %s of VM %s is not connected", vm->host_name,
                         vm->name);
    }
    if (catalog_vm_disk_list(server_catalog(server), arena, vm->id, &disks, &count, err) != 0) {
        return -1;
    }
    size_t supported = 0;
    for (size_t i = 0; i < count; i++) {
        supported += disks[i].supported;
    }
    if (supported == 0) {
        error_set(err, ERROR_DISK_UNSUPPORTED, "VM %s has no disk that can be backed up", vm->name);
        return count > 0 ? error_set_cause(err, "%s: %s", disks[0].name, disks[0].reason) : -1;
    }
    return supported <= DISKS_MAX
               ? 0
               : error_set(err, ERROR_TOO_MANY_DISKS, "VM %s has %zu disks; %d are possible", vm->name,
                           supported, DISKS_MAX);
}

int group_add(struct server *server, const char *group_id, const char *const *vm_ids, size_t count,
              struct error *err)
{
    struct catalog *catalog = server_catalog(server);
    struct arena *arena = arena_create();
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        const struct catalog_vm *vm = catalog_vm_find(catalog, arena, vm_ids[i], err);
        result = vm != NULL ? check_vm(server, arena, vm, err) : -1;
    }
    arena_destroy(arena);
    if (result != 0 || catalog_begin(catalog, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (catalog_group_add(catalog, group_id, vm_ids[i], err) != 0) {
            catalog_roll_back(catalog);
            return -1;
        }
    }
    return catalog_commit(catalog, err);
}

/* The row goes first: a server that dies between finds a point that the catalog lacks, and lists it again. */
int protection_delete_point(struct server *server, const char *point_id, struct error *err)
{
    struct arena *arena = arena_create();
    const struct catalog_point *point = catalog_restorable_find(server_catalog(server), arena, point_id, err);
    int result = point != NULL ? 0 : -1;
    if (point != NULL && point->held) {
        result = error_set(err, ERROR_RP_HELD, "Recovery point %s of %s is held", point->id, point->vm_name);
    } else if (point != NULL && jobs_use_point(server_jobs(server), point->id)) {
        result = error_set(err, ERROR_JOB_CONFLICT, "A job uses recovery point %s of %s", point->id,
                           point->vm_name);
    }
    if (result == 0) { /* its snapshot goes with it */
        result = catalog_snapshot_set_unwanted(server_catalog(server), point->id, err);
    }
    if (result == 0 && point->snapshot.host_only) {
        arena_destroy(arena);
        return 0;
    }
    if (result == 0) {
        result = catalog_point_delete(server_catalog(server), point->id, err);
    }
    if (result == 0 && point_delete(server_store(server), point->id, err) != 0) {
        result = err->code == ERROR_RP_NOT_FOUND ? 0 : -1;
    }
    arena_destroy(arena);
    return result;
}
