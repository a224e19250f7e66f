/* Names that are noted as damaged and read well: what failed was the disk, or the system, for a moment. */
#include "base/memory.h"
#include "storage/scratch.h"
#include "storage/store_internal.h"
#include <stdlib.h>
#include <string.h>

static bool has_name(const struct store *store, const void *plain, size_t length,
                     const struct stored_name *stored)
{
    struct chunk_name name;
    struct stored_name found;
    chunk_name_of(plain, length, &name);
    seal_name(store->seal, &name, &found);
    return memcmp(found.bytes, stored->bytes, INDEX_NAME_SIZE) == 0;
}

static bool record_has_name(const struct store *store, const struct stored_record *stored, size_t position,
                            const struct stored_name *name)
{
    const struct record *record = &stored->record;
    if (record->kind == RECORD_NODE) {
        return has_name(store, stored->payload, stored->length, name);
    }
    size_t length = (size_t)record->count * store->chunk_size;
    if (record->kind != RECORD_RUN || length > STORE_RUN_BYTES_MAX || position >= record->count) {
        return false;
    }
    uint8_t *plain = scratch_get(SCRATCH_PLAIN, length);
    return decompress_run(record->flags & RECORD_ZSTD ? COMPRESSION_ZSTD : COMPRESSION_PLAIN, stored->payload,
                          stored->length, plain, length) == 0 &&
           has_name(store, plain + position * store->chunk_size, store->chunk_size, name);
}

/* With the gate held. */
static int recheck_one(struct store *store, const struct stored_name *name, struct error *err)
{
    struct chunk_location location;
    struct stored_record stored;
    struct error ignored;
    struct store_lease lease;
    store_lease_begin(store, &lease);
    int found = index_find(store->index, name, &location, err);
    bool whole = found == 1 && store_read_record(store, &location, &stored, &ignored) == 0;
    if (whole) {
        whole = record_has_name(store, &stored, location.position, name);
        free(stored.bytes);
    }
    store_lease_end(&lease);
    return found < 0 ? -1 : whole ? index_forget_damage(store->index, name, err) : 0;
}

int store_recheck_damaged(struct store *store, struct error *err)
{
    struct stored_name *names;
    size_t count;
    uint64_t left;
    uint_least64_t before = atomic_load(&store->damaged);
    if (before == 0) {
        return 0;
    }
    pthread_rwlock_rdlock(&store->gate);
    int result = index_list_damaged(store->index, &names, &count, err);
    pthread_rwlock_unlock(&store->gate);
    if (result != 0) {
        return -1;
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        pthread_rwlock_rdlock(&store->gate);
        result = recheck_one(store, &names[i], err);
        pthread_rwlock_unlock(&store->gate);
    }
    free(names);
    pthread_rwlock_rdlock(&store->gate);
    if (result == 0) {
        result = index_count_damaged(store->index, &left, err);
    }
    pthread_rwlock_unlock(&store->gate);
    if (result == 0) { /* unless more was noted meanwhile */
        atomic_compare_exchange_strong(&store->damaged, &before, left);
    }
    return result;
}
