/*
 * Names that have been appended and are not yet in the index. Not thread-safe.
 */
#ifndef HOLDFAST_STORAGE_PENDING_H
#define HOLDFAST_STORAGE_PENDING_H

#include "storage/seal.h"

struct pending_entry {
    struct stored_name name;
    struct chunk_location location;
    bool node; /* a map node, not a chunk */
    bool used;
};

struct pending {
    struct pending_entry *slots;
    size_t capacity; /* a power of two */
    size_t count;
};

struct pending *pending_create(void);
void pending_destroy(struct pending *pending);
/* A name that is there gets the new location. */
void pending_put(struct pending *pending, const struct stored_name *name,
                 const struct chunk_location *location, bool node);
/* NULL when it is not there. Valid until the next put. */
const struct pending_entry *pending_find(const struct pending *pending, const struct stored_name *name);
/* The entries sorted by name, malloc'd array of pointers into the table. */
const struct pending_entry **pending_sorted(const struct pending *pending);
void pending_clear(struct pending *pending);

#endif
