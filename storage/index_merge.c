/*
 * Moving recent names to segments, and merging segments: four of about the same size become one, so that each
 * name is written again a few times only (log 4 of their number), and few segments have to be looked at.
 * Source: size-tiered compaction of log-structured merge trees (O'Neil et al. 1996).
 */
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "storage/index_internal.h"
#include <stdlib.h>
#include <string.h>

enum {
    FAN_OUT = 4,
    FEW_RECENT = 64,    /* so small a part of recent_max is not worth a segment */
    LENGTH_MAX = 8,     /* segments of a tier or lower, with fewer than four of it */
    TIERS = 16,         /* 4^16 times 262,144 names are more than disks hold */
    CHECK_EVERY = 4096, /* items between two looks at whether to stop */
};

/* --- one new segment in the place of others */

static int open_finished(struct index *index, uint64_t serial, struct index_segment **segment,
                         struct error *err)
{
    char *path = index_segment_path(index, serial);
    int result = os_path_sync_directory(index->path, err);
    if (result == 0) {
        *segment = index_segment_open(path, serial, err);
        result = *segment != NULL ? 0 : -1;
    }
    free(path);
    return result;
}

static void remove_file(const struct index *index, const struct index_segment *segment)
{
    struct error ignored; /* what stays is removed when the index is opened */
    char *path = index_segment_path(index, index_segment_serial(segment));
    os_path_remove(path, &ignored);
    free(path);
}

/* The segments [from, from + count) become `segment` (NULL: nothing). Under change_lock. */
static int replace(struct index *index, size_t from, size_t count, struct index_segment *segment,
                   bool drop_recent, struct error *err)
{
    struct segment_set *old = index->set;
    size_t added = segment != NULL ? 1 : 0;
    struct segment_set *set = index_set_create(old->count - count + added);
    size_t to = 0;
    for (size_t i = 0; i < from; i++) {
        set->segments[to++] = old->segments[i];
    }
    if (segment != NULL) {
        set->segments[to++] = segment;
    }
    for (size_t i = from + count; i < old->count; i++) {
        set->segments[to++] = old->segments[i];
    }
    for (size_t i = 0; i < set->count; i++) {
        index_segment_keep(set->segments[i]);
    }
    atomic_fetch_add(&old->references, 1);
    int result = index_set_change(index, set, drop_recent, err);
    if (result != 0) {
        index_set_release(set);
    }
    for (size_t i = from; i < from + count && result == 0; i++) {
        remove_file(index, old->segments[i]);
    }
    index_set_release(old);
    return result;
}

/* --- recent names */

static int write_recent(const struct index_view *view, struct index_segment_writer *writer, struct error *err)
{
    MDB_val key;
    MDB_val value;
    int result = 0;
    int code = mdb_cursor_get(view->recent, &key, &value, MDB_FIRST);
    while (code == 0 && result == 0) {
        struct index_item item;
        if (key.mv_size != INDEX_NAME_SIZE || value.mv_size != INDEX_VALUE_SIZE) {
            return index_error(err, MDB_CORRUPTED);
        }
        memcpy(item.name, key.mv_data, INDEX_NAME_SIZE);
        memcpy(item.value, value.mv_data, INDEX_VALUE_SIZE);
        result = index_segment_append(writer, &item, err);
        code = result == 0 ? mdb_cursor_get(view->recent, &key, &value, MDB_NEXT) : 0;
    }
    return result != 0 ? -1 : code == MDB_NOTFOUND ? 0 : index_error(err, code);
}

/* Under change_lock. */
static int flush(struct index *index, uint64_t count, struct error *err)
{
    struct index_view view;
    struct index_segment *segment = NULL;
    uint64_t serial = ++index->last_serial;
    char *path = index_segment_path(index, serial);
    struct index_segment_writer *writer = index_segment_create(path, count, err);
    free(path);
    if (writer == NULL) {
        return -1;
    }
    int code = index_view_open(index, &view);
    if (code != 0) {
        index_segment_abandon(writer);
        return index_error(err, code);
    }
    int result = write_recent(&view, writer, err);
    index_view_close(&view);
    if (result != 0) {
        index_segment_abandon(writer);
        return -1;
    }
    if (index_segment_finish(writer, err) != 0 || open_finished(index, serial, &segment, err) != 0) {
        return -1;
    }
    result = replace(index, index->set->count, 0, segment, true, err);
    if (result != 0) {
        remove_file(index, segment);
    }
    index_segment_release(segment);
    return result;
}

static void want_merge(struct index *index)
{
    pthread_mutex_lock(&index->merge_lock);
    index->merge_pending = true;
    pthread_cond_broadcast(&index->merge_wanted);
    pthread_mutex_unlock(&index->merge_lock);
}

static void flush_if(struct index *index, size_t least)
{
    MDB_txn *txn;
    MDB_stat figures;
    struct error err;
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return;
    }
    code = mdb_stat(txn, index->recent, &figures);
    mdb_txn_abort(txn);
    if (code != 0 || figures.ms_entries < least) {
        return;
    }
    pthread_mutex_lock(&index->change_lock);
    int result = flush(index, figures.ms_entries, &err);
    pthread_mutex_unlock(&index->change_lock);
    if (result != 0) {
        log_error("recent names of the index stay where they are", &err);
    } else {
        want_merge(index);
    }
}

void index_flush_if_many(struct index *index)
{
    flush_if(index, index->recent_max);
}

void index_flush_before_lookups(struct index *index)
{
    flush_if(index, index->recent_max / FEW_RECENT);
}

/* --- merging */

static unsigned tier_of(const struct index *index, const struct index_segment *segment)
{
    unsigned tier = 0;
    for (uint64_t left = index_segment_count(segment) / index->recent_max; left >= FAN_OUT; left /= FAN_OUT) {
        tier++;
    }
    return tier;
}

/* More than half of what the segments say is gone or told twice. */
static bool is_mostly_dead(struct index *index, const struct segment_set *set)
{
    uint64_t items = 0;
    for (size_t i = 0; i < set->count; i++) {
        items += index_segment_count(set->segments[i]);
    }
    return items > 2 * (atomic_load(&index->chunks) + atomic_load(&index->nodes)) + 4 * index->recent_max;
}

/* The newest segments up to a tier, when there are four of it, or many below (while large ones were merged).
 */
static size_t choose_newest(const struct index *index, const struct segment_set *set)
{
    for (unsigned tier = 0; tier < TIERS; tier++) {
        size_t length = 0;
        size_t of_tier = 0;
        while (length < set->count) {
            unsigned next = tier_of(index, set->segments[set->count - 1 - length]);
            if (next > tier) {
                break;
            }
            of_tier += next == tier;
            length++;
        }
        if (of_tier >= FAN_OUT || length >= LENGTH_MAX) {
            return length;
        }
    }
    return 0;
}

/* How many of the newest are to become one; 0: none. */
static size_t choose(struct index *index, const struct segment_set *set)
{
    return is_mostly_dead(index, set) ? set->count : choose_newest(index, set);
}

static int write_merged(struct index *index, struct index_source *sources, size_t count,
                        struct index_segment_writer *writer, struct error *err)
{
    struct index_item items[CHECK_EVERY];
    size_t some;
    do {
        some = 0;
        pthread_rwlock_rdlock(&index->live.lock);
        while (some < CHECK_EVERY && index_sources_next(index, sources, count, &items[some])) {
            some++;
        }
        pthread_rwlock_unlock(&index->live.lock);
        for (size_t i = 0; i < some; i++) {
            if (index_segment_append(writer, &items[i], err) != 0) {
                return -1;
            }
        }
        if (atomic_load(&index->stopping)) {
            return error_set(err, ERROR_JOB_CANCELLED, "The index is closed");
        }
    } while (some == CHECK_EVERY);
    return 0;
}

static int check_sources(const struct segment_set *set, const struct index_source *sources, size_t count,
                         struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (sources[i].crc != index_segment_crc(set->segments[set->count - 1 - i])) {
            return error_set(err, ERROR_STORE_UNAVAILABLE,
                             "A segment of the store's index is damaged; rebuild the index");
        }
    }
    return 0;
}

/* 1 a file was written, 0 nothing was left of them, -1. */
static int merge_newest(struct index *index, const struct segment_set *set, size_t count, const char *path,
                        struct error *err)
{
    uint64_t total = 0;
    struct index_source *sources = memory_array(count, sizeof *sources);
    for (size_t i = 0; i < count; i++) {
        const struct index_segment *source = set->segments[set->count - 1 - i];
        const struct index_item *items = index_segment_items(source);
        sources[i] = (struct index_source){.next = items, .end = items + index_segment_count(source)};
        total += index_segment_count(source);
    }
    struct index_segment_writer *writer = index_segment_create(path, total, err);
    int result = writer != NULL ? write_merged(index, sources, count, writer, err) : -1;
    if (result == 0) {
        result = check_sources(set, sources, count, err);
    }
    free(sources);
    if (writer == NULL) {
        return -1;
    }
    if (result != 0 || index_segment_written(writer) == 0) {
        index_segment_abandon(writer);
        return result;
    }
    return index_segment_finish(writer, err) == 0 ? 1 : -1;
}

/* What was moved meanwhile is newer, and stays behind. */
static int install(struct index *index, const struct segment_set *merged, size_t count, uint64_t serial,
                   bool written, struct error *err)
{
    struct index_segment *segment = NULL;
    pthread_mutex_lock(&index->change_lock);
    int result = written ? open_finished(index, serial, &segment, err) : 0;
    if (result == 0) {
        result = replace(index, merged->count - count, count, segment, false, err);
    }
    if (result != 0 && segment != NULL) {
        remove_file(index, segment);
    }
    pthread_mutex_unlock(&index->change_lock);
    index_segment_release(segment);
    return result;
}

/* 1 something was merged, 0 there is nothing to merge, -1 it failed. */
static int merge_once(struct index *index, struct error *err)
{
    pthread_mutex_lock(&index->change_lock);
    struct segment_set *set = index->set;
    size_t count = choose(index, set);
    uint64_t serial = count > 0 ? ++index->last_serial : 0;
    char *path = index_segment_path(index, serial); /* the index may be renamed later */
    atomic_fetch_add(&set->references, 1);
    pthread_mutex_unlock(&index->change_lock);
    int result = 0;
    if (count > 0) {
        int written = merge_newest(index, set, count, path, err);
        result = written >= 0 ? install(index, set, count, serial, written == 1, err) : -1;
    }
    free(path);
    index_set_release(set);
    return result != 0 ? -1 : count > 0 ? 1 : 0;
}

static void *run_merger(void *cookie)
{
    struct index *index = cookie;
    struct error err;
    pthread_mutex_lock(&index->merge_lock);
    while (!atomic_load(&index->stopping)) {
        if (!index->merge_pending) {
            pthread_cond_wait(&index->merge_wanted, &index->merge_lock);
            continue;
        }
        pthread_mutex_unlock(&index->merge_lock);
        int result = merge_once(index, &err);
        if (result < 0 && !atomic_load(&index->stopping)) {
            log_error("segments of the index were not merged", &err);
        }
        pthread_mutex_lock(&index->merge_lock);
        if (result <= 0) {
            index->merge_pending = false; /* until names are moved again */
            pthread_cond_broadcast(&index->merge_wanted);
        }
    }
    pthread_mutex_unlock(&index->merge_lock);
    return NULL;
}

void index_wait_merged(struct index *index)
{
    pthread_mutex_lock(&index->merge_lock);
    while (index->merge_pending) {
        pthread_cond_wait(&index->merge_wanted, &index->merge_lock);
    }
    pthread_mutex_unlock(&index->merge_lock);
}

int index_start_merging(struct index *index, struct error *err)
{
    index->merge_pending = true;
    if (pthread_create(&index->merger, NULL, run_merger, index) != 0) {
        return error_set(err, ERROR_STORE_UNAVAILABLE, "The index can't start its thread");
    }
    index->merging = true;
    return 0;
}

void index_retire(struct index *index)
{
    if (index->merging) {
        pthread_mutex_lock(&index->merge_lock);
        atomic_store(&index->stopping, true);
        pthread_cond_broadcast(&index->merge_wanted);
        pthread_mutex_unlock(&index->merge_lock);
        pthread_join(index->merger, NULL);
        index->merging = false;
    }
}
