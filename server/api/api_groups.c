/* Protection groups. */
#include "server/access/guard.h"
#include "server/api/api_internal.h"
#include "server/protection/group_configure.h"
#include "server/protection/protection.h"
#include "server/protection/standing.h"

static json_t *group_json(const struct catalog_group *group)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:I}", "id", group->id, "name", group->name,
                     "policy", group->policy_name, "policy_id", group->policy_id, "stopped", group->stopped,
                     "created", api_time(group->created_ms), "last_scheduled", api_time(group->scheduled_ms),
                     "vm_count", (json_int_t)group->vm_count);
}

int api_group_list(struct api_call *call, struct error *err)
{
    struct catalog_page page;
    const struct catalog_group *groups;
    size_t count;
    if (api_page(call, &page, err) != 0 ||
        catalog_group_list(server_catalog(call->server), call->arena, &page, &groups, &count, err) != 0) {
        return -1;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *item = group_json(&groups[i]);
        json_object_set_new(item, "next_run", api_group_next_run(call, &groups[i], NULL));
        json_array_append_new(items, item);
    }
    call->reply = api_list(items, &page, count > 0 ? groups[count - 1].number : 0);
    return 0;
}

static const struct catalog_group *find_group(struct api_call *call, const char *reference, struct error *err)
{
    return catalog_group_find(server_catalog(call->server), call->arena, reference, err);
}

int api_group_show(struct api_call *call, struct error *err)
{
    const struct catalog_group *group = find_group(call, call->parameters[0], err);
    if (group == NULL) {
        return -1;
    }
    const struct catalog_vm_filter filter = {.group_id = group->id};
    const struct catalog_page page = {.limit = CATALOG_PAGE_MAX};
    const struct catalog_vm *vms;
    size_t count;
    if (catalog_vm_list(server_catalog(call->server), call->arena, &filter, &page, &vms, &count, err) != 0) {
        return -1;
    }
    json_t *members = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(members, json_pack("{s:s, s:s, s:s, s:s, s:I, s:o, s:o}", "id", vms[i].id,
                                                 "name", vms[i].name, "host", vms[i].host_name, "protection",
                                                 vm_state_name(vm_state_of(&vms[i])), "points",
                                                 (json_int_t)vms[i].point_count, "last_point_time",
                                                 api_time(vms[i].last_point_ms), "next_run",
                                                 api_group_next_run(call, group, vms[i].id)));
    }
    call->reply = group_json(group);
    json_object_set_new(call->reply, "next_run", api_group_next_run(call, group, NULL));
    json_object_set_new(call->reply, "vms", members);
    return 0;
}

/* The ids of the VMs that a request names, in the arena. */
static int read_vms(struct api_call *call, const json_t *names, const char *const **ids, size_t *count,
                    struct error *err)
{
    *count = json_array_size(names);
    const char **list = arena_alloc(call->arena, (*count + 1) * sizeof *list);
    if (names != NULL && !json_is_array(names)) {
        return error_set(err, ERROR_REQUEST_INVALID, "vms must be a list of VMs");
    }
    for (size_t i = 0; i < *count; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (name == NULL) {
            return error_set(err, ERROR_REQUEST_INVALID, "vms must be a list of names or ids");
        }
        const struct catalog_vm *vm = catalog_vm_find(server_catalog(call->server), call->arena, name, err);
        if (vm == NULL) {
            return -1;
        }
        list[i] = vm->id;
    }
    *ids = list;
    return 0;
}

/* {"vm", "severity", "code", "message", "cause", "action"} for each thing that was found. */
static json_t *findings_json(const struct group_report *report)
{
    json_t *items = json_array();
    for (size_t i = 0; i < report->count; i++) {
        json_t *item = api_error_json(&report->findings[i].problem);
        json_object_set_new(item, "vm", api_text_or_null(report->findings[i].vm_name));
        json_object_set_new(item, "severity", json_string(report->findings[i].refused ? "error" : "warning"));
        json_array_append_new(items, item);
    }
    return items;
}

/* Only said what would be; or carried out, with the group as the answer. */
static int configure(struct api_call *call, const struct group_request *request, bool dry_run,
                     struct error *err)
{
    struct group_report report;
    char id[IDENTITY_SIZE];
    if (dry_run) {
        if (group_validate(call->server, call->arena, request, &report, err) != 0) {
            return -1;
        }
        call->reply =
            json_pack("{s:b, s:o}", "valid", report.refused == 0, "findings", findings_json(&report));
        return 0;
    }
    if (group_configure(call->server, call->arena, request, &report, id, err) != 0) {
        return -1;
    }
    call->status = request->group_id == NULL ? 201 : 200;
    call->parameters[0] = arena_text(call->arena, id);
    if (api_group_show(call, err) != 0) {
        return -1;
    }
    json_object_set_new(call->reply, "warnings", findings_json(&report));
    return 0;
}

/* Points that no policy counted so far get a policy that may end them: as if retention was shortened. */
static int confirm_retention(struct api_call *call, const char *policy_name, const char *const *vm_ids,
                             size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct catalog_vm *vm =
            catalog_vm_find(server_catalog(call->server), call->arena, vm_ids[i], err);
        if (vm == NULL) {
            return -1;
        }
        if (vm->point_count > 0 && vm->group_id[0] == '\0') {
            const char *what = arena_format(call->arena, "put the recovery points of %s under policy %s",
                                            vm->name, policy_name);
            return access_confirm(call, what, err);
        }
    }
    return 0;
}

int api_group_create(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"name", "policy", "vms", "dry_run", NULL};
    struct group_request request = {.actor = call->actor};
    const char *policy_name = NULL;
    bool dry_run = false;
    if (api_check_fields(call->body, fields, err) != 0 ||
        api_text_field(call->body, "name", &request.name, err) != 0 ||
        api_text_field(call->body, "policy", &policy_name, err) != 0 ||
        api_boolean_field(call->body, "dry_run", &dry_run, err) != 0) {
        return -1;
    }
    if (request.name == NULL || policy_name == NULL) {
        return error_set(err, ERROR_REQUEST_INVALID, "A group needs a name and a policy");
    }
    const struct catalog_policy *policy =
        catalog_policy_find(server_catalog(call->server), call->arena, policy_name, err);
    if (policy == NULL ||
        read_vms(call, json_object_get(call->body, "vms"), &request.vm_ids, &request.count, err) != 0) {
        return -1;
    }
    if (!dry_run && confirm_retention(call, policy->name, request.vm_ids, request.count, err) != 0) {
        return -1;
    }
    request.policy_id = policy->id;
    return configure(call, &request, dry_run, err);
}

/* The points of its VMs fall under another policy. */
static int confirm_policy(struct api_call *call, const struct catalog_group *group,
                          const struct catalog_policy *to, struct error *err)
{
    const struct catalog_policy *from =
        catalog_policy_find(server_catalog(call->server), call->arena, group->policy_id, err);
    if (from == NULL) {
        return -1;
    }
    return !api_policy_shortens(from, to)
               ? 0
               : access_confirm(call,
                                arena_format(call->arena, "put group %s under policy %s, which keeps less",
                                             group->name, to->name),
                                err);
}

int api_group_edit(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"name", "policy", NULL};
    const char *name = NULL;
    const char *policy_name = NULL;
    const struct catalog_policy *policy = NULL;
    const struct catalog_group *group = find_group(call, call->parameters[0], err);
    if (group == NULL || api_check_fields(call->body, fields, err) != 0 ||
        api_text_field(call->body, "name", &name, err) != 0 ||
        api_text_field(call->body, "policy", &policy_name, err) != 0) {
        return -1;
    }
    if (name == NULL && policy_name == NULL) {
        return error_set(err, ERROR_REQUEST_INVALID, "Say what to change: name or policy");
    }
    if (policy_name != NULL) {
        policy = catalog_policy_find(server_catalog(call->server), call->arena, policy_name, err);
        if (policy == NULL || confirm_policy(call, group, policy, err) != 0) {
            return -1;
        }
    }
    if (group_edit(call->server, group->id, name, policy != NULL ? policy->id : NULL, call->actor, err) !=
        0) {
        return -1;
    }
    json_t *before = group_json(group);
    call->parameters[0] = group->id;
    int result = api_group_show(call, err);
    api_audit_changed(call, before, call->reply);
    return result;
}

int api_group_delete(struct api_call *call, struct error *err)
{
    const struct catalog_group *group = find_group(call, call->parameters[0], err);
    if (group == NULL || group_delete(call->server, group->id, call->actor, err) != 0) {
        return -1;
    }
    api_audit_changed(call, group_json(group), NULL);
    call->reply = json_object();
    return 0;
}

int api_group_add(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"vms", "dry_run", NULL};
    struct group_request request = {.actor = call->actor};
    bool dry_run = false;
    const struct catalog_group *group = find_group(call, call->parameters[0], err);
    if (group == NULL || api_check_fields(call->body, fields, err) != 0 ||
        api_boolean_field(call->body, "dry_run", &dry_run, err) != 0 ||
        read_vms(call, json_object_get(call->body, "vms"), &request.vm_ids, &request.count, err) != 0) {
        return -1;
    }
    if (!dry_run && confirm_retention(call, group->policy_name, request.vm_ids, request.count, err) != 0) {
        return -1;
    }
    request.group_id = group->id;
    request.name = group->name;
    return configure(call, &request, dry_run, err);
}

/* The group as it is now, with what became of points. */
static int show_counts(struct api_call *call, const struct point_removal_counts *counts, struct error *err)
{
    if (api_group_show(call, err) != 0) {
        return -1;
    }
    json_object_set_new(call->reply, "points",
                        json_pack("{s:I, s:I, s:I}", "deleted", (json_int_t)counts->deleted, "locked",
                                  (json_int_t)counts->locked, "held", (json_int_t)counts->held));
    return 0;
}

int api_group_remove(struct api_call *call, struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    struct point_removal_counts counts;
    bool delete_data = false;
    const struct catalog_group *group = find_group(call, call->parameters[0], err);
    const struct catalog_vm *vm =
        group != NULL ? catalog_vm_find(catalog, call->arena, call->parameters[1], err) : NULL;
    if (vm == NULL || api_query_flag(call, "delete_data", &delete_data, err) != 0 ||
        (delete_data &&
         access_confirm(call, arena_format(call->arena, "delete the recovery points of %s", vm->name), err) !=
             0) ||
        group_remove(call->server, group->id, vm->id, delete_data, call->actor, &counts, err) != 0) {
        return -1;
    }
    return show_counts(call, &counts, err);
}

int api_group_stop(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"delete_data", NULL};
    struct point_removal_counts counts;
    bool delete_data = false;
    const struct catalog_group *group = find_group(call, call->parameters[0], err);
    if (group == NULL || api_check_fields(call->body, fields, err) != 0 ||
        api_boolean_field(call->body, "delete_data", &delete_data, err) != 0 ||
        (delete_data &&
         access_confirm(
             call, arena_format(call->arena, "stop group %s and delete its recovery points", group->name),
             err) != 0) ||
        group_stop(call->server, group->id, delete_data, call->actor, &counts, err) != 0) {
        return -1;
    }
    return show_counts(call, &counts, err);
}

int api_group_resume(struct api_call *call, struct error *err)
{
    uint64_t undeleted;
    const struct catalog_group *group = find_group(call, call->parameters[0], err);
    if (group == NULL || group_resume(call->server, group->id, call->actor, &undeleted, err) != 0 ||
        api_group_show(call, err) != 0) {
        return -1;
    }
    json_object_set_new(call->reply, "points", json_pack("{s:I}", "undeleted", (json_int_t)undeleted));
    return 0;
}
