/*
 * Who uses a store while garbage is collected beside it.
 *
 * A writer is one backup's transfer, from before its first lookup until its point is committed or given up.
 * What a writer was told is there, and what it put, stays until it ends, although no recovery point names it
 * yet. A collection first waits for the writers that were there before it; those that come later tell it what
 * they use.
 *
 * A lease is held by a reader between finding where something lies and having read it: a container that was
 * emptied is not removed before. Short, since it holds back space. Both are thread-safe.
 */
#ifndef HOLDFAST_STORAGE_WRITERS_H
#define HOLDFAST_STORAGE_WRITERS_H

#include "storage/chunk.h"

struct store_writer;

struct store_writer *store_writer_begin(struct store *store);
void store_writer_end(struct store_writer *writer); /* NULL is fine */
/* The writer builds on this map: all of it stays. RP_NOT_FOUND when it is being collected already. */
int store_writer_pin(struct store_writer *writer, const struct chunk_name *root, struct error *err);

struct store_lease {
    struct store *store;
    uint64_t serial;
    struct store_lease *previous;
    struct store_lease *next;
};
void store_lease_begin(struct store *store, struct store_lease *lease);
void store_lease_end(struct store_lease *lease);

#endif
