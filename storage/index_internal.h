/* Inside the room: the index's database, for the files that implement it. */
#ifndef HOLDFAST_STORAGE_INDEX_INTERNAL_H
#define HOLDFAST_STORAGE_INDEX_INTERNAL_H

#include "storage/index.h"
#include <lmdb.h>

struct index {
    MDB_env *environment;
    MDB_dbi names;      /* see index_names.c */
    MDB_dbi containers; /* u64, big-endian → u64 watermark, i64 last verified */
    MDB_dbi damaged;    /* INDEX_NAME_SIZE of the name → nothing */
    MDB_dbi meta;       /* "store" → format and UUID, "nodes" → u64, "last container" → u64 */
};

int index_error(struct error *err, int code);
MDB_val index_name_key(const struct stored_name *name);
MDB_val index_container_key(uint64_t container, uint8_t bytes[8]);

/* LMDB's codes; a cursor on names. */
int index_names_find(MDB_cursor *cursor, const struct stored_name *name, struct chunk_location *location,
                     bool *node);
/* The name must not be there. */
int index_names_add(struct index *index, MDB_txn *txn, const struct stored_name *name,
                    const struct chunk_location *location, bool node);
/* Exactly this entry must be there. */
int index_names_delete(struct index *index, MDB_txn *txn, const struct stored_name *name,
                       const struct chunk_location *location, bool node);

int index_read_counter(struct index *index, MDB_txn *txn, const char *name, uint64_t *value);
int index_write_counter(struct index *index, MDB_txn *txn, const char *name, uint64_t value);
/* Commit, or abort when code is not 0. */
int index_finish(MDB_txn *txn, int code, struct error *err);

#endif
