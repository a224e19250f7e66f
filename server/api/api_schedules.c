/* Schedules of policies, previews of their runs, and the versions of policies. */
#include "server/api/api_internal.h"

#include "base/clock.h"
#include "server/catalog/catalog_schedules.h"
#include "server/protection/protection.h"
#include "server/protection/schedule.h"
#include <stdio.h>
#include <stdlib.h>

enum { RUNS_DEFAULT = 10, RUNS_MAX = 1000, COUNT_MAX = 100000 };

json_t *api_schedule_json(const struct catalog_policy *policy)
{
    return json_pack("{s:s, s:i, s:i, s:s, s:i, s:s, s:i}", "kind", schedule_kind_name(policy->schedule),
                     "interval_minutes", (int)policy->interval_minutes, "hour_minute",
                     (int)policy->hour_minute, "daily_times", policy->daily_times, "days", (int)policy->days,
                     "timezone", policy->time_zone, "spread_minutes", (int)policy->spread_minutes);
}

static int read_count(const json_t *body, const char *name, unsigned *value, struct error *err)
{
    int64_t number = *value;
    if (api_number_field(body, name, 0, COUNT_MAX, &number, err) != 0) {
        return -1;
    }
    *value = (unsigned)number;
    return 0;
}

/* The days of another kind of schedule don't count for this one. */
static int read_kind(const json_t *schedule, struct catalog_policy *policy, struct error *err)
{
    const char *kind = NULL;
    enum schedule_kind before = policy->schedule;
    if (api_text_field(schedule, "kind", &kind, err) != 0) {
        return -1;
    }
    if (kind != NULL && schedule_kind_parse(kind, &policy->schedule) != 0) {
        return error_set(err, ERROR_SCHEDULE_INVALID,
                         "kind: there is no \"%.40s\": manual, interval, hourly, daily or weekly", kind);
    }
    if (policy->schedule != before) {
        policy->days = SCHEDULE_EVERY_DAY;
    }
    return 0;
}

int api_schedule_read(const json_t *schedule, struct catalog_policy *policy, struct error *err)
{
    static const char *const fields[] = {"kind", "interval_minutes", "hour_minute",    "daily_times",
                                         "days", "timezone",         "spread_minutes", NULL};
    if (schedule == NULL) {
        return 0;
    }
    if (!json_is_object(schedule)) {
        return error_set(err, ERROR_REQUEST_INVALID, "schedule must be an object");
    }
    return api_check_fields(schedule, fields, err) != 0 || read_kind(schedule, policy, err) != 0 ||
                   read_count(schedule, "interval_minutes", &policy->interval_minutes, err) != 0 ||
                   read_count(schedule, "hour_minute", &policy->hour_minute, err) != 0 ||
                   api_text_field(schedule, "daily_times", &policy->daily_times, err) != 0 ||
                   read_count(schedule, "days", &policy->days, err) != 0 ||
                   api_text_field(schedule, "timezone", &policy->time_zone, err) != 0 ||
                   read_count(schedule, "spread_minutes", &policy->spread_minutes, err) != 0
               ? -1
               : 0;
}

int api_priority_read(const json_t *body, struct catalog_policy *policy, struct error *err)
{
    const char *name = NULL;
    if (api_text_field(body, "priority", &name, err) != 0) {
        return -1;
    }
    return name == NULL || policy_priority_parse(name, &policy->priority) == 0
               ? 0
               : error_set(err, ERROR_REQUEST_INVALID, "priority: there is no \"%.40s\": high, normal or low",
                           name);
}

int api_schedule_check(struct api_call *call, const struct catalog_policy *policy, struct error *err)
{
    enum { DAY_MINUTES = 24 * 60 };
    int64_t minimum;
    if (config_integer(server_config(call->server), "min-interval-minutes", 1, DAY_MINUTES, &minimum, err) !=
        0) {
        return -1;
    }
    return schedule_check(policy, (unsigned)minimum, err);
}

/* --- runs */

/* RFC 3339 as the clocks of the zone show it. */
static json_t *local_time(const struct time_zone *zone, int64_t at_ms)
{
    enum { SECOND_MS = 1000, MINUTE_S = 60, HOUR_MINUTES = 60, TO_SECONDS = 19 };
    char clock[CLOCK_TEXT_SIZE];
    char text[CLOCK_TEXT_SIZE + 8];
    int32_t offset_s = time_zone_offset(zone, at_ms / SECOND_MS);
    int minutes = offset_s / MINUTE_S;
    unsigned size = (unsigned)(minutes < 0 ? -minutes : minutes);
    clock_format_wall(at_ms + (int64_t)offset_s * SECOND_MS, clock);
    snprintf(text, sizeof text, "%.*s%c%02u:%02u", TO_SECONDS, clock, minutes < 0 ? '-' : '+',
             size / HOUR_MINUTES, size % HOUR_MINUTES);
    return json_string(text);
}

json_t *api_next_run(const struct catalog_policy *policy, const char *vm_id)
{
    struct error ignored; /* a zone that is gone from the system: the scheduler logs it */
    int64_t shift_ms = vm_id != NULL ? schedule_spread_ms(policy, vm_id) : 0;
    struct time_zone *zone = policy->enabled ? time_zone_open(policy->time_zone, &ignored) : NULL;
    int64_t at_ms = zone != NULL ? schedule_next(policy, zone, clock_wall_ms() - shift_ms) : SCHEDULE_NEVER;
    time_zone_close(zone);
    return at_ms != SCHEDULE_NEVER ? api_time(at_ms + shift_ms) : json_null();
}

json_t *api_group_next_run(struct api_call *call, const struct catalog_group *group, const char *vm_id)
{
    struct error ignored; /* the scheduler logs it */
    const struct catalog_policy *policy =
        group->stopped
            ? NULL
            : catalog_policy_find(server_catalog(call->server), call->arena, group->policy_id, &ignored);
    return policy != NULL ? api_next_run(policy, vm_id) : json_null();
}

struct preview {
    int64_t after_ms;
    int64_t count;
    const char *vm_id; /* NULL: the schedule's own instants */
};

static int list_runs(struct api_call *call, const struct catalog_policy *policy,
                     const struct preview *preview, struct error *err)
{
    enum { MINUTE_MS = 60000 };
    struct time_zone *zone = time_zone_open(policy->time_zone, err);
    if (zone == NULL) {
        return -1;
    }
    int64_t shift_ms = preview->vm_id != NULL ? schedule_spread_ms(policy, preview->vm_id) : 0;
    int64_t window_ms = preview->vm_id != NULL ? 0 : (int64_t)policy->spread_minutes * MINUTE_MS;
    json_t *items = json_array();
    int64_t at_ms = preview->after_ms - shift_ms;
    for (int64_t i = 0; i < preview->count && policy->enabled; i++) {
        at_ms = schedule_next(policy, zone, at_ms);
        if (at_ms == SCHEDULE_NEVER) {
            break;
        }
        json_array_append_new(items, json_pack("{s:o, s:o, s:o, s:b}", "time", api_time(at_ms + shift_ms),
                                               "until", api_time(at_ms + shift_ms + window_ms), "local",
                                               local_time(zone, at_ms + shift_ms), "moved",
                                               schedule_is_moved(policy, zone, at_ms)));
    }
    time_zone_close(zone);
    call->reply = json_pack("{s:o, s:n}", "items", items, "next");
    return 0;
}

static int find_vm_id(struct api_call *call, const char *reference, const char **id, struct error *err)
{
    const struct catalog_vm *vm =
        reference != NULL ? catalog_vm_find(server_catalog(call->server), call->arena, reference, err) : NULL;
    *id = vm != NULL ? vm->id : NULL;
    return reference == NULL || vm != NULL ? 0 : -1;
}

static int check_after(int64_t after_ms, struct error *err)
{
    static const int64_t latest_ms = 253370764800000; /* 9999-01-01 */
    return after_ms >= 0 && after_ms <= latest_ms
               ? 0
               : error_set(err, ERROR_REQUEST_INVALID, "after must be a time from 1970 to 9998");
}

/* GET: of a stored policy, as it is. */
int api_policy_runs(struct api_call *call, struct error *err)
{
    struct preview preview = {.after_ms = clock_wall_ms(), .count = RUNS_DEFAULT};
    const char *after = api_query(call, "after");
    const struct catalog_policy *policy =
        catalog_policy_find(server_catalog(call->server), call->arena, call->parameters[0], err);
    if (policy == NULL || api_query_number(call, "count", RUNS_MAX, &preview.count, err) != 0 ||
        find_vm_id(call, api_query(call, "vm"), &preview.vm_id, err) != 0) {
        return -1;
    }
    if (after != NULL && clock_parse_wall(after, &preview.after_ms) != 0) {
        return error_set(err, ERROR_REQUEST_INVALID,
                         "after must be a time such as 2026-01-31T10:00:00Z, or a date");
    }
    return check_after(preview.after_ms, err) != 0 ? -1 : list_runs(call, policy, &preview, err);
}

/* POST: of a schedule that is not stored, or of a policy with changes that are not. */
int api_schedule_runs(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"policy", "schedule", "count", "after", "vm", NULL};
    struct preview preview = {.after_ms = clock_wall_ms(), .count = RUNS_DEFAULT};
    struct catalog_policy policy;
    const char *name = NULL;
    const char *vm = NULL;
    policy_default(&policy);
    if (api_check_fields(call->body, fields, err) != 0 ||
        api_text_field(call->body, "policy", &name, err) != 0 ||
        api_text_field(call->body, "vm", &vm, err) != 0 || find_vm_id(call, vm, &preview.vm_id, err) != 0) {
        return -1;
    }
    if (name != NULL) {
        const struct catalog_policy *found =
            catalog_policy_find(server_catalog(call->server), call->arena, name, err);
        if (found == NULL) {
            return -1;
        }
        policy = *found;
    }
    const json_t *schedule = json_object_get(call->body, "schedule");
    return api_schedule_read(schedule, &policy, err) != 0 ||
                   api_number_field(call->body, "count", 0, RUNS_MAX, &preview.count, err) != 0 ||
                   api_time_field(call->body, "after", &preview.after_ms, err) != 0 ||
                   check_after(preview.after_ms, err) != 0 ||
                   (schedule != NULL && api_schedule_check(call, &policy, err) != 0)
               ? -1
               : list_runs(call, &policy, &preview, err);
}

/* --- versions */

int api_policy_versions(struct api_call *call, struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    struct catalog_page page;
    const struct catalog_policy *versions;
    size_t count;
    const struct catalog_policy *policy = catalog_policy_find(catalog, call->arena, call->parameters[0], err);
    if (policy == NULL || api_page(call, &page, err) != 0 ||
        catalog_policy_version_list(catalog, call->arena, policy->id, &page, &versions, &count, err) != 0) {
        return -1;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(items, api_policy_json(&versions[i]));
    }
    call->reply = api_list(items, &page, count > 0 ? versions[count - 1].version : 0);
    return 0;
}

int api_policy_version_show(struct api_call *call, struct error *err)
{
    char *end = NULL;
    long long version = strtoll(call->parameters[1], &end, 10);
    if (*end != '\0' || version < 1 || version > INT32_MAX) {
        return error_set(err, ERROR_REQUEST_INVALID, "%.40s is no version: they count from 1",
                         call->parameters[1]);
    }
    const struct catalog_policy *policy = catalog_policy_version_find(
        server_catalog(call->server), call->arena, call->parameters[0], (int)version, err);
    call->reply = policy != NULL ? api_policy_json(policy) : NULL;
    return policy != NULL ? 0 : -1;
}
