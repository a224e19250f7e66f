/*
 * The map of a disk: a Merkle tree with MAP_FANOUT entries a node. A leaf entry is the name of a chunk, an
 * inner entry the name of a node; the all-zero name is a chunk, or a whole subtree, of zeros. Nodes are
 * stored like chunks, so an unchanged subtree costs nothing in the next map. The depth follows from the
 * disk's size alone.
 */
#ifndef HOLDFAST_STORAGE_MAP_H
#define HOLDFAST_STORAGE_MAP_H

#include "storage/chunk.h"

enum { MAP_FANOUT = 128 };

/* Number of chunks of a disk of that many bytes. */
uint64_t map_chunk_count(const struct store *store, uint64_t disk_size);

/* --- writing: one thread at a time; entries in any order, best ascending; memory is bounded (dirty leaves
 * beyond the bound are written out early). */
struct map_writer;

/* Start from the map `base` (NULL or the zero name: all zeros) of a disk of base_size bytes; the disk now has
 * disk_size bytes: what lies beyond the smaller of both is zeros. The base map must be readable
 * (CHUNK_DAMAGED). */
struct map_writer *map_writer_open(struct store *store, uint64_t disk_size, const struct chunk_name *base,
                                   uint64_t base_size, struct error *err);
/* name NULL or zero: zeros. REQUEST_INVALID past the end of the disk. The chunk must have been put before. */
int map_writer_set(struct map_writer *writer, uint64_t index, const struct chunk_name *name,
                   struct error *err);
int map_writer_set_zeros(struct map_writer *writer, uint64_t first, uint64_t count, struct error *err);
/* What the map holds now at index, the base included. */
int map_writer_get(struct map_writer *writer, uint64_t index, struct chunk_name *name, struct error *err);
/* Write every changed node to the store and give the root. The writer goes on (a partial map, then more). */
int map_writer_flush(struct map_writer *writer, struct chunk_name *root, struct error *err);
void map_writer_destroy(struct map_writer *writer);

/* --- reading: one thread at a time a reader; nodes are cached, bounded. */
struct map_reader;

struct map_reader *map_reader_open(struct store *store, const struct chunk_name *root, uint64_t disk_size,
                                   struct error *err);
int map_reader_get(struct map_reader *reader, uint64_t index, struct chunk_name *name, struct error *err);

struct map_entry {
    uint64_t index;
    struct chunk_name name; /* never zero */
};

/* The entries that are not zero, ascending, from index *next on, at most `capacity`; *next is where to go on;
 * *count 0 at the end. */
int map_reader_list(struct map_reader *reader, uint64_t *next, struct map_entry *entries, size_t capacity,
                    size_t *count, struct error *err);
void map_reader_destroy(struct map_reader *reader);

#endif
