/* Policies. */
#include "server/access/guard.h"
#include "server/api/api_internal.h"
#include "server/protection/protection.h"
#include "server/protection/schedule.h"

#include <string.h>

json_t *api_policy_json(const struct catalog_policy *policy)
{
    json_t *retention = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i}", "days", (int)policy->keep_days, "latest",
                                  (int)policy->keep_latest, "daily", (int)policy->keep_daily, "weekly",
                                  (int)policy->keep_weekly, "monthly", (int)policy->keep_monthly, "yearly",
                                  (int)policy->keep_yearly);
    return json_pack("{s:s, s:s, s:i, s:b, s:s, s:o, s:o, s:i, s:i, s:s, s:b, s:b, s:o, s:o, s:o, s:I}", "id",
                     policy->id, "name", policy->name, "version", policy->version, "enabled", policy->enabled,
                     "priority", policy_priority_name(policy->priority), "schedule",
                     api_schedule_json(policy), "retention", retention, "lock_days", (int)policy->lock_days,
                     "snapshot_days", (int)policy->snapshot_days, "consistency", policy->consistency,
                     "consistency_required", policy->consistency_required, "exclude_pages",
                     policy->exclude_pages, "created", api_time(policy->created_ms), "changed",
                     api_time(policy->changed_ms), "changed_by", api_text_or_null(policy->changed_by),
                     "groups", (json_int_t)policy->group_count);
}

/* As it is in force now. */
static json_t *policy_now_json(const struct catalog_policy *policy)
{
    json_t *json = api_policy_json(policy);
    json_object_set_new(json, "next_run", api_next_run(policy, NULL));
    return json;
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
        json_array_append_new(items, policy_now_json(&policies[i]));
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
    call->reply = policy != NULL ? policy_now_json(policy) : NULL;
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

int api_read_policy(const json_t *body, struct catalog_policy *policy, struct error *err)
{
    static const char *const fields[] = {
        "name",          "enabled",  "schedule",  "retention",     "consistency", "consistency_required",
        "exclude_pages", "priority", "lock_days", "snapshot_days", NULL};
    return api_check_fields(body, fields, err) != 0 ||
                   api_text_field(body, "name", &policy->name, err) != 0 ||
                   api_boolean_field(body, "enabled", &policy->enabled, err) != 0 ||
                   api_schedule_read(json_object_get(body, "schedule"), policy, err) != 0 ||
                   api_priority_read(body, policy, err) != 0 ||
                   read_retention(json_object_get(body, "retention"), policy, err) != 0 ||
                   read_count(body, "lock_days", &policy->lock_days, err) != 0 ||
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
    policy.changed_by = call->actor;
    if (api_read_policy(call->body, &policy, err) != 0 || api_schedule_check(call, &policy, err) != 0 ||
        policy_create(server_catalog(call->server), &policy, id, err) != 0) {
        return -1;
    }
    call->status = 201;
    call->parameters[0] = arena_text(call->arena, id);
    return api_policy_show(call, err);
}

/* Nothing that people see is different. */
static bool is_same(const struct catalog_policy *a, const struct catalog_policy *b)
{
    json_t *first = api_policy_json(a);
    json_t *second = api_policy_json(b);
    bool same = json_equal(first, second) != 0;
    json_decref(first);
    json_decref(second);
    return same;
}

/* Does it keep less, or lock for less? What counts for nothing (0) keeps least. */
bool api_policy_shortens(const struct catalog_policy *from, const struct catalog_policy *to)
{
    return to->keep_days < from->keep_days || to->keep_latest < from->keep_latest ||
           to->keep_daily < from->keep_daily || to->keep_weekly < from->keep_weekly ||
           to->keep_monthly < from->keep_monthly || to->keep_yearly < from->keep_yearly ||
           to->lock_days < from->lock_days;
}

/* The body over the policy as it is now; version is the one that the body is meant for, 0 for any. */
static int edit_policy(struct api_call *call, const json_t *body, int64_t version, struct error *err)
{
    const struct catalog_policy *policy = find_policy(call, call->parameters[0], err);
    if (policy == NULL) {
        return -1;
    }
    struct catalog_policy changed = *policy;
    if (version != 0 && version != policy->version) {
        return error_set(err, ERROR_POLICY_CHANGED, "Policy %s is at version %d, the change was made to %lld",
                         policy->name, policy->version, (long long)version);
    }
    if (api_read_policy(body, &changed, err) != 0) {
        return -1;
    }
    call->parameters[0] = policy->id;
    if (is_same(policy, &changed)) {
        return 0;
    }
    if (api_policy_shortens(policy, &changed) &&
        access_confirm(call, arena_format(call->arena, "shorten the retention of policy %s", policy->name),
                       err) != 0) {
        return -1;
    }
    changed.changed_by = call->actor;
    return !schedule_is_same(policy, &changed) && api_schedule_check(call, &changed, err) != 0
               ? -1
               : policy_edit(server_catalog(call->server), policy, &changed, err);
}

static int add_next_run(struct api_call *call, struct error *err)
{
    const struct catalog_policy *policy = find_policy(call, call->parameters[0], err);
    return policy == NULL ? -1 : api_add_next_run(call, policy, err);
}

int api_policy_edit(struct api_call *call, struct error *err)
{
    enum { TRIES = 10 }; /* when others change it at the same time */
    int64_t version = 0;
    if (api_number_field(call->body, "version", 1, INT32_MAX, &version, err) != 0) {
        return -1;
    }
    json_t *body = json_copy(call->body);
    json_object_del(body, "version");
    const struct catalog_policy *policy = find_policy(call, call->parameters[0], err);
    json_t *before = policy != NULL ? policy_now_json(policy) : NULL;
    int result = edit_policy(call, body, version, err);
    for (int i = 1; i < TRIES && result != 0 && err->code == ERROR_POLICY_CHANGED && version == 0; i++) {
        result = edit_policy(call, body, version, err);
    }
    if (result == 0) {
        result = api_policy_show(call, err);
    }
    if (result == 0) {
        api_audit_changed(call, json_incref(before), call->reply);
        result = add_next_run(call, err);
    }
    json_decref(before);
    json_decref(body);
    return result;
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
    api_audit_changed(call, policy_now_json(policy), NULL);
    call->reply = json_object();
    return 0;
}
