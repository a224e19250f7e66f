/*
 * Inside the room: the mark phase of a collection, through distinct map nodes. Lookups and reads are done for
 * thousands of nodes at once, in the order of the index and of the disk, by the caller's thread and one of
 * its own. Not thread-safe.
 */
#ifndef HOLDFAST_STORAGE_COLLECT_MARK_H
#define HOLDFAST_STORAGE_COLLECT_MARK_H

#include "storage/store_internal.h"

struct marker_figures {
    uint64_t nodes;  /* walked */
    uint64_t chunks; /* in them, and not in what they were compared with */
};

/* Called now and then, on the caller's thread; non-zero stops, with err set. */
typedef int (*marker_watch)(void *cookie, const struct marker_figures *figures, struct error *err);

struct marker;
/* store: in the mark phase. */
struct marker *marker_create(struct store *store, marker_watch watch, void *cookie);
void marker_destroy(struct marker *marker); /* NULL is fine */
const struct marker_figures *marker_figures(const struct marker *marker);

/* Mark the root and everything below it that is not below `like`, whose tree was marked before (the zero
 * name: none). What a node shares with the one at its place in that tree costs a comparison, not a lookup.
 * Nodes in newer containers than those that are collected are not marked and so may be walked again: there
 * are only as many as were written since the collection began. CHUNK_DAMAGED when a node can't be read. */
int marker_add_tree(struct marker *marker, const struct chunk_name *root, const struct chunk_name *like,
                    struct error *err);

#endif
