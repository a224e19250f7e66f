/* Starting, watching and cancelling jobs. */
#include "base/clock.h"
#include "server/api/api_internal.h"
#include "server/catalog/catalog_snapshots.h"
#include "server/protection/protection.h"

#include <string.h>

enum { LOG_SHOWN = 500 }; /* entries with the job itself; the rest by pages */

static json_t *job_error_json(const struct catalog_job *job)
{
    struct error err;
    if (job->error_code == ERROR_NONE) {
        return json_null();
    }
    error_set(&err, job->error_code, "%s", job->error_message);
    error_set_cause(&err, "%s", job->error_cause);
    return api_error_json(&err);
}

static json_t *progress_json(const struct catalog_job *job)
{
    bool known = job->rate > 0 && job->total_bytes > job->done_bytes;
    json_t *left =
        known ? json_integer((json_int_t)((job->total_bytes - job->done_bytes) / job->rate)) : json_null();
    return json_pack("{s:o, s:I, s:I, s:I, s:o}", "step", api_text_or_null(job->step), "done_bytes",
                     (json_int_t)job->done_bytes, "total_bytes", (json_int_t)job->total_bytes,
                     "bytes_per_second", (json_int_t)job->rate, "seconds_left", left);
}

static json_t *phase_json(enum job_phase_state state, int64_t started_ms, int64_t finished_ms)
{
    return json_pack("{s:s, s:o, s:o}", "state", job_phase_state_name(state), "started", api_time(started_ms),
                     "finished", api_time(finished_ms));
}

json_t *api_job_json(const struct catalog_job *job)
{
    json_t *phases = json_pack(
        "{s:o, s:o}", "snapshot",
        phase_json(job->snapshot_state, job->snapshot_started_ms, job->snapshot_finished_ms), "transfer",
        phase_json(job->transfer_state, job->transfer_started_ms, job->transfer_finished_ms));
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:i, s:i, s:o, s:o, s:I, s:I}",
        "id", job->id, "type", job_type_name(job->type), "state", job_state_name(job->state), "vm",
        api_text_or_null(job->vm_name), "vm_id", api_text_or_null(job->vm_id), "host",
        api_text_or_null(job->host_name), "group", api_text_or_null(job->group_id), "mode",
        api_text_or_null(job->mode), "reason", api_text_or_null(job->reason), "requested_by",
        job->requested_by, "phases", phases, "error", job_error_json(job), "point",
        api_text_or_null(job->point_id), "attempt", (int)job->attempt, "max_attempts", (int)job->max_attempts,
        "next_attempt", api_time(job->next_attempt_ms), "progress", progress_json(job), "sent_bytes",
        (json_int_t)job->wire_bytes, "stored_bytes", (json_int_t)job->stored_bytes);
    json_object_set_new(object, "created", api_time(job->created_ms));
    json_object_set_new(object, "started", api_time(job->started_ms));
    json_object_set_new(object, "finished", api_time(job->finished_ms));
    json_object_set_new(object, "restored_vm", api_text_or_null(job->restored_name));
    return object;
}

int api_accept_job(struct api_call *call, const char *job_id, struct error *err)
{
    const struct catalog_job *job = catalog_job_find(server_catalog(call->server), call->arena, job_id, err);
    if (job == NULL) {
        return -1;
    }
    call->status = 202;
    call->reply = api_job_json(job);
    return 0;
}

/* --- reading
 * ------------------------------------------------------------------------------------------------ */

static int read_filter(struct api_call *call, struct catalog_job_filter *filter, struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    const char *vm = api_query(call, "vm");
    const char *group = api_query(call, "group");
    const char *type = api_query(call, "type");
    const char *state = api_query(call, "state");
    const char *host = api_query(call, "host");
    enum job_type type_value = JOB_BACKUP;
    enum job_state state_value = JOB_QUEUED;
    *filter = (struct catalog_job_filter){.type = -1, .state = -1};
    if (vm != NULL) {
        const struct catalog_vm *found = catalog_vm_find(catalog, call->arena, vm, err);
        if (found == NULL) {
            return -1;
        }
        filter->vm_id = found->id;
    }
    if (group != NULL) {
        const struct catalog_group *found = catalog_group_find(catalog, call->arena, group, err);
        if (found == NULL) {
            return -1;
        }
        filter->group_id = found->id;
    }
    if (host != NULL) {
        const struct catalog_host *found = catalog_host_find(catalog, call->arena, host, err);
        if (found == NULL) {
            return -1;
        }
        filter->host_id = found->id;
    }
    filter->requested_by = api_query(call, "requested_by");
    if (type != NULL && job_type_parse(type, &type_value) != 0) {
        return error_set(err, ERROR_REQUEST_INVALID, "There is no type of jobs %.40s", type);
    }
    if (state != NULL && job_state_parse(state, &state_value) != 0) {
        return error_set(err, ERROR_REQUEST_INVALID, "There is no state of jobs %.40s", state);
    }
    if (api_query_time(call, "since", &filter->since_ms, err) != 0 ||
        api_query_time(call, "until", &filter->until_ms, err) != 0) {
        return -1;
    }
    filter->type = type != NULL ? (int)type_value : -1;
    filter->state = state != NULL ? (int)state_value : -1;
    return 0;
}

int api_job_list(struct api_call *call, struct error *err)
{
    struct catalog_job_filter filter;
    struct catalog_page page;
    const struct catalog_job *jobs;
    size_t count;
    if (read_filter(call, &filter, err) != 0 || api_page(call, &page, err) != 0 ||
        catalog_job_list(server_catalog(call->server), call->arena, &filter, &page, &jobs, &count, err) !=
            0) {
        return -1;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(items, api_job_json(&jobs[i]));
    }
    call->reply = api_list(items, &page, count > 0 ? jobs[count - 1].number : 0);
    return 0;
}

static json_t *log_json(const struct catalog_job_log *entry)
{
    return json_pack("{s:o, s:s, s:o, s:s}", "time", api_time(entry->time_ms), "level",
                     job_log_level_name(entry->level), "code", api_text_or_null(entry->code), "message",
                     entry->message);
}

/* A page of a job's log, {"items", "next"}; NULL on failure. */
static json_t *log_page(struct api_call *call, const struct catalog_job *job, const struct catalog_page *page,
                        struct error *err)
{
    const struct catalog_job_log *entries;
    size_t count;
    if (catalog_job_log_list(server_catalog(call->server), call->arena, job->id, page, &entries, &count,
                             err) != 0) {
        return NULL;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(items, log_json(&entries[i]));
    }
    return api_list(items, page, count > 0 ? entries[count - 1].number : 0);
}

int api_job_log(struct api_call *call, struct error *err)
{
    struct catalog_page page;
    const struct catalog_job *job =
        catalog_job_find(server_catalog(call->server), call->arena, call->parameters[0], err);
    if (job == NULL || api_page(call, &page, err) != 0) {
        return -1;
    }
    call->reply = log_page(call, job, &page, err);
    return call->reply != NULL ? 0 : -1;
}

/* With the beginning of its log; log_next is where GET .../log goes on, or null. */
int api_job_show(struct api_call *call, struct error *err)
{
    const struct catalog_page page = {.limit = LOG_SHOWN};
    const struct catalog_job *job =
        catalog_job_find(server_catalog(call->server), call->arena, call->parameters[0], err);
    json_t *log = job != NULL ? log_page(call, job, &page, err) : NULL;
    json_t *warnings = json_array();
    json_t *entry;
    size_t index;
    if (log == NULL) {
        json_decref(warnings);
        return -1;
    }
    json_array_foreach (json_object_get(log, "items"), index, entry) {
        if (strcmp(json_string_value(json_object_get(entry, "level")), "warning") == 0) {
            json_array_append(warnings, entry);
        }
    }
    call->reply = api_job_json(job);
    json_object_set(call->reply, "log", json_object_get(log, "items"));
    json_object_set(call->reply, "log_next", json_object_get(log, "next"));
    json_object_set_new(call->reply, "warnings", warnings);
    json_decref(log);
    return 0;
}

int api_job_cancel(struct api_call *call, struct error *err)
{
    const struct catalog_job *job =
        catalog_job_find(server_catalog(call->server), call->arena, call->parameters[0], err);
    if (job == NULL || jobs_cancel(server_jobs(call->server), job->id, err) != 0) {
        return -1;
    }
    return api_accept_job(call, job->id, err);
}

/* --- starting
 * ----------------------------------------------------------------------------------------------- */

static int start_one(struct api_call *call, const struct catalog_vm *vm, struct jobs_backup_request *request,
                     json_t *items, struct error *err)
{
    char id[IDENTITY_SIZE];
    request->vm_id = vm->id;
    if (jobs_start_backup(server_jobs(call->server), request, id, err) != 0 ||
        api_notify_of_job(call, id, err) != 0) {
        return -1;
    }
    const struct catalog_job *job = catalog_job_find(server_catalog(call->server), call->arena, id, err);
    if (job == NULL) {
        return -1;
    }
    json_array_append_new(items, api_job_json(job));
    return 0;
}

/* Every VM of the group; those that can't be started are told beside the jobs. */
static int start_group(struct api_call *call, const char *name, struct jobs_backup_request *request,
                       json_t *items, json_t *refused, struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    const struct catalog_group *group = catalog_group_find(catalog, call->arena, name, err);
    if (group == NULL) {
        return -1;
    }
    const struct catalog_vm_filter filter = {.group_id = group->id};
    struct catalog_page page = {.limit = CATALOG_PAGE_MAX};
    size_t count;
    request->group_id = group->id;
    do {
        const struct catalog_vm *vms;
        if (catalog_vm_list(catalog, call->arena, &filter, &page, &vms, &count, err) != 0) {
            return -1;
        }
        for (size_t i = 0; i < count; i++) {
            if (start_one(call, &vms[i], request, items, err) != 0) {
                json_t *entry = api_error_json(err);
                json_object_set_new(entry, "vm", json_string(vms[i].name));
                json_array_append_new(refused, entry);
            }
            page.after = vms[i].number;
        }
    } while (count == CATALOG_PAGE_MAX);
    return json_array_size(items) == 0 && json_array_size(refused) > 0 ? -1 : 0;
}

static int start(struct api_call *call, struct jobs_backup_request *request, const char *vm_name,
                 const char *group_name, struct error *err)
{
    json_t *items = json_array();
    json_t *refused = json_array();
    int result = -1;
    if ((vm_name == NULL) == (group_name == NULL)) {
        error_set(err, ERROR_REQUEST_INVALID, "Name either a VM or a group");
    } else if (group_name != NULL) {
        result = start_group(call, group_name, request, items, refused, err);
    } else {
        const struct catalog_vm *vm =
            catalog_vm_find(server_catalog(call->server), call->arena, vm_name, err);
        result = vm != NULL ? start_one(call, vm, request, items, err) : -1;
    }
    if (result != 0) {
        json_decref(items);
        json_decref(refused);
        return -1;
    }
    call->status = 202;
    call->reply = json_pack("{s:o, s:o, s:n}", "items", items, "refused", refused, "next");
    return 0;
}

static int read_bandwidth(const json_t *body, uint64_t *bandwidth, struct error *err)
{
    int64_t rate = 0;
    if (api_number_field(body, "bandwidth", 0, INT64_MAX, &rate, err) != 0) {
        return -1;
    }
    if (rate > 0 && rate < THROTTLE_RATE_MIN) {
        return error_set(err, ERROR_REQUEST_INVALID, "A limit must be %d bytes a second at least",
                         THROTTLE_RATE_MIN);
    }
    *bandwidth = (uint64_t)rate;
    return 0;
}

/* A time that is past was meant otherwise. */
static int read_start(const json_t *body, int64_t *start_ms, struct error *err)
{
    enum { LATE_MS = 60 * 1000 };
    if (api_time_field(body, "at", start_ms, err) != 0) {
        return -1;
    }
    return *start_ms != 0 && *start_ms < clock_wall_ms() - LATE_MS
               ? error_set(err, ERROR_REQUEST_INVALID, "The time to start at is past")
               : 0;
}

int api_backup_start(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"vm",        "group", "full",   "retain_until",
                                         "bandwidth", "at",    "notify", NULL};
    struct jobs_backup_request request = {.type = JOB_BACKUP, .on_demand = true, .requested_by = call->actor};
    const char *vm = NULL;
    const char *group = NULL;
    if (api_check_fields(call->body, fields, err) != 0 || api_text_field(call->body, "vm", &vm, err) != 0 ||
        api_text_field(call->body, "group", &group, err) != 0 ||
        api_boolean_field(call->body, "full", &request.full, err) != 0 ||
        api_time_field(call->body, "retain_until", &request.retain_until_ms, err) != 0 ||
        read_start(call->body, &request.start_ms, err) != 0 ||
        read_bandwidth(call->body, &request.bandwidth, err) != 0 || api_check_notify(call, err) != 0) {
        return -1;
    }
    if (request.retain_until_ms != 0 && request.retain_until_ms <= clock_wall_ms()) {
        return error_set(err, ERROR_REQUEST_INVALID, "The time until which the point is kept is past");
    }
    return start(call, &request, vm, group, err);
}

int api_check_start(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"vm", NULL};
    struct jobs_backup_request request = {.type = JOB_CHECK, .on_demand = true, .requested_by = call->actor};
    const char *vm = NULL;
    if (api_check_fields(call->body, fields, err) != 0 || api_text_field(call->body, "vm", &vm, err) != 0) {
        return -1;
    }
    return start(call, &request, vm, NULL, err);
}

/* {"default": "lan"} becomes "default=lan". */
static int read_networks(struct api_call *call, const char **networks, struct error *err)
{
    json_t *object = json_object_get(call->body, "networks");
    const char *old;
    json_t *new;
    const char *text = NULL;
    if (object == NULL || json_is_null(object)) {
        return 0;
    }
    json_object_foreach (object, old, new) {
        const char *name = json_string_value(new);
        if (name == NULL || *name == '\0' || *old == '\0' || strpbrk(old, "=,") != NULL ||
            strpbrk(name, "=,") != NULL) {
            return error_set(err, ERROR_REQUEST_INVALID,
                             "networks gives a network's new name for its old one");
        }
        text = text != NULL ? arena_format(call->arena, "%s,%s=%s", text, old, name)
                            : arena_format(call->arena, "%s=%s", old, name);
    }
    *networks = text;
    return json_is_object(object) ? 0 : error_set(err, ERROR_REQUEST_INVALID, "networks must be an object");
}

static int read_restore(struct api_call *call, struct jobs_restore_request *request, const char **host,
                        struct error *err)
{
    static const char *const fields[] = {"point",  "to_original", "host",          "name",     "directory",
                                         "start",  "stop",        "bandwidth",     "networks", "pool",
                                         "format", "notify",      "from_snapshot", NULL};
    const json_t *body = call->body;
    if (api_check_fields(body, fields, err) != 0 ||
        api_text_field(body, "point", &request->point_id, err) != 0 ||
        api_boolean_field(body, "to_original", &request->to_original, err) != 0 ||
        api_text_field(body, "host", host, err) != 0 ||
        api_text_field(body, "name", &request->name, err) != 0 ||
        api_text_field(body, "directory", &request->directory, err) != 0 ||
        api_boolean_field(body, "start", &request->start, err) != 0 ||
        api_boolean_field(body, "stop", &request->stop_running, err) != 0 ||
        api_boolean_field(body, "from_snapshot", &request->from_snapshot, err) != 0 ||
        read_bandwidth(body, &request->bandwidth, err) != 0 ||
        api_text_field(body, "pool", &request->pool, err) != 0 ||
        api_text_field(body, "format", &request->format, err) != 0 ||
        read_networks(call, &request->networks, err) != 0 || api_check_notify(call, err) != 0) {
        return -1;
    }
    if (request->point_id == NULL || request->to_original == (*host != NULL)) {
        return error_set(err, ERROR_REQUEST_INVALID,
                         "A restore needs a point, and either to_original or the host to restore to");
    }
    if (request->to_original && (request->name != NULL || request->directory != NULL ||
                                 request->pool != NULL || request->networks != NULL)) {
        return error_set(err, ERROR_REQUEST_INVALID,
                         "A restore to the original place takes no name, directory, pool and networks");
    }
    if (request->from_snapshot && request->format != NULL) {
        return error_set(err, ERROR_REQUEST_INVALID,
                         "Disks that are copied from a snapshot keep their format");
    }
    if (request->directory != NULL && request->pool != NULL) {
        return error_set(err, ERROR_REQUEST_INVALID, "Disks go to a directory or to a pool, not to both");
    }
    if (request->format != NULL && strcmp(request->format, "raw") != 0 &&
        strcmp(request->format, "qcow2") != 0) {
        return error_set(err, ERROR_REQUEST_INVALID, "Disks can be made as raw or qcow2, not as %.40s",
                         request->format);
    }
    return 0;
}

int api_restore_start(struct api_call *call, struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    struct jobs_restore_request request = {.requested_by = call->actor};
    const char *host_name = NULL;
    char id[IDENTITY_SIZE];
    if (read_restore(call, &request, &host_name, err) != 0) {
        return -1;
    }
    const struct catalog_point *point = catalog_restorable_find(catalog, call->arena, request.point_id, err);
    if (point == NULL) {
        return -1;
    }
    request.point_id = point->id;
    if (host_name != NULL) {
        const struct catalog_host *host = catalog_host_find(catalog, call->arena, host_name, err);
        if (host == NULL) {
            return -1;
        }
        request.host_id = host->id;
    }
    return jobs_start_restore(server_jobs(call->server), &request, id, err) != 0 ||
                   api_notify_of_job(call, id, err) != 0
               ? -1
               : api_accept_job(call, id, err);
}
