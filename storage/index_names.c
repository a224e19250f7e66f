/* Looking up and walking. */
#include "storage/index.h"

#include "base/digest.h"
#include "base/memory.h"
#include "storage/index_internal.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GROUP = 128 };

int index_view_open(struct index *index, struct index_view *view)
{
    pthread_mutex_lock(&index->view_lock);
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &view->txn);
    if (code == 0) {
        view->set = index->set;
        atomic_fetch_add(&view->set->references, 1);
    }
    pthread_mutex_unlock(&index->view_lock);
    if (code != 0) {
        return code;
    }
    code = mdb_cursor_open(view->txn, index->recent, &view->recent);
    if (code != 0) {
        mdb_txn_abort(view->txn);
        index_set_release(view->set);
    }
    return code;
}

void index_view_close(struct index_view *view)
{
    mdb_cursor_close(view->recent);
    mdb_txn_abort(view->txn);
    index_set_release(view->set);
}

/* --- looking up */

static void take_if_live(const struct index *index, const uint8_t *value, struct chunk_location *location)
{
    bool node;
    struct chunk_location found;
    index_item_decode(value, &found, &node);
    if (found.position < found.run_count && index_live_has(index, found.container)) {
        *location = found;
    }
}

static int find_in_recent(const struct index *index, const struct index_view *view,
                          const struct stored_name *names, size_t count, struct chunk_location *locations)
{
    for (size_t i = 0; i < count; i++) {
        MDB_val key = {.mv_size = INDEX_NAME_SIZE, .mv_data = (void *)(uintptr_t)names[i].bytes};
        MDB_val value;
        int code = mdb_cursor_get(view->recent, &key, &value, MDB_SET);
        if (code == 0 && value.mv_size == INDEX_VALUE_SIZE) {
            take_if_live(index, value.mv_data, &locations[i]);
        } else if (code != MDB_NOTFOUND) {
            return code == 0 ? MDB_CORRUPTED : code;
        }
    }
    return 0;
}

/* Names are spread over all of the segment: first ask for the memory of all of them, then look. */
static void find_in_segment(const struct index *index, const struct index_segment *segment,
                            const struct stored_name *names, size_t count, struct chunk_location *locations)
{
    for (size_t i = 0; i < count; i++) {
        if (locations[i].container == 0) {
            index_segment_prefetch_directory(segment, &names[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (locations[i].container == 0) {
            index_segment_prefetch_items(segment, &names[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct index_item *item =
            locations[i].container == 0 ? index_segment_find(segment, &names[i]) : NULL;
        if (item != NULL) {
            take_if_live(index, item->value, &locations[i]);
        }
    }
}

int index_find_many(struct index *index, const struct stored_name *names, size_t count,
                    struct chunk_location *locations, struct error *err)
{
    struct index_view view;
    int code = index_view_open(index, &view);
    if (code != 0) {
        return index_error(err, code);
    }
    memset(locations, 0, count * sizeof *locations);
    pthread_rwlock_rdlock(&index->live.lock);
    code = find_in_recent(index, &view, names, count, locations);
    for (size_t from = 0; from < count && code == 0; from += GROUP) {
        size_t some = count - from < GROUP ? count - from : GROUP;
        for (size_t i = view.set->count; i > 0; i--) {
            find_in_segment(index, view.set->segments[i - 1], names + from, some, locations + from);
        }
    }
    pthread_rwlock_unlock(&index->live.lock);
    index_view_close(&view);
    return code == 0 ? 0 : index_error(err, code);
}

int index_find(struct index *index, const struct stored_name *name, struct chunk_location *location,
               struct error *err)
{
    if (index_find_many(index, name, 1, location, err) != 0) {
        return -1;
    }
    return location->container != 0 ? 1 : 0;
}

void index_read_ahead(struct index *index)
{
    struct index_view view;
    if (index_view_open(index, &view) != 0) {
        return;
    }
    uint64_t room = (uint64_t)sysconf(_SC_PHYS_PAGES) / 4 * (uint64_t)sysconf(_SC_PAGESIZE);
    for (size_t i = view.set->count; i > 0; i--) {
        const struct index_segment *segment = view.set->segments[i - 1];
        if (index_segment_bytes(segment) <= room) {
            room -= index_segment_bytes(segment);
            index_segment_read_ahead(segment);
        }
    }
    index_view_close(&view);
}

int index_check(struct index *index, struct error *err)
{
    struct index_view view;
    int code = index_view_open(index, &view);
    bool whole = true;
    if (code != 0) {
        return index_error(err, code);
    }
    for (size_t i = 0; i < view.set->count && whole; i++) {
        whole = index_segment_is_whole(view.set->segments[i]);
    }
    index_view_close(&view);
    return whole ? 0
                 : error_set(err, ERROR_STORE_UNAVAILABLE,
                             "A segment of the store's index is damaged; rebuild the index");
}

/* --- walking */

static struct index_source *lowest_source(struct index_source *sources, size_t count)
{
    struct index_source *lowest = NULL;
    for (size_t i = 0; i < count; i++) {
        if (sources[i].next < sources[i].end &&
            (lowest == NULL || memcmp(sources[i].next->name, lowest->next->name, INDEX_NAME_SIZE) < 0)) {
            lowest = &sources[i];
        }
    }
    return lowest;
}

bool index_sources_next(const struct index *index, struct index_source *sources, size_t count,
                        struct index_item *item)
{
    struct index_source *lowest;
    while ((lowest = lowest_source(sources, count)) != NULL) {
        const struct index_item *first = lowest->next;
        struct chunk_location location = {0};
        for (size_t i = 0; i < count; i++) {
            struct index_source *source = &sources[i];
            if (source->next == source->end ||
                memcmp(source->next->name, first->name, INDEX_NAME_SIZE) != 0) {
                continue;
            }
            if (location.container == 0) {
                take_if_live(index, source->next->value, &location);
                *item = *source->next;
            }
            source->crc = digest_crc32c(source->crc, source->next, sizeof *source->next);
            source->next++;
        }
        if (location.container != 0) {
            return true;
        }
    }
    return false;
}

/* The first `capacity` recent names that are not lower. */
static int read_recent(const struct index_view *view, const uint8_t from[INDEX_NAME_SIZE],
                       struct index_item *items, size_t capacity, size_t *count)
{
    uint8_t bytes[INDEX_NAME_SIZE];
    MDB_val key = {.mv_size = INDEX_NAME_SIZE, .mv_data = bytes};
    MDB_val value;
    *count = 0;
    memcpy(bytes, from, sizeof bytes);
    int code = mdb_cursor_get(view->recent, &key, &value, MDB_SET_RANGE);
    while (code == 0 && *count < capacity) {
        if (key.mv_size != INDEX_NAME_SIZE || value.mv_size != INDEX_VALUE_SIZE) {
            return MDB_CORRUPTED;
        }
        memcpy(items[*count].name, key.mv_data, INDEX_NAME_SIZE);
        memcpy(items[*count].value, value.mv_data, INDEX_VALUE_SIZE);
        ++*count;
        code = mdb_cursor_get(view->recent, &key, &value, MDB_NEXT);
    }
    return code == MDB_NOTFOUND ? 0 : code;
}

/* The name behind this one; false when there is none. */
static bool name_behind(uint8_t name[INDEX_NAME_SIZE])
{
    for (size_t i = INDEX_NAME_SIZE; i > 0; i--) {
        if (++name[i - 1] != 0) {
            return true;
        }
    }
    return false;
}

static size_t merge_entries(struct index *index, struct index_source *sources, size_t source_count,
                            struct index_entry *entries, size_t capacity)
{
    size_t count = 0;
    struct index_item item;
    pthread_rwlock_rdlock(&index->live.lock);
    while (count < capacity && index_sources_next(index, sources, source_count, &item)) {
        struct index_entry *entry = &entries[count++];
        *entry = (struct index_entry){0};
        memcpy(entry->name.bytes, item.name, INDEX_NAME_SIZE);
        index_item_decode(item.value, &entry->location, &entry->node);
    }
    pthread_rwlock_unlock(&index->live.lock);
    return count;
}

int index_read_entries(struct index *index, const struct stored_name *after, struct index_entry *entries,
                       size_t capacity, size_t *count, struct error *err)
{
    struct index_view view;
    uint8_t from[INDEX_NAME_SIZE] = {0};
    size_t recent_count;
    *count = 0;
    if (after != NULL) {
        memcpy(from, after->bytes, sizeof from);
        if (!name_behind(from)) {
            return 0;
        }
    }
    int code = index_view_open(index, &view);
    if (code != 0) {
        return index_error(err, code);
    }
    struct index_item *recent = memory_array(capacity, sizeof *recent);
    struct index_source *sources = memory_array(view.set->count + 1, sizeof *sources);
    code = read_recent(&view, from, recent, capacity, &recent_count);
    if (code == 0) {
        sources[0] = (struct index_source){.next = recent, .end = recent + recent_count};
        for (size_t i = 0; i < view.set->count; i++) {
            const struct index_segment *segment = view.set->segments[view.set->count - 1 - i];
            const struct index_item *items = index_segment_items(segment);
            sources[i + 1] = (struct index_source){.next = items + index_segment_seek(segment, from),
                                                   .end = items + index_segment_count(segment)};
        }
        *count = merge_entries(index, sources, view.set->count + 1, entries, capacity);
    }
    free(recent);
    free(sources);
    index_view_close(&view);
    return code == 0 ? 0 : index_error(err, code);
}
