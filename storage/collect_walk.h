/*
 * Inside the room: one thread's part of the mark phase: nodes are read, what is new in them is looked up in
 * the index, many names at a time, and marked. One thread at a time a walker; several walkers may be at work
 * on nodes of one tree.
 */
#ifndef HOLDFAST_STORAGE_COLLECT_WALK_H
#define HOLDFAST_STORAGE_COLLECT_WALK_H

#include "storage/store_internal.h"

enum { WALKER_STEPS_MAX = 128 }; /* in one call */

/* A node that is marked and is to be walked. */
struct walk_step {
    struct chunk_name name;
    struct chunk_location location;
    struct chunk_name like; /* a node of a tree that was walked before, mostly the same; or the zero name */
};

struct walk_steps {
    struct walk_step *items; /* malloc'd */
    size_t count;
    size_t capacity;
};

struct walker {
    struct walk_steps found; /* nodes that were marked and are to be walked: the caller takes them */
    uint64_t nodes;          /* walked; the caller may set it to 0 */
    uint64_t chunks;         /* in them, and not in what they were compared with */
    struct walker_memory *memory;
};

/* store: in the mark phase. */
void walker_init(struct walker *walker, struct store *store);
void walker_clear(struct walker *walker);

/* Walk so many nodes, best in the order in which they lie on the disk. What is found is marked now or by
 * walker_finish. CHUNK_DAMAGED when a node can't be read or is not there: then not everything is marked. */
int walker_walk(struct walker *walker, const struct walk_step *steps, size_t count, struct error *err);
/* A node to begin with. */
int walker_add_root(struct walker *walker, const struct chunk_name *root, const struct chunk_name *like,
                    struct error *err);
/* Mark what was found and is not marked yet. */
int walker_finish(struct walker *walker, struct error *err);

void walk_steps_add(struct walk_steps *steps, const struct walk_step *added, size_t count);

#endif
