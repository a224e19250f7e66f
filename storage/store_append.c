/* Appending records to containers, and making them durable. */
#include "base/bytes.h"
#include "base/memory.h"
#include "storage/record.h"
#include "storage/store_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *store_container_path(const struct store *store, uint64_t container)
{
    return memory_format("%s/%02x/%016llx.hfc", store->containers, (unsigned)(container & 0xff),
                         (unsigned long long)container);
}

static int map_full(struct store *store, struct error *err)
{
    if (os_file_error_is_full(err)) {
        return error_wrap(err, ERROR_STORE_FULL, "Store %s has no room", store->directory);
    }
    return error_wrap(err, ERROR_STORE_UNAVAILABLE, "Store %s can't be written", store->directory);
}

static int check_space(struct store *store, struct error *err)
{
    uint64_t free_bytes;
    if (os_path_space(store->containers, &free_bytes, NULL, err) != 0) {
        return map_full(store, err);
    }
    if (free_bytes < store->reserved_bytes + STORE_SPACE_CHECK_BYTES) {
        return error_set(err, ERROR_STORE_FULL,
                         "Store %s has no room: %llu MiB are free, %llu MiB of them reserved",
                         store->directory, (unsigned long long)(free_bytes >> 20),
                         (unsigned long long)(store->reserved_bytes >> 20));
    }
    store->since_space_check = 0;
    return 0;
}

static int container_start(struct store *store, struct error *err)
{
    struct appender *appender = &store->appender;
    if (check_space(store, err) != 0) {
        return -1;
    }
    char *path = store_container_path(store, store->next_container);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    int result = os_path_make_directory(path, 0700, err);
    *slash = '/';
    if (result == 0) {
        appender->file = os_file_open(path, OS_FILE_CREATE_NEW, err);
        result = appender->file != NULL ? 0 : -1;
    }
    free(path);
    if (result != 0) {
        return map_full(store, err);
    }
    appender->container = store->next_container++;
    appender->written = 0;
    if (appender->buffer == NULL) {
        appender->buffer = memory_alloc(STORE_BUFFER_SIZE + record_size(STORE_RUN_MAX, RECORD_PAYLOAD_MAX));
    }
    container_header_encode(appender->buffer, store->uuid, appender->container, store->chunk_size);
    appender->buffered = CONTAINER_HEADER_SIZE;
    appender->table_length = 0;
    appender->table_count = 0;
    return 0;
}

int store_flush_locked(struct store *store, struct error *err)
{
    struct appender *appender = &store->appender;
    if (appender->file == NULL || appender->buffered == 0) {
        return 0;
    }
    if (os_file_write_at(appender->file, appender->written, appender->buffer, appender->buffered, err) != 0) {
        return map_full(store, err);
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
    uint32_t needed = appender->table_length + TABLE_ENTRY_SIZE + 32u * record->count;
    if (needed > appender->table_capacity) {
        appender->table_capacity = 2 * needed;
        appender->table = memory_resize(appender->table, appender->table_capacity, 1);
    }
    table_entry_encode(appender->table + appender->table_length, &entry);
    appender->table_length = needed;
    appender->table_count++;
}

/* End the container with its table and footer; it is synced with the next sync. */
static int container_seal(struct store *store, struct error *err)
{
    struct appender *appender = &store->appender;
    if (store_flush_locked(store, err) != 0) {
        return -1;
    }
    uint32_t total = record_size(0, appender->table_length);
    uint8_t *bytes = memory_alloc(total + CONTAINER_FOOTER_SIZE);
    record_encode(bytes, RECORD_TABLE, 0, NULL, 0, appender->table, appender->table_length,
                  appender->table_length);
    container_footer_encode(bytes + total, appender->written, total);
    int result =
        os_file_write_at(appender->file, appender->written, bytes, total + CONTAINER_FOOTER_SIZE, err);
    free(bytes);
    if (result != 0) {
        return map_full(store, err);
    }
    store->unsynced = memory_resize(store->unsynced, store->unsynced_count + 1, sizeof *store->unsynced);
    store->unsynced[store->unsynced_count++] = (struct unsynced){
        .file = appender->file,
        .watermark = {.container = appender->container,
                      .offset = appender->written + total + CONTAINER_FOOTER_SIZE},
    };
    appender->file = NULL;
    return 0;
}

static void note_pending(struct store *store, const struct record *record, uint32_t offset)
{
    for (uint8_t i = 0; i < record->count; i++) {
        struct chunk_name name;
        struct chunk_location location = {.container = store->appender.container,
                                          .offset = offset,
                                          .length = record->total,
                                          .position = i,
                                          .run_count = record->count};
        memcpy(name.bytes, record->names + 32 * (size_t)i, sizeof name.bytes);
        pending_put(store->pending, &name, &location, record->kind == RECORD_NODE);
    }
}

/* Whatever fails, nothing that was appended before is lost: the buffer is kept and written by the next try.
 */
static int append_locked(struct store *store, const uint8_t *bytes, const struct record *record,
                         struct error *err)
{
    struct appender *appender = &store->appender;
    store->since_space_check += record->total;
    if (store->since_space_check >= STORE_SPACE_CHECK_BYTES && check_space(store, err) != 0) {
        return -1;
    }
    if (appender->buffered >= STORE_BUFFER_SIZE && store_flush_locked(store, err) != 0) {
        return -1;
    }
    if (appender->file != NULL &&
        appender->written + appender->buffered + record->total > STORE_CONTAINER_SIZE &&
        container_seal(store, err) != 0) {
        return -1;
    }
    if (appender->file == NULL && container_start(store, err) != 0) {
        return -1;
    }
    uint32_t offset = appender->written + appender->buffered;
    memcpy(appender->buffer + appender->buffered, bytes, record->total);
    appender->buffered += record->total;
    note_pending(store, record, offset);
    table_add(appender, record, offset);
    return 0;
}

int store_append(struct store *store, const uint8_t *bytes, uint32_t length, struct error *err)
{
    struct record record;
    if (record_parse(bytes, length, &record) != 0) {
        return error_set(err, ERROR_INTERNAL, "A record that was made does not parse");
    }
    pthread_mutex_lock(&store->append_lock);
    int result = append_locked(store, bytes, &record, err);
    bool crowded = store->pending->count >= STORE_PENDING_MAX;
    pthread_mutex_unlock(&store->append_lock);
    return result == 0 && crowded ? store_sync_gated(store, err) : result;
}

/* What one sync makes durable. */
struct sync_set {
    struct os_file *current; /* the container being written; stays open, since only a sync closes files */
    struct unsynced *sealed;
    size_t sealed_count;
    struct index_watermark *watermarks; /* of the sealed ones and the current */
    size_t watermark_count;
};

/* Step 1: everything appended is in files, and what is to be synced stands apart. */
static int sync_begin(struct store *store, struct sync_set *set, struct error *err)
{
    pthread_mutex_lock(&store->append_lock);
    int result = store_flush_locked(store, err);
    if (result == 0) {
        struct pending *empty = store->syncing;
        store->syncing = store->pending;
        store->pending = empty;
        *set = (struct sync_set){.current = store->appender.file,
                                 .sealed = store->unsynced,
                                 .sealed_count = store->unsynced_count};
        store->unsynced = NULL;
        store->unsynced_count = 0;
        set->watermarks = memory_array(set->sealed_count + 1, sizeof *set->watermarks);
        for (size_t i = 0; i < set->sealed_count; i++) {
            set->watermarks[set->watermark_count++] = set->sealed[i].watermark;
        }
        if (set->current != NULL) {
            set->watermarks[set->watermark_count++] = (struct index_watermark){
                .container = store->appender.container, .offset = store->appender.written};
        }
    }
    pthread_mutex_unlock(&store->append_lock);
    return result;
}

static int sync_directories(struct store *store, const struct sync_set *set, struct error *err)
{
    for (size_t i = 0; i < set->watermark_count; i++) {
        char *path =
            memory_format("%s/%02x", store->containers, (unsigned)(set->watermarks[i].container & 0xff));
        int result = os_path_sync_directory(path, err);
        free(path);
        if (result != 0) {
            return -1;
        }
    }
    return os_path_sync_directory(store->containers, err);
}

/* Step 2: the files and their names. */
static int sync_files(struct store *store, const struct sync_set *set, struct error *err)
{
    for (size_t i = 0; i < set->sealed_count; i++) {
        if (os_file_sync(set->sealed[i].file, err) != 0) {
            return -1;
        }
    }
    if (set->current != NULL && os_file_sync(set->current, err) != 0) {
        return -1;
    }
    return sync_directories(store, set, err);
}

static void sync_end(struct store *store, struct sync_set *set)
{
    pthread_mutex_lock(&store->append_lock);
    pending_clear(store->syncing);
    pthread_mutex_unlock(&store->append_lock);
    for (size_t i = 0; i < set->sealed_count; i++) {
        os_file_close(set->sealed[i].file);
    }
    free(set->sealed);
    free(set->watermarks);
}

static int refresh_damaged(struct store *store, struct error *err)
{
    uint64_t damaged;
    if (atomic_load(&store->damaged) > 0) {
        if (index_count_damaged(store->index, &damaged, err) != 0) {
            return -1;
        }
        atomic_store(&store->damaged, damaged);
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
    int result = sync_files(store, &set, err);
    if (result != 0) {
        map_full(store, err);
    } else {
        result = index_add(store->index, store->syncing, set.watermarks, set.watermark_count, err);
    }
    if (result != 0) {
        /* After a failed fsync the kernel may have dropped the pages: what was to be durable can't be
         * trusted, and a second fsync would claim success. Nothing is committed any more until the store is
         * opened again, which reads what is really there. */
        store->poisoned = true;
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
