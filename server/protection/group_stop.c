/* How protection ends, and begins again. */
#include "server/protection/group_configure.h"

#include "server/catalog/catalog_deletion.h"
#include "server/jobs/configure_job.h"
#include "server/protection/protection.h"
#include <string.h>

static int set_stopped(struct catalog *catalog, const struct catalog_group *group, bool stopped,
                       struct error *err)
{
    struct catalog_group changed = *group;
    changed.stopped = stopped;
    return catalog_group_update(catalog, &changed, err);
}

/* A backup under way would leave one more point. */
static int check_idle(struct server *server, const struct catalog_vm *vm, struct error *err)
{
    return !jobs_use_vm(server_jobs(server), vm->id)
               ? 0
               : error_set(err, ERROR_JOB_CONFLICT, "VM %s is being backed up or restored", vm->name);
}

/* Calls act for every VM of the group. */
static int each_vm(struct server *server, const char *group_id,
                   int (*act)(struct server *server, const struct catalog_vm *vm, void *cookie,
                              struct error *err),
                   void *cookie, struct error *err)
{
    struct catalog_vm_filter filter = {.group_id = group_id};
    struct catalog_page page = {0};
    size_t count = CATALOG_PAGE_MAX;
    int result = 0;
    while (result == 0 && count == CATALOG_PAGE_MAX) {
        struct arena *arena = arena_create();
        const struct catalog_vm *vms;
        result = catalog_vm_list(server_catalog(server), arena, &filter, &page, &vms, &count, err);
        for (size_t i = 0; result == 0 && i < count; i++) {
            page.after = vms[i].number;
            result = act(server, &vms[i], cookie, err);
        }
        arena_destroy(arena);
    }
    return result;
}

static int act_check_idle(struct server *server, const struct catalog_vm *vm, void *cookie, struct error *err)
{
    (void)cookie;
    return check_idle(server, vm, err);
}

struct deletion {
    struct point_removal removal;
    struct point_removal_counts *counts;
};

static int act_delete(struct server *server, const struct catalog_vm *vm, void *cookie, struct error *err)
{
    struct deletion *deletion = cookie;
    return point_remove_all(server, vm->id, &deletion->removal, deletion->counts, err);
}

static void note_counts(struct configure_job *job, struct arena *arena,
                        const struct point_removal_counts *counts)
{
    configure_job_note(
        job, JOB_LOG_INFORMATION, ERROR_NONE,
        arena_format(arena, "Recovery points deleted: %llu", (unsigned long long)counts->deleted));
    if (counts->locked > 0) {
        configure_job_note(job, JOB_LOG_WARNING, ERROR_RP_LOCKED,
                           arena_format(arena, "Recovery points that are locked and stay: %llu",
                                        (unsigned long long)counts->locked));
    }
    if (counts->held > 0) {
        configure_job_note(job, JOB_LOG_WARNING, ERROR_RP_HELD,
                           arena_format(arena, "Recovery points that are on hold and stay: %llu",
                                        (unsigned long long)counts->held));
    }
}

/* First the schedule, so that nothing new comes while points go. */
int group_stop(struct server *server, const char *group_id, bool delete_data, const char *actor,
               struct point_removal_counts *counts, struct error *err)
{
    struct catalog *catalog = server_catalog(server);
    struct arena *arena = arena_create();
    struct configure_job job;
    struct deletion deletion = {.removal = {.actor = actor, .group_id = group_id, .last_too = true},
                                .counts = counts};
    *counts = (struct point_removal_counts){0};
    const struct catalog_group *group = catalog_group_find(catalog, arena, group_id, err);
    int result = group == NULL || (delete_data && each_vm(server, group_id, act_check_idle, NULL, err) != 0)
                     ? -1
                     : configure_job_begin(&job, catalog, group_id,
                                           arena_format(arena, "group %s is stopped, its recovery points %s",
                                                        group->name, delete_data ? "are deleted" : "stay"),
                                           actor, err);
    if (result == 0) {
        result = set_stopped(catalog, group, true, err);
        if (result == 0 && delete_data) {
            result = each_vm(server, group_id, act_delete, &deletion, err);
            note_counts(&job, arena, counts);
        }
        result = configure_job_end(&job, group_id, result, err);
    }
    arena_destroy(arena);
    return result;
}

/* Points that were purged meanwhile are gone. */
static int bring_back(struct server *server, struct arena *arena, const char *group_id, const char *actor,
                      uint64_t *undeleted, struct error *err)
{
    const char *const *ids;
    size_t count;
    if (catalog_point_list_deleted_with(server_catalog(server), arena, group_id, &ids, &count, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (point_undelete(server, ids[i], actor, err) == 0) {
            (*undeleted)++;
        } else if (err->code != ERROR_RP_NOT_FOUND) {
            return -1;
        }
    }
    return 0;
}

int group_edit(struct server *server, const char *group_id, const char *name, const char *policy_id,
               const char *actor, struct error *err)
{
    struct catalog *catalog = server_catalog(server);
    struct arena *arena = arena_create();
    struct configure_job job;
    const struct catalog_group *group = name != NULL && protection_check_name(name, err) != 0
                                            ? NULL
                                            : catalog_group_find(catalog, arena, group_id, err);
    int result = group == NULL ? -1
                               : configure_job_begin(&job, catalog, group_id,
                                                     arena_format(arena, "group %s is changed", group->name),
                                                     actor, err);
    if (result == 0) {
        struct catalog_group changed = *group;
        changed.name = name != NULL ? name : group->name;
        changed.policy_id = policy_id != NULL ? policy_id : group->policy_id;
        result = configure_job_end(&job, group_id, catalog_group_update(catalog, &changed, err), err);
    }
    arena_destroy(arena);
    return result;
}

int group_resume(struct server *server, const char *group_id, const char *actor, uint64_t *undeleted,
                 struct error *err)
{
    struct catalog *catalog = server_catalog(server);
    struct arena *arena = arena_create();
    struct configure_job job;
    *undeleted = 0;
    const struct catalog_group *group = catalog_group_find(catalog, arena, group_id, err);
    int result = group == NULL ? -1
                               : configure_job_begin(&job, catalog, group_id,
                                                     arena_format(arena, "group %s is resumed", group->name),
                                                     actor, err);
    if (result == 0) { /* the points first: retention is at work again as soon as the group is */
        result = bring_back(server, arena, group_id, actor, undeleted, err) != 0 ||
                         set_stopped(catalog, group, false, err) != 0
                     ? -1
                     : 0;
        configure_job_note(
            &job, JOB_LOG_INFORMATION, ERROR_NONE,
            arena_format(arena, "Recovery points that are back: %llu", (unsigned long long)*undeleted));
        result = configure_job_end(&job, group_id, result, err);
    }
    arena_destroy(arena);
    return result;
}

int group_remove(struct server *server, const char *group_id, const char *vm_id, bool delete_data,
                 const char *actor, struct point_removal_counts *counts, struct error *err)
{
    struct catalog *catalog = server_catalog(server);
    struct arena *arena = arena_create();
    struct configure_job job;
    struct point_removal removal = {.actor = actor, .last_too = true};
    *counts = (struct point_removal_counts){0};
    const struct catalog_vm *vm = catalog_vm_find(catalog, arena, vm_id, err);
    int result =
        vm == NULL || (delete_data && check_idle(server, vm, err) != 0)
            ? -1
            : configure_job_begin(&job, catalog, group_id,
                                  arena_format(arena, "VM %s leaves the group, its recovery points %s",
                                               vm->name, delete_data ? "are deleted" : "stay"),
                                  actor, err);
    if (result == 0) {
        result = catalog_group_remove(catalog, group_id, vm_id, err);
        if (result == 0 && delete_data) {
            result = point_remove_all(server, vm_id, &removal, counts, err);
            note_counts(&job, arena, counts);
        }
        result = configure_job_end(&job, group_id, result, err);
    }
    arena_destroy(arena);
    return result;
}

int group_delete(struct server *server, const char *group_id, const char *actor, struct error *err)
{
    struct catalog *catalog = server_catalog(server);
    struct arena *arena = arena_create();
    struct configure_job job;
    const struct catalog_group *group = catalog_group_find(catalog, arena, group_id, err);
    int result = group == NULL ? -1
                               : configure_job_begin(&job, catalog, group_id,
                                                     arena_format(arena, "group %s is deleted", group->name),
                                                     actor, err);
    if (result == 0) {
        result = catalog_group_delete(catalog, group_id, err);
        result = configure_job_end(&job, result == 0 ? NULL : group_id, result, err);
    }
    arena_destroy(arena);
    return result;
}
