/* Emptying a container: what is live goes to the current one, the rest out of the index. */
#include "base/memory.h"
#include "storage/scratch.h"
#include "storage/store_internal.h"
#include "storage/store_scan.h"
#include <stdlib.h>
#include <string.h>

enum { REWRITE_LEVEL = 9 }; /* nobody waits for it */

struct rewrite {
    struct store *store;
    const struct marks *marks;
    uint64_t container;
    uint64_t written;
    bool damaged;
    struct error *err;
};

static int append(struct rewrite *rewrite, const uint8_t *record, uint32_t total)
{
    rewrite->written += total;
    return store_append_copy(rewrite->store, record, rewrite->err);
}

/* Some of a run's chunks are live: they are packed anew, tighter than a backup has time for. */
static int append_part(struct rewrite *rewrite, const struct record *record, uint8_t *bytes, uint16_t live)
{
    struct store *store = rewrite->store;
    struct stored_name names[STORE_RUN_MAX];
    size_t chunk = store->chunk_size;
    size_t plain_length = record->count * chunk;
    uint8_t *plain = scratch_get(SCRATCH_PLAIN, plain_length);
    uint8_t *packed = scratch_get(SCRATCH_PACKED, compress_bound(plain_length));
    const uint8_t *payload;
    size_t length;
    unsigned count = 0;
    if (record_payload(record, bytes, store->seal, &payload, &length) != 0 ||
        decompress_run(record->flags & RECORD_ZSTD ? COMPRESSION_ZSTD : COMPRESSION_PLAIN, payload, length,
                       plain, plain_length) != 0) {
        rewrite->damaged = true;
        return 0;
    }
    for (unsigned i = 0; i < record->count; i++) {
        if (live >> i & 1) {
            memcpy(names[count].bytes, record->names + RECORD_NAME_SIZE * (size_t)i, RECORD_NAME_SIZE);
            memmove(plain + count++ * chunk, plain + i * chunk, chunk);
        }
    }
    enum compression compression = compress_run(plain, count * chunk, REWRITE_LEVEL, packed, &length);
    uint32_t total = record_size(count, (uint32_t)length + (store->seal != NULL ? SEAL_OVERHEAD : 0));
    uint8_t *out = scratch_get(SCRATCH_RECORD, total);
    record_encode(out, store->seal, RECORD_RUN, compression == COMPRESSION_ZSTD ? RECORD_ZSTD : 0, names,
                  count, packed, (uint32_t)length, (uint32_t)(count * chunk));
    return append(rewrite, out, total);
}

/* 1 when a name of the record that is needed is known to be damaged: moved, it would count as stored again.
 */
static int has_damaged(const struct rewrite *rewrite, const struct record *record, uint16_t live)
{
    struct store *store = rewrite->store;
    bool damaged = false;
    int result = 0;
    for (unsigned i = 0; i < record->count && !damaged && result == 0 && atomic_load(&store->damaged) > 0;
         i++) {
        struct stored_name name;
        memcpy(name.bytes, record->names + RECORD_NAME_SIZE * (size_t)i, sizeof name.bytes);
        if (live >> i & 1) {
            result = index_is_damaged(store->index, &name, &damaged, rewrite->err);
        }
    }
    return result != 0 ? -1 : damaged;
}

static int on_record(void *cookie, const struct record *record, uint8_t *bytes, uint32_t offset)
{
    struct rewrite *rewrite = cookie;
    uint16_t live = marks_of_record(rewrite->marks, rewrite->container, offset);
    uint16_t all = (uint16_t)((1u << record->count) - 1);
    if (record->kind == RECORD_TABLE || live == 0) {
        return 0;
    }
    int damaged = has_damaged(rewrite, record, live);
    if (damaged != 0) {
        rewrite->damaged = true;
        return damaged < 0 ? -1 : 0;
    }
    return (live & all) == all ? append(rewrite, bytes, record->total)
                               : append_part(rewrite, record, bytes, live);
}

static int on_bad(void *cookie, uint32_t start, uint32_t end)
{
    (void)start;
    (void)end;
    ((struct rewrite *)cookie)->damaged = true; /* perhaps something live: verify judges, not we */
    return 0;
}

int collect_rewrite(struct store *store, const struct marks *marks, uint64_t container, uint64_t *written,
                    bool *damaged, struct error *err)
{
    struct rewrite rewrite = {.store = store, .marks = marks, .container = container, .err = err};
    struct scan_visitor visitor = {.record = on_record, .bad = on_bad, .cookie = &rewrite};
    uint8_t *bytes;
    uint32_t length;
    if (store_load_container(store, container, CONTAINER_HEADER_SIZE, &bytes, &length, err) != 0) {
        return -1;
    }
    pthread_rwlock_rdlock(&store->gate);
    int result = store_scan_bytes(bytes, length, CONTAINER_HEADER_SIZE, &visitor);
    pthread_rwlock_unlock(&store->gate);
    free(bytes);
    *written += rewrite.written;
    *damaged = rewrite.damaged;
    return result;
}

/* Out of the index first: a crash between leaves a container that the next open reads in again. */
int collect_remove(struct store *store, uint64_t container, uint64_t bytes_on_disk, struct error *err)
{
    struct store_users *users = &store->users;
    pthread_rwlock_rdlock(&store->gate);
    pthread_mutex_lock(&store->sync_lock); /* one writer of the index at a time */
    int result = index_remove_container(store->index, container, err);
    pthread_mutex_unlock(&store->sync_lock);
    pthread_rwlock_unlock(&store->gate);
    if (result != 0) {
        return -1;
    }
    pthread_mutex_lock(&users->lock);
    users->doomed = memory_resize(users->doomed, users->doomed_count + 1, sizeof *users->doomed);
    users->doomed[users->doomed_count++] =
        (struct doomed){.container = container, .serial = users->serial, .bytes = bytes_on_disk};
    pthread_mutex_unlock(&users->lock);
    return store_reap(store, false, err);
}
