/* Storing runs from outside: nothing is believed, everything is named anew. And map nodes. */
#include "base/bytes.h"
#include "base/memory.h"
#include "storage/scratch.h"
#include "storage/store_internal.h"

#include <stdlib.h>
#include <string.h>

enum { REPACK_LEVEL = 1 };

static int check_run(struct store *store, const struct chunk_run *run, struct error *err)
{
    if (run->count < 1 || run->count > STORE_RUN_MAX ||
        run->count * store->chunk_size > STORE_RUN_BYTES_MAX || run->length == 0 ||
        run->length > compress_bound(run->count * store->chunk_size)) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "A run of %zu chunks in %zu bytes is not allowed",
                         run->count, run->length);
    }
    return 0;
}

static int check_names(struct store *store, const struct chunk_run *run, const uint8_t *plain,
                       struct error *err)
{
    for (size_t i = 0; i < run->count; i++) {
        struct chunk_name name;
        chunk_name_of(plain + i * store->chunk_size, store->chunk_size, &name);
        if (!chunk_name_equal(&name, &run->names[i])) {
            char hex[65];
            bytes_to_hex(run->names[i].bytes, sizeof run->names[i].bytes, hex);
            return error_set(err, ERROR_PROTOCOL_INVALID,
                             "A chunk arrived under a name that is not its own: %s", hex);
        }
    }
    return 0;
}

/* A run that passed the checks, and which of its chunks the store needs. */
struct checked_run {
    const struct chunk_run *run;
    const uint8_t *plain;
    struct stored_name names[STORE_RUN_MAX];
    size_t wanted[STORE_RUN_MAX];
    size_t wanted_count;
};

/* All that it does not have, each once. A run's all-zero chunks are put like others: no map names them. */
static int choose_new(struct store *store, struct checked_run *checked, struct error *err)
{
    const struct chunk_run *run = checked->run;
    checked->wanted_count = 0;
    for (size_t i = 0; i < run->count; i++) {
        struct chunk_location location;
        bool twice = false;
        for (size_t j = 0; j < i; j++) {
            twice = twice || chunk_name_equal(&run->names[i], &run->names[j]);
        }
        int found = twice ? 1 : store_lookup(store, &checked->names[i], &location, err);
        if (!twice && found == 1 && !store_writer_may_use(store, &run->names[i], &location, false)) {
            found = 0;
        }
        if (found < 0) {
            return -1;
        }
        if (found == 0) {
            checked->wanted[checked->wanted_count++] = i;
        }
    }
    return 0;
}

static int append_run(struct store *store, const struct chunk_run *run, const struct stored_name *names,
                      struct chunk_put_result *result, struct error *err)
{
    uint32_t length = (uint32_t)run->length;
    uint32_t total = record_size((unsigned)run->count, length + (store->seal != NULL ? SEAL_OVERHEAD : 0));
    uint8_t *record = scratch_get(SCRATCH_RECORD, total);
    record_encode(record, store->seal, RECORD_RUN, run->compression == COMPRESSION_ZSTD ? RECORD_ZSTD : 0,
                  names, (unsigned)run->count, run->payload, length,
                  (uint32_t)(run->count * store->chunk_size));
    int appended = store_append(store, record, err);
    if (appended == 0) {
        result->new_chunks = (uint32_t)run->count;
        result->stored_bytes = total;
    }
    return appended;
}

/* The chunks that are needed, compressed together without the others. */
static int append_part(struct store *store, const struct checked_run *checked,
                       struct chunk_put_result *result, struct error *err)
{
    struct stored_name names[STORE_RUN_MAX];
    size_t count = checked->wanted_count;
    size_t length = count * store->chunk_size;
    uint8_t *part = scratch_get(SCRATCH_PART, length);
    uint8_t *packed = scratch_get(SCRATCH_PACKED, compress_bound(length));
    for (size_t i = 0; i < count; i++) {
        size_t at = checked->wanted[i];
        names[i] = checked->names[at];
        memcpy(part + i * store->chunk_size, checked->plain + at * store->chunk_size, store->chunk_size);
    }
    struct chunk_run smaller = {.count = count, .payload = packed};
    smaller.compression = compress_run(part, length, REPACK_LEVEL, packed, &smaller.length);
    return append_run(store, &smaller, names, result, err);
}

static int put_checked(struct store *store, struct checked_run *checked, struct chunk_put_result *result,
                       struct error *err)
{
    if (choose_new(store, checked, err) != 0) {
        return -1;
    }
    if (checked->wanted_count == 0) {
        return 0;
    }
    return checked->wanted_count == checked->run->count
               ? append_run(store, checked->run, checked->names, result, err)
               : append_part(store, checked, result, err);
}

int chunk_put_run(struct store *store, const struct chunk_run *run, struct chunk_put_result *result,
                  struct error *err)
{
    *result = (struct chunk_put_result){0};
    if (check_run(store, run, err) != 0) {
        return -1;
    }
    size_t length = run->count * store->chunk_size;
    const uint8_t *plain = run->payload;
    if (run->compression != COMPRESSION_PLAIN || run->length != length) {
        uint8_t *unpacked = scratch_get(SCRATCH_PLAIN, length);
        if (decompress_run(run->compression, run->payload, run->length, unpacked, length) != 0) {
            return error_set(err, ERROR_PROTOCOL_INVALID, "A run can't be decompressed to %zu bytes", length);
        }
        plain = unpacked;
    }
    if (check_names(store, run, plain, err) != 0) {
        return -1;
    }
    struct checked_run checked = {.run = run, .plain = plain};
    for (size_t i = 0; i < run->count; i++) {
        seal_name(store->seal, &run->names[i], &checked.names[i]);
    }
    pthread_rwlock_rdlock(&store->gate);
    int put = put_checked(store, &checked, result, err);
    pthread_rwlock_unlock(&store->gate);
    return put;
}

/* --- map nodes */

int store_put_node(struct store *store, const uint8_t *node, size_t length, struct chunk_name *name,
                   struct error *err)
{
    struct chunk_location location;
    struct stored_name stored;
    chunk_name_of(node, length, name);
    seal_name(store->seal, name, &stored);
    pthread_rwlock_rdlock(&store->gate);
    int found = store_lookup(store, &stored, &location, err);
    if (found == 1 && !store_writer_may_use(store, name, &location, true)) {
        found = 0;
    }
    if (found == 0) {
        uint32_t payload = (uint32_t)length + (store->seal != NULL ? SEAL_OVERHEAD : 0);
        uint8_t *record = scratch_get(SCRATCH_RECORD, record_size(1, payload));
        record_encode(record, store->seal, RECORD_NODE, 0, &stored, 1, node, (uint32_t)length,
                      (uint32_t)length);
        found = store_append(store, record, err);
    }
    pthread_rwlock_unlock(&store->gate);
    return found < 0 ? -1 : 0;
}

static int read_node_at(struct store *store, const struct chunk_location *location,
                        const struct chunk_name *name, uint8_t **node, size_t *length, struct error *err)
{
    struct stored_record stored;
    struct chunk_name found;
    if (store_read_record(store, location, &stored, err) != 0) {
        return -1;
    }
    chunk_name_of(stored.payload, stored.length, &found);
    int result = chunk_name_equal(&found, name)
                     ? 0
                     : store_damaged_error(location, "a map node's name does not match", err);
    if (result == 0) {
        *node = memory_copy(stored.payload, stored.length);
        *length = stored.length;
    }
    free(stored.bytes);
    return result;
}

int store_read_node(struct store *store, const struct chunk_name *name, uint8_t **node, size_t *length,
                    struct error *err)
{
    struct chunk_location location;
    struct stored_name stored;
    struct store_lease lease;
    seal_name(store->seal, name, &stored);
    store_lease_begin(store, &lease);
    pthread_rwlock_rdlock(&store->gate);
    int found = store_lookup(store, &stored, &location, err);
    int result = found == 1 ? read_node_at(store, &location, name, node, length, err) : -1;
    if (found == 1 && result != 0 && err->code == ERROR_CHUNK_DAMAGED) {
        store_quarantine(store, &stored);
    }
    if (found == 0) {
        error_set(err, ERROR_CHUNK_DAMAGED, "A map node is missing or damaged");
    }
    pthread_rwlock_unlock(&store->gate);
    store_lease_end(&lease);
    return result;
}
