/*
 * Inside the room: which records of which containers are live, found out by a collection. Six bytes a record,
 * whatever the number of its chunks and of the points that need them. Not thread-safe.
 */
#ifndef HOLDFAST_STORAGE_MARKS_H
#define HOLDFAST_STORAGE_MARKS_H

#include "storage/chunk.h"

struct marks;

/* containers: those that may be collected, ascending; copied. Their tables are read as they are needed. */
struct marks *marks_create(struct store *store, const uint64_t *containers, size_t count);
void marks_destroy(struct marks *marks); /* NULL is fine */

enum marks_outcome { MARKS_FAILED = -1, MARKS_KNOWN, MARKS_NEW, MARKS_ELSEWHERE };
/* Mark the chunk or node at a location. ELSEWHERE: it does not lie in these containers. FAILED: a container's
 * records can't be listed. */
enum marks_outcome marks_add(struct marks *marks, const struct chunk_location *location, struct error *err);
/* Is it marked, or elsewhere? */
bool marks_is_live(const struct marks *marks, const struct chunk_location *location);

/* What is live of a container: bits by position in the record, 0 for a record that is dead. */
uint16_t marks_of_record(const struct marks *marks, uint64_t container, uint32_t offset);
struct marks_figures {
    uint64_t bytes;      /* of all records */
    uint64_t live_bytes; /* of records with a live chunk */
};
int marks_figures(struct marks *marks, uint64_t container, struct marks_figures *figures, struct error *err);
/* Bytes of memory. */
size_t marks_memory(const struct marks *marks);

#endif
