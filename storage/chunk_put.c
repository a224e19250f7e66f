/* Taking runs from outside: nothing is believed, everything is named anew. */
#include "base/bytes.h"
#include "base/compress.h"
#include "base/memory.h"
#include "storage/record.h"
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

/* Which of the run's chunks the store needs: all that it does not have, each once. -1 on error. */
static int choose_new(struct store *store, const struct chunk_run *run, size_t wanted[STORE_RUN_MAX],
                      struct error *err)
{
    int count = 0;
    for (size_t i = 0; i < run->count; i++) {
        struct chunk_location location;
        bool twice = false;
        for (size_t j = 0; j < i; j++) {
            twice = twice || chunk_name_equal(&run->names[i], &run->names[j]);
        }
        int found = twice ? 1 : store_lookup(store, &run->names[i], &location, err);
        if (found < 0) {
            return -1;
        }
        if (found == 0) {
            wanted[count++] = i;
        }
    }
    return count;
}

static int append_run(struct store *store, const struct chunk_run *run, struct chunk_put_result *result,
                      struct error *err)
{
    uint32_t total = record_size((unsigned)run->count, (uint32_t)run->length);
    uint8_t *record = memory_alloc(total);
    record_encode(record, RECORD_RUN, run->compression == COMPRESSION_ZSTD ? RECORD_ZSTD : 0, run->names,
                  (unsigned)run->count, run->payload, (uint32_t)run->length,
                  (uint32_t)(run->count * store->chunk_size));
    int appended = store_append(store, record, total, err);
    free(record);
    if (appended == 0) {
        result->new_chunks = (uint32_t)run->count;
        result->stored_bytes = total;
    }
    return appended;
}

/* The chunks that are needed, compressed together without the others. */
static int append_part(struct store *store, const struct chunk_run *run, const uint8_t *plain,
                       const size_t *wanted, size_t count, struct chunk_put_result *result, struct error *err)
{
    struct chunk_name names[STORE_RUN_MAX];
    size_t length = count * store->chunk_size;
    uint8_t *part = memory_alloc(length);
    uint8_t *packed = memory_alloc(compress_bound(length));
    for (size_t i = 0; i < count; i++) {
        names[i] = run->names[wanted[i]];
        memcpy(part + i * store->chunk_size, plain + wanted[i] * store->chunk_size, store->chunk_size);
    }
    struct chunk_run smaller = {.names = names, .count = count, .payload = packed};
    smaller.compression = compress_run(part, length, REPACK_LEVEL, packed, &smaller.length);
    int appended = append_run(store, &smaller, result, err);
    free(part);
    free(packed);
    return appended;
}

static int put_checked(struct store *store, const struct chunk_run *run, const uint8_t *plain,
                       struct chunk_put_result *result, struct error *err)
{
    size_t wanted[STORE_RUN_MAX];
    int count = choose_new(store, run, wanted, err);
    if (count <= 0) {
        return count;
    }
    return (size_t)count == run->count ? append_run(store, run, result, err)
                                       : append_part(store, run, plain, wanted, (size_t)count, result, err);
}

int chunk_put_run(struct store *store, const struct chunk_run *run, struct chunk_put_result *result,
                  struct error *err)
{
    *result = (struct chunk_put_result){0};
    if (check_run(store, run, err) != 0) {
        return -1;
    }
    size_t length = run->count * store->chunk_size;
    uint8_t *plain = memory_alloc(length);
    int put = -1;
    if (decompress_run(run->compression, run->payload, run->length, plain, length) != 0) {
        error_set(err, ERROR_PROTOCOL_INVALID, "A run can't be decompressed to %zu bytes", length);
    } else if (check_names(store, run, plain, err) == 0) {
        pthread_rwlock_rdlock(&store->gate);
        put = put_checked(store, run, plain, result, err);
        pthread_rwlock_unlock(&store->gate);
    }
    free(plain);
    return put;
}

/* --- map nodes
 * ---------------------------------------------------------------------------------------------- */

int store_put_node(struct store *store, const uint8_t *node, size_t length, struct chunk_name *name,
                   struct error *err)
{
    struct chunk_location location;
    chunk_name_of(node, length, name);
    pthread_rwlock_rdlock(&store->gate);
    int found = store_lookup(store, name, &location, err);
    if (found == 0) {
        uint32_t total = record_size(1, (uint32_t)length);
        uint8_t *record = memory_alloc(total);
        record_encode(record, RECORD_NODE, 0, name, 1, node, (uint32_t)length, (uint32_t)length);
        found = store_append(store, record, total, err);
        free(record);
    }
    pthread_rwlock_unlock(&store->gate);
    return found < 0 ? -1 : 0;
}

int store_read_node(struct store *store, const struct chunk_name *name, uint8_t **node, size_t *length,
                    struct error *err)
{
    struct chunk_location location;
    struct record record;
    struct chunk_name found_name;
    uint8_t *bytes = NULL;
    pthread_rwlock_rdlock(&store->gate);
    int found = store_lookup(store, name, &location, err);
    if (found == 0) {
        error_set(err, ERROR_CHUNK_DAMAGED, "A map node is missing or damaged");
    }
    if (found == 1 && store_read_record(store, &location, &bytes, err) == 0 &&
        record_parse(bytes, location.length, &record) == 0) {
        chunk_name_of(record.payload, record.payload_length, &found_name);
        if (!chunk_name_equal(&found_name, name)) {
            error_set(err, ERROR_CHUNK_DAMAGED, "A map node is damaged: its name does not match");
            free(bytes);
            bytes = NULL;
        }
    }
    if (bytes == NULL && found >= 0 && err->code == ERROR_CHUNK_DAMAGED) {
        store_quarantine(store, name);
    }
    pthread_rwlock_unlock(&store->gate);
    if (bytes == NULL) {
        return -1;
    }
    *node = memory_copy(record.payload, record.payload_length);
    *length = record.payload_length;
    free(bytes);
    return 0;
}
