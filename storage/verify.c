/* Verify: containers are read in order by a few readers, each record is checked and named. What is damaged is
 * found by place first; which names that are is asked of the index, once, and only when there is damage. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/check.h"
#include "storage/pace.h"
#include "storage/scratch.h"
#include "storage/store_internal.h"
#include "storage/store_scan.h"

#include <stdlib.h>
#include <string.h>

enum { READERS_DEFAULT = 2, READERS_MAX = 16, PORTION = 1024 };

/* A stretch of a container that holds no valid record. */
struct bad_range {
    uint64_t container;
    uint32_t start;
    uint32_t end;
};

struct verify {
    struct store *store;
    struct index_container *containers; /* what is to be read */
    size_t container_count;
    maintenance_watch watch;
    void *cookie;
    struct pace pace;

    pthread_mutex_t lock; /* guards what follows */
    size_t next;
    size_t done;
    struct verify_report *report;
    struct bad_range *bad;
    size_t bad_count;
    size_t bad_capacity;
    int result;
    struct error *err;
};

/* What one container's scan collects. */
struct container_scan {
    struct verify *verify;
    uint64_t container;
    uint64_t records;
    uint64_t chunks;
    struct bad_range *bad;
    size_t bad_count;
};

static void scan_bad(struct container_scan *scan, uint32_t start, uint32_t end)
{
    scan->bad = memory_resize(scan->bad, scan->bad_count + 1, sizeof *scan->bad);
    scan->bad[scan->bad_count++] =
        (struct bad_range){.container = scan->container, .start = start, .end = end};
}

static int on_bad(void *cookie, uint32_t start, uint32_t end)
{
    scan_bad(cookie, start, end);
    return 0;
}

static bool name_fits(const struct store *store, const void *plain, size_t length, const uint8_t *stored)
{
    struct chunk_name name;
    struct stored_name found;
    chunk_name_of(plain, length, &name);
    seal_name(store->seal, &name, &found);
    return memcmp(found.bytes, stored, sizeof found.bytes) == 0;
}

bool store_record_is_whole(const struct store *store, const struct record *record, uint8_t *bytes)
{
    const uint8_t *payload;
    size_t length;
    if (record_payload(record, bytes, store->seal, &payload, &length) != 0) {
        return false;
    }
    if (record->kind == RECORD_NODE) {
        return name_fits(store, payload, length, record->names);
    }
    size_t plain_length = (size_t)record->count * store->chunk_size;
    if (plain_length > STORE_RUN_BYTES_MAX || record->plain_length != plain_length) {
        return false;
    }
    uint8_t *plain = scratch_get(SCRATCH_PLAIN, plain_length);
    if (decompress_run(record->flags & RECORD_ZSTD ? COMPRESSION_ZSTD : COMPRESSION_PLAIN, payload, length,
                       plain, plain_length) != 0) {
        return false;
    }
    for (size_t i = 0; i < record->count; i++) {
        if (!name_fits(store, plain + i * store->chunk_size, store->chunk_size,
                       record->names + RECORD_NAME_SIZE * i)) {
            return false;
        }
    }
    return true;
}

static int on_record(void *cookie, const struct record *record, uint8_t *bytes, uint32_t offset)
{
    struct container_scan *scan = cookie;
    if (record->kind == RECORD_TABLE) {
        return 0;
    }
    scan->records++;
    scan->chunks += record->kind == RECORD_RUN ? record->count : 0;
    if (!store_record_is_whole(scan->verify->store, record, bytes)) {
        scan_bad(scan, offset, offset + record->total);
    }
    return 0;
}

/* How much of a container is complete: the one being written grows, and its end may be in the middle of a
 * write. */
static uint32_t complete_length(struct store *store, uint64_t container)
{
    pthread_mutex_lock(&store->append_lock);
    bool current = store->appender.object != NULL && store->appender.container == container;
    uint32_t length = current ? store->appender.written : UINT32_MAX;
    pthread_mutex_unlock(&store->append_lock);
    return length;
}

/* A container that was emptied since the list was made is no damage. */
static bool was_collected(struct store *store, uint64_t container)
{
    struct error ignored;
    uint64_t watermark = 1;
    pthread_rwlock_rdlock(&store->gate);
    bool gone = index_watermark(store->index, container, &watermark, &ignored) == 0 && watermark == 0;
    pthread_rwlock_unlock(&store->gate);
    return gone;
}

/* Gives the number of bytes read. */
static uint32_t scan_container(struct container_scan *scan)
{
    struct store *store = scan->verify->store;
    struct scan_visitor visitor = {.record = on_record, .bad = on_bad, .cookie = scan};
    struct error err;
    uint8_t *bytes;
    uint32_t length;
    uint32_t complete = complete_length(store, scan->container);
    if (store_load_container(store, scan->container, 0, &bytes, &length, &err) != 0) {
        if (!was_collected(store, scan->container)) {
            log_error("a container can't be read", &err);
            scan_bad(scan, 0, UINT32_MAX);
        }
        return 0;
    }
    bool whole_file = complete == UINT32_MAX;
    length = length < complete ? length : complete;
    if (length < CONTAINER_HEADER_SIZE ||
        container_header_check(bytes, store->superblock.uuid, scan->container) != 0) {
        log_event(LOG_ERROR, "container header damaged", "container=%llx",
                  (unsigned long long)scan->container);
    }
    if (length > CONTAINER_HEADER_SIZE) {
        store_scan_bytes(bytes + CONTAINER_HEADER_SIZE, length - CONTAINER_HEADER_SIZE, CONTAINER_HEADER_SIZE,
                         &visitor);
    }
    free(bytes);
    if (whole_file) {
        scan_bad(scan, length, UINT32_MAX); /* whatever the index expects there was cut off */
    }
    return length;
}

/* With the lock held. A range behind the end of a whole container is no damage by itself. */
static void take_scan(struct verify *verify, const struct container_scan *scan, uint32_t length)
{
    verify->report->containers++;
    verify->report->records += scan->records;
    verify->report->chunks += scan->chunks;
    verify->report->bytes_read += length;
    for (size_t i = 0; i < scan->bad_count; i++) {
        if (verify->bad_count == verify->bad_capacity) {
            verify->bad_capacity = verify->bad_capacity == 0 ? 64 : 2 * verify->bad_capacity;
            verify->bad = memory_resize(verify->bad, verify->bad_capacity, sizeof *verify->bad);
        }
        verify->bad[verify->bad_count++] = scan->bad[i];
    }
}

/* With the lock held. */
static void watch_locked(struct verify *verify, const char *phase, uint64_t done, uint64_t total)
{
    struct maintenance_progress progress = {.phase = phase, .done = done, .total = total};
    if (verify->watch != NULL && verify->watch(verify->cookie, &progress) && verify->result == 0) {
        verify->result = error_set(verify->err, ERROR_JOB_CANCELLED, "The verification was cancelled");
    }
}

static void *reader_main(void *cookie)
{
    struct verify *verify = cookie;
    pthread_mutex_lock(&verify->lock);
    while (verify->result == 0 && verify->next < verify->container_count) {
        const struct index_container *container = &verify->containers[verify->next++];
        pthread_mutex_unlock(&verify->lock);
        struct container_scan scan = {.verify = verify, .container = container->container};
        uint32_t length = scan_container(&scan);
        /* A container that ends where the index knew its end, or later, has nothing cut off. */
        if (scan.bad_count > 0 && scan.bad[scan.bad_count - 1].end == UINT32_MAX && length > 0 &&
            length >= container->watermark) {
            scan.bad_count--;
        }
        struct error ignored;
        if (scan.bad_count == 0) {
            pthread_rwlock_rdlock(&verify->store->gate);
            index_set_verified(verify->store->index, container->container, clock_wall_ms(), &ignored);
            pthread_rwlock_unlock(&verify->store->gate);
        }
        pace_spend(&verify->pace, length);
        pthread_mutex_lock(&verify->lock);
        take_scan(verify, &scan, length);
        free(scan.bad);
        watch_locked(verify, "scan", ++verify->done, verify->container_count);
    }
    pthread_mutex_unlock(&verify->lock);
    return NULL;
}

static int read_containers(struct verify *verify, unsigned readers)
{
    pthread_t threads[READERS_MAX];
    unsigned started = 0;
    while (started + 1 < readers && started + 1 < verify->container_count &&
           pthread_create(&threads[started], NULL, reader_main, verify) == 0) {
        started++;
    }
    reader_main(verify);
    for (unsigned i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    return verify->result;
}

/* --- from places to names */

static int compare_ranges(const void *a, const void *b)
{
    const struct bad_range *left = a;
    const struct bad_range *right = b;
    if (left->container != right->container) {
        return left->container < right->container ? -1 : 1;
    }
    return left->start < right->start ? -1 : left->start > right->start;
}

/* Ranges are sorted and don't overlap. */
static bool is_bad(const struct verify *verify, const struct chunk_location *location)
{
    size_t low = 0;
    size_t high = verify->bad_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct bad_range *range = &verify->bad[middle];
        if (range->container < location->container ||
            (range->container == location->container && range->end <= location->offset)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < verify->bad_count && verify->bad[low].container == location->container &&
           verify->bad[low].start <= location->offset;
}

static int quarantine_damaged(struct verify *verify, struct error *err)
{
    struct store *store = verify->store;
    struct index_entry *entries;
    struct stored_name last;
    const struct stored_name *after = NULL;
    size_t count = 0;
    /* What was appended before the scan must be in the index to be found there. */
    if (verify->bad_count == 0 || store_sync(store, err) != 0) {
        return verify->bad_count == 0 ? 0 : -1;
    }
    qsort(verify->bad, verify->bad_count, sizeof *verify->bad, compare_ranges);
    entries = memory_array(PORTION, sizeof *entries);
    int result = 0;
    do {
        pthread_rwlock_rdlock(&store->gate);
        result = index_read_entries(store->index, after, entries, PORTION, &count, err);
        for (size_t i = 0; i < count && result == 0; i++) {
            if (is_bad(verify, &entries[i].location)) {
                store_quarantine(store, &entries[i].name);
            }
        }
        pthread_rwlock_unlock(&store->gate);
        if (count > 0) {
            last = entries[count - 1].name;
            after = &last;
        }
    } while (result == 0 && count == PORTION);
    free(entries);
    return result;
}

/* --- points */

struct point_check {
    struct verify *verify;
    struct checker *checker;
    uint64_t done;
};

static int on_point(void *cookie, const char *id)
{
    struct point_check *check = cookie;
    struct verify *verify = check->verify;
    struct verify_report *report = verify->report;
    uint64_t missing;
    int whole = checker_check_point(check->checker, id, &missing, verify->err);
    if (whole < 0) {
        /* Deleted since it was listed? */
        return verify->err->code == ERROR_RP_NOT_FOUND ? 0 : -1;
    }
    if (whole == 0) {
        report->damaged_points = memory_resize(report->damaged_points, report->damaged_point_count + 1,
                                               sizeof *report->damaged_points);
        memcpy(report->damaged_points[report->damaged_point_count++], id, IDENTITY_SIZE);
    }
    watch_locked(verify, "points", ++check->done, 0);
    return verify->result;
}

static int check_points(struct verify *verify)
{
    struct point_check check = {.verify = verify, .checker = checker_create(verify->store)};
    int result = point_list(verify->store, on_point, &check, verify->err);
    checker_destroy(check.checker);
    return result;
}

/* --- all of it */

static int compare_verified(const void *a, const void *b)
{
    const struct index_container *left = a;
    const struct index_container *right = b;
    if (left->verified_ms != right->verified_ms) {
        return left->verified_ms < right->verified_ms ? -1 : 1;
    }
    return left->container < right->container ? -1 : left->container > right->container;
}

static int compare_containers(const void *a, const void *b)
{
    const struct index_container *left = a;
    const struct index_container *right = b;
    return left->container < right->container ? -1 : left->container > right->container;
}

/* Which containers to read: what the index knows is what should be there. Those verified longest ago, up to
 * the limit, then in the order in which they lie. */
static int choose_containers(struct verify *verify, const struct verify_options *options, struct error *err)
{
    size_t count = 0;
    uint64_t bytes = 0;
    pthread_rwlock_rdlock(&verify->store->gate);
    int result =
        index_list_containers(verify->store->index, &verify->containers, &verify->container_count, err);
    pthread_rwlock_unlock(&verify->store->gate);
    if (result != 0) {
        return -1;
    }
    if (verify->container_count > 0) {
        qsort(verify->containers, verify->container_count, sizeof *verify->containers, compare_verified);
    }
    while (count < verify->container_count &&
           verify->containers[count].verified_ms < options->verified_before_ms &&
           (options->bytes == 0 || bytes < options->bytes)) {
        bytes += verify->containers[count++].watermark;
    }
    verify->container_count = count;
    if (count > 0) {
        qsort(verify->containers, count, sizeof *verify->containers, compare_containers);
    }
    return 0;
}

int store_verify_part(struct store *store, const struct verify_options *options, maintenance_watch watch,
                      void *cookie, struct verify_report *report, struct error *err)
{
    *report = (struct verify_report){0};
    struct verify verify = {.store = store, .watch = watch, .cookie = cookie, .report = report, .err = err};
    unsigned readers = options->readers != 0 ? options->readers : READERS_DEFAULT;
    pthread_mutex_init(&verify.lock, NULL);
    pace_init(&verify.pace, options->bytes_per_second);
    int result = store_sync(store, err);
    if (result == 0) {
        result = choose_containers(&verify, options, err);
    }
    if (result == 0) {
        result = read_containers(&verify, readers < READERS_MAX ? readers : READERS_MAX);
    }
    if (result == 0) {
        result = quarantine_damaged(&verify, err);
    }
    if (result == 0) {
        result = store_recheck_damaged(store, err);
    }
    if (result == 0) {
        result = check_points(&verify);
    }
    if (result == 0) {
        report->damaged_chunks = atomic_load(&store->damaged);
    } else {
        verify_report_clear(report);
    }
    pace_destroy(&verify.pace);
    pthread_mutex_destroy(&verify.lock);
    free(verify.containers);
    free(verify.bad);
    return result;
}

int store_verify(struct store *store, maintenance_watch watch, void *cookie, struct verify_report *report,
                 struct error *err)
{
    struct verify_options options = {.verified_before_ms = INT64_MAX};
    return store_verify_part(store, &options, watch, cookie, report, err);
}

void verify_report_clear(struct verify_report *report)
{
    free(report->damaged_points);
    *report = (struct verify_report){0};
}
