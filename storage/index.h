/*
 * The index: where every name lies (LMDB), how far each container has been read into it, and which names are
 * damaged. Derivable from the containers. One writer at a time (the caller sees to that), any number of
 * readers.
 */
#ifndef HOLDFAST_STORAGE_INDEX_H
#define HOLDFAST_STORAGE_INDEX_H

#include "storage/pending.h"

struct index;

/* Opens, or makes an empty one. *fresh: it was made now. STORE_UNAVAILABLE. */
struct index *index_open(const char *path, bool *fresh, struct error *err);
void index_close(struct index *index);

/* 1 found, 0 not, -1 error. */
int index_find(struct index *index, const struct chunk_name *name, struct chunk_location *location,
               struct error *err);
/* Many at once; a location's container is 0 where there is none. */
int index_find_many(struct index *index, const struct chunk_name *names, size_t count,
                    struct chunk_location *locations, struct error *err);

/* How far containers have been read: in one transaction with the entries, synced. */
struct index_watermark {
    uint64_t container;
    uint64_t offset;
};
/* Adds the entries; what is added is damaged no more. */
int index_add(struct index *index, const struct pending *entries, const struct index_watermark *watermarks,
              size_t watermark_count, struct error *err);
int index_watermark(struct index *index, uint64_t container, uint64_t *offset, struct error *err);

int index_damage(struct index *index, const struct chunk_name *name, struct error *err);
int index_is_damaged(struct index *index, const struct chunk_name *name, bool *damaged, struct error *err);
int index_count_damaged(struct index *index, uint64_t *count, struct error *err);

/* Every entry, ordered by name; visit returns non-zero to stop, and that is returned. */
typedef int (*index_visit)(void *cookie, const struct chunk_name *name, const struct chunk_location *location,
                           bool node);
int index_each(struct index *index, index_visit visit, void *cookie, struct error *err);

struct index_figures {
    uint64_t chunks;
    uint64_t nodes;
    uint64_t bytes; /* in use, on disk */
};
int index_figures_read(struct index *index, struct index_figures *figures, struct error *err);

#endif
