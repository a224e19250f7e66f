/* Which containers the index knows, and what of each. */
#include "base/bytes.h"
#include "base/memory.h"
#include "storage/index_internal.h"
#include <stdlib.h>
#include <string.h>

enum { VALUE_SIZE = 24 };
static const char key_last[] = "last container";

struct row {
    struct index_container container;
    uint32_t chunks;
    uint32_t nodes;
};

/* --- which are there */

void index_live_set(struct index *index, uint64_t container, bool there)
{
    struct live_containers *live = &index->live;
    pthread_rwlock_wrlock(&live->lock);
    if (container >= live->capacity && there) {
        uint64_t capacity = (container + container / 2 + 4096) / 8 * 8;
        live->bits = memory_resize(live->bits, capacity / 8, 1);
        memset(live->bits + live->capacity / 8, 0, (capacity - live->capacity) / 8);
        live->capacity = capacity;
    }
    if (container < live->capacity) {
        uint8_t bit = (uint8_t)(1 << container % 8);
        uint8_t *byte = &live->bits[container / 8];
        *byte = there ? *byte | bit : *byte & (uint8_t)~bit;
    }
    pthread_rwlock_unlock(&live->lock);
}

bool index_live_has(const struct index *index, uint64_t container)
{
    const struct live_containers *live = &index->live;
    return container < live->capacity && (live->bits[container / 8] >> container % 8 & 1) != 0;
}

/* --- rows */

/* Big-endian, so that the database is ordered by container. */
static MDB_val container_key(uint64_t container, uint8_t bytes[8])
{
    bytes_put_u64(bytes, __builtin_bswap64(container));
    return (MDB_val){.mv_size = 8, .mv_data = bytes};
}

static int put_row(struct index *index, MDB_txn *txn, const struct row *row)
{
    uint8_t key_bytes[8];
    uint8_t bytes[VALUE_SIZE];
    MDB_val key = container_key(row->container.container, key_bytes);
    MDB_val value = {.mv_size = sizeof bytes, .mv_data = bytes};
    bytes_put_u64(bytes, row->container.watermark);
    bytes_put_u64(bytes + 8, (uint64_t)row->container.verified_ms);
    bytes_put_u32(bytes + 16, row->chunks);
    bytes_put_u32(bytes + 20, row->nodes);
    return mdb_put(txn, index->containers, &key, &value, 0);
}

static bool parse_row(const MDB_val *key, const MDB_val *value, struct row *row)
{
    const uint8_t *bytes = value->mv_data;
    if (key->mv_size != 8 || value->mv_size != VALUE_SIZE) {
        return false;
    }
    *row = (struct row){
        .container = {.container = __builtin_bswap64(bytes_get_u64(key->mv_data)),
                      .watermark = bytes_get_u64(bytes),
                      .verified_ms = (int64_t)bytes_get_u64(bytes + 8)},
        .chunks = bytes_get_u32(bytes + 16),
        .nodes = bytes_get_u32(bytes + 20),
    };
    return true;
}

/* All zeros when it is not there. */
static int get_row(struct index *index, MDB_txn *txn, uint64_t container, struct row *row)
{
    uint8_t key_bytes[8];
    MDB_val key = container_key(container, key_bytes);
    MDB_val value;
    *row = (struct row){.container = {.container = container}};
    int code = mdb_get(txn, index->containers, &key, &value);
    if (code == 0 && !parse_row(&key, &value, row)) {
        code = MDB_CORRUPTED;
    }
    return code == MDB_NOTFOUND ? 0 : code;
}

/* Calls visit for each, ascending. */
static int each_row(struct index *index, void (*visit)(void *cookie, const struct row *row), void *cookie)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return code;
    }
    code = mdb_cursor_open(txn, index->containers, &cursor);
    if (code == 0) {
        while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
            struct row row;
            if (!parse_row(&key, &value, &row)) {
                code = MDB_CORRUPTED;
                break;
            }
            visit(cookie, &row);
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return code == MDB_NOTFOUND ? 0 : code;
}

static void load_row(void *cookie, const struct row *row)
{
    struct index *index = cookie;
    index_live_set(index, row->container.container, true);
    atomic_fetch_add(&index->chunks, row->chunks);
    atomic_fetch_add(&index->nodes, row->nodes);
}

int index_load_containers(struct index *index)
{
    return each_row(index, load_row, index);
}

int index_put_tallies(struct index *index, MDB_txn *txn, const struct index_tally *tallies, size_t count)
{
    uint64_t last;
    int code = index_read_counter(index, txn, key_last, &last);
    for (size_t i = 0; i < count && code == 0; i++) {
        struct row row;
        uint64_t container = tallies[i].watermark.container;
        code = get_row(index, txn, container, &row);
        if (code == 0) {
            row.container.watermark = tallies[i].watermark.offset;
            row.container.verified_ms = 0;
            row.chunks += tallies[i].chunks;
            row.nodes += tallies[i].nodes;
            code = put_row(index, txn, &row);
        }
        last = container > last ? container : last;
    }
    return code == 0 ? index_write_counter(index, txn, key_last, last) : code;
}

int index_drop_container(struct index *index, MDB_txn *txn, uint64_t container, struct index_tally *had)
{
    uint8_t key_bytes[8];
    struct row row;
    MDB_val key = container_key(container, key_bytes);
    int code = get_row(index, txn, container, &row);
    if (code == 0) {
        code = mdb_del(txn, index->containers, &key, NULL);
        code = code == MDB_NOTFOUND ? 0 : code;
    }
    *had = (struct index_tally){.chunks = row.chunks, .nodes = row.nodes};
    return code;
}

/* --- for the store */

static int read_row(struct index *index, uint64_t container, struct row *row, struct error *err)
{
    MDB_txn *txn;
    *row = (struct row){0};
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code == 0) {
        code = get_row(index, txn, container, row);
        mdb_txn_abort(txn);
    }
    if (code != 0) {
        index_error(err, code);
        return -1;
    }
    return 0;
}

int index_watermark(struct index *index, uint64_t container, uint64_t *offset, struct error *err)
{
    struct row row;
    if (read_row(index, container, &row, err) != 0) {
        return -1;
    }
    *offset = row.container.watermark;
    return 0;
}

int index_set_verified(struct index *index, uint64_t container, int64_t verified_ms, struct error *err)
{
    MDB_txn *txn;
    struct row row;
    int code = mdb_txn_begin(index->environment, NULL, 0, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    code = get_row(index, txn, container, &row);
    if (code == 0 && row.container.watermark > 0) {
        row.container.verified_ms = verified_ms;
        code = put_row(index, txn, &row);
    }
    return index_finish(txn, code, err);
}

struct container_list {
    struct index_container *items;
    size_t count;
    size_t capacity;
};

static void list_row(void *cookie, const struct row *row)
{
    struct container_list *list = cookie;
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 64 : 2 * list->capacity;
        list->items = memory_resize(list->items, list->capacity, sizeof *list->items);
    }
    list->items[list->count++] = row->container;
}

int index_list_containers(struct index *index, struct index_container **containers, size_t *count,
                          struct error *err)
{
    struct container_list list = {0};
    int code = each_row(index, list_row, &list);
    if (code != 0) {
        free(list.items);
        return index_error(err, code);
    }
    *containers = list.items;
    *count = list.count;
    return 0;
}

int index_last_container(struct index *index, uint64_t *container, struct error *err)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    code = index_read_counter(index, txn, key_last, container);
    mdb_txn_abort(txn);
    return code == 0 ? 0 : index_error(err, code);
}
