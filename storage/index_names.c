/*
 * The index's table of names, packed: a store has billions. A key is the first bytes of the name, its values
 * are sorted items of one size, which LMDB (MDB_DUPFIXED) lays side by side without any overhead:
 *
 *   | 18 | the rest of the name, as far as the index knows it
 *   |  5 | container, the highest bit set for a map node
 *   |  3 | offset in the container / 8
 *   |  3 | length in the container / 8
 *   |  1 | place in the run << 4 | (names of the run - 1)
 *
 * Containers are bounded far below 2^39, offsets and lengths below 2^27 and are multiples of the records'
 * alignment.
 */
#include "storage/index.h"

#include "base/bytes.h"
#include "storage/index_internal.h"
#include <string.h>

enum {
    KEY_SIZE = 2,
    REST_SIZE = INDEX_NAME_SIZE - KEY_SIZE,
    ITEM_SIZE = REST_SIZE + 12,
    NODE_BIT = 0x80,
    UNIT = 8,
};

static MDB_val key_of(const struct stored_name *name)
{
    return (MDB_val){.mv_size = KEY_SIZE, .mv_data = (void *)(uintptr_t)name->bytes};
}

/* The item of that name that comes before all others. */
static MDB_val lowest_item(const struct stored_name *name, uint8_t bytes[ITEM_SIZE])
{
    memset(bytes, 0, ITEM_SIZE);
    memcpy(bytes, name->bytes + KEY_SIZE, REST_SIZE);
    return (MDB_val){.mv_size = ITEM_SIZE, .mv_data = bytes};
}

static MDB_val encode_item(const struct stored_name *name, const struct chunk_location *location, bool node,
                           uint8_t bytes[ITEM_SIZE])
{
    uint8_t wide[8];
    MDB_val item = lowest_item(name, bytes);
    uint8_t *out = bytes + REST_SIZE;
    bytes_put_u64(wide, location->container);
    memcpy(out, wide, 5);
    if (node) {
        out[4] |= NODE_BIT;
    }
    bytes_put_u64(wide, location->offset / UNIT);
    memcpy(out + 5, wide, 3);
    bytes_put_u64(wide, location->length / UNIT);
    memcpy(out + 8, wide, 3);
    out[11] = (uint8_t)(location->position << 4 | (location->run_count - 1));
    return item;
}

static int decode_item(const uint8_t item[ITEM_SIZE], struct chunk_location *location, bool *node)
{
    const uint8_t *in = item + REST_SIZE;
    uint8_t wide[8] = {0};
    memcpy(wide, in, 5);
    *node = (wide[4] & NODE_BIT) != 0;
    wide[4] &= (uint8_t)~NODE_BIT;
    location->container = bytes_get_u64(wide);
    memset(wide, 0, sizeof wide);
    memcpy(wide, in + 5, 3);
    location->offset = bytes_get_u32(wide) * UNIT;
    memcpy(wide, in + 8, 3);
    location->length = bytes_get_u32(wide) * UNIT;
    location->position = in[11] >> 4;
    location->run_count = (uint8_t)((in[11] & 15) + 1);
    return location->position < location->run_count ? 0 : MDB_CORRUPTED;
}

int index_names_find(MDB_cursor *cursor, const struct stored_name *name, struct chunk_location *location,
                     bool *node)
{
    uint8_t bytes[ITEM_SIZE];
    MDB_val key = key_of(name);
    MDB_val item = lowest_item(name, bytes);
    int code = mdb_cursor_get(cursor, &key, &item, MDB_GET_BOTH_RANGE);
    if (code != 0) {
        return code;
    }
    if (item.mv_size != ITEM_SIZE) {
        return MDB_CORRUPTED;
    }
    return memcmp(item.mv_data, name->bytes + KEY_SIZE, REST_SIZE) == 0
               ? decode_item(item.mv_data, location, node)
               : MDB_NOTFOUND;
}

int index_names_add(struct index *index, MDB_txn *txn, const struct stored_name *name,
                    const struct chunk_location *location, bool node)
{
    uint8_t bytes[ITEM_SIZE];
    MDB_val key = key_of(name);
    MDB_val item = encode_item(name, location, node, bytes);
    return mdb_put(txn, index->names, &key, &item, 0);
}

int index_names_delete(struct index *index, MDB_txn *txn, const struct stored_name *name,
                       const struct chunk_location *location, bool node)
{
    uint8_t bytes[ITEM_SIZE];
    MDB_val key = key_of(name);
    MDB_val item = encode_item(name, location, node, bytes);
    return mdb_del(txn, index->names, &key, &item);
}

/* --- walking through all of it */

/* At the first item behind that name. */
static int go_behind(MDB_cursor *cursor, const struct stored_name *after, MDB_val *key, MDB_val *item)
{
    uint8_t bytes[ITEM_SIZE];
    *key = key_of(after);
    *item = lowest_item(after, bytes);
    memset(bytes + REST_SIZE, 0xFF, ITEM_SIZE - REST_SIZE);
    int code = mdb_cursor_get(cursor, key, item, MDB_GET_BOTH_RANGE);
    if (code != MDB_NOTFOUND) {
        return code;
    }
    *key = key_of(after);
    code = mdb_cursor_get(cursor, key, item, MDB_SET_RANGE);
    bool same = code == 0 && key->mv_size == KEY_SIZE && memcmp(key->mv_data, after->bytes, KEY_SIZE) == 0;
    return same ? mdb_cursor_get(cursor, key, item, MDB_NEXT_NODUP) : code;
}

static int read_entries(MDB_cursor *cursor, const struct stored_name *after, struct index_entry *entries,
                        size_t capacity, size_t *count)
{
    MDB_val key;
    MDB_val item;
    int code = after == NULL ? mdb_cursor_get(cursor, &key, &item, MDB_FIRST)
                             : go_behind(cursor, after, &key, &item);
    while (code == 0 && *count < capacity) {
        struct index_entry *entry = &entries[*count];
        *entry = (struct index_entry){0};
        if (key.mv_size != KEY_SIZE || item.mv_size != ITEM_SIZE) {
            return MDB_CORRUPTED;
        }
        memcpy(entry->name.bytes, key.mv_data, KEY_SIZE);
        memcpy(entry->name.bytes + KEY_SIZE, item.mv_data, REST_SIZE);
        code = decode_item(item.mv_data, &entry->location, &entry->node);
        if (code == 0) {
            ++*count;
            code = mdb_cursor_get(cursor, &key, &item, MDB_NEXT);
        }
    }
    return code == MDB_NOTFOUND ? 0 : code;
}

int index_read_entries(struct index *index, const struct stored_name *after, struct index_entry *entries,
                       size_t capacity, size_t *count, struct error *err)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    *count = 0;
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    code = mdb_cursor_open(txn, index->names, &cursor);
    if (code == 0) {
        code = read_entries(cursor, after, entries, capacity, count);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return code == 0 ? 0 : index_error(err, code);
}
