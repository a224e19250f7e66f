/* Recovery points and the store. */
#include "server/api/api_internal.h"

#include "base/log.h"
#include "server/catalog/catalog_alerts.h"
#include "server/catalog/catalog_snapshots.h"
#include "storage/point.h"

#include <string.h>

static json_t *point_json(const struct catalog_point *point)
{
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:s, s:o, s:s, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:b}",
        "id", point->id, "vm", point->vm_name, "vm_id", point->vm_id, "host", point->host_name, "time",
        api_time(point->time_ms), "committed", api_time(point->committed_ms), "consistency",
        point->consistency, "consistency_reason", api_text_or_null(point->consistency_reason), "mode",
        point->mode, "reason", api_text_or_null(point->reason), "state",
        point->snapshot.host_only ? "host-only"
        : point->deleted_ms != 0  ? "deleted"
        : point->damaged          ? "damaged"
                                  : "whole",
        "verified", api_time(point->verified_ms), "size", (json_int_t)point->size, "read_bytes",
        (json_int_t)point->read_bytes, "sent_bytes", (json_int_t)point->sent_bytes, "stored_bytes",
        (json_int_t)point->stored_bytes, "parent", api_text_or_null(point->parent), "job",
        api_text_or_null(point->job_id), "held", point->held);
    json_object_set_new(object, "retain_until", api_time(point->retain_until_ms));
    json_object_set_new(object, "locked_until", api_time(point->locked_until_ms));
    json_object_set_new(object, "deleted", api_time(point->deleted_ms));
    json_object_set_new(object, "deleted_by", api_text_or_null(point->deleted_by));
    json_object_set_new(object, "purge", api_time(point->purge_ms));
    bool kept = point->snapshot.host_id != NULL && point->snapshot.host_id[0] != '\0';
    json_object_set_new(object, "host_snapshot",
                        kept ? json_pack("{s:s, s:o}", "host", point->snapshot.host_name, "until",
                                         api_time(point->snapshot.until_ms))
                             : json_null());
    return object;
}

/* Before an unusual change of the VM, or with one, as long as nobody has acknowledged its alert. */
static void add_suspicion(struct api_call *call, json_t *object, const char *id)
{
    struct error err;
    bool last_good = false;
    bool suspicious = false;
    if (catalog_anomaly_is_last_good(server_catalog(call->server), id, &last_good, &err) != 0 ||
        catalog_anomaly_is_suspicious(server_catalog(call->server), id, &suspicious, &err) != 0) {
        log_error("recovery point not judged", &err);
    }
    json_object_set_new(object, "last_good", json_boolean(last_good));
    json_object_set_new(object, "suspicious", json_boolean(suspicious));
}

/* As a host has told of its snapshot. */
static int add_snapshot_disks(json_t *object, const struct catalog_point *point)
{
    size_t index;
    json_t *disk;
    json_t *disks = point->snapshot.disks == NULL ? NULL : json_loads(point->snapshot.disks, 0, NULL);
    if (!json_is_array(disks)) {
        json_decref(disks);
        return -1;
    }
    json_array_foreach (disks, index, disk) {
        json_object_set_new(disk, "transferred_bytes", json_integer(0));
    }
    json_object_set_new(object, "disks", disks);
    return 0;
}

/* The disks are in the store's own record. When that can't be read (the store is away) what the host has is
 * shown. */
static int add_disks(struct api_call *call, json_t *object, const struct catalog_point *point,
                     struct error *err)
{
    struct point *record =
        point->snapshot.host_only ? NULL : point_read(server_store(call->server), point->id, err);
    if (record == NULL && add_snapshot_disks(object, point) == 0) {
        return 0;
    }
    if (record == NULL) {
        return point->snapshot.host_only
                   ? error_set(err, ERROR_INTERNAL, "The disks of recovery point %s are not known", point->id)
                   : -1;
    }
    json_t *disks = json_array();
    for (size_t i = 0; i < record->disk_count; i++) {
        json_array_append_new(disks,
                              json_pack("{s:s, s:s, s:I, s:I}", "name", record->disks[i].name, "format",
                                        record->disks[i].format, "size", (json_int_t)record->disks[i].size,
                                        "transferred_bytes", (json_int_t)record->disks[i].transferred_bytes));
    }
    json_object_set_new(object, "disks", disks);
    point_destroy(record);
    return 0;
}

int api_point_list(struct api_call *call, struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    struct catalog_point_filter filter = {0};
    struct catalog_page page;
    const struct catalog_point *points;
    size_t count;
    struct api_plan *plans = NULL;
    bool deleted = false;
    const char *vm_name = api_query(call, "vm");
    if (api_query_flag(call, "deleted", &deleted, err) != 0) {
        return -1;
    }
    filter.which = deleted ? CATALOG_POINTS_DELETED : CATALOG_POINTS_LIVE;
    if (vm_name != NULL) {
        const struct catalog_vm *vm = catalog_vm_find(catalog, call->arena, vm_name, err);
        if (vm == NULL) {
            return -1;
        }
        filter.vm_id = vm->id;
    }
    if (api_page(call, &page, err) != 0 ||
        catalog_restorable_list(catalog, call->arena, &filter, &page, &points, &count, err) != 0) {
        return -1;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        struct error ignored;
        json_t *object = point_json(&points[i]);
        add_suspicion(call, object, points[i].id);
        if (add_disks(call, object, &points[i], &ignored) != 0) {
            json_object_set_new(object, "disks", json_array());
        }
        json_array_append_new(items, object);
        if (api_add_kept(call, &plans, &points[i], object, err) != 0) {
            json_decref(items);
            return -1;
        }
    }
    call->reply = api_list(items, &page, count > 0 ? points[count - 1].number : 0);
    return 0;
}

static const struct catalog_point *find_point(struct api_call *call, struct error *err)
{
    return catalog_stored_find(server_catalog(call->server), call->arena, call->parameters[0], err);
}

static const struct catalog_point *find_restorable(struct api_call *call, struct error *err)
{
    return catalog_restorable_find(server_catalog(call->server), call->arena, call->parameters[0], err);
}

int api_point_show(struct api_call *call, struct error *err)
{
    const struct catalog_point *point = find_restorable(call, err);
    if (point == NULL) {
        return -1;
    }
    struct api_plan *plans = NULL;
    call->reply = point_json(point);
    add_suspicion(call, call->reply, point->id);
    return api_add_kept(call, &plans, point, call->reply, err) != 0
               ? -1
               : add_disks(call, call->reply, point, err);
}

int api_point_verify(struct api_call *call, struct error *err)
{
    char id[IDENTITY_SIZE];
    const struct catalog_point *point = find_point(call, err);
    if (point == NULL || jobs_start_verify(server_jobs(call->server), point->id, call->actor, id, err) != 0) {
        return -1;
    }
    return api_accept_job(call, id, err);
}

/* --- the store
 * ---------------------------------------------------------------------------------------------- */

int api_store_status(struct api_call *call, struct error *err)
{
    struct store_status status;
    struct store *store = server_store(call->server);
    if (store_status_read(store, &status, err) != 0) {
        return -1;
    }
    call->reply =
        json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "id", store_id(store),
                  "chunk_size", (int)store_chunk_size(store), "containers", (json_int_t)status.containers,
                  "stored_bytes", (json_int_t)status.container_bytes, "chunks", (json_int_t)status.chunks,
                  "chunk_bytes", (json_int_t)status.chunk_bytes, "map_nodes", (json_int_t)status.nodes,
                  "points", (json_int_t)status.points, "damaged_chunks", (json_int_t)status.damaged_chunks,
                  "index_bytes", (json_int_t)status.index_bytes, "free_bytes", (json_int_t)status.free_bytes,
                  "total_bytes", (json_int_t)status.total_bytes);
    return 0;
}

int api_store_verify(struct api_call *call, struct error *err)
{
    char id[IDENTITY_SIZE];
    return jobs_start_verify(server_jobs(call->server), NULL, call->actor, id, err) != 0
               ? -1
               : api_accept_job(call, id, err);
}

int api_store_rebuild(struct api_call *call, struct error *err)
{
    char id[IDENTITY_SIZE];
    return jobs_start_rebuild(server_jobs(call->server), call->actor, id, err) != 0
               ? -1
               : api_accept_job(call, id, err);
}

int api_store_collect(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"dry_run", NULL};
    char id[IDENTITY_SIZE];
    bool dry_run = false;
    return api_check_fields(call->body, fields, err) != 0 ||
                   api_boolean_field(call->body, "dry_run", &dry_run, err) != 0 ||
                   jobs_start_collect(server_jobs(call->server), dry_run, call->actor, id, err) != 0
               ? -1
               : api_accept_job(call, id, err);
}
