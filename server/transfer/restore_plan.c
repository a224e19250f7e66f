/* The order in which a disk's chunks are read: forward through the containers, in windows of bounded memory.
 */
#include "base/memory.h"
#include "server/transfer/restore_send.h"

#include <stdlib.h>
#include <string.h>

enum {
    PLAN_WINDOW = 65536,    /* chunks looked at together: 4 GiB of disk, 6 MiB here */
    PLAN_PLACES_MAX = 4096, /* of one run at a time: they travel in one message */
    PLAN_LEVEL = -3,        /* for the way only */
};

struct plan_chunk {
    struct map_entry entry;
    struct chunk_location location;
};

struct plan {
    struct store *store;
    restore_run_visit visit;
    void *cookie;
    struct map_entry *entries;
    struct chunk_name *names;
    struct chunk_location *locations;
    struct plan_chunk *chunks;
    uint64_t *indices;
    uint32_t *positions;
    uint8_t *plain;
    uint8_t *packed;
};

static int compare_chunks(const void *a, const void *b)
{
    const struct plan_chunk *left = a;
    const struct plan_chunk *right = b;
    if (left->location.container != right->location.container) {
        return left->location.container < right->location.container ? -1 : 1;
    }
    if (left->location.offset != right->location.offset) {
        return left->location.offset < right->location.offset ? -1 : 1;
    }
    if (left->location.position != right->location.position) {
        return left->location.position < right->location.position ? -1 : 1;
    }
    return left->entry.index < right->entry.index ? -1 : left->entry.index > right->entry.index;
}

/* Hand the run over, its places in portions. */
static int visit_places(struct plan *plan, struct restore_run *run, const struct plan_chunk *chunks,
                        size_t count, const uint32_t *renumbered, struct error *err)
{
    int result = 0;
    for (size_t done = 0; done < count && result == 0;) {
        size_t portion = count - done < PLAN_PLACES_MAX ? count - done : PLAN_PLACES_MAX;
        for (size_t i = 0; i < portion; i++) {
            plan->indices[i] = chunks[done + i].entry.index;
            plan->positions[i] = renumbered[chunks[done + i].location.position];
        }
        run->indices = plan->indices;
        run->positions = plan->positions;
        run->place_count = portion;
        result = plan->visit(plan->cookie, run, err);
        done += portion;
    }
    return result;
}

/* Only the chunks that belong here, packed anew. */
static int repack(struct plan *plan, const struct chunk_record *record, const bool *wanted,
                  struct restore_run *run, struct error *err)
{
    uint32_t chunk_size = store_chunk_size(plan->store);
    if (chunk_record_unpack(plan->store, record, plan->plain, err) != 0) {
        return -1;
    }
    size_t kept = 0;
    for (size_t i = 0; i < record->count; i++) {
        if (wanted[i]) {
            memmove(plan->plain + kept * chunk_size, plan->plain + i * chunk_size, chunk_size);
            kept++;
        }
    }
    run->compression = compress_run(plan->plain, kept * chunk_size, PLAN_LEVEL, plan->packed, &run->length);
    run->payload = plan->packed;
    return 0;
}

/* All the chunks of a window that lie in one record. */
static int visit_record(struct plan *plan, const struct plan_chunk *chunks, size_t count, struct error *err)
{
    struct chunk_name names[STORE_RUN_MAX];
    uint32_t renumbered[STORE_RUN_MAX] = {0};
    bool wanted[STORE_RUN_MAX] = {false};
    struct restore_run run = {.names = names};
    struct chunk_record *record = chunk_record_read(plan->store, &chunks[0].location, err);
    if (record == NULL) {
        for (size_t i = 0; i < count && err->code == ERROR_CHUNK_DAMAGED; i++) {
            chunk_report_damage(plan->store, &chunks[i].entry.name);
        }
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t position = chunks[i].location.position;
        if (!wanted[position]) {
            wanted[position] = true;
            renumbered[position] = (uint32_t)run.count;
            names[run.count++] = chunks[i].entry.name;
        }
    }
    int result = 0;
    if (run.count == record->count) {
        run.compression = record->compression;
        run.payload = record->payload;
        run.length = record->length;
    } else {
        result = repack(plan, record, wanted, &run, err);
    }
    if (result == 0) {
        result = visit_places(plan, &run, chunks, count, renumbered, err);
    }
    chunk_record_destroy(record);
    return result;
}

static int visit_window_leased(struct plan *plan, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        plan->names[i] = plan->entries[i].name;
    }
    if (chunk_locate(plan->store, plan->names, count, plan->locations, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        const struct chunk_location *location = &plan->locations[i];
        if (location->container == 0 || location->position >= location->run_count ||
            location->run_count > STORE_RUN_MAX) {
            return error_set(err, ERROR_CHUNK_DAMAGED,
                             "Chunk %llu of the disk is missing or damaged in the store",
                             (unsigned long long)plan->entries[i].index);
        }
        plan->chunks[i] = (struct plan_chunk){.entry = plan->entries[i], .location = *location};
    }
    qsort(plan->chunks, count, sizeof *plan->chunks, compare_chunks);
    int result = 0;
    for (size_t first = 0; first < count && result == 0;) {
        size_t end = first + 1;
        while (end < count &&
               plan->chunks[end].location.container == plan->chunks[first].location.container &&
               plan->chunks[end].location.offset == plan->chunks[first].location.offset) {
            end++;
        }
        result = visit_record(plan, &plan->chunks[first], end - first, err);
        first = end;
    }
    return result;
}

static int visit_window(struct plan *plan, size_t count, struct error *err)
{
    struct store_lease lease;
    store_lease_begin(plan->store, &lease);
    int result = visit_window_leased(plan, count, err);
    store_lease_end(&lease);
    return result;
}

int restore_plan_disk(struct store *store, const struct point_disk *disk, restore_run_visit visit,
                      void *cookie, struct error *err)
{
    struct map_reader *reader = map_reader_open(store, &disk->root, disk->size, err);
    if (reader == NULL) {
        return -1;
    }
    size_t run_bytes = (size_t)STORE_RUN_MAX * store_chunk_size(store);
    struct plan plan = {
        .store = store,
        .visit = visit,
        .cookie = cookie,
        .entries = memory_array(PLAN_WINDOW, sizeof *plan.entries),
        .names = memory_array(PLAN_WINDOW, sizeof *plan.names),
        .locations = memory_array(PLAN_WINDOW, sizeof *plan.locations),
        .chunks = memory_array(PLAN_WINDOW, sizeof *plan.chunks),
        .indices = memory_array(PLAN_PLACES_MAX, sizeof *plan.indices),
        .positions = memory_array(PLAN_PLACES_MAX, sizeof *plan.positions),
        .plain = memory_alloc(run_bytes),
        .packed = memory_alloc(compress_bound(run_bytes)),
    };
    uint64_t next = 0;
    size_t count = 0;
    int result;
    do {
        result = map_reader_list(reader, &next, plan.entries, PLAN_WINDOW, &count, err);
        if (result == 0 && count > 0) {
            result = visit_window(&plan, count, err);
        }
    } while (result == 0 && count > 0);
    map_reader_destroy(reader);
    free(plan.entries);
    free(plan.names);
    free(plan.locations);
    free(plan.chunks);
    free(plan.indices);
    free(plan.positions);
    free(plan.plain);
    free(plan.packed);
    return result;
}
