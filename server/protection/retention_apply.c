/* Retention carried out, and what it would do. */
#include "server/protection/retention.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/audit/audit.h"
#include "server/catalog/catalog_alerts.h"
#include "server/catalog/catalog_deletion.h"
#include "server/protection/point_removal.h"
#include <string.h>

/* All points of a VM that are not deleted, newest first. */
static int read_points(struct catalog *catalog, struct arena *arena, const char *vm_id,
                       struct retention_plan *plan, struct error *err)
{
    struct catalog_point_filter filter = {.vm_id = vm_id, .which = CATALOG_POINTS_LIVE};
    struct catalog_page page = {0};
    const struct catalog_point *points;
    size_t count;
    do {
        if (catalog_point_list(catalog, arena, &filter, &page, &points, &count, err) != 0) {
            return -1;
        }
        for (size_t i = 0; i < count; i++) {
            plan->points = arena_grow(arena, plan->points, plan->count, sizeof *plan->points);
            plan->points[plan->count++] = points[i];
            page.after = points[i].number;
        }
    } while (count == CATALOG_PAGE_MAX);
    return 0;
}

/* The policy that is in force for the VM; *policy NULL when none is. */
static int find_policy(struct catalog *catalog, struct arena *arena, const struct catalog_vm *vm,
                       const struct catalog_policy *changed, const struct catalog_policy **policy,
                       struct error *err)
{
    *policy = NULL;
    if (vm->group_id[0] == '\0' || vm->group_stopped) {
        return 0;
    }
    const struct catalog_group *group = catalog_group_find(catalog, arena, vm->group_id, err);
    if (group == NULL) {
        return -1;
    }
    *policy = changed != NULL && strcmp(changed->id, group->policy_id) == 0
                  ? changed
                  : catalog_policy_find(catalog, arena, group->policy_id, err);
    return *policy != NULL ? 0 : -1;
}

/* What nothing else keeps may be the last good point before an unusual change. */
static int keep_last_good(struct catalog *catalog, struct retention_plan *plan, struct error *err)
{
    for (size_t i = 0; i < plan->count; i++) {
        bool last_good = false;
        if (plan->reasons[i] == 0 &&
            catalog_anomaly_is_last_good(catalog, plan->points[i].id, &last_good, err) != 0) {
            return -1;
        }
        plan->reasons[i] |= last_good ? RETENTION_GOOD : 0;
    }
    return 0;
}

int retention_plan_vm(struct catalog *catalog, struct arena *arena, const struct catalog_vm *vm,
                      const struct catalog_policy *changed, const struct retention_time *time,
                      struct retention_plan *plan, struct error *err)
{
    *plan = (struct retention_plan){0};
    if (find_policy(catalog, arena, vm, changed, &plan->policy, err) != 0 ||
        read_points(catalog, arena, vm->id, plan, err) != 0) {
        return -1;
    }
    struct error ignored; /* an alert tells of it */
    struct time_zone *zone = plan->policy != NULL ? time_zone_open(plan->policy->time_zone, &ignored) : NULL;
    if (zone == NULL) { /* without its days a policy decides nothing: all points stay */
        plan->policy = NULL;
    }
    plan->reasons = arena_alloc(arena, (plan->count + 1) * sizeof *plan->reasons);
    retention_decide(plan->policy, zone, plan->points, plan->count, time, plan->reasons);
    time_zone_close(zone);
    return keep_last_good(catalog, plan, err);
}

/* What decides for a walk over VMs, and who is told. */
struct walk {
    struct catalog *catalog;
    const struct catalog_policy *changed; /* NULL: as things are */
    struct retention_time time;
    retention_visit visit;
    void *cookie;
};

/* Visits what may go of one VM. */
static int visit_vm(const struct walk *walk, const struct catalog_vm *vm, struct error *err)
{
    if (vm->point_count < 2) {
        return 0; /* the last one stays */
    }
    struct arena *arena = arena_create();
    struct retention_plan plan;
    int result = retention_plan_vm(walk->catalog, arena, vm, walk->changed, &walk->time, &plan, err);
    for (size_t i = 0; result == 0 && i < plan.count; i++) {
        result = plan.reasons[i] == 0 ? walk->visit(walk->cookie, vm, &plan.points[i]) : 0;
    }
    arena_destroy(arena);
    return result;
}

static int visit_group(const struct walk *walk, const struct catalog_group *group, struct error *err)
{
    struct catalog_vm_filter filter = {.group_id = group->id};
    struct catalog_page page = {0};
    size_t count = CATALOG_PAGE_MAX;
    int result = 0;
    while (result == 0 && count == CATALOG_PAGE_MAX) {
        struct arena *arena = arena_create();
        const struct catalog_vm *vms;
        result = catalog_vm_list(walk->catalog, arena, &filter, &page, &vms, &count, err);
        for (size_t i = 0; result == 0 && i < count; i++) {
            page.after = vms[i].number;
            result = visit_vm(walk, &vms[i], err);
        }
        arena_destroy(arena);
    }
    return result;
}

/* policy: only of its groups, decided by it; NULL: of all groups, as things are. */
static int visit_all(struct catalog *catalog, const struct catalog_policy *policy, retention_visit visit,
                     void *cookie, struct error *err)
{
    struct arena *arena = arena_create();
    struct catalog_page page = {0};
    struct walk walk = {.catalog = catalog, .changed = policy, .visit = visit, .cookie = cookie};
    const struct catalog_group *groups;
    size_t count = CATALOG_PAGE_MAX;
    int result = retention_time_read(catalog, &walk.time, err);
    while (result == 0 && count == CATALOG_PAGE_MAX) {
        result = catalog_group_list(catalog, arena, &page, &groups, &count, err);
        for (size_t i = 0; result == 0 && i < count; i++) {
            page.after = groups[i].number;
            if (!groups[i].stopped && (policy == NULL || strcmp(policy->id, groups[i].policy_id) == 0)) {
                result = visit_group(&walk, &groups[i], err);
            }
            if (result != 0 && policy == NULL) {
                log_error("retention not applied to a group", err); /* the others are not kept waiting */
                result = 0;
            }
        }
    }
    arena_destroy(arena);
    return result;
}

int retention_preview(struct catalog *catalog, const struct catalog_policy *policy, retention_visit visit,
                      void *cookie, struct error *err)
{
    return visit_all(catalog, policy, visit, cookie, err);
}

struct expiry {
    struct server *server;
    uint64_t *deleted;
};

/* Not without an entry in the audit record. */
static int remove_on_record(struct server *server, const char *point_id, const char *action,
                            int (*remove)(struct server *, const char *, struct error *), struct error *err)
{
    int64_t number;
    struct audit_entry entry = {.actor = "retention", .action = action, .object = point_id, .detail = "{}"};
    if (audit_begin(server_audit(server), &entry, &number, err) != 0) {
        return -1;
    }
    int result = remove(server, point_id, err);
    audit_end(server_audit(server), &entry, number, result == 0 ? NULL : err);
    return result;
}

static int expire(void *cookie, const struct catalog_vm *vm, const struct catalog_point *point)
{
    struct expiry *expiry = cookie;
    struct error err;
    if (jobs_use_point(server_jobs(expiry->server), point->id)) {
        return 0;
    }
    if (remove_on_record(expiry->server, point->id, "retention delete", point_expire, &err) != 0) {
        log_error("recovery point not deleted", &err);
        return 0;
    }
    (*expiry->deleted)++;
    log_event(LOG_INFO, "recovery point expired", "point=%s vm=\"%s\"", point->id, vm->name);
    return 0;
}

/* Deleted points whose days are over. What can't go now is tried again the next time. */
static int purge_deleted(struct server *server, uint64_t *deleted, struct error *err)
{
    struct catalog *catalog = server_catalog(server);
    struct arena *arena = arena_create();
    struct retention_time time;
    const char *const *ids = NULL;
    size_t count = 0;
    int result = retention_time_read(catalog, &time, err);
    if (result == 0) {
        result = catalog_point_list_purgeable(catalog, arena, time.lock_ms, &ids, &count, err);
    }
    for (size_t i = 0; result == 0 && i < count; i++) {
        struct error why;
        if (remove_on_record(server, ids[i], "retention purge", point_purge, &why) == 0) {
            (*deleted)++;
            log_event(LOG_INFO, "deleted recovery point purged", "point=%s", ids[i]);
        } else if (why.code != ERROR_JOB_CONFLICT) {
            log_error("deleted recovery point not purged", &why);
        }
    }
    arena_destroy(arena);
    return result;
}

int retention_apply(struct server *server, uint64_t *deleted, struct error *err)
{
    struct expiry expiry = {.server = server, .deleted = deleted};
    *deleted = 0;
    return visit_all(server_catalog(server), NULL, expire, &expiry, err) != 0 ||
                   purge_deleted(server, deleted, err) != 0
               ? -1
               : 0;
}
