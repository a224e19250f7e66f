/* Reading containers into the index: after a crash what is past the watermark, after the loss of the index
 * all. */
#include "base/log.h"
#include "base/memory.h"
#include "storage/store_internal.h"
#include "storage/store_scan.h"

#include <stdlib.h>
#include <string.h>

struct replay {
    struct store *store;
    struct pending *found;
    uint64_t container;
};

static void replay_note(struct replay *replay, const uint8_t *names, uint8_t count, uint8_t kind,
                        uint32_t offset, uint32_t total)
{
    for (uint8_t i = 0; i < count; i++) {
        struct stored_name name;
        struct chunk_location location = {.container = replay->container,
                                          .offset = offset,
                                          .length = total,
                                          .position = i,
                                          .run_count = count};
        memcpy(name.bytes, names + RECORD_NAME_SIZE * (size_t)i, sizeof name.bytes);
        pending_put(replay->found, &name, &location, kind == RECORD_NODE);
    }
}

static int replay_record(void *cookie, const struct record *record, uint8_t *bytes, uint32_t offset)
{
    (void)bytes;
    if (record->kind != RECORD_TABLE) {
        replay_note(cookie, record->names, record->count, record->kind, offset, record->total);
    }
    return 0;
}

/* By the table, without reading the records. False when there is no good table. */
static bool replay_table(struct replay *replay, uint64_t size)
{
    struct container_table table;
    struct table_entry entry;
    size_t at = 0;
    if (store_read_table(replay->store, replay->container, size, &table) == 0) {
        return false;
    }
    while (container_table_next(&table, &at, &entry)) {
        replay_note(replay, entry.names, entry.count, entry.kind, entry.offset, entry.total);
    }
    free(table.bytes);
    return true;
}

static int replay_scan(struct replay *replay, uint64_t watermark, struct error *err)
{
    struct scan_visitor visitor = {.record = replay_record, .cookie = replay};
    uint32_t start = watermark > CONTAINER_HEADER_SIZE ? (uint32_t)watermark : CONTAINER_HEADER_SIZE;
    uint8_t *bytes;
    uint32_t length;
    if (store_load_container(replay->store, replay->container, start, &bytes, &length, err) != 0) {
        return -1;
    }
    int result = store_scan_bytes(bytes, length, start, &visitor);
    free(bytes);
    return result;
}

/* An older container that comes back (it had left the index, and a crash kept its file) does not take the
 * place of newer copies: what it has may be damaged, and was stored again for that. */
static int drop_older(struct replay *replay, struct error *err)
{
    struct index *index = replay->store->index;
    uint64_t last;
    if (index_last_container(index, &last, err) != 0) {
        return -1;
    }
    if (last <= replay->container) {
        return 0;
    }
    size_t count = replay->found->count;
    const struct pending_entry **entries = pending_sorted(replay->found);
    struct stored_name *names = memory_array(count, sizeof *names);
    struct chunk_location *locations = memory_array(count, sizeof *locations);
    for (size_t i = 0; i < count; i++) {
        names[i] = entries[i]->name;
    }
    int result = index_find_many(index, names, count, locations, err);
    struct pending *kept = pending_create();
    for (size_t i = 0; i < count && result == 0; i++) {
        if (locations[i].container <= replay->container) {
            pending_put(kept, &entries[i]->name, &entries[i]->location, entries[i]->node);
        }
    }
    free(names);
    free(locations);
    free(entries);
    pending_destroy(replay->found);
    replay->found = kept;
    return result;
}

/* What is found past the watermark, which is durable, goes into the index. A table only stands for the whole
 * container, so it helps only from the beginning. */
static int replay_container(struct store *store, uint64_t container, uint64_t watermark, uint64_t size,
                            struct error *err)
{
    struct replay replay = {.store = store, .found = pending_create(), .container = container};
    struct index_watermark mark = {.container = container, .offset = size};
    int result = 0;
    if (watermark > 0 || !replay_table(&replay, size)) {
        result = replay_scan(&replay, watermark, err);
    }
    if (result == 0) {
        result = drop_older(&replay, err);
    }
    if (result == 0) {
        result = index_add(store->index, replay.found, &mark, 1, err);
    }
    pending_destroy(replay.found);
    return result;
}

/* 1: the container is shorter than the index knew it. */
static int replay_one(struct store *store, uint64_t container, struct error *err)
{
    const struct backend_operations *operations = store->backend->operations;
    char name[STORE_CONTAINER_NAME_SIZE];
    uint64_t watermark;
    uint64_t size;
    int found = operations->size(store->backend, store_container_name(container, name), &size, err);
    if (found != 1 || index_watermark(store->index, container, &watermark, err) != 0) {
        return found == 0 ? 0 : -1;
    }
    /* First durable: what a failed sync left can be read and is nowhere but in memory. */
    if (size > watermark && (operations->settle(store->backend, name, err) != 0 ||
                             operations->size(store->backend, name, &size, err) != 1)) {
        return -1;
    }
    if (size < watermark) {
        log_event(LOG_WARNING, "container is shorter than it was", "container=%llx bytes=%llu were=%llu",
                  (unsigned long long)container, (unsigned long long)size, (unsigned long long)watermark);
        return 1;
    }
    return size > watermark ? replay_container(store, container, watermark, size, err) : 0;
}

int store_replay(struct store *store, void (*watch)(void *cookie, uint64_t done, uint64_t total),
                 void *cookie, struct error *err)
{
    uint64_t *ids;
    size_t count;
    uint64_t last;
    int result = store_list_containers(store, &ids, &count, err);
    if (result != 0) {
        return -1;
    }
    for (size_t i = 0; i < count && result == 0; i++) {
        result = replay_one(store, ids[i], err);
        if (watch != NULL) {
            watch(cookie, i + 1, count);
        }
    }
    if (result == 0) {
        result = index_last_container(store->index, &last, err);
    }
    if (result == 0) {
        last = count > 0 && ids[count - 1] > last ? ids[count - 1] : last;
        store->next_container = last >= store->next_container ? last + 1 : store->next_container;
    }
    free(ids);
    return result;
}
