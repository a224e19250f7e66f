/* Inside the room: the index's database, for the files that implement it. */
#ifndef HOLDFAST_STORAGE_INDEX_INTERNAL_H
#define HOLDFAST_STORAGE_INDEX_INTERNAL_H

#include "storage/index.h"
#include <lmdb.h>

enum { INDEX_VALUE_SIZE = 12 };

struct index {
    MDB_env *environment;
    MDB_dbi names;      /* name → location */
    MDB_dbi containers; /* u64, big-endian → u64 watermark, i64 last verified */
    MDB_dbi damaged;    /* name → nothing */
    MDB_dbi meta;       /* "store" → format and UUID, "nodes" → u64, "last container" → u64 */
};

int index_error(struct error *err, int code);
MDB_val index_name_key(const struct stored_name *name);
MDB_val index_container_key(uint64_t container, uint8_t bytes[8]);
void index_encode_value(uint8_t out[INDEX_VALUE_SIZE], const struct chunk_location *location, bool node);
bool index_decode_value(const MDB_val *value, struct chunk_location *location, bool *node);
int index_read_counter(struct index *index, MDB_txn *txn, const char *name, uint64_t *value);
int index_write_counter(struct index *index, MDB_txn *txn, const char *name, uint64_t value);
/* Commit, or abort when code is not 0. */
int index_finish(MDB_txn *txn, int code, struct error *err);

#endif
