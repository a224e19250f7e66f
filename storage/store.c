#include "storage/store.h"

#include "base/bytes.h"
#include "base/log.h"
#include "base/memory.h"
#include "storage/point.h"
#include "storage/record.h"
#include "storage/store_internal.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { STORE_FORMAT = 1, STORE_SUPERBLOCK_MAX = 65536 };
static const uint64_t reserve_default = 256 * 1024 * 1024;

static int is_empty_visit(void *cookie, const char *name)
{
    (void)cookie;
    (void)name;
    return 1;
}

static int make_directories(const char *directory, struct error *err)
{
    static const char *const names[] = {"containers", "points", "partials"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = os_path_join(directory, names[i]);
        int result = os_path_make_directory(path, 0700, err);
        free(path);
        if (result != 0) {
            return -1;
        }
    }
    return os_path_sync_directory(directory, err);
}

int store_create(const char *directory, const struct store_settings *settings, struct error *err)
{
    uint32_t chunk_size = settings->chunk_size != 0 ? settings->chunk_size : STORE_CHUNK_SIZE_DEFAULT;
    if (chunk_size < STORE_CHUNK_SIZE_MIN || chunk_size > STORE_CHUNK_SIZE_MAX ||
        (chunk_size & (chunk_size - 1)) != 0) {
        return error_set(err, ERROR_REQUEST_INVALID, "The chunk size must be a power of two from %d to %d",
                         STORE_CHUNK_SIZE_MIN, STORE_CHUNK_SIZE_MAX);
    }
    if (os_path_make_directory(directory, 0700, err) != 0) {
        return -1;
    }
    int filled = os_path_list(directory, is_empty_visit, NULL, err);
    if (filled != 0) {
        return filled < 0 ? -1 : error_set(err, ERROR_FILE_FAILED, "%s is not empty", directory);
    }
    if (make_directories(directory, err) != 0) {
        return -1;
    }
    char id[IDENTITY_SIZE];
    identity_create(id);
    char *superblock =
        memory_format("{\n  \"holdfast_store\": %d,\n  \"id\": \"%s\",\n  \"chunk_size\": %u,\n"
                      "  \"encryption\": null\n}\n",
                      STORE_FORMAT, id, chunk_size);
    char *path = os_path_join(directory, "holdfast-store.json");
    /* Written last: a directory without it is not a store. */
    int result = os_file_write_whole(path, superblock, strlen(superblock), 0600, err);
    free(path);
    free(superblock);
    return result;
}

static int parse_uuid(const char *text, uint8_t uuid[16])
{
    char digits[33];
    size_t count = 0;
    for (const char *c = text; *c != '\0' && count < 32; c++) {
        if (*c != '-') {
            digits[count++] = *c;
        }
    }
    digits[count] = '\0';
    return bytes_from_hex(digits, uuid, 16);
}

static int read_superblock(struct store *store, struct error *err)
{
    uint8_t *bytes;
    size_t length;
    char *path = os_path_join(store->directory, "holdfast-store.json");
    int result = os_file_read_whole(path, STORE_SUPERBLOCK_MAX, &bytes, &length, err);
    free(path);
    if (result != 0) {
        return error_wrap(err, ERROR_STORE_INVALID, "%s is not a store", store->directory);
    }
    json_t *root = json_loadb((const char *)bytes, length, 0, NULL);
    free(bytes);
    int format = 0;
    int chunk_size = 0;
    const char *id = NULL;
    json_t *encryption = NULL;
    bool good = root != NULL &&
                json_unpack(root, "{s:i, s:s, s:i, s:o}", "holdfast_store", &format, "id", &id, "chunk_size",
                            &chunk_size, "encryption", &encryption) == 0 &&
                format == STORE_FORMAT && identity_is_valid(id) && parse_uuid(id, store->uuid) == 0 &&
                json_is_null(encryption) && chunk_size >= STORE_CHUNK_SIZE_MIN &&
                chunk_size <= STORE_CHUNK_SIZE_MAX && (chunk_size & (chunk_size - 1)) == 0;
    if (good) {
        memcpy(store->id, id, sizeof store->id);
        store->chunk_size = (uint32_t)chunk_size;
    }
    json_decref(root);
    return good ? 0
                : error_set(err, ERROR_STORE_INVALID,
                            "Store %s is of format %d, or damaged; this program knows format %d",
                            store->directory, format, STORE_FORMAT);
}

static int lock_store(struct store *store, struct error *err)
{
    char *path = os_path_join(store->directory, "lock");
    store->lock_file = os_file_open(path, OS_FILE_OPEN_CREATE, err);
    free(path);
    if (store->lock_file == NULL || os_file_lock(store->lock_file, err) != 0) {
        bool taken = strcmp(err->cause, "locked") == 0;
        return error_wrap(err, taken ? ERROR_STORE_LOCKED : ERROR_STORE_UNAVAILABLE,
                          "Store %s can't be opened", store->directory);
    }
    return 0;
}

static int open_index(struct store *store, struct error *err)
{
    bool fresh;
    store->index = index_open(store->index_path, &fresh, err);
    if (store->index == NULL && err->code == ERROR_STORE_UNAVAILABLE) {
        /* It can't be used, and everything in it can be made anew. */
        log_error("the index of the store is unusable and is rebuilt", err);
        if (os_path_remove_tree(store->index_path, err) != 0) {
            return -1;
        }
        store->index = index_open(store->index_path, &fresh, err);
    }
    if (store->index == NULL) {
        return -1;
    }
    uint64_t damaged;
    if (store_replay(store, NULL, NULL, err) != 0 || index_count_damaged(store->index, &damaged, err) != 0) {
        return -1;
    }
    atomic_store(&store->damaged, damaged);
    return 0;
}

static struct store *store_allocate(const char *directory)
{
    struct store *store = memory_zalloc(sizeof *store);
    store->directory = memory_copy_text(directory);
    store->containers = os_path_join(directory, "containers");
    store->points = os_path_join(directory, "points");
    store->partials = os_path_join(directory, "partials");
    store->index_path = os_path_join(directory, "index");
    pthread_rwlock_init(&store->gate, NULL);
    pthread_mutex_init(&store->sync_lock, NULL);
    pthread_mutex_init(&store->append_lock, NULL);
    pthread_mutex_init(&store->files_lock, NULL);
    store->pending = pending_create();
    store->syncing = pending_create();
    return store;
}

static void store_free(struct store *store)
{
    for (size_t i = 0; i < sizeof store->read_files / sizeof store->read_files[0]; i++) {
        os_file_close(store->read_files[i]);
    }
    for (size_t i = 0; i < store->unsynced_count; i++) {
        os_file_close(store->unsynced[i].file);
    }
    free(store->unsynced);
    os_file_close(store->appender.file);
    free(store->appender.buffer);
    free(store->appender.table);
    index_close(store->index);
    pending_destroy(store->pending);
    pending_destroy(store->syncing);
    os_file_close(store->lock_file);
    pthread_rwlock_destroy(&store->gate);
    pthread_mutex_destroy(&store->sync_lock);
    pthread_mutex_destroy(&store->append_lock);
    pthread_mutex_destroy(&store->files_lock);
    free(store->directory);
    free(store->containers);
    free(store->points);
    free(store->partials);
    free(store->index_path);
    free(store);
}

struct store *store_open(const char *directory, const struct store_open_options *options, struct error *err)
{
    struct store *store = store_allocate(directory);
    uint64_t total;
    if (read_superblock(store, err) != 0 || lock_store(store, err) != 0 ||
        os_path_space(directory, NULL, &total, err) != 0 || open_index(store, err) != 0) {
        store_free(store);
        return NULL;
    }
    store->reserved_bytes = options->reserved_bytes;
    if (store->reserved_bytes == 0) {
        store->reserved_bytes = total / 100 < reserve_default ? total / 100 : reserve_default;
    }
    return store;
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    struct error err;
    if (store_sync(store, &err) != 0) {
        log_error("the store could not be synced at its end", &err);
    }
    store_free(store);
}

const char *store_id(const struct store *store)
{
    return store->id;
}

const char *store_directory(const struct store *store)
{
    return store->directory;
}

uint32_t store_chunk_size(const struct store *store)
{
    return store->chunk_size;
}

static int count_visit(void *cookie, const char *id)
{
    (void)id;
    (*(uint64_t *)cookie)++;
    return 0;
}

static int count_containers(struct store *store, struct store_status *status, struct error *err)
{
    uint64_t *ids;
    size_t count;
    if (store_list_containers(store, &ids, &count, err) != 0) {
        return -1;
    }
    status->containers = count;
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        char *path = store_container_path(store, ids[i]);
        uint64_t size = 0;
        struct os_file *file = os_file_open(path, OS_FILE_READ, err);
        result = file != NULL ? os_file_size(file, &size, err) : -1;
        status->container_bytes += size;
        os_file_close(file);
        free(path);
    }
    free(ids);
    return result;
}

int store_status_read(struct store *store, struct store_status *status, struct error *err)
{
    struct index_figures figures;
    *status = (struct store_status){0};
    pthread_rwlock_rdlock(&store->gate);
    int result = count_containers(store, status, err);
    if (result == 0) {
        result = index_figures_read(store->index, &figures, err);
    }
    if (result == 0) {
        result = index_count_damaged(store->index, &status->damaged_chunks, err);
    }
    pthread_rwlock_unlock(&store->gate);
    if (result == 0) {
        result = point_list(store, count_visit, &status->points, err);
    }
    if (result == 0) {
        result = os_path_space(store->directory, &status->free_bytes, &status->total_bytes, err);
    }
    if (result == 0) {
        status->chunks = figures.chunks;
        status->nodes = figures.nodes;
        status->index_bytes = figures.bytes;
        status->chunk_bytes = figures.chunks * store->chunk_size;
    }
    return result;
}
