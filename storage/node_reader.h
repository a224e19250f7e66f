/*
 * Inside the room: reading many map nodes from where they are known to lie, neighbours in one go. Only in a
 * collection, which alone removes. One thread at a time a reader; takes the gate by itself.
 */
#ifndef HOLDFAST_STORAGE_NODE_READER_H
#define HOLDFAST_STORAGE_NODE_READER_H

#include "storage/map_node.h"
#include "storage/store_internal.h"

enum { NODE_READER_BYTES = 256 * 1024 }; /* read in one go at most */

struct node_reader;

struct node_reader *node_reader_create(struct store *store);
void node_reader_destroy(struct node_reader *reader); /* NULL is fine */

struct node_wanted {
    const struct chunk_name *name;
    const struct chunk_location *location;
    uint32_t until; /* where in the container it may go on reading: to the end of a record that is asked for
                       soon; less than this one's end: no further */
    bool checked;   /* it was read and checked by its name not long ago: its checksum and what the record says
                       of its name suffice */
};

/* Reads and checks a node of any level. CHUNK_DAMAGED: it is then quarantined. */
int node_reader_read(struct node_reader *reader, const struct node_wanted *wanted, unsigned *level,
                     struct map_entries *entries, struct error *err);

#endif
