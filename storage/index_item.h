/*
 * One entry of the index as it lies in segments and in the table of recent names: 32 bytes, ordered by name.
 *
 *   | 20 | the name's first INDEX_NAME_SIZE bytes
 *   |  5 | container, the highest bit set for a map node
 *   |  3 | offset in the container / 8
 *   |  3 | length in the container / 8
 *   |  1 | place in the run << 4 | (names of the run - 1)
 *
 * Containers are bounded far below 2^39, offsets and lengths below 2^27 and are multiples of the records'
 * alignment.
 */
#ifndef HOLDFAST_STORAGE_INDEX_ITEM_H
#define HOLDFAST_STORAGE_INDEX_ITEM_H

#include "storage/index.h"

enum { INDEX_ITEM_SIZE = 32, INDEX_VALUE_SIZE = INDEX_ITEM_SIZE - INDEX_NAME_SIZE };

struct index_item {
    uint8_t name[INDEX_NAME_SIZE];
    uint8_t value[INDEX_VALUE_SIZE];
};
_Static_assert(sizeof(struct index_item) == INDEX_ITEM_SIZE, "items lie side by side in a file");

void index_item_encode(const struct chunk_location *location, bool node, uint8_t value[INDEX_VALUE_SIZE]);
void index_item_decode(const uint8_t value[INDEX_VALUE_SIZE], struct chunk_location *location, bool *node);

#endif
