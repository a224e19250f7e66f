/*
 * Inside the room: one node of a map, in memory and as bytes (docs/format.md).
 */
#ifndef HOLDFAST_STORAGE_MAP_NODE_H
#define HOLDFAST_STORAGE_MAP_NODE_H

#include "storage/map.h"

enum { MAP_NODE_HEADER_SIZE = 24, MAP_NODE_SIZE_MAX = MAP_NODE_HEADER_SIZE + MAP_FANOUT * 32 };

struct map_entries {
    struct chunk_name names[MAP_FANOUT];
};

/* Levels of the tree over that many chunks; at least 1. */
unsigned map_depth(uint64_t chunk_count);
/* Chunks below one entry of a node at that level; level 0 is the leaves. */
uint64_t map_entry_span(unsigned level);

/* Returns the length, 0 when every entry is zero (such a node is never stored). */
size_t map_node_encode(const struct map_entries *entries, unsigned level, uint8_t out[MAP_NODE_SIZE_MAX]);
/* -1 when the bytes are no node of that level. */
int map_node_decode(const uint8_t *bytes, size_t length, unsigned level, struct map_entries *entries);
/* Read and decode; the zero name gives a node of zeros. CHUNK_DAMAGED. */
int map_node_read(struct store *store, const struct chunk_name *name, unsigned level,
                  struct map_entries *entries, struct error *err);

#endif
