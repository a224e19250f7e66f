/* Policies and protection groups. */
#include "server/api_internal.h"
#include "server/protection.h"

#include <string.h>

static json_t *policy_json(const struct catalog_policy *policy)
{
    json_t *schedule = json_pack(
        "{s:s, s:i, s:s, s:i, s:s, s:i}", "kind", schedule_kind_name(policy->schedule), "interval_minutes",
        (int)policy->interval_minutes, "daily_times", policy->daily_times, "days", (int)policy->days,
        "timezone", policy->time_zone, "spread_minutes", (int)policy->spread_minutes);
    json_t *retention = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "days", (int)policy->keep_days, "latest",
                                  (int)policy->keep_latest, "daily", (int)policy->keep_daily, "weekly",
                                  (int)policy->keep_weekly, "monthly", (int)policy->keep_monthly, "yearly",
                                  (int)policy->keep_yearly);
    return json_pack("{s:s, s:s, s:i, s:b, s:o, s:o, s:i, s:s, s:b, s:b, s:o, s:o, s:I}", "id", policy->id,
                     "name", policy->name, "version", policy->version, "enabled", policy->enabled, "schedule",
                     schedule, "retention", retention, "snapshot_days", (int)policy->snapshot_days,
                     "consistency", policy->consistency, "consistency_required", policy->consistency_required,
                     "exclude_pages", policy->exclude_pages, "created", api_time(policy->created_ms),
                     "changed", api_time(policy->changed_ms), "groups", (json_int_t)policy->group_count);
}

int api_policy_list(struct api_call *call, struct error *err)
{
    struct catalog_page page;
    const struct catalog_policy *policies;
    size_t count;
    if (api_page(call, &page, err) != 0 ||
        catalog_policy_list(server_catalog(call->server), call->arena, &page, &policies, &count, err) != 0) {
        return -1;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(items, policy_json(&policies[i]));
    }
    call->reply = api_list(items, &page, count > 0 ? policies[count - 1].number : 0);
    return 0;
}

static const struct catalog_policy *find_policy(struct api_call *call, const char *reference,
                                                struct error *err)
{
    return catalog_policy_find(server_catalog(call->server), call->arena, reference, err);
}

int api_policy_show(struct api_call *call, struct error *err)
{
    const struct catalog_policy *policy = find_policy(call, call->parameters[0], err);
    call->reply = policy != NULL ? policy_json(policy) : NULL;
    return policy != NULL ? 0 : -1;
}

static int read_count(const json_t *body, const char *name, unsigned *value, struct error *err)
{
    enum { COUNT_MAX = 100000 };
    int64_t number = *value;
    if (api_number_field(body, name, 0, COUNT_MAX, &number, err) != 0) {
        return -1;
    }
    *value = (unsigned)number;
    return 0;
}

static int read_schedule(const json_t *schedule, struct catalog_policy *policy, struct error *err)
{
    static const char *const fields[] = {"kind",     "interval_minutes", "daily_times", "days",
                                         "timezone", "spread_minutes",   NULL};
    const char *kind = schedule_kind_name(policy->schedule);
    if (schedule == NULL) {
        return 0;
    }
    if (!json_is_object(schedule)) {
        return error_set(err, ERROR_REQUEST_INVALID, "schedule must be an object");
    }
    if (api_check_fields(schedule, fields, err) != 0 || api_text_field(schedule, "kind", &kind, err) != 0 ||
        read_count(schedule, "interval_minutes", &policy->interval_minutes, err) != 0 ||
        api_text_field(schedule, "daily_times", &policy->daily_times, err) != 0 ||
        read_count(schedule, "days", &policy->days, err) != 0 ||
        api_text_field(schedule, "timezone", &policy->time_zone, err) != 0 ||
        read_count(schedule, "spread_minutes", &policy->spread_minutes, err) != 0) {
        return -1;
    }
    if (schedule_kind_parse(kind, &policy->schedule) != 0) {
        return error_set(err, ERROR_SCHEDULE_INVALID,
                         "There is no schedule of kind %s: manual, interval or daily", kind);
    }
    return 0;
}

static int read_retention(const json_t *retention, struct catalog_policy *policy, struct error *err)
{
    static const char *const fields[] = {"days", "latest", "daily", "weekly", "monthly", "yearly", NULL};
    if (retention == NULL) {
        return 0;
    }
    if (!json_is_object(retention)) {
        return error_set(err, ERROR_REQUEST_INVALID, "retention must be an object");
    }
    return api_check_fields(retention, fields, err) != 0 ||
                   read_count(retention, "days", &policy->keep_days, err) != 0 ||
                   read_count(retention, "latest", &policy->keep_latest, err) != 0 ||
                   read_count(retention, "daily", &policy->keep_daily, err) != 0 ||
                   read_count(retention, "weekly", &policy->keep_weekly, err) != 0 ||
                   read_count(retention, "monthly", &policy->keep_monthly, err) != 0 ||
                   read_count(retention, "yearly", &policy->keep_yearly, err) != 0
               ? -1
               : 0;
}

/* What the request says, over what the policy is. */
static int read_policy(const json_t *body, struct catalog_policy *policy, struct error *err)
{
    static const char *const fields[] = {"name",          "enabled",       "schedule",
                                         "retention",     "consistency",   "consistency_required",
                                         "exclude_pages", "snapshot_days", NULL};
    return api_check_fields(body, fields, err) != 0 ||
                   api_text_field(body, "name", &policy->name, err) != 0 ||
                   api_boolean_field(body, "enabled", &policy->enabled, err) != 0 ||
                   read_schedule(json_object_get(body, "schedule"), policy, err) != 0 ||
                   read_retention(json_object_get(body, "retention"), policy, err) != 0 ||
                   read_count(body, "snapshot_days", &policy->snapshot_days, err) != 0 ||
                   api_text_field(body, "consistency", &policy->consistency, err) != 0 ||
                   api_boolean_field(body, "consistency_required", &policy->consistency_required, err) != 0 ||
                   api_boolean_field(body, "exclude_pages", &policy->exclude_pages, err) != 0
               ? -1
               : 0;
}

int api_policy_create(struct api_call *call, struct error *err)
{
    struct catalog_policy policy;
    char id[IDENTITY_SIZE];
    policy_default(&policy);
    if (read_policy(call->body, &policy, err) != 0 ||
        policy_create(server_catalog(call->server), &policy, id, err) != 0) {
        return -1;
    }
    call->status = 201;
    call->parameters[0] = arena_text(call->arena, id);
    return api_policy_show(call, err);
}

int api_policy_edit(struct api_call *call, struct error *err)
{
    const struct catalog_policy *policy = find_policy(call, call->parameters[0], err);
    if (policy == NULL) {
        return -1;
    }
    struct catalog_policy changed = *policy;
    if (read_policy(call->body, &changed, err) != 0 ||
        policy_edit(server_catalog(call->server), &changed, err) != 0) {
        return -1;
    }
    call->parameters[0] = policy->id;
    return api_policy_show(call, err);
}

int api_policy_delete(struct api_call *call, struct error *err)
{
    const struct catalog_policy *policy = find_policy(call, call->parameters[0], err);
    if (policy == NULL) {
        return -1;
    }
    if (catalog_policy_delete(server_catalog(call->server), policy->id, err) != 0) {
        return err->code != ERROR_POLICY_IN_USE
                   ? -1
                   : error_set(err, ERROR_POLICY_IN_USE, "Policy %s is used by a protection group",
                               policy->name);
    }
    call->reply = json_object();
    return 0;
}

/* --- groups
 * ------------------------------------------------------------------------------------------------- */

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
        json_array_append_new(items, group_json(&groups[i]));
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
        json_array_append_new(members, json_pack("{s:s, s:s, s:s}", "id", vms[i].id, "name", vms[i].name,
                                                 "host", vms[i].host_name));
    }
    call->reply = group_json(group);
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

int api_group_create(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"name", "policy", "vms", NULL};
    const char *name = NULL;
    const char *policy_name = NULL;
    const char *const *vms;
    size_t count;
    char id[IDENTITY_SIZE];
    if (api_check_fields(call->body, fields, err) != 0 ||
        api_text_field(call->body, "name", &name, err) != 0 ||
        api_text_field(call->body, "policy", &policy_name, err) != 0) {
        return -1;
    }
    if (name == NULL || policy_name == NULL) {
        return error_set(err, ERROR_REQUEST_INVALID, "A group needs a name and a policy");
    }
    const struct catalog_policy *policy = find_policy(call, policy_name, err);
    if (policy == NULL || read_vms(call, json_object_get(call->body, "vms"), &vms, &count, err) != 0 ||
        group_create(call->server, name, policy->id, id, err) != 0) {
        return -1;
    }
    if (count > 0 && group_add(call->server, id, vms, count, err) != 0) {
        struct error ignored;
        catalog_group_delete(server_catalog(call->server), id, &ignored); /* the group or nothing */
        return -1;
    }
    call->status = 201;
    call->parameters[0] = arena_text(call->arena, id);
    return api_group_show(call, err);
}

int api_group_delete(struct api_call *call, struct error *err)
{
    const struct catalog_group *group = find_group(call, call->parameters[0], err);
    if (group == NULL || catalog_group_delete(server_catalog(call->server), group->id, err) != 0) {
        return -1;
    }
    call->reply = json_object();
    return 0;
}

int api_group_add(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"vms", NULL};
    const char *const *vms;
    size_t count;
    const struct catalog_group *group = find_group(call, call->parameters[0], err);
    if (group == NULL || api_check_fields(call->body, fields, err) != 0 ||
        read_vms(call, json_object_get(call->body, "vms"), &vms, &count, err) != 0 ||
        group_add(call->server, group->id, vms, count, err) != 0) {
        return -1;
    }
    return api_group_show(call, err);
}

int api_group_remove(struct api_call *call, struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    const struct catalog_group *group = find_group(call, call->parameters[0], err);
    const struct catalog_vm *vm =
        group != NULL ? catalog_vm_find(catalog, call->arena, call->parameters[1], err) : NULL;
    if (vm == NULL || catalog_group_remove(catalog, group->id, vm->id, err) != 0) {
        return -1;
    }
    return api_group_show(call, err);
}
