/*
 * Inside the room: how the index lies on disk, for the files that implement it.
 *
 * New names go to a table of LMDB (recent); when that has many they move to a segment, a sorted file, and
 * segments of like size are merged by a thread. So an entry takes 32 bytes and little more, and what is
 * written per commit does not grow with the store. A name may stand in several places: the newest of those
 * whose container is there counts. So a container leaves the index by one row, and what it left in segments
 * goes when they are merged. LMDB's transactions say which segments there are; what no transaction knows is
 * removed when the index is opened.
 *
 * Locks, in this order: change_lock, LMDB's writer, view_lock; live_lock alone.
 */
#ifndef HOLDFAST_STORAGE_INDEX_INTERNAL_H
#define HOLDFAST_STORAGE_INDEX_INTERNAL_H

#include "storage/index_segment.h"
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

/* Never changed; oldest first. */
struct segment_set {
    atomic_uint references;
    size_t count;
    struct index_segment *segments[];
};

/* Which containers there are: a bit each, by id. Ids are given once and in order. */
struct live_containers {
    pthread_rwlock_t lock;
    uint8_t *bits;
    uint64_t capacity; /* ids */
};

struct index {
    char *path;
    MDB_env *environment;
    MDB_dbi recent;     /* INDEX_NAME_SIZE of the name → the item's value */
    MDB_dbi containers; /* u64, big-endian → u64 watermark, i64 last verified, u32 chunks, u32 nodes */
    MDB_dbi damaged;    /* INDEX_NAME_SIZE of the name → nothing */
    MDB_dbi meta;       /* "store" → format and UUID, "last container" → u64, "segments" → u64 each */

    struct live_containers live;
    atomic_uint_fast64_t chunks; /* in live containers */
    atomic_uint_fast64_t nodes;

    pthread_mutex_t change_lock; /* whoever changes the set */
    uint64_t last_serial;
    atomic_size_t recent_max;  /* names, before they move */
    pthread_mutex_t view_lock; /* the set and the recent names change together */
    struct segment_set *set;

    pthread_t merger;
    bool merging; /* the thread runs */
    pthread_mutex_t merge_lock;
    pthread_cond_t merge_wanted;
    bool merge_pending;
    atomic_bool stopping;
};

int index_error(struct error *err, int code);
int index_read_counter(struct index *index, MDB_txn *txn, const char *name, uint64_t *value);
int index_write_counter(struct index *index, MDB_txn *txn, const char *name, uint64_t value);
/* Commit, or abort when code is not 0. */
int index_finish(MDB_txn *txn, int code, struct error *err);

/* --- containers (index_containers.c) */

struct index_tally {
    struct index_watermark watermark;
    uint32_t chunks;
    uint32_t nodes;
};
/* LMDB's codes. Tallies are sorted by container. */
int index_put_tallies(struct index *index, MDB_txn *txn, const struct index_tally *tallies, size_t count);
int index_load_containers(struct index *index);
/* Gives what it had. */
int index_drop_container(struct index *index, MDB_txn *txn, uint64_t container, struct index_tally *had);

void index_live_set(struct index *index, uint64_t container, bool there);
/* Under live.lock. */
bool index_live_has(const struct index *index, uint64_t container);

/* --- names (index_names.c) */

/* The recent names and the segments as of one moment. */
struct index_view {
    MDB_txn *txn;
    MDB_cursor *recent;
    struct segment_set *set;
};
int index_view_open(struct index *index, struct index_view *view);
void index_view_close(struct index_view *view);

/* Items from several sources by name, each name once: the newest that is there. */
struct index_source {
    const struct index_item *next;
    const struct index_item *end;
    uint32_t crc; /* of what was taken */
};
/* Sources: newest first. False at the end. */
bool index_sources_next(const struct index *index, struct index_source *sources, size_t count,
                        struct index_item *item);

/* --- segments (index_set.c) */

int index_set_load(struct index *index, bool *unusable, struct error *err);
void index_set_release(struct segment_set *set);
char *index_segment_path(const struct index *index, uint64_t serial);
/* Under change_lock: the set becomes this one (whose reference is taken over), and the recent names go when
 * they moved into it. */
int index_set_change(struct index *index, struct segment_set *set, bool drop_recent, struct error *err);
struct segment_set *index_set_create(size_t count);

/* --- moving and merging (index_merge.c) */

/* Move the recent names to a segment when they are many. A failure is logged, and tried again later. */
void index_flush_if_many(struct index *index);
int index_start_merging(struct index *index, struct error *err);
/* Wait until nothing is left to be merged. For tests. */
void index_wait_merged(struct index *index);

#endif
