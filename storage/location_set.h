/* Inside the room: a set of places of records, 8 bytes each: which map nodes were seen. Not thread-safe. */
#ifndef HOLDFAST_STORAGE_LOCATION_SET_H
#define HOLDFAST_STORAGE_LOCATION_SET_H

#include "storage/chunk.h"

struct location_set;

struct location_set *location_set_create(void);
void location_set_destroy(struct location_set *set); /* NULL is fine */
/* True when it was not there before. */
bool location_set_add(struct location_set *set, const struct chunk_location *location);
bool location_set_has(const struct location_set *set, const struct chunk_location *location);
size_t location_set_count(const struct location_set *set);

#endif
