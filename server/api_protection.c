/* Policies. */
#include "server/api_internal.h"
#include "server/protection.h"

#include <string.h>

json_t *api_policy_json(const struct catalog_policy *policy)
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
                     schedule, "retention", retention, "lock_days", (int)policy->lock_days, "consistency",
                     policy->consistency, "consistency_required", policy->consistency_required,
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
        json_array_append_new(items, api_policy_json(&policies[i]));
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
    call->reply = policy != NULL ? api_policy_json(policy) : NULL;
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

int api_read_policy(const json_t *body, struct catalog_policy *policy, struct error *err)
{
    static const char *const fields[] = {"name",          "enabled",     "schedule",
                                         "retention",     "consistency", "consistency_required",
                                         "exclude_pages", "lock_days",   NULL};
    return api_check_fields(body, fields, err) != 0 ||
                   api_text_field(body, "name", &policy->name, err) != 0 ||
                   api_boolean_field(body, "enabled", &policy->enabled, err) != 0 ||
                   read_schedule(json_object_get(body, "schedule"), policy, err) != 0 ||
                   read_retention(json_object_get(body, "retention"), policy, err) != 0 ||
                   read_count(body, "lock_days", &policy->lock_days, err) != 0 ||
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
    if (api_read_policy(call->body, &policy, err) != 0 ||
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
    if (api_read_policy(call->body, &changed, err) != 0 ||
        policy_edit(server_catalog(call->server), &changed, err) != 0) {
        return -1;
    }
    call->parameters[0] = policy->id;
    return api_policy_show(call, err) != 0 ? -1 : api_add_next_run(call, &changed, err);
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
