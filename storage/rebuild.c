#include "storage/maintenance.h"

#include "base/memory.h"
#include "base/os_file.h"
#include "storage/store_internal.h"
#include <stdlib.h>

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

/* The new index beside the old, which stays in use unless the new one is complete: with half an index, what
 * is appended next would move a container's watermark past names that were never read. */
static int rebuild_beside(struct store *store, struct rebuild_watch *rebuild, struct error *err)
{
    bool unusable;
    struct index *old = store->index;
    char *path = memory_format("%s.new", store->index_path);
    int result = os_path_remove_tree(path, err);
    struct index *new = result == 0 ? index_open(path, store->superblock.uuid, &unusable, err) : NULL;
    if (new != NULL) {
        store->index = new;
        result = store_replay(store, on_rebuilt, rebuild, err) == 0 ? 0 : -1;
    } else {
        result = -1;
    }
    /* Between these two a crash leaves no index: the next open makes one. */
    if (result == 0) {
        index_retire(old);
        result = os_path_remove_tree(store->index_path, err);
    }
    if (result == 0) {
        result = index_rename(new, store->index_path, err);
    }
    if (result == 0) {
        index_close(old);
        atomic_store(&store->damaged, 0);
    } else {
        struct error ignored;
        store->index = old;
        index_close(new);
        os_path_remove_tree(path, &ignored);
    }
    free(path);
    return result;
}

int store_rebuild_index(struct store *store, maintenance_watch watch, void *cookie, struct error *err)
{
    struct rebuild_watch rebuild = {.watch = watch, .cookie = cookie};
    if (pthread_mutex_trylock(&store->maintenance_lock) != 0) {
        return error_set(err, ERROR_JOB_CONFLICT, "Store %s is being collected", store->directory);
    }
    pthread_rwlock_wrlock(&store->gate);
    int result = store_reap(store, true, err); /* or it would be found again, and then be gone */
    if (result == 0) {
        result = store_sync_gated(store, err);
    }
    if (result == 0) {
        result = rebuild_beside(store, &rebuild, err);
    }
    pthread_rwlock_unlock(&store->gate);
    pthread_mutex_unlock(&store->maintenance_lock);
    return result;
}
