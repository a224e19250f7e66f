#include "storage/chunk.h"

#include "base/bytes.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/store_internal.h"
#include <stdlib.h>
#include <string.h>

static const struct chunk_name zero_name;

bool chunk_name_is_zero(const struct chunk_name *name)
{
    return chunk_name_equal(name, &zero_name);
}

bool chunk_name_equal(const struct chunk_name *a, const struct chunk_name *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

void chunk_name_of(const void *plain, size_t length, struct chunk_name *name)
{
    digest_sha256(plain, length, name->bytes);
}

/* --- looking up */

int store_lookup(struct store *store, const struct stored_name *name, struct chunk_location *location,
                 struct error *err)
{
    bool damaged = false;
    pthread_mutex_lock(&store->append_lock);
    const struct pending_entry *entry = pending_find(store->pending, name);
    if (entry == NULL) {
        entry = pending_find(store->syncing, name);
    }
    bool found = entry != NULL;
    if (found) {
        *location = entry->location;
    }
    pthread_mutex_unlock(&store->append_lock);
    if (found) {
        return 1;
    }
    if (atomic_load(&store->damaged) > 0 && index_is_damaged(store->index, name, &damaged, err) != 0) {
        return -1;
    }
    if (damaged) {
        *location = (struct chunk_location){0};
        return 0;
    }
    return index_find(store->index, name, location, err);
}

bool chunk_exists(struct store *store, const struct chunk_name *name)
{
    struct stored_name stored;
    struct chunk_location location;
    struct error err;
    if (chunk_name_is_zero(name)) {
        return true;
    }
    seal_name(store->seal, name, &stored);
    pthread_rwlock_rdlock(&store->gate);
    int found = store_lookup(store, &stored, &location, &err);
    if (found == 1 && !store_writer_may_use(store, name, &location, false)) {
        found = 0;
    }
    pthread_rwlock_unlock(&store->gate);
    if (found < 0) {
        log_error("a lookup failed", &err);
    }
    return found == 1;
}

int chunk_locate(struct store *store, const struct chunk_name *names, size_t count,
                 struct chunk_location *locations, struct error *err)
{
    struct stored_name *stored = memory_array(count, sizeof *stored);
    for (size_t i = 0; i < count; i++) {
        seal_name(store->seal, &names[i], &stored[i]);
    }
    pthread_rwlock_rdlock(&store->gate);
    int result = index_find_many(store->index, stored, count, locations, err);
    bool damaged = atomic_load(&store->damaged) > 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        /* The index misses what is pending, and does not know by itself what is damaged. */
        if (locations[i].container == 0 || damaged) {
            result = store_lookup(store, &stored[i], &locations[i], err) < 0 ? -1 : 0;
        }
    }
    pthread_rwlock_unlock(&store->gate);
    free(stored);
    return result;
}

/* --- damage */

void store_quarantine(struct store *store, const struct stored_name *name)
{
    struct error err;
    bool known = false;
    if (index_is_damaged(store->index, name, &known, &err) != 0 ||
        (!known && index_damage(store->index, name, &err) != 0)) {
        log_error("a damaged chunk could not be noted", &err);
    } else if (!known) {
        char hex[2 * sizeof name->bytes + 1];
        bytes_to_hex(name->bytes, sizeof name->bytes, hex);
        log_event(LOG_ERROR, "chunk damaged", "chunk=%s", hex);
        atomic_fetch_add(&store->damaged, 1);
    }
}

void chunk_report_damage(struct store *store, const struct chunk_name *name)
{
    struct stored_name stored;
    seal_name(store->seal, name, &stored);
    pthread_rwlock_rdlock(&store->gate);
    store_quarantine(store, &stored);
    pthread_rwlock_unlock(&store->gate);
}

int store_damaged_error(const struct chunk_location *location, const char *why, struct error *err)
{
    error_set(err, ERROR_CHUNK_DAMAGED, "A stored chunk is damaged: container %llx, offset %u",
              (unsigned long long)location->container, location->offset);
    return error_set_cause(err, "%s", why);
}

/* --- reading records */

int store_read_bytes(struct store *store, const struct chunk_location *location, uint8_t *bytes,
                     struct error *err)
{
    char name[STORE_CONTAINER_NAME_SIZE];
    size_t got = 0;
    /* What is still in the buffer must be where it is read from. */
    pthread_mutex_lock(&store->append_lock);
    int flushed = store->appender.object != NULL && location->container == store->appender.container &&
                          location->offset + location->length > store->appender.written
                      ? store_flush_locked(store, err)
                      : 0;
    pthread_mutex_unlock(&store->append_lock);
    if (flushed != 0) {
        return -1;
    }
    int found =
        store->backend->operations->get(store->backend, store_container_name(location->container, name),
                                        location->offset, bytes, location->length, &got, err);
    if (found == 1 && got == location->length) {
        return 0;
    }
    if (found < 0) {
        char why[ERROR_TEXT_MAX];
        error_format(err, why, sizeof why);
        return store_damaged_error(location, why, err);
    }
    return store_damaged_error(location,
                               found == 0 ? "the container is missing" : "the container ends before it", err);
}

int store_open_record(const struct store *store, const struct chunk_location *location, uint8_t *bytes,
                      struct stored_record *out, struct error *err)
{
    out->bytes = bytes;
    if (record_parse(bytes, location->length, &out->record) != 0 ||
        out->record.count != location->run_count) {
        return store_damaged_error(location, "its checksum does not match", err);
    }
    return record_payload(&out->record, bytes, store->seal, &out->payload, &out->length) == 0
               ? 0
               : store_damaged_error(location, "its seal is broken", err);
}

int store_read_record(struct store *store, const struct chunk_location *location, struct stored_record *out,
                      struct error *err)
{
    uint8_t *bytes = memory_alloc(location->length);
    if (store_read_bytes(store, location, bytes, err) != 0 ||
        store_open_record(store, location, bytes, out, err) != 0) {
        free(bytes);
        out->bytes = NULL;
        return -1;
    }
    return 0;
}

struct chunk_record *chunk_record_read(struct store *store, const struct chunk_location *location,
                                       struct error *err)
{
    struct stored_record stored;
    pthread_rwlock_rdlock(&store->gate);
    int result = store_read_record(store, location, &stored, err);
    pthread_rwlock_unlock(&store->gate);
    if (result != 0) {
        return NULL;
    }
    struct chunk_record *out = memory_zalloc(sizeof *out);
    out->count = stored.record.count;
    out->compression = stored.record.flags & RECORD_ZSTD ? COMPRESSION_ZSTD : COMPRESSION_PLAIN;
    out->payload = stored.payload;
    out->length = stored.length;
    out->memory = stored.bytes;
    return out;
}

void chunk_record_destroy(struct chunk_record *record)
{
    if (record != NULL) {
        free(record->memory);
        free(record);
    }
}

int chunk_record_unpack(struct store *store, const struct chunk_record *record, void *out, struct error *err)
{
    if (decompress_run(record->compression, record->payload, record->length, out,
                       record->count * store->chunk_size) != 0) {
        return error_set(err, ERROR_CHUNK_DAMAGED, "A stored run can't be decompressed");
    }
    return 0;
}

/* --- reading chunks, with the runs that were unpacked last at hand: neighbours are read one by one */

enum { CACHED_RUN_MAX = 2 * 1024 * 1024 };

void store_cache_clear(struct store *store)
{
    for (size_t i = 0; i < STORE_RUN_CACHE_SLOTS; i++) {
        free(store->cache[i].plain);
        store->cache[i] = (struct cached_run){0};
    }
}

static bool cache_get(struct store *store, const struct chunk_location *location, void *out)
{
    bool found = false;
    pthread_mutex_lock(&store->cache_lock);
    for (size_t i = 0; i < STORE_RUN_CACHE_SLOTS && !found; i++) {
        const struct cached_run *run = &store->cache[i];
        size_t at = (size_t)location->position * store->chunk_size;
        if (run->length > at && run->container == location->container && run->offset == location->offset) {
            memcpy(out, run->plain + at, store->chunk_size);
            found = true;
        }
    }
    pthread_mutex_unlock(&store->cache_lock);
    return found;
}

/* Takes plain over. */
static void cache_put(struct store *store, const struct chunk_location *location, uint8_t *plain,
                      size_t length)
{
    if (location->run_count == 1 || length > CACHED_RUN_MAX) {
        free(plain);
        return;
    }
    pthread_mutex_lock(&store->cache_lock);
    struct cached_run *run = &store->cache[store->cache_next++ % STORE_RUN_CACHE_SLOTS];
    free(run->plain);
    *run = (struct cached_run){
        .container = location->container, .offset = location->offset, .length = length, .plain = plain};
    pthread_mutex_unlock(&store->cache_lock);
}

static int read_and_unpack(struct store *store, const struct chunk_location *location, void *out,
                           struct error *err)
{
    struct chunk_record *record = chunk_record_read(store, location, err);
    if (record == NULL) {
        return -1;
    }
    size_t length = record->count * store->chunk_size;
    uint8_t *plain = memory_alloc(length);
    int result = chunk_record_unpack(store, record, plain, err);
    chunk_record_destroy(record);
    if (result != 0) {
        free(plain);
        return -1;
    }
    memcpy(out, plain + (size_t)location->position * store->chunk_size, store->chunk_size);
    cache_put(store, location, plain, length);
    return 0;
}

int chunk_read(struct store *store, const struct chunk_name *name, void *out, struct error *err)
{
    struct chunk_location location;
    struct chunk_name found;
    struct store_lease lease;
    if (chunk_name_is_zero(name)) {
        memset(out, 0, store->chunk_size);
        return 0;
    }
    store_lease_begin(store, &lease);
    int result = chunk_locate(store, name, 1, &location, err);
    if (result == 0 && location.container == 0) {
        store_lease_end(&lease);
        return error_set(err, ERROR_CHUNK_DAMAGED, "A chunk is missing or damaged");
    }
    if (result == 0 && !cache_get(store, &location, out)) {
        result = read_and_unpack(store, &location, out, err);
    }
    store_lease_end(&lease);
    if (result == 0) {
        chunk_name_of(out, store->chunk_size, &found);
        if (!chunk_name_equal(&found, name)) {
            result = store_damaged_error(&location, "its name does not match", err);
        }
    }
    if (result != 0 && err->code == ERROR_CHUNK_DAMAGED) {
        chunk_report_damage(store, name);
    }
    return result;
}
