/* Appending records to containers, and making them durable. */
#include "base/bytes.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/store_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *store_container_name(uint64_t container, char out[STORE_CONTAINER_NAME_SIZE])
{
    snprintf(out, STORE_CONTAINER_NAME_SIZE, "containers/%016llx.hfc", (unsigned long long)container);
    return out;
}

int store_check_room(struct store *store, struct error *err)
{
    uint64_t free_bytes;
    if (store->backend->operations->space(store->backend, &free_bytes, NULL, err) != 0) {
        return -1;
    }
    if (free_bytes < store->reserved_bytes) {
        return error_set(err, ERROR_STORE_FULL,
                         "Store %s has no room: %llu MiB are free, %llu MiB of them reserved",
                         store->directory, (unsigned long long)(free_bytes >> 20),
                         (unsigned long long)(store->reserved_bytes >> 20));
    }
    return 0;
}

static int check_space(struct store *store, struct error *err)
{
    if (store_check_room(store, err) != 0) {
        return -1;
    }
    store->since_space_check = 0;
    return 0;
}

static int container_start(struct store *store, bool spends_reserve, struct error *err)
{
    struct appender *appender = &store->appender;
    char name[STORE_CONTAINER_NAME_SIZE];
    if (!spends_reserve && check_space(store, err) != 0) {
        return -1;
    }
    appender->object = store->backend->operations->append_open(
        store->backend, store_container_name(store->next_container, name), err);
    if (appender->object == NULL) {
        return -1;
    }
    appender->container = store->next_container++;
    appender->written = 0;
    if (appender->buffer == NULL) {
        appender->buffer = memory_alloc(STORE_BUFFER_SIZE + record_size(STORE_RUN_MAX, RECORD_PAYLOAD_MAX));
    }
    container_header_encode(appender->buffer, store->superblock.uuid, appender->container, store->chunk_size);
    appender->buffered = CONTAINER_HEADER_SIZE;
    appender->table_length = 0;
    return 0;
}

int store_flush_locked(struct store *store, struct error *err)
{
    struct appender *appender = &store->appender;
    if (appender->object == NULL || appender->buffered == 0) {
        return 0;
    }
    if (store->backend->operations->append_write(appender->object, appender->written, appender->buffer,
                                                 appender->buffered, err) != 0) {
        return -1;
    }
    appender->written += appender->buffered;
    appender->buffered = 0;
    return 0;
}

static void table_add(struct appender *appender, const struct record *record, uint32_t offset)
{
    struct table_entry entry = {.offset = offset,
                                .total = record->total,
                                .kind = record->kind,
                                .count = record->count,
                                .names = record->names};
    uint32_t needed = appender->table_length + TABLE_ENTRY_SIZE + RECORD_NAME_SIZE * record->count;
    if (needed > appender->table_capacity) {
        appender->table_capacity = 2 * needed;
        appender->table = memory_resize(appender->table, appender->table_capacity, 1);
    }
    table_entry_encode(appender->table + appender->table_length, &entry);
    appender->table_length = needed;
}

/* End the container; the next sync makes it durable and gives it its table. */
static int container_seal(struct store *store, struct error *err)
{
    struct appender *appender = &store->appender;
    if (store_flush_locked(store, err) != 0) {
        return -1;
    }
    store->unsynced = memory_resize(store->unsynced, store->unsynced_count + 1, sizeof *store->unsynced);
    store->unsynced[store->unsynced_count++] = (struct unsynced){.object = appender->object,
                                                                 .container = appender->container,
                                                                 .length = appender->written,
                                                                 .table = appender->table,
                                                                 .table_length = appender->table_length};
    appender->object = NULL;
    appender->table = NULL;
    appender->table_length = 0;
    appender->table_capacity = 0;
    return 0;
}

int store_end_container(struct store *store, uint64_t *next, struct error *err)
{
    int result = 0;
    pthread_mutex_lock(&store->append_lock);
    if (store->appender.object != NULL &&
        store->appender.written + store->appender.buffered > CONTAINER_HEADER_SIZE) {
        result = container_seal(store, err);
    }
    *next = store->appender.object != NULL ? store->appender.container : store->next_container;
    pthread_mutex_unlock(&store->append_lock);
    return result;
}

static void note_pending(struct store *store, const struct record *record, uint32_t offset)
{
    for (uint8_t i = 0; i < record->count; i++) {
        struct stored_name name;
        struct chunk_location location = {.container = store->appender.container,
                                          .offset = offset,
                                          .length = record->total,
                                          .position = i,
                                          .run_count = record->count};
        memcpy(name.bytes, record->names + RECORD_NAME_SIZE * (size_t)i, sizeof name.bytes);
        pending_put(store->pending, &name, &location, record->kind == RECORD_NODE);
    }
}

static bool container_is_full(const struct store *store, uint32_t more)
{
    const struct appender *appender = &store->appender;
    uint32_t length = appender->written + appender->buffered;
    return (length > CONTAINER_HEADER_SIZE && length + more > store->container_size) ||
           appender->table_length > STORE_TABLE_SIZE_MAX;
}

/* Whatever fails, nothing that was appended before is lost: the buffer is kept and written by the next try.
 */
static int append_locked(struct store *store, const uint8_t *bytes, const struct record *record,
                         bool spends_reserve, struct error *err)
{
    struct appender *appender = &store->appender;
    store->since_space_check += record->total;
    if (!spends_reserve && store->since_space_check >= STORE_SPACE_CHECK_BYTES &&
        check_space(store, err) != 0) {
        return -1;
    }
    if (appender->buffered >= STORE_BUFFER_SIZE && store_flush_locked(store, err) != 0) {
        return -1;
    }
    if (appender->object != NULL && container_is_full(store, record->total) &&
        container_seal(store, err) != 0) {
        return -1;
    }
    if (appender->object == NULL && container_start(store, spends_reserve, err) != 0) {
        return -1;
    }
    uint32_t offset = appender->written + appender->buffered;
    memcpy(appender->buffer + appender->buffered, bytes, record->total);
    appender->buffered += record->total;
    note_pending(store, record, offset);
    table_add(appender, record, offset);
    return 0;
}

static int append_record(struct store *store, const uint8_t *bytes, bool spends_reserve, struct error *err)
{
    struct record record;
    record_view(bytes, &record);
    pthread_mutex_lock(&store->append_lock);
    int result = append_locked(store, bytes, &record, spends_reserve, err);
    bool crowded = store->pending->count >= STORE_PENDING_MAX || store->unsynced_count > STORE_UNSYNCED_MAX;
    pthread_mutex_unlock(&store->append_lock);
    return result == 0 && crowded ? store_sync_gated(store, err) : result;
}

int store_append(struct store *store, const uint8_t *bytes, struct error *err)
{
    return append_record(store, bytes, false, err);
}

int store_append_copy(struct store *store, const uint8_t *bytes, struct error *err)
{
    return append_record(store, bytes, true, err);
}

void store_appender_destroy(struct store *store)
{
    for (size_t i = 0; i < store->unsynced_count; i++) {
        store->backend->operations->append_close(store->unsynced[i].object);
        free(store->unsynced[i].table);
    }
    free(store->unsynced);
    store->backend->operations->append_close(store->appender.object);
    free(store->appender.buffer);
    free(store->appender.table);
}

/* What one sync makes durable. */
struct sync_set {
    struct backend_append
        *current; /* the container being written; stays open, since only a sync closes them */
    struct unsynced *sealed;
    size_t sealed_count;
    struct index_watermark *watermarks; /* of the sealed ones and the current */
    size_t watermark_count;
};

/* Step 1: everything appended is with the backend, and what is to be synced stands apart. */
static int sync_begin(struct store *store, struct sync_set *set, struct error *err)
{
    pthread_mutex_lock(&store->append_lock);
    int result = store_flush_locked(store, err);
    if (result == 0) {
        struct pending *empty = store->syncing;
        store->syncing = store->pending;
        store->pending = empty;
        *set = (struct sync_set){.current = store->appender.object,
                                 .sealed = store->unsynced,
                                 .sealed_count = store->unsynced_count};
        store->unsynced = NULL;
        store->unsynced_count = 0;
        set->watermarks = memory_array(set->sealed_count + 1, sizeof *set->watermarks);
        for (size_t i = 0; i < set->sealed_count; i++) {
            set->watermarks[set->watermark_count++] = (struct index_watermark){
                .container = set->sealed[i].container, .offset = set->sealed[i].length};
        }
        if (set->current != NULL) {
            set->watermarks[set->watermark_count++] = (struct index_watermark){
                .container = store->appender.container, .offset = store->appender.written};
        }
    }
    pthread_mutex_unlock(&store->append_lock);
    return result;
}

/* The table of a container whose records are durable. Without room for it the container stays without: it is
 * read record by record then. */
static int write_table(struct store *store, const struct unsynced *sealed, struct index_watermark *watermark,
                       struct error *err)
{
    const struct backend_operations *operations = store->backend->operations;
    uint32_t total = record_size(0, sealed->table_length);
    uint8_t *bytes = memory_alloc(total + CONTAINER_FOOTER_SIZE);
    record_encode(bytes, NULL, RECORD_TABLE, 0, NULL, 0, sealed->table, sealed->table_length,
                  sealed->table_length);
    container_footer_encode(bytes + total, sealed->length, total);
    int result =
        operations->append_write(sealed->object, sealed->length, bytes, total + CONTAINER_FOOTER_SIZE, err);
    free(bytes);
    if (result != 0) {
        log_error("a container stays without its table", err);
        return 0;
    }
    watermark->offset = (uint64_t)sealed->length + total + CONTAINER_FOOTER_SIZE;
    return operations->append_sync(sealed->object, err);
}

/* Step 2: the containers. */
static int sync_containers(struct store *store, struct sync_set *set, struct error *err)
{
    for (size_t i = 0; i < set->sealed_count; i++) {
        if (store->backend->operations->append_sync(set->sealed[i].object, err) != 0 ||
            write_table(store, &set->sealed[i], &set->watermarks[i], err) != 0) {
            return -1;
        }
    }
    return set->current != NULL ? store->backend->operations->append_sync(set->current, err) : 0;
}

/* The containers are synced but the index could not take it (its disk is full, say): all of it waits for the
 * next sync. */
static void sync_put_back(struct store *store, struct sync_set *set)
{
    pthread_mutex_lock(&store->append_lock);
    for (size_t i = 0; i < store->syncing->capacity; i++) {
        const struct pending_entry *entry = &store->syncing->slots[i];
        if (entry->used && pending_find(store->pending, &entry->name) == NULL) {
            pending_put(store->pending, &entry->name, &entry->location, entry->node);
        }
    }
    size_t count = set->sealed_count + store->unsynced_count;
    set->sealed = memory_resize(set->sealed, count + 1, sizeof *set->sealed);
    if (store->unsynced_count > 0) {
        memcpy(set->sealed + set->sealed_count, store->unsynced,
               store->unsynced_count * sizeof *store->unsynced);
    }
    free(store->unsynced);
    store->unsynced = set->sealed;
    store->unsynced_count = count;
    set->sealed = NULL;
    set->sealed_count = 0;
    pthread_mutex_unlock(&store->append_lock);
}

/* Step 4: what was being synced is in the index now, or given up. */
static void sync_end(struct store *store, struct sync_set *set)
{
    pthread_mutex_lock(&store->append_lock);
    pending_clear(store->syncing);
    pthread_mutex_unlock(&store->append_lock);
    for (size_t i = 0; i < set->sealed_count; i++) {
        store->backend->operations->append_close(set->sealed[i].object);
        free(set->sealed[i].table);
    }
    free(set->sealed);
    free(set->watermarks);
}

static int refresh_damaged(struct store *store, struct error *err)
{
    uint64_t damaged;
    uint64_t before = atomic_load(&store->damaged);
    if (before > 0) {
        if (index_count_damaged(store->index, &damaged, err) != 0) {
            return -1;
        }
        /* unless a reader has found another one meanwhile: that one may not be counted */
        atomic_compare_exchange_strong(&store->damaged, &before, damaged);
    }
    return 0;
}

static int sync_locked(struct store *store, struct error *err)
{
    struct sync_set set;
    if (store->poisoned) {
        return error_set(err, ERROR_STORE_UNAVAILABLE,
                         "Store %s failed to sync earlier; restart the server when its disk is well",
                         store->directory);
    }
    pthread_mutex_lock(&store->append_lock);
    bool nothing = store->pending->count == 0 && store->unsynced_count == 0;
    pthread_mutex_unlock(&store->append_lock);
    if (nothing) {
        return 0;
    }
    if (sync_begin(store, &set, err) != 0) {
        return -1;
    }
    int result = sync_containers(store, &set, err);
    if (result != 0) {
        /* After a failed fsync the kernel may have dropped the pages: what was to be durable can't be
         * trusted, and a second fsync would claim success. Nothing is committed any more until the store is
         * opened again, which reads what is really there. */
        store->poisoned = true;
    } else if (index_add(store->index, store->syncing, set.watermarks, set.watermark_count, err) != 0) {
        /* Step 3, after step 2: the index never says that something is there that a crash could take. */
        sync_put_back(store, &set);
        result = -1;
    }
    sync_end(store, &set);
    return result == 0 ? refresh_damaged(store, err) : -1;
}

int store_sync_gated(struct store *store, struct error *err)
{
    pthread_mutex_lock(&store->sync_lock);
    int result = sync_locked(store, err);
    pthread_mutex_unlock(&store->sync_lock);
    return result;
}

int store_sync(struct store *store, struct error *err)
{
    pthread_rwlock_rdlock(&store->gate);
    int result = store_sync_gated(store, err);
    pthread_rwlock_unlock(&store->gate);
    return result;
}
