#include "server/protection/point_removal.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/catalog/catalog_alerts.h"
#include "server/catalog/catalog_deletion.h"
#include "server/catalog/catalog_snapshots.h"
#include "server/protection/lock_clock.h"
#include "storage/point.h"
#include <string.h>

enum { DAY_MS = 86400000, SOFT_DELETE_MAX_DAYS = 3650 };

/* The later of the two dates: the catalog's and the record's. */
static int64_t locked_until_ms(struct server *server, const struct catalog_point *point)
{
    struct error ignored; /* a record that is gone or damaged locks nothing */
    struct point *record = point_read(server_store(server), point->id, &ignored);
    int64_t until_ms = record != NULL ? record->locked_until_ms : 0;
    point_destroy(record);
    return until_ms > point->locked_until_ms ? until_ms : point->locked_until_ms;
}

static int check_lock(struct server *server, const struct catalog_point *point, struct error *err)
{
    char text[CLOCK_TEXT_SIZE];
    struct lock_time time;
    int64_t until_ms = locked_until_ms(server, point);
    if (until_ms == 0) {
        return 0;
    }
    if (lock_clock_read(server_catalog(server), &time, err) != 0) {
        return -1;
    }
    return time.now_ms >= until_ms
               ? 0
               : error_set(err, ERROR_RP_LOCKED,
                           "Recovery point %s of %s is locked until %s: nobody can delete it before",
                           point->id, point->vm_name, clock_format_wall(until_ms, text));
}

static int check_held(struct server *server, const struct catalog_point *point, struct error *err)
{
    bool last_good = false;
    if (point->held) {
        return error_set(err, ERROR_RP_HELD, "Recovery point %s of %s is held", point->id, point->vm_name);
    }
    if (catalog_anomaly_is_last_good(server_catalog(server), point->id, &last_good, err) != 0) {
        return -1;
    }
    return !last_good ? 0
                      : error_set(err, ERROR_RP_HELD,
                                  "Recovery point %s of %s is the last good one before an unusual change: it "
                                  "stays until that alert is acknowledged",
                                  point->id, point->vm_name);
}

static int check_other_good(struct server *server, const struct catalog_point *point, struct error *err)
{
    uint64_t others;
    if (point->damaged || point->deleted_ms != 0) {
        return 0;
    }
    if (catalog_point_count_other_good(server_catalog(server), point->vm_id, point->id, &others, err) != 0) {
        return -1;
    }
    return others > 0 ? 0
                      : error_set(err, ERROR_RP_LAST, "Recovery point %s is the last good one of %s",
                                  point->id, point->vm_name);
}

/* A VM in a group that is not stopped keeps its last good point. */
static int check_protected(struct server *server, struct arena *arena, const struct catalog_point *point,
                           struct error *err)
{
    const struct catalog_vm *vm = catalog_vm_find(server_catalog(server), arena, point->vm_id, err);
    if (vm == NULL) {
        return -1;
    }
    return vm->group_id[0] == '\0' || vm->group_stopped ? 0 : check_other_good(server, point, err);
}

/* The row was deleted and due before the lock on the catalog was taken: it is looked at again under it. */
static int purge_row(struct server *server, const char *id, struct error *err)
{
    struct catalog *catalog = server_catalog(server);
    struct arena *arena = arena_create();
    const struct catalog_point *point = catalog_point_find(catalog, arena, id, err);
    int result = point != NULL ? 0 : -1;
    if (point != NULL && point->deleted_ms == 0) {
        result = error_set(err, ERROR_RP_NOT_FOUND, "Recovery point %s is no longer deleted", id);
    }
    if (result == 0 && point_delete(server_store(server), id, err) != 0) {
        result = err->code == ERROR_RP_NOT_FOUND ? 0 : -1;
    }
    arena_destroy(arena);
    return result != 0 ? -1 : catalog_point_delete(catalog, id, err);
}

static int purge(struct server *server, const struct catalog_point *point, struct error *err)
{
    struct catalog *catalog = server_catalog(server);
    if (check_lock(server, point, err) != 0) {
        return -1;
    }
    if (jobs_use_point(server_jobs(server), point->id)) {
        return error_set(err, ERROR_JOB_CONFLICT, "A job uses recovery point %s of %s", point->id,
                         point->vm_name);
    }
    if (catalog_begin(catalog, err) != 0) {
        return -1;
    }
    return catalog_end(catalog, purge_row(server, point->id, err), err);
}

/* First deleted with no days left, durably: an interruption leaves it to the next purge. */
static int remove_for_good(struct server *server, const struct catalog_point *point, const char *actor,
                           struct error *err)
{
    struct catalog *catalog = server_catalog(server);
    struct catalog_deletion deletion = {.deleted_ms = clock_wall_ms(), .by = actor};
    if (check_lock(server, point, err) != 0) {
        return -1;
    }
    if (jobs_use_point(server_jobs(server), point->id)) {
        return error_set(err, ERROR_JOB_CONFLICT, "A job uses recovery point %s of %s", point->id,
                         point->vm_name);
    }
    return catalog_point_soft_delete(catalog, point->id, &deletion, err) != 0 ||
                   catalog_point_purge_at(catalog, point->id, 0, err) != 0
               ? -1
               : purge(server, point, err);
}

static int remove_softly(struct server *server, const struct catalog_point *point,
                         const struct point_removal *removal, int64_t days, struct error *err)
{
    struct lock_time time;
    if (check_lock(server, point, err) != 0 || lock_clock_read(server_catalog(server), &time, err) != 0) {
        return -1;
    }
    struct catalog_deletion deletion = {.deleted_ms = clock_wall_ms(),
                                        .purge_ms = time.begin_ms + days * DAY_MS,
                                        .by = removal->actor,
                                        .group_id = removal->group_id};
    return catalog_point_soft_delete(server_catalog(server), point->id, &deletion, err);
}

static int remove_found(struct server *server, struct arena *arena, const struct catalog_point *point,
                        const struct point_removal *removal, struct error *err)
{
    int64_t days;
    if (config_integer(server_config(server), "soft-delete-days", 0, SOFT_DELETE_MAX_DAYS, &days, err) != 0 ||
        check_held(server, point, err) != 0 ||
        (!removal->last_too && check_protected(server, arena, point, err) != 0)) {
        return -1;
    }
    if (removal->now || days == 0) {
        return remove_for_good(server, point, removal->actor, err);
    }
    return catalog_point_check_live(point, err) != 0 ? -1 : remove_softly(server, point, removal, days, err);
}

int point_remove(struct server *server, const char *point_id, const struct point_removal *removal,
                 struct error *err)
{
    struct arena *arena = arena_create();
    const struct catalog_point *point = catalog_restorable_find(server_catalog(server), arena, point_id, err);
    int result = point != NULL ? 0 : -1;
    if (point != NULL && !point->snapshot.host_only) {
        result = remove_found(server, arena, point, removal, err);
    }
    if (result == 0) { /* its snapshot goes with it */
        result = catalog_snapshot_set_unwanted(server_catalog(server), point->id, err);
    }
    if (result == 0) {
        log_event(LOG_INFO, "recovery point deleted", "point=%s vm=\"%s\" by=\"%s\" now=%d", point->id,
                  point->vm_name, removal->actor, removal->now);
    }
    arena_destroy(arena);
    return result;
}

int point_expire(struct server *server, const char *point_id, struct error *err)
{
    struct arena *arena = arena_create();
    const struct catalog_point *point = catalog_point_find(server_catalog(server), arena, point_id, err);
    int result =
        point == NULL || check_held(server, point, err) != 0 || check_other_good(server, point, err) != 0
            ? -1
            : remove_for_good(server, point, "retention", err);
    if (result == 0) {
        result = catalog_snapshot_set_unwanted(server_catalog(server), point->id, err);
    }
    arena_destroy(arena);
    return result;
}

int point_purge(struct server *server, const char *point_id, struct error *err)
{
    struct arena *arena = arena_create();
    const struct catalog_point *point = catalog_point_find(server_catalog(server), arena, point_id, err);
    int result = point != NULL ? purge(server, point, err) : -1;
    arena_destroy(arena);
    return result;
}

int point_undelete(struct server *server, const char *point_id, const char *actor, struct error *err)
{
    if (catalog_point_undelete(server_catalog(server), point_id, err) != 0) {
        return -1;
    }
    log_event(LOG_INFO, "recovery point undeleted", "point=%s by=\"%s\"", point_id, actor);
    return 0;
}

static int count_removal(struct server *server, const char *point_id, const struct point_removal *removal,
                         struct point_removal_counts *counts, struct error *err)
{
    if (point_remove(server, point_id, removal, err) == 0) {
        counts->deleted++;
    } else if (err->code == ERROR_RP_LOCKED) {
        counts->locked++;
    } else if (err->code == ERROR_RP_HELD) {
        counts->held++;
    } else if (err->code != ERROR_RP_NOT_FOUND && err->code != ERROR_RP_DELETED) {
        return -1;
    }
    return 0;
}

int point_remove_all(struct server *server, const char *vm_id, const struct point_removal *removal,
                     struct point_removal_counts *counts, struct error *err)
{
    struct catalog_point_filter filter = {.vm_id = vm_id, .which = CATALOG_POINTS_LIVE};
    struct catalog_page page = {0};
    size_t count = CATALOG_PAGE_MAX;
    int result = 0;
    while (result == 0 && count == CATALOG_PAGE_MAX) {
        struct arena *arena = arena_create();
        const struct catalog_point *points;
        result = catalog_point_list(server_catalog(server), arena, &filter, &page, &points, &count, err);
        for (size_t i = 0; result == 0 && i < count; i++) {
            page.after = points[i].number;
            result = count_removal(server, points[i].id, removal, counts, err);
        }
        arena_destroy(arena);
    }
    return result;
}
