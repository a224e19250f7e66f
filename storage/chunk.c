#include "storage/chunk.h"

#include "base/bytes.h"
#include "base/compress.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/record.h"
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

/* --- looking up
 * --------------------------------------------------------------------------------------------- */

int store_lookup(struct store *store, const struct chunk_name *name, struct chunk_location *location,
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
    struct chunk_location location;
    struct error err;
    if (chunk_name_is_zero(name)) {
        return true;
    }
    pthread_rwlock_rdlock(&store->gate);
    int found = store_lookup(store, name, &location, &err);
    pthread_rwlock_unlock(&store->gate);
    if (found < 0) {
        log_error("a lookup failed", &err);
    }
    return found == 1;
}

int chunk_locate(struct store *store, const struct chunk_name *names, size_t count,
                 struct chunk_location *locations, struct error *err)
{
    pthread_rwlock_rdlock(&store->gate);
    int result = index_find_many(store->index, names, count, locations, err);
    bool damaged = atomic_load(&store->damaged) > 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        /* The index misses what is pending, and does not know by itself what is damaged. */
        if (locations[i].container == 0 || damaged) {
            result = store_lookup(store, &names[i], &locations[i], err) < 0 ? -1 : 0;
        }
    }
    pthread_rwlock_unlock(&store->gate);
    return result;
}

/* --- reading
 * ------------------------------------------------------------------------------------------------ */

void store_quarantine(struct store *store, const struct chunk_name *name)
{
    struct error err;
    bool known = false;
    if (index_is_damaged(store->index, name, &known, &err) != 0 ||
        (!known && index_damage(store->index, name, &err) != 0)) {
        log_error("a damaged chunk could not be noted", &err);
    } else if (!known) {
        char hex[65];
        bytes_to_hex(name->bytes, sizeof name->bytes, hex);
        log_event(LOG_ERROR, "chunk damaged", "chunk=%s", hex);
        atomic_fetch_add(&store->damaged, 1);
    }
}

void chunk_report_damage(struct store *store, const struct chunk_name *name)
{
    pthread_rwlock_rdlock(&store->gate);
    store_quarantine(store, name);
    pthread_rwlock_unlock(&store->gate);
}

static int damaged_error(const struct chunk_location *location, const char *why, struct error *err)
{
    error_set(err, ERROR_CHUNK_DAMAGED, "A stored chunk is damaged: container %llx, offset %u",
              (unsigned long long)location->container, location->offset);
    return error_set_cause(err, "%s", why);
}

/* A shared handle for reading a container: opened files are kept, the oldest is given up. The handle is
 * duplicated for the caller's read, so that it can't be closed meanwhile. */
static int read_container(struct store *store, const struct chunk_location *location, uint8_t *bytes,
                          struct error *err)
{
    enum { SLOTS = sizeof store->read_files / sizeof store->read_files[0] };
    pthread_mutex_lock(&store->files_lock);
    struct os_file *file = NULL;
    for (unsigned i = 0; i < SLOTS && file == NULL; i++) {
        if (store->read_files[i] != NULL && store->read_ids[i] == location->container) {
            file = store->read_files[i];
        }
    }
    if (file == NULL) {
        char *path = store_container_path(store, location->container);
        file = os_file_open(path, OS_FILE_READ, err);
        free(path);
        if (file != NULL) {
            unsigned slot = store->read_next++ % SLOTS;
            os_file_close(store->read_files[slot]);
            store->read_files[slot] = file;
            store->read_ids[slot] = location->container;
        }
    }
    int result = file != NULL ? os_file_read_at(file, location->offset, bytes, location->length, err) : -1;
    pthread_mutex_unlock(&store->files_lock);
    return result;
}

int store_read_record(struct store *store, const struct chunk_location *location, uint8_t **bytes,
                      struct error *err)
{
    struct record record;
    pthread_mutex_lock(&store->append_lock);
    int flushed = store->appender.file != NULL && location->container == store->appender.container &&
                          location->offset + location->length > store->appender.written
                      ? store_flush_locked(store, err)
                      : 0;
    pthread_mutex_unlock(&store->append_lock);
    if (flushed != 0) {
        return -1;
    }
    *bytes = memory_alloc(location->length);
    if (read_container(store, location, *bytes, err) != 0) {
        char why[ERROR_TEXT_MAX];
        error_format(err, why, sizeof why);
        damaged_error(location, why, err);
    } else if (record_parse(*bytes, location->length, &record) != 0 || record.count != location->run_count) {
        damaged_error(location, "its checksum does not match", err);
    } else {
        return 0;
    }
    free(*bytes);
    *bytes = NULL;
    return -1;
}

struct chunk_record *chunk_record_read(struct store *store, const struct chunk_location *location,
                                       struct error *err)
{
    struct record record;
    uint8_t *bytes;
    pthread_rwlock_rdlock(&store->gate);
    int result = store_read_record(store, location, &bytes, err);
    pthread_rwlock_unlock(&store->gate);
    if (result != 0) {
        return NULL;
    }
    if (record_parse(bytes, location->length, &record) != 0) {
        free(bytes);
        damaged_error(location, "it is no record", err);
        return NULL;
    }
    struct chunk_record *out = memory_zalloc(sizeof *out);
    out->count = record.count;
    out->compression = record.flags & RECORD_ZSTD ? COMPRESSION_ZSTD : COMPRESSION_PLAIN;
    out->payload = record.payload;
    out->length = record.payload_length;
    out->memory = bytes;
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

int chunk_read(struct store *store, const struct chunk_name *name, void *out, struct error *err)
{
    struct chunk_location location;
    struct chunk_name found;
    if (chunk_name_is_zero(name)) {
        memset(out, 0, store->chunk_size);
        return 0;
    }
    if (chunk_locate(store, name, 1, &location, err) != 0) {
        return -1;
    }
    if (location.container == 0) {
        return error_set(err, ERROR_CHUNK_DAMAGED, "A chunk is missing or damaged");
    }
    struct chunk_record *record = chunk_record_read(store, &location, err);
    uint8_t *plain = NULL;
    int result = -1;
    if (record != NULL) {
        plain = memory_alloc(record->count * store->chunk_size);
        result = chunk_record_unpack(store, record, plain, err);
    }
    if (result == 0) {
        const uint8_t *chunk = plain + (size_t)location.position * store->chunk_size;
        chunk_name_of(chunk, store->chunk_size, &found);
        if (chunk_name_equal(&found, name)) {
            memcpy(out, chunk, store->chunk_size);
        } else {
            result = damaged_error(&location, "its name does not match", err);
        }
    }
    if (result != 0 && err->code == ERROR_CHUNK_DAMAGED) {
        chunk_report_damage(store, name);
    }
    free(plain);
    chunk_record_destroy(record);
    return result;
}
