#include "storage/maintenance.h"

#include "base/log.h"
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
        result = store_renew_index(store, err);
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
    pthread_mutex_unlock(&store->maintenance_lock);
    return result;
}
