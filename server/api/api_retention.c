/* What keeps recovery points, and deleting them. */
#include "server/access/guard.h"
#include "server/api/api_internal.h"
#include "server/catalog/catalog_deletion.h"
#include "server/catalog/catalog_snapshots.h"
#include "server/protection/lock_clock.h"
#include "server/protection/point_removal.h"
#include "server/protection/protection.h"
#include "server/protection/retention.h"

#include "base/clock.h"
#include <string.h>

/* --- why a point stays */

struct api_plan {
    struct api_plan *next;
    const char *vm_id;
    struct retention_time time; /* the same for all of one answer */
    struct retention_plan plan;
};

static struct api_plan *find_plan(struct api_call *call, struct api_plan **plans, const char *vm_id,
                                  struct error *err)
{
    for (struct api_plan *plan = *plans; plan != NULL; plan = plan->next) {
        if (strcmp(plan->vm_id, vm_id) == 0) {
            return plan;
        }
    }
    struct catalog *catalog = server_catalog(call->server);
    struct api_plan *plan = arena_alloc(call->arena, sizeof *plan);
    if (*plans != NULL) {
        plan->time = (*plans)->time;
    } else if (retention_time_read(catalog, &plan->time, err) != 0) {
        return NULL;
    }
    const struct catalog_vm *vm = catalog_vm_find(catalog, call->arena, vm_id, err);
    if (vm == NULL || retention_plan_vm(catalog, call->arena, vm, NULL, &plan->time, &plan->plan, err) != 0) {
        return NULL;
    }
    plan->vm_id = vm_id;
    plan->next = *plans;
    *plans = plan;
    return plan;
}

static json_t *reasons_json(unsigned reasons)
{
    json_t *names = json_array();
    for (size_t i = 0; retention_reason_names[i] != NULL; i++) {
        if ((reasons & (1u << i)) != 0) {
            json_array_append_new(names, json_string(retention_reason_names[i]));
        }
    }
    return names;
}

int api_add_kept(struct api_call *call, struct api_plan **plans, const struct catalog_point *point,
                 json_t *object, struct error *err)
{
    unsigned reasons = 0;
    int64_t until_ms = 0;
    if (point->deleted_ms == 0) {
        const struct api_plan *plan = find_plan(call, plans, point->vm_id, err);
        if (plan == NULL) {
            return -1;
        }
        for (size_t i = 0; i < plan->plan.count; i++) {
            if (plan->plan.points[i].number == point->number) {
                reasons = plan->plan.reasons[i];
            }
        }
        until_ms = retention_until_ms(plan->plan.policy, point, reasons);
    }
    json_object_set_new(object, "kept", reasons_json(reasons));
    json_object_set_new(object, "kept_until", api_time(until_ms));
    return 0;
}

/* --- what a policy would delete */

enum { PREVIEW_MAX = 1000 };

struct preview {
    json_t *items; /* NULL: only count */
    json_int_t deletes;
};

static int preview_visit(void *cookie, const struct catalog_vm *vm, const struct catalog_point *point)
{
    struct preview *preview = cookie;
    preview->deletes++;
    if (preview->items != NULL && json_array_size(preview->items) < PREVIEW_MAX) {
        json_array_append_new(preview->items,
                              json_pack("{s:s, s:s, s:s, s:o, s:I}", "id", point->id, "vm", vm->name, "vm_id",
                                        vm->id, "time", api_time(point->time_ms), "stored_bytes",
                                        (json_int_t)point->stored_bytes));
    }
    return 0;
}

int api_add_next_run(struct api_call *call, const struct catalog_policy *policy, struct error *err)
{
    struct preview preview = {0};
    if (retention_preview(server_catalog(call->server), policy, preview_visit, &preview, err) != 0) {
        return -1;
    }
    json_object_set_new(call->reply, "next_run_deletes", json_integer(preview.deletes));
    return 0;
}

int api_policy_preview(struct api_call *call, struct error *err)
{
    struct preview preview = {0};
    const struct catalog_policy *policy =
        catalog_policy_find(server_catalog(call->server), call->arena, call->parameters[0], err);
    if (policy == NULL) {
        return -1;
    }
    struct catalog_policy changed = *policy;
    if (api_read_policy(call->body, &changed, err) != 0 || policy_check(&changed, err) != 0) {
        return -1;
    }
    preview.items = json_array();
    if (retention_preview(server_catalog(call->server), &changed, preview_visit, &preview, err) != 0) {
        json_decref(preview.items);
        return -1;
    }
    call->reply = json_pack("{s:o, s:I, s:o}", "policy", api_policy_json(&changed), "deletes",
                            preview.deletes, "points", preview.items);
    return 0;
}

/* --- one point */

static const struct catalog_point *find_point(struct api_call *call, struct error *err)
{
    return catalog_point_find(server_catalog(call->server), call->arena, call->parameters[0], err);
}

/* The point as it is now, for the audit record. */
static json_t *point_now(struct api_call *call)
{
    struct error ignored;
    json_t *now = api_point_show(call, &ignored) == 0 ? call->reply : NULL;
    call->reply = NULL;
    return now;
}

/* After a change: the answer, which the record gets, too. Takes before over. */
static int answer_point(struct api_call *call, json_t *before, struct error *err)
{
    if (api_point_show(call, err) != 0) {
        json_decref(before);
        return -1;
    }
    api_audit_changed(call, before, call->reply);
    return 0;
}

int api_point_delete(struct api_call *call, struct error *err)
{
    struct point_removal removal = {.actor = call->actor};
    struct error gone;
    const struct catalog_point *point =
        catalog_restorable_find(server_catalog(call->server), call->arena, call->parameters[0], err);
    if (point == NULL || api_query_flag(call, "now", &removal.now, err) != 0 ||
        api_query_flag(call, "force", &removal.last_too, err) != 0) {
        return -1;
    }
    json_t *before = point_now(call);
    if (point_remove(call->server, point->id, &removal, err) != 0) {
        json_decref(before);
        return -1;
    }
    if (before != NULL) {
        api_audit_changed(call, before, NULL);
    }
    if (point->snapshot.host_id[0] != '\0') { /* its host is told, now or when it is back */
        (void)agents_discover(server_agents(call->server), point->snapshot.host_id, &gone);
    }
    point = catalog_point_find(server_catalog(call->server), call->arena, point->id, &gone);
    call->reply = json_pack("{s:o}", "purge", api_time(point != NULL ? point->purge_ms : 0));
    return 0;
}

int api_point_undelete(struct api_call *call, struct error *err)
{
    const struct catalog_point *point = find_point(call, err);
    return point == NULL || point_undelete(call->server, point->id, call->actor, err) != 0
               ? -1
               : answer_point(call, NULL, err);
}

int api_point_hold(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"held", NULL};
    bool held = true;
    const struct catalog_point *point = find_point(call, err);
    if (point == NULL || api_check_fields(call->body, fields, err) != 0 ||
        api_boolean_field(call->body, "held", &held, err) != 0 || catalog_point_check_live(point, err) != 0 ||
        (point->held && !held &&
         access_confirm(call, arena_format(call->arena, "end the hold of recovery point %.8s", point->id),
                        err) != 0)) {
        return -1;
    }
    json_t *before = point_now(call);
    if (catalog_point_set_held(server_catalog(call->server), point->id, held, err) != 0) {
        json_decref(before);
        return -1;
    }
    return answer_point(call, before, err);
}

/* The new date; 0: the policy decides. */
static int read_retain(struct api_call *call, const struct catalog_point *point, int64_t *until_ms,
                       struct error *err)
{
    static const char *const fields[] = {"until", NULL};
    char text[CLOCK_TEXT_SIZE];
    struct lock_time time;
    if (json_object_get(call->body, "until") == NULL) {
        return error_set(err, ERROR_REQUEST_INVALID,
                         "until must be a time, or null for what the policy says");
    }
    if (api_check_fields(call->body, fields, err) != 0 ||
        api_time_field(call->body, "until", until_ms, err) != 0 ||
        lock_clock_read(server_catalog(call->server), &time, err) != 0) {
        return -1;
    }
    if (*until_ms != 0 && *until_ms <= clock_wall_ms()) {
        return error_set(err, ERROR_REQUEST_INVALID, "The time until which the point is kept is past");
    }
    if (*until_ms < point->locked_until_ms && point->locked_until_ms > time.now_ms) {
        return error_set(err, ERROR_RP_LOCKED, "Recovery point %s of %s is locked until %s", point->id,
                         point->vm_name, clock_format_wall(point->locked_until_ms, text));
    }
    return 0;
}

int api_point_retain(struct api_call *call, struct error *err)
{
    int64_t until_ms = 0;
    const struct catalog_point *point = find_point(call, err);
    if (point == NULL || catalog_point_check_live(point, err) != 0 ||
        read_retain(call, point, &until_ms, err) != 0 ||
        (until_ms < point->retain_until_ms &&
         access_confirm(call, arena_format(call->arena, "keep recovery point %.8s for less", point->id),
                        err) != 0)) {
        return -1;
    }
    json_t *before = point_now(call);
    if (catalog_point_set_retain_until(server_catalog(call->server), point->id, until_ms, err) != 0) {
        json_decref(before);
        return -1;
    }
    return answer_point(call, before, err);
}
