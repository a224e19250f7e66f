/* Hosts, VMs, the whole. */
#include "base/clock.h"
#include "base/version.h"
#include "server/access/guard.h"
#include "server/api/api_internal.h"
#include "server/catalog/catalog_counts.h"
#include "server/jobs/jobs.h"
#include "server/protection/protection.h"
#include "server/protection/schedule.h"
#include "server/protection/standing.h"
#include "server/report/dashboard.h"
#include "storage/point.h"

#include <stdio.h>
#include <string.h>

static json_t *split_words(const char *text)
{
    json_t *words = json_array();
    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        if (length > 0) {
            json_array_append_new(words, json_stringn(text, length));
        }
        text += length;
        text += *text == ' ';
    }
    return words;
}

static json_t *limit_json(const struct bandwidth_limit *limit)
{
    if (limit->rate == 0 && limit->other_rate == 0) {
        return json_null();
    }
    char hours[sizeof "00:00-00:00"];
    snprintf(hours, sizeof hours, "%02u:%02u-%02u:%02u", limit->from_minute / 60 % 100,
             limit->from_minute % 60, limit->to_minute / 60 % 100, limit->to_minute % 60);
    return json_pack("{s:I, s:I, s:s, s:i, s:s}", "bytes_per_second", (json_int_t)limit->rate,
                     "other_bytes_per_second", (json_int_t)limit->other_rate, "hours", hours, "days",
                     (int)limit->days, "timezone", limit->time_zone);
}

static json_t *host_json(const struct catalog_host *host)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o}", "id", host->id,
                     "name", host->name, "state", host_state_name(host->state), "since",
                     api_time(host->state_since_ms), "version", api_text_or_null(host->software), "system",
                     api_text_or_null(host->system), "kinds", split_words(host->kinds), "address",
                     api_text_or_null(host->address), "enrolled", api_time(host->enrolled_ms), "last_seen",
                     api_time(host->last_seen_ms), "certificate_expires",
                     api_time(host->certificate_expires_ms), "draining", host->draining, "bandwidth",
                     limit_json(&host->limit));
}

int api_host_list(struct api_call *call, struct error *err)
{
    struct catalog_page page;
    const struct catalog_host *hosts;
    size_t count;
    if (api_page(call, &page, err) != 0 ||
        catalog_host_list(server_catalog(call->server), call->arena, &page, &hosts, &count, err) != 0) {
        return -1;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(items, host_json(&hosts[i]));
    }
    call->reply = api_list(items, &page, count > 0 ? hosts[count - 1].number : 0);
    return 0;
}

static const struct catalog_host *find_host(struct api_call *call, struct error *err)
{
    return catalog_host_find(server_catalog(call->server), call->arena, call->parameters[0], err);
}

int api_host_show(struct api_call *call, struct error *err)
{
    const struct catalog_host *host = find_host(call, err);
    if (host == NULL) {
        return -1;
    }
    call->reply = host_json(host);
    json_object_set_new(call->reply, "running_jobs",
                        json_integer(jobs_running_on(server_jobs(call->server), host->id)));
    return 0;
}

int api_host_retire(struct api_call *call, struct error *err)
{
    const struct catalog_host *host = find_host(call, err);
    if (host == NULL) {
        return -1;
    }
    unsigned jobs = jobs_of_host(server_jobs(call->server), host->id);
    if (jobs > 0) {
        return error_set(err, ERROR_AGENT_BUSY, "Host %s can't be retired: %u jobs run", host->name, jobs);
    }
    return agents_retire(server_agents(call->server), host->id, err) != 0 ? -1 : api_host_show(call, err);
}

static int read_clock(struct api_call *call, const char *text, size_t length, unsigned *minute,
                      struct error *err)
{
    static const char end_of_day[] = "24:00";
    unsigned minutes[SCHEDULE_TIMES_MAX];
    size_t count = 0;
    const char *time = arena_format(call->arena, "%.*s", (int)length, text);
    if (strcmp(time, end_of_day) == 0) {
        *minute = 24 * 60;
        return 0;
    }
    if (schedule_parse_times(time, minutes, &count, err) != 0 || count != 1) {
        return -1;
    }
    *minute = minutes[0];
    return 0;
}

/* "08:00-18:00"; "22:00-06:00" goes past midnight. */
static int read_hours(struct api_call *call, const char *text, struct bandwidth_limit *limit,
                      struct error *err)
{
    size_t from = strcspn(text, "-");
    if (text[from] != '-' || read_clock(call, text, from, &limit->from_minute, err) != 0 ||
        read_clock(call, text + from + 1, strlen(text + from + 1), &limit->to_minute, err) != 0 ||
        limit->from_minute == 24 * 60) {
        return error_set(err, ERROR_SCHEDULE_INVALID, "\"%.40s\" are no hours such as 08:00-18:00", text);
    }
    return 0;
}

static int read_limit(struct api_call *call, struct bandwidth_limit *limit, struct error *err)
{
    const json_t *body = call->body;
    static const char *const fields[] = {
        "bytes_per_second", "other_bytes_per_second", "hours", "days", "timezone", NULL};
    const char *hours = NULL;
    int64_t rate = 0;
    int64_t other = -1;
    int64_t days = 127;
    *limit = (struct bandwidth_limit){.to_minute = 24 * 60, .time_zone = "UTC"};
    if (api_check_fields(body, fields, err) != 0 ||
        api_number_field(body, "bytes_per_second", 0, INT64_MAX, &rate, err) != 0 ||
        api_number_field(body, "other_bytes_per_second", 0, INT64_MAX, &other, err) != 0 ||
        api_text_field(body, "hours", &hours, err) != 0 ||
        api_number_field(body, "days", 1, 127, &days, err) != 0 ||
        api_text_field(body, "timezone", &limit->time_zone, err) != 0 ||
        (hours != NULL && read_hours(call, hours, limit, err) != 0)) {
        return -1;
    }
    bool always = hours == NULL && days == 127;
    limit->rate = (uint64_t)rate;
    limit->other_rate = other >= 0 ? (uint64_t)other : always ? limit->rate : 0;
    limit->days = (unsigned)days;
    return bandwidth_limit_check(limit, err);
}

int api_host_limit(struct api_call *call, struct error *err)
{
    struct bandwidth_limit limit;
    const struct catalog_host *host = find_host(call, err);
    if (host == NULL || read_limit(call, &limit, err) != 0 ||
        catalog_host_set_limit(server_catalog(call->server), host->id, &limit, err) != 0) {
        return -1;
    }
    throttles_set_host(server_throttles(call->server), host->id, &limit);
    int result = api_host_show(call, err);
    api_audit_changed(call, host_json(host), call->reply);
    return result;
}

static int set_draining(struct api_call *call, bool draining, struct error *err)
{
    const struct catalog_host *host = find_host(call, err);
    if (host == NULL ||
        catalog_host_set_draining(server_catalog(call->server), host->id, draining, err) != 0) {
        return -1;
    }
    int result = api_host_show(call, err);
    api_audit_changed(call, host_json(host), call->reply);
    return result;
}

int api_host_drain(struct api_call *call, struct error *err)
{
    return set_draining(call, true, err);
}

int api_host_resume(struct api_call *call, struct error *err)
{
    return set_draining(call, false, err);
}

int api_host_discover(struct api_call *call, struct error *err)
{
    const struct catalog_host *host = find_host(call, err);
    if (host == NULL || agents_discover(server_agents(call->server), host->id, err) != 0) {
        return -1;
    }
    return api_host_show(call, err);
}

int api_host_token(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"ttl_seconds", NULL};
    char token[AGENTS_TOKEN_MAX];
    int64_t ttl = 0;
    int64_t expires_ms;
    if (api_check_fields(call->body, fields, err) != 0 ||
        api_number_field(call->body, "ttl_seconds", 1, AGENTS_TOKEN_TTL_MAX_S, &ttl, err) != 0 ||
        agents_create_token(server_agents(call->server), (unsigned)ttl, token, &expires_ms, err) != 0) {
        return -1;
    }
    call->status = 201;
    call->reply_is_secret = true;
    call->reply = json_pack("{s:s, s:o}", "token", token, "expires", api_time(expires_ms));
    return 0;
}

static json_t *vm_json(const struct catalog_vm *vm)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:s, s:s, s:b, s:b, s:o, s:s, s:I, s:I, s:I, s:o, s:o, s:i}",
        "id", vm->id, "name", vm->name, "host", vm->host_name, "host_id", vm->host_id, "uuid",
        api_text_or_null(vm->uuid), "kind", vm->kind, "power", vm->power, "guest_agent", vm->guest_agent,
        "tracking", vm->tracking, "present", vm->present, "moved_away", vm->moved_away, "group",
        api_text_or_null(vm->group_name), "protection", vm_state_name(vm_state_of(vm)), "size",
        (json_int_t)vm->size, "disk_count", (json_int_t)vm->disk_count, "points", (json_int_t)vm->point_count,
        "last_point", api_text_or_null(vm->last_point_id), "last_point_time", api_time(vm->last_point_ms),
        "memory_mib", (int)vm->memory_mib);
}

int api_vm_list(struct api_call *call, struct error *err)
{
    struct catalog_page page;
    const struct catalog_vm *vms;
    size_t count;
    struct catalog *catalog = server_catalog(call->server);
    const char *host = api_query(call, "host");
    const char *group = api_query(call, "group");
    struct catalog_vm_filter filter = {.search = api_query(call, "search")};
    if (host != NULL) {
        const struct catalog_host *found = catalog_host_find(catalog, call->arena, host, err);
        if (found == NULL) {
            return -1;
        }
        filter.host_id = found->id;
    }
    if (group != NULL) {
        const struct catalog_group *found = catalog_group_find(catalog, call->arena, group, err);
        if (found == NULL) {
            return -1;
        }
        filter.group_id = found->id;
    }
    if (api_page(call, &page, err) != 0 ||
        catalog_vm_list(catalog, call->arena, &filter, &page, &vms, &count, err) != 0) {
        return -1;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(items, vm_json(&vms[i]));
    }
    call->reply = api_list(items, &page, count > 0 ? vms[count - 1].number : 0);
    return 0;
}

int api_vm_show(struct api_call *call, struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    const struct catalog_vm_disk *disks;
    size_t count;
    const struct catalog_vm *vm = catalog_vm_find(catalog, call->arena, call->parameters[0], err);
    if (vm == NULL || catalog_vm_disk_list(catalog, call->arena, vm->id, &disks, &count, err) != 0) {
        return -1;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(items,
                              json_pack("{s:s, s:o, s:s, s:I, s:b, s:o}", "name", disks[i].name, "path",
                                        api_text_or_null(disks[i].path), "format", disks[i].format, "size",
                                        (json_int_t)disks[i].size, "supported", disks[i].supported, "reason",
                                        api_text_or_null(disks[i].reason)));
    }
    char seed[IDENTITY_SIZE] = "";
    struct error ignored; /* a seed that can't be read saves nothing */
    if (vm->point_count == 0 && partial_find_seed(server_store(call->server), vm->id, seed, &ignored) != 1) {
        seed[0] = '\0';
    }
    call->reply = vm_json(vm);
    json_object_set_new(call->reply, "disks", items);
    json_object_set_new(call->reply, "seed", api_text_or_null(seed));
    return 0;
}

static int count_hosts(struct api_call *call, json_t **out, struct error *err)
{
    int64_t states[CATALOG_HOST_STATES];
    if (catalog_count_hosts(server_catalog(call->server), access_scope_user(call), states, err) != 0) {
        return -1;
    }
    *out = json_pack("{s:I, s:I, s:I, s:I}", "connected", (json_int_t)states[HOST_CONNECTED], "unreachable",
                     (json_int_t)states[HOST_UNREACHABLE], "outdated", (json_int_t)states[HOST_OUTDATED],
                     "retired", (json_int_t)states[HOST_RETIRED]);
    return 0;
}

static int count_jobs(struct api_call *call, json_t **out, struct error *err)
{
    enum { DAY_MS = 24 * 3600 * 1000 };
    int64_t since_ms = clock_wall_ms() - DAY_MS;
    int64_t states[JOB_STATE_COUNT];
    if (catalog_count_jobs(server_catalog(call->server), access_scope_user(call), since_ms, states, err) !=
        0) {
        return -1;
    }
    *out = json_object();
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        json_object_set_new(*out, job_state_name((enum job_state)state), json_integer(states[state]));
    }
    return 0;
}

/* Who is scoped to groups is told of them only, and not how full the whole store is: null. */
static int read_store(struct api_call *call, json_t **out, struct error *err)
{
    struct store_status store;
    if (!call->identity.everything) {
        *out = json_null();
        return 0;
    }
    if (store_status_read(server_store(call->server), &store, err) != 0) {
        return -1;
    }
    *out = json_pack("{s:I, s:I, s:I, s:I}", "stored_bytes", (json_int_t)store.container_bytes, "free_bytes",
                     (json_int_t)store.free_bytes, "points", (json_int_t)store.points, "damaged_chunks",
                     (json_int_t)store.damaged_chunks);
    return 0;
}

int api_status(struct api_call *call, struct error *err)
{
    json_t *hosts = NULL;
    json_t *jobs = NULL;
    json_t *store = NULL;
    if (count_hosts(call, &hosts, err) != 0 || count_jobs(call, &jobs, err) != 0 ||
        read_store(call, &store, err) != 0) {
        json_decref(hosts);
        json_decref(jobs);
        return -1;
    }
    call->reply = json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "server", server_id(call->server), "version",
                            HOLDFAST_VERSION, "time", api_time(clock_wall_ms()), "hosts", hosts,
                            "jobs_last_day", jobs, "store", store);
    return api_status_alerts(call, call->reply, err) != 0
               ? -1
               : dashboard_add(call->server, access_scope_user(call), call->reply, err);
}
