#include "base/bytes.h"
#include "base/compress.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/index.h"
#include "storage/maintenance.h"
#include "storage/map_node.h"
#include "storage/record.h"
#include "storage/store_internal.h"
#include "storage/store_scan.h"

#include <stdlib.h>
#include <string.h>

/* A stretch of a container that holds no valid record. */
struct bad_range {
    uint64_t container;
    uint32_t start;
    uint32_t end;
};

struct verify {
    struct store *store;
    struct verify_report *report;
    uint64_t container; /* being read */
    uint8_t *plain;     /* room for the largest run */
    struct bad_range *bad;
    size_t bad_count;
    uint64_t *containers;
    size_t container_count;
};

static void add_bad(struct verify *verify, uint32_t start, uint32_t end)
{
    if ((verify->bad_count & (verify->bad_count + 1)) == 0) {
        verify->bad = memory_resize(verify->bad, 2 * (verify->bad_count + 1), sizeof *verify->bad);
    }
    verify->bad[verify->bad_count++] =
        (struct bad_range){.container = verify->container, .start = start, .end = end};
}

static int on_bad(void *cookie, uint32_t start, uint32_t end)
{
    add_bad(cookie, start, end);
    return 0;
}

static bool record_is_whole(struct verify *verify, const struct record *record)
{
    struct chunk_name name;
    uint32_t chunk_size = verify->store->chunk_size;
    if (record->kind == RECORD_NODE) {
        chunk_name_of(record->payload, record->payload_length, &name);
        return memcmp(name.bytes, record->names, sizeof name.bytes) == 0;
    }
    size_t length = (size_t)record->count * chunk_size;
    if (length > STORE_RUN_BYTES_MAX ||
        decompress_run(record->flags & RECORD_ZSTD ? COMPRESSION_ZSTD : COMPRESSION_PLAIN, record->payload,
                       record->payload_length, verify->plain, length) != 0) {
        return false;
    }
    for (size_t i = 0; i < record->count; i++) {
        chunk_name_of(verify->plain + i * chunk_size, chunk_size, &name);
        if (memcmp(name.bytes, record->names + 32 * i, sizeof name.bytes) != 0) {
            return false;
        }
    }
    return true;
}

static int on_record(void *cookie, const struct record *record, uint32_t offset)
{
    struct verify *verify = cookie;
    if (record->kind == RECORD_TABLE) {
        return 0;
    }
    verify->report->records++;
    verify->report->chunks += record->kind == RECORD_RUN ? record->count : 0;
    if (!record_is_whole(verify, record)) {
        add_bad(verify, offset, offset + record->total);
    }
    return 0;
}

/* Only what was complete when the container was looked at: the one being written grows meanwhile, and its end
 * may be in the middle of a write. */
static int verify_container(struct verify *verify, struct error *err)
{
    uint8_t *bytes = NULL;
    uint32_t length = 0;
    struct scan_visitor visitor = {.record = on_record, .bad = on_bad, .cookie = verify};
    pthread_mutex_lock(&verify->store->append_lock);
    bool current =
        verify->store->appender.file != NULL && verify->store->appender.container == verify->container;
    uint32_t written = verify->store->appender.written;
    pthread_mutex_unlock(&verify->store->append_lock);
    if (store_load_container(verify->store, verify->container, &bytes, &length, err) != 0) {
        log_error("a container can't be read", err);
        add_bad(verify, 0, UINT32_MAX);
        return 0;
    }
    if (current && written < length) {
        length = written;
    }
    verify->report->containers++;
    verify->report->bytes_read += length;
    if (length < CONTAINER_HEADER_SIZE ||
        container_header_check(bytes, verify->store->uuid, verify->container) != 0) {
        log_event(LOG_ERROR, "container header damaged", "container=%llx",
                  (unsigned long long)verify->container);
    }
    int result =
        length > CONTAINER_HEADER_SIZE ? store_scan_bytes(bytes, length, CONTAINER_HEADER_SIZE, &visitor) : 0;
    free(bytes);
    if (!current) {
        add_bad(verify, length, UINT32_MAX); /* whatever the index expects there was cut off */
    }
    return result;
}

static bool container_exists(const struct verify *verify, uint64_t container)
{
    size_t low = 0;
    size_t high = verify->container_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (verify->containers[middle] < container) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < verify->container_count && verify->containers[low] == container;
}

struct damage_list {
    struct verify *verify;
    struct chunk_name *names;
    size_t count;
    size_t capacity;
    uint64_t newest; /* containers past this were made after the scan */
};

/* Does an entry of the index point into a bad stretch, or nowhere? */
static int on_entry(void *cookie, const struct chunk_name *name, const struct chunk_location *location,
                    bool node)
{
    (void)node;
    struct damage_list *list = cookie;
    struct verify *verify = list->verify;
    if (location->container > list->newest) {
        return 0;
    }
    bool damaged = !container_exists(verify, location->container);
    for (size_t i = 0; i < verify->bad_count && !damaged; i++) {
        const struct bad_range *bad = &verify->bad[i];
        damaged = bad->container == location->container && location->offset >= bad->start &&
                  location->offset < bad->end;
    }
    if (damaged) {
        if (list->count == list->capacity) {
            list->capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
            list->names = memory_resize(list->names, list->capacity, sizeof *list->names);
        }
        list->names[list->count++] = *name;
    }
    return 0;
}

static int quarantine_damaged(struct verify *verify, struct error *err)
{
    struct damage_list list = {
        .verify = verify,
        .newest = verify->container_count > 0 ? verify->containers[verify->container_count - 1] : UINT64_MAX};
    /* What was appended before the scan must be in the index to be found there. */
    int result = store_sync_gated(verify->store, err);
    if (result == 0) {
        result = index_each(verify->store->index, on_entry, &list, err);
    }
    for (size_t i = 0; i < list.count && result == 0; i++) {
        store_quarantine(verify->store, &list.names[i]);
    }
    free(list.names);
    return result;
}

/* --- points
 * ------------------------------------------------------------------------------------------------- */

/* A name is there and not damaged. */
static int check_name(struct store *store, const struct chunk_name *name, uint64_t *missing,
                      struct error *err)
{
    struct chunk_location location;
    int found = store_lookup(store, name, &location, err);
    if (found == 0) {
        (*missing)++;
    }
    return found;
}

static int check_tree(struct store *store, const struct chunk_name *name, unsigned level, uint64_t *missing,
                      struct error *err)
{
    struct map_entries entries;
    if (chunk_name_is_zero(name)) {
        return 0;
    }
    if (map_node_read(store, name, level, &entries, err) != 0) {
        if (err->code != ERROR_CHUNK_DAMAGED) {
            return -1;
        }
        (*missing)++;
        return 0;
    }
    for (unsigned i = 0; i < MAP_FANOUT; i++) {
        if (chunk_name_is_zero(&entries.names[i])) {
            continue;
        }
        int result = level > 0 ? check_tree(store, &entries.names[i], level - 1, missing, err)
                               : check_name(store, &entries.names[i], missing, err);
        if (result < 0) {
            return -1;
        }
    }
    return 0;
}

int store_check_point(struct store *store, const char *point_id, uint64_t *missing_chunks, struct error *err)
{
    *missing_chunks = 0;
    struct point *point = point_read(store, point_id, err);
    if (point == NULL) {
        return err->code == ERROR_RP_DAMAGED ? 0 : -1;
    }
    int result = 0;
    for (size_t i = 0; i < point->disk_count && result == 0; i++) {
        unsigned depth = map_depth(map_chunk_count(store, point->disks[i].size));
        result = check_tree(store, &point->disks[i].root, depth - 1, missing_chunks, err);
    }
    point_destroy(point);
    return result != 0 ? -1 : *missing_chunks == 0;
}

struct point_check {
    struct verify *verify;
    struct error *err;
};

static int on_point(void *cookie, const char *id)
{
    struct point_check *check = cookie;
    struct verify_report *report = check->verify->report;
    uint64_t missing;
    int whole = store_check_point(check->verify->store, id, &missing, check->err);
    if (whole < 0) {
        /* Deleted since it was listed? */
        return check->err->code == ERROR_RP_NOT_FOUND ? 0 : -1;
    }
    if (whole == 0) {
        report->damaged_points = memory_resize(report->damaged_points, report->damaged_point_count + 1,
                                               sizeof *report->damaged_points);
        memcpy(report->damaged_points[report->damaged_point_count++], id, IDENTITY_SIZE);
    }
    return 0;
}

static int watch_scan(maintenance_watch watch, void *cookie, const char *phase, uint64_t done, uint64_t total,
                      struct error *err)
{
    struct maintenance_progress progress = {.phase = phase, .done = done, .total = total};
    if (watch != NULL && watch(cookie, &progress)) {
        return error_set(err, ERROR_JOB_CANCELLED, "The work on the store was cancelled");
    }
    return 0;
}

static int verify_containers(struct verify *verify, maintenance_watch watch, void *cookie, struct error *err)
{
    int result = store_list_containers(verify->store, &verify->containers, &verify->container_count, err);
    for (size_t i = 0; i < verify->container_count && result == 0; i++) {
        verify->container = verify->containers[i];
        result = verify_container(verify, err);
        if (result == 0) {
            result = watch_scan(watch, cookie, "scan", i + 1, verify->container_count, err);
        }
    }
    return result == 0 ? quarantine_damaged(verify, err) : -1;
}

int store_verify(struct store *store, maintenance_watch watch, void *cookie, struct verify_report *report,
                 struct error *err)
{
    *report = (struct verify_report){0};
    struct verify verify = {.store = store, .report = report, .plain = memory_alloc(STORE_RUN_BYTES_MAX)};
    struct point_check check = {.verify = &verify, .err = err};
    pthread_rwlock_rdlock(&store->gate);
    int result = verify_containers(&verify, watch, cookie, err);
    pthread_rwlock_unlock(&store->gate);
    if (result == 0) {
        result = watch_scan(watch, cookie, "points", 0, 1, err);
    }
    if (result == 0) {
        result = point_list(store, on_point, &check, err);
    }
    if (result == 0) {
        report->damaged_chunks = atomic_load(&store->damaged);
    } else {
        verify_report_clear(report);
    }
    free(verify.plain);
    free(verify.bad);
    free(verify.containers);
    return result;
}

void verify_report_clear(struct verify_report *report)
{
    free(report->damaged_points);
    *report = (struct verify_report){0};
}

/* --- rebuild
 * ------------------------------------------------------------------------------------------------ */

struct rebuild_watch {
    maintenance_watch watch;
    void *cookie;
};

/* Progress only: half an index would make whole points look damaged, so a rebuild runs to its end. */
static void on_rebuilt(void *cookie, uint64_t done, uint64_t total)
{
    struct rebuild_watch *rebuild = cookie;
    struct maintenance_progress progress = {.phase = "scan", .done = done, .total = total};
    if (rebuild->watch != NULL) {
        rebuild->watch(rebuild->cookie, &progress);
    }
}

int store_rebuild_index(struct store *store, maintenance_watch watch, void *cookie, struct error *err)
{
    struct rebuild_watch rebuild = {.watch = watch, .cookie = cookie};
    bool fresh;
    pthread_rwlock_wrlock(&store->gate);
    int result = store_sync_gated(store, err);
    if (result == 0) {
        index_close(store->index);
        store->index = NULL;
        result = os_path_remove_tree(store->index_path, err);
        store->index = index_open(store->index_path, &fresh, err);
        if (store->index == NULL) {
            /* Without an index nothing works; the next open makes one. */
            log_error("the index could not be made", err);
            abort();
        }
    }
    if (result == 0) {
        result = store_replay(store, on_rebuilt, &rebuild, err);
        atomic_store(&store->damaged, 0);
    }
    pthread_rwlock_unlock(&store->gate);
    return result;
}
