#include "storage/store.h"

#include "base/log.h"
#include "base/memory.h"
#include "storage/point.h"
#include "storage/store_internal.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* --- making one */

static int check_settings(const struct store_settings *settings, uint32_t *chunk_size, struct error *err)
{
    *chunk_size = settings->chunk_size != 0 ? settings->chunk_size : STORE_CHUNK_SIZE_DEFAULT;
    if (*chunk_size < STORE_CHUNK_SIZE_MIN || *chunk_size > STORE_CHUNK_SIZE_MAX ||
        (*chunk_size & (*chunk_size - 1)) != 0) {
        return error_set(err, ERROR_REQUEST_INVALID, "The chunk size must be a power of two from %d to %d",
                         STORE_CHUNK_SIZE_MIN, STORE_CHUNK_SIZE_MAX);
    }
    return 0;
}

/* Twice: whoever loses the keys of an encrypted store loses all of it. The one that counts comes last: when
 * either fails nothing has changed. */
int store_write_superblock(struct backend *backend, const struct superblock *superblock, struct error *err)
{
    char *text = superblock_format(superblock);
    int result = backend->operations->put(backend, SUPERBLOCK_COPY_NAME, text, strlen(text), err);
    if (result == 0) {
        result = backend->operations->put(backend, SUPERBLOCK_NAME, text, strlen(text), err);
    }
    free(text);
    return result;
}

int store_create_backend(struct backend *backend, const struct store_settings *settings, struct error *err)
{
    struct superblock superblock = {.key_id = 1, .encrypted = settings->secret != NULL};
    uint32_t chunk_size;
    if (check_settings(settings, &chunk_size, err) != 0) {
        return -1;
    }
    superblock.chunk_size = chunk_size;
    superblock_new_id(&superblock);
    if (superblock.encrypted) {
        struct seal_keys keys;
        unsigned slot;
        identity_random(&keys, sizeof keys);
        int wrapped =
            superblock_wrap(&superblock, settings->secret, settings->scrypt_cost, &keys, &slot, err);
        OPENSSL_cleanse(&keys, sizeof keys);
        if (wrapped != 0) {
            return -1;
        }
    }
    return store_write_superblock(backend, &superblock, err);
}

bool store_exists(const char *directory)
{
    static const char *const names[] = {SUPERBLOCK_NAME, SUPERBLOCK_COPY_NAME};
    bool exists = false;
    for (size_t i = 0; i < 2 && !exists; i++) {
        char *path = os_path_join(directory, names[i]);
        exists = os_path_exists(path);
        free(path);
    }
    return exists;
}

static int is_empty_visit(void *cookie, const char *name)
{
    (void)cookie;
    (void)name;
    return 1;
}

int store_create(const char *directory, const struct store_settings *settings, struct error *err)
{
    uint32_t chunk_size;
    if (check_settings(settings, &chunk_size, err) != 0 ||
        os_path_make_directory(directory, 0700, err) != 0) {
        return -1;
    }
    int filled = os_path_list(directory, is_empty_visit, NULL, err);
    if (filled != 0) {
        return filled < 0 ? -1 : error_set(err, ERROR_FILE_FAILED, "%s is not empty", directory);
    }
    struct backend *backend = backend_file_create(directory, &file_system_real);
    int result = store_create_backend(backend, settings, err);
    backend->operations->destroy(backend);
    return result;
}

/* --- opening */

static int read_superblock_at(struct store *store, const char *name, struct superblock *superblock,
                              struct error *err)
{
    uint8_t *bytes;
    size_t length;
    int found = backend_get_whole(store->backend, name, SUPERBLOCK_SIZE_MAX, &bytes, &length, err);
    if (found == 0) {
        return error_set(err, ERROR_STORE_INVALID, "%s is not a store", store->directory);
    }
    if (found != 1) {
        return error_wrap(err, ERROR_STORE_INVALID, "The superblock of store %s can't be read",
                          store->directory);
    }
    int result = superblock_parse(bytes, length, store->directory, superblock, err);
    free(bytes);
    return result;
}

static int read_superblock(struct store *store, struct error *err)
{
    struct error ignored;
    int result = read_superblock_at(store, SUPERBLOCK_NAME, &store->superblock, err);
    if (result == -2 || (result == -1 && read_superblock_at(store, SUPERBLOCK_COPY_NAME, &store->superblock,
                                                            &ignored) != 0)) {
        return -1;
    }
    store->chunk_size = store->superblock.chunk_size;
    return 0;
}

/* A crash may have left the two different, damage may have taken one. A disk that can't take it does not keep
 * the store from being read. */
static void mend_superblock(struct store *store)
{
    struct error err;
    struct error ignored;
    struct superblock main;
    struct superblock copy;
    bool same = read_superblock_at(store, SUPERBLOCK_NAME, &main, &ignored) == 0 &&
                read_superblock_at(store, SUPERBLOCK_COPY_NAME, &copy, &ignored) == 0;
    if (same) {
        char *main_text = superblock_format(&main);
        char *copy_text = superblock_format(&copy);
        same = strcmp(main_text, copy_text) == 0;
        free(main_text);
        free(copy_text);
    }
    if (!same && store_write_superblock(store->backend, &store->superblock, &err) != 0) {
        log_error("the superblock could not be mended", &err);
    }
}

/* An encrypted store needs a secret. One that expects an encrypted store must not be given a plain one: who
 * could replace the superblock would get the next backups in the open. */
static int unlock(struct store *store, const struct store_secret *secret, struct error *err)
{
    struct seal_keys keys;
    unsigned slot;
    if (!store->superblock.encrypted) {
        return secret == NULL ? 0
                              : error_set(err, ERROR_STORE_KEY_WRONG,
                                          "A key was given, but store %s is not encrypted", store->directory);
    }
    if (secret == NULL) {
        return error_set(err, ERROR_STORE_KEY_WRONG, "Store %s is encrypted and needs a passphrase or key",
                         store->directory);
    }
    if (superblock_unwrap(&store->superblock, secret, &keys, &slot, err) != 0) {
        return -1;
    }
    store->seal = seal_create(&keys, store->superblock.key_id);
    OPENSSL_cleanse(&keys, sizeof keys);
    return 0;
}

int store_renew_index(struct store *store, struct error *err)
{
    bool unusable;
    index_close(store->index);
    store->index = NULL;
    if (os_path_remove_tree(store->index_path, err) != 0) {
        return -1;
    }
    store->index = index_open(store->index_path, store->superblock.uuid, &unusable, err);
    return store->index != NULL ? 0 : -1;
}

static int open_index(struct store *store, struct error *err)
{
    bool unusable;
    uint64_t damaged;
    store->index = index_open(store->index_path, store->superblock.uuid, &unusable, err);
    if (store->index == NULL) {
        if (!unusable) {
            return -1;
        }
        log_error("the index of the store is unusable and is rebuilt", err);
        if (store_renew_index(store, err) != 0) {
            return -1;
        }
    }
    int replayed = store_replay(store, NULL, NULL, err);
    if (replayed == 1) {
        log_event(LOG_WARNING, "the index knows more than is there and is rebuilt", NULL);
        replayed = store_renew_index(store, err) == 0 ? store_replay(store, NULL, NULL, err) : -1;
    }
    if (replayed != 0 || index_count_damaged(store->index, &damaged, err) != 0) {
        return -1;
    }
    atomic_store(&store->damaged, damaged);
    return 0;
}

static void init_locks(struct store *store)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    /* Whoever wants the gate for itself gets it, however busy the others are. */
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&store->gate, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    store_users_init(&store->users);
    pthread_mutex_init(&store->maintenance_lock, NULL);
    pthread_mutex_init(&store->keys_lock, NULL);
    pthread_mutex_init(&store->sync_lock, NULL);
    pthread_mutex_init(&store->append_lock, NULL);
    pthread_mutex_init(&store->cache_lock, NULL);
}

static void store_free(struct store *store)
{
    store_appender_destroy(store);
    store_users_destroy(store);
    index_close(store->index);
    pending_destroy(store->pending);
    pending_destroy(store->syncing);
    store_cache_clear(store);
    os_file_close(store->lock_file);
    store->backend->operations->destroy(store->backend);
    seal_destroy(store->seal);
    pthread_rwlock_destroy(&store->gate);
    pthread_mutex_destroy(&store->maintenance_lock);
    pthread_mutex_destroy(&store->keys_lock);
    pthread_mutex_destroy(&store->sync_lock);
    pthread_mutex_destroy(&store->append_lock);
    pthread_mutex_destroy(&store->cache_lock);
    free(store->directory);
    free(store->index_path);
    free(store);
}

static uint64_t default_reserve(uint64_t total)
{
    const uint64_t smallest = (uint64_t)64 << 20;
    const uint64_t largest = (uint64_t)1 << 30;
    uint64_t reserve = total / 100 < smallest ? smallest : total / 100;
    reserve = reserve > largest ? largest : reserve;
    return reserve < total / 8 ? reserve : total / 8;
}

static int apply_options(struct store *store, const struct store_open_options *options, struct error *err)
{
    uint64_t total;
    store->scrypt_cost = options->scrypt_cost;
    store->reserved_bytes = options->reserved_bytes;
    store->container_size = options->container_bytes != 0 ? options->container_bytes : STORE_CONTAINER_SIZE;
    if (store->container_size > STORE_CONTAINER_SIZE) {
        return error_set(err, ERROR_REQUEST_INVALID, "A container has at most %d bytes",
                         STORE_CONTAINER_SIZE);
    }
    if (store->reserved_bytes == 0) {
        if (store->backend->operations->space(store->backend, NULL, &total, err) != 0) {
            return -1;
        }
        store->reserved_bytes = default_reserve(total);
    }
    return 0;
}

static struct store *store_open_locked(struct backend *backend, const char *directory, const char *index_path,
                                       const struct store_open_options *options, struct os_file *lock_file,
                                       struct error *err)
{
    struct store *store = memory_zalloc(sizeof *store);
    store->backend = backend;
    store->directory = memory_copy_text(directory);
    store->index_path = memory_copy_text(index_path);
    store->lock_file = lock_file;
    store->pending = pending_create();
    store->syncing = pending_create();
    init_locks(store);
    if (read_superblock(store, err) != 0 || unlock(store, options->secret, err) != 0 ||
        apply_options(store, options, err) != 0 || open_index(store, err) != 0) {
        store_free(store);
        return NULL;
    }
    mend_superblock(store);
    return store;
}

struct store *store_open_backend(struct backend *backend, const char *directory, const char *index_path,
                                 const struct store_open_options *options, struct error *err)
{
    return store_open_locked(backend, directory, index_path, options, NULL, err);
}

static struct os_file *lock_store(const char *directory, struct error *err)
{
    char *path = os_path_join(directory, SUPERBLOCK_NAME);
    char *copy = os_path_join(directory, SUPERBLOCK_COPY_NAME);
    bool is_store = os_path_exists(path) || os_path_exists(copy);
    free(path);
    free(copy);
    if (!is_store) {
        error_set(err, ERROR_STORE_INVALID, "%s is not a store", directory);
        return NULL;
    }
    path = os_path_join(directory, "lock");
    struct os_file *file = os_file_open(path, OS_FILE_OPEN_CREATE, err);
    free(path);
    if (file == NULL || os_file_lock(file, err) != 0) {
        bool taken = file != NULL && strcmp(err->cause, "locked") == 0;
        error_wrap(err, taken ? ERROR_STORE_LOCKED : ERROR_STORE_UNAVAILABLE, "Store %s can't be opened",
                   directory);
        os_file_close(file);
        return NULL;
    }
    return file;
}

struct store *store_open(const char *directory, const struct store_open_options *options, struct error *err)
{
    struct os_file *lock_file = lock_store(directory, err);
    if (lock_file == NULL) {
        return NULL;
    }
    char *index_path = os_path_join(directory, "index");
    struct store *store = store_open_locked(backend_file_create(directory, &file_system_real), directory,
                                            index_path, options, lock_file, err);
    free(index_path);
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
    return store->superblock.id;
}

const char *store_directory(const struct store *store)
{
    return store->directory;
}

uint32_t store_chunk_size(const struct store *store)
{
    return store->chunk_size;
}

bool store_is_encrypted(const struct store *store)
{
    return store->seal != NULL;
}

/* --- status */

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
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        char name[STORE_CONTAINER_NAME_SIZE];
        uint64_t size;
        int found =
            store->backend->operations->size(store->backend, store_container_name(ids[i], name), &size, err);
        result = found < 0 ? -1 : 0;
        status->containers += found == 1;
        status->container_bytes += found == 1 ? size : 0;
    }
    free(ids);
    return result;
}

int store_status_read(struct store *store, struct store_status *status, struct error *err)
{
    struct index_figures figures;
    *status = (struct store_status){.encrypted = store->seal != NULL};
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
        result =
            store->backend->operations->space(store->backend, &status->free_bytes, &status->total_bytes, err);
    }
    if (result == 0) {
        status->chunks = figures.chunks;
        status->nodes = figures.nodes;
        status->index_bytes = figures.bytes;
        status->chunk_bytes = figures.chunks * store->chunk_size;
    }
    return result;
}
