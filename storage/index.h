/*
 * The index: where every name lies, how far each container has been read into it, and which names are
 * damaged. Derivable from the containers. One writer at a time (the caller sees to that), any number of
 * readers. Names are as stored. LMDB and sorted files: index_internal.h.
 *
 * A name is known by its first INDEX_NAME_SIZE bytes: whoever reads checks the digest anyway, and to make two
 * blocks that the index takes for one costs 2^80 digests.
 */
#ifndef HOLDFAST_STORAGE_INDEX_H
#define HOLDFAST_STORAGE_INDEX_H

#include "storage/pending.h"

enum { INDEX_NAME_SIZE = 20 };

struct index;

/* Opens the index of that store, or makes an empty one. STORE_UNAVAILABLE; *unusable then tells whether what
 * is there can't be an index of this store (so that throwing it away helps). */
struct index *index_open(const char *path, const uint8_t store_uuid[16], bool *unusable, struct error *err);
void index_close(struct index *index);
/* It writes nothing of its own accord any more, and can still be used: before another takes its directory. */
void index_retire(struct index *index);
/* Move it to another directory, which must not exist, while it is open. */
int index_rename(struct index *index, const char *path, struct error *err);

/* 1 found, 0 not, -1 error. */
int index_find(struct index *index, const struct stored_name *name, struct chunk_location *location,
               struct error *err);
/* Many at once; a location's container is 0 where there is none. */
int index_find_many(struct index *index, const struct stored_name *names, size_t count,
                    struct chunk_location *locations, struct error *err);
/* Most of the index is going to be asked for: read it from the disk in large pieces, as long as it takes a
 * quarter of the machine's memory at most. Does not wait for it. */
void index_read_ahead(struct index *index);

/* Reads all segments. STORE_UNAVAILABLE when one is damaged: a name that is not found may be there then. */
int index_check(struct index *index, struct error *err);

/* Very many names are going to be looked up: move the recent ones, which take longest to look through, to
 * where the others are, unless they are few. A failure is logged and makes lookups slower, no more. As a
 * writer; blocks. */
void index_flush_before_lookups(struct index *index);

/* Forget the container and the names that lie there only. Durable. */
int index_remove_container(struct index *index, uint64_t container, struct error *err);

/* How far a container has been read: in one transaction with the entries, synced. */
struct index_watermark {
    uint64_t container;
    uint64_t offset;
};
/* Adds the entries, all of which lie in the containers of these watermarks (or of earlier ones); what is
 * added is damaged no more. */
int index_add(struct index *index, const struct pending *entries, const struct index_watermark *watermarks,
              size_t watermark_count, struct error *err);
/* 0 for a container that the index does not know. */
int index_watermark(struct index *index, uint64_t container, uint64_t *offset, struct error *err);
/* The highest container that the index ever knew, 0 for none: ids are never used again. */
int index_last_container(struct index *index, uint64_t *container, struct error *err);

int index_damage(struct index *index, const struct stored_name *name, struct error *err);
int index_is_damaged(struct index *index, const struct stored_name *name, bool *damaged, struct error *err);
int index_forget_damage(struct index *index, const struct stored_name *name, struct error *err);
/* Their first INDEX_NAME_SIZE bytes, zeros behind; malloc'd. */
int index_list_damaged(struct index *index, struct stored_name **names, size_t *count, struct error *err);
int index_count_damaged(struct index *index, uint64_t *count, struct error *err);

/* The entries behind *after (NULL: from the first), ordered by name; *count is less than capacity at the end.
 * In portions, so that nothing waits for a walk through all of it. */
struct index_entry {
    struct stored_name name; /* its first INDEX_NAME_SIZE bytes, zeros behind */
    struct chunk_location location;
    bool node;
};
int index_read_entries(struct index *index, const struct stored_name *after, struct index_entry *entries,
                       size_t capacity, size_t *count, struct error *err);

/* When a container was last verified, wall time; 0: never, or it grew since. */
int index_set_verified(struct index *index, uint64_t container, int64_t verified_ms, struct error *err);
struct index_container {
    uint64_t container;
    uint64_t watermark;
    int64_t verified_ms;
};
/* Every container that the index knows, ascending; malloc'd. */
int index_list_containers(struct index *index, struct index_container **containers, size_t *count,
                          struct error *err);

struct index_figures {
    uint64_t chunks; /* in all containers; one that lies in two counts twice */
    uint64_t nodes;
    uint64_t bytes; /* in use, on disk */
};
int index_figures_read(struct index *index, struct index_figures *figures, struct error *err);

#endif
