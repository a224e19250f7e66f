#include "storage/index.h"

#include "base/bytes.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

enum { INDEX_READERS = 512, INDEX_VALUE_SIZE = 20, INDEX_NAME_SIZE = 32 };
static const size_t index_map_size = (size_t)1
                                     << 38; /* address space, not disk: the file grows as it is filled */
static const char nodes_key[] = "nodes";

struct index {
    MDB_env *environment;
    MDB_dbi names;      /* name → location */
    MDB_dbi containers; /* u64, big-endian → u64 watermark */
    MDB_dbi damaged;    /* name → nothing */
    MDB_dbi meta;       /* "nodes" → u64 */
};

static int index_error(struct error *err, int code)
{
    if (code == ENOSPC || code == MDB_MAP_FULL) {
        error_set(err, ERROR_STORE_FULL, "The index of the store has no room");
    } else {
        error_set(err, ERROR_STORE_UNAVAILABLE, "The index of the store failed");
    }
    return error_set_cause(err, "%s", mdb_strerror(code));
}

static int open_databases(struct index *index)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(index->environment, NULL, 0, &txn);
    if (code != 0) {
        return code;
    }
    struct {
        const char *name;
        MDB_dbi *handle;
    } databases[] = {{"names", &index->names},
                     {"containers", &index->containers},
                     {"damaged", &index->damaged},
                     {"meta", &index->meta}};
    for (size_t i = 0; i < sizeof databases / sizeof databases[0]; i++) {
        code = mdb_dbi_open(txn, databases[i].name, MDB_CREATE, databases[i].handle);
        if (code != 0) {
            mdb_txn_abort(txn);
            return code;
        }
    }
    return mdb_txn_commit(txn);
}

struct index *index_open(const char *path, bool *fresh, struct error *err)
{
    char *data = os_path_join(path, "data.mdb");
    *fresh = !os_path_exists(data);
    free(data);
    if (os_path_make_directory(path, 0700, err) != 0) {
        return NULL;
    }
    struct index *index = memory_zalloc(sizeof *index);
    int code = mdb_env_create(&index->environment);
    if (code == 0) {
        mdb_env_set_mapsize(index->environment, index_map_size);
        mdb_env_set_maxreaders(index->environment, INDEX_READERS);
        mdb_env_set_maxdbs(index->environment, 8);
        code = mdb_env_open(index->environment, path, MDB_NOTLS | MDB_NORDAHEAD, 0600);
    }
    if (code == 0) {
        code = open_databases(index);
    }
    if (code != 0) {
        index_error(err, code);
        index_close(index);
        return NULL;
    }
    return index;
}

void index_close(struct index *index)
{
    if (index != NULL) {
        mdb_env_close(index->environment);
        free(index);
    }
}

static void encode_value(uint8_t out[INDEX_VALUE_SIZE], const struct pending_entry *entry)
{
    bytes_put_u64(out, entry->location.container);
    bytes_put_u32(out + 8, entry->location.offset);
    bytes_put_u32(out + 12, entry->location.length);
    out[16] = entry->location.position;
    out[17] = entry->location.run_count;
    out[18] = entry->node;
    out[19] = 0;
}

static bool decode_value(const MDB_val *value, struct chunk_location *location, bool *node)
{
    const uint8_t *in = value->mv_data;
    if (value->mv_size != INDEX_VALUE_SIZE) {
        return false;
    }
    *location = (struct chunk_location){.container = bytes_get_u64(in),
                                        .offset = bytes_get_u32(in + 8),
                                        .length = bytes_get_u32(in + 12),
                                        .position = in[16],
                                        .run_count = in[17]};
    *node = in[18] != 0;
    return true;
}

static MDB_val name_key(const struct chunk_name *name)
{
    return (MDB_val){.mv_size = INDEX_NAME_SIZE, .mv_data = (void *)(uintptr_t)name->bytes};
}

int index_find_many(struct index *index, const struct chunk_name *names, size_t count,
                    struct chunk_location *locations, struct error *err)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    for (size_t i = 0; i < count && code == 0; i++) {
        MDB_val key = name_key(&names[i]);
        MDB_val value;
        bool node;
        locations[i] = (struct chunk_location){0};
        code = mdb_get(txn, index->names, &key, &value);
        if (code == MDB_NOTFOUND) {
            code = 0;
        } else if (code == 0 && !decode_value(&value, &locations[i], &node)) {
            code = MDB_CORRUPTED;
        }
    }
    mdb_txn_abort(txn);
    return code == 0 ? 0 : index_error(err, code);
}

int index_find(struct index *index, const struct chunk_name *name, struct chunk_location *location,
               struct error *err)
{
    if (index_find_many(index, name, 1, location, err) != 0) {
        return -1;
    }
    return location->container != 0 ? 1 : 0;
}

static int read_counter(struct index *index, MDB_txn *txn, uint64_t *value)
{
    MDB_val key = {.mv_size = sizeof nodes_key - 1, .mv_data = (void *)(uintptr_t)nodes_key};
    MDB_val found;
    int code = mdb_get(txn, index->meta, &key, &found);
    *value = 0;
    if (code == 0 && found.mv_size == 8) {
        *value = bytes_get_u64(found.mv_data);
    }
    return code == MDB_NOTFOUND ? 0 : code;
}

static int add_entries(struct index *index, MDB_txn *txn, const struct pending_entry **sorted, size_t count)
{
    uint64_t nodes;
    int code = read_counter(index, txn, &nodes);
    for (size_t i = 0; i < count && code == 0; i++) {
        uint8_t bytes[INDEX_VALUE_SIZE];
        MDB_val key = name_key(&sorted[i]->name);
        MDB_val old;
        MDB_val value = {.mv_size = sizeof bytes, .mv_data = bytes};
        if (sorted[i]->node && mdb_get(txn, index->names, &key, &old) == MDB_NOTFOUND) {
            nodes++;
        }
        encode_value(bytes, sorted[i]);
        code = mdb_put(txn, index->names, &key, &value, 0);
        if (code == 0) {
            code = mdb_del(txn, index->damaged, &key, NULL);
            code = code == MDB_NOTFOUND ? 0 : code;
        }
    }
    if (code == 0) {
        uint8_t bytes[8];
        MDB_val key = {.mv_size = sizeof nodes_key - 1, .mv_data = (void *)(uintptr_t)nodes_key};
        MDB_val value = {.mv_size = sizeof bytes, .mv_data = bytes};
        bytes_put_u64(bytes, nodes);
        code = mdb_put(txn, index->meta, &key, &value, 0);
    }
    return code;
}

static MDB_val container_key(uint64_t container, uint8_t bytes[8])
{
    bytes_put_u64(bytes, __builtin_bswap64(container));
    return (MDB_val){.mv_size = 8, .mv_data = bytes};
}

int index_add(struct index *index, const struct pending *entries, const struct index_watermark *watermarks,
              size_t watermark_count, struct error *err)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(index->environment, NULL, 0, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    const struct pending_entry **sorted = pending_sorted(entries);
    code = add_entries(index, txn, sorted, entries->count);
    free(sorted);
    for (size_t i = 0; i < watermark_count && code == 0; i++) {
        uint8_t key_bytes[8];
        uint8_t value_bytes[8];
        MDB_val key = container_key(watermarks[i].container, key_bytes);
        MDB_val value = {.mv_size = 8, .mv_data = value_bytes};
        bytes_put_u64(value_bytes, watermarks[i].offset);
        code = mdb_put(txn, index->containers, &key, &value, 0);
    }
    if (code != 0) {
        mdb_txn_abort(txn);
    } else {
        code = mdb_txn_commit(txn);
    }
    return code == 0 ? 0 : index_error(err, code);
}

int index_watermark(struct index *index, uint64_t container, uint64_t *offset, struct error *err)
{
    MDB_txn *txn;
    uint8_t key_bytes[8];
    MDB_val key = container_key(container, key_bytes);
    MDB_val value;
    *offset = 0;
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    code = mdb_get(txn, index->containers, &key, &value);
    if (code == 0 && value.mv_size == 8) {
        *offset = bytes_get_u64(value.mv_data);
    }
    mdb_txn_abort(txn);
    return code == 0 || code == MDB_NOTFOUND ? 0 : index_error(err, code);
}

int index_damage(struct index *index, const struct chunk_name *name, struct error *err)
{
    MDB_txn *txn;
    MDB_val key = name_key(name);
    MDB_val value = {.mv_size = 0, .mv_data = (void *)(uintptr_t)name};
    int code = mdb_txn_begin(index->environment, NULL, 0, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    code = mdb_put(txn, index->damaged, &key, &value, 0);
    if (code != 0) {
        mdb_txn_abort(txn);
    } else {
        code = mdb_txn_commit(txn);
    }
    return code == 0 ? 0 : index_error(err, code);
}

int index_is_damaged(struct index *index, const struct chunk_name *name, bool *damaged, struct error *err)
{
    MDB_txn *txn;
    MDB_val key = name_key(name);
    MDB_val value;
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    code = mdb_get(txn, index->damaged, &key, &value);
    mdb_txn_abort(txn);
    *damaged = code == 0;
    return code == 0 || code == MDB_NOTFOUND ? 0 : index_error(err, code);
}

static int count_entries(struct index *index, MDB_dbi database, uint64_t *count, struct error *err)
{
    MDB_txn *txn;
    MDB_stat figures;
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    code = mdb_stat(txn, database, &figures);
    mdb_txn_abort(txn);
    *count = figures.ms_entries;
    return code == 0 ? 0 : index_error(err, code);
}

int index_count_damaged(struct index *index, uint64_t *count, struct error *err)
{
    return count_entries(index, index->damaged, count, err);
}

int index_each(struct index *index, index_visit visit, void *cookie, struct error *err)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    int result = 0;
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    code = mdb_cursor_open(txn, index->names, &cursor);
    if (code == 0) {
        for (code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); code == 0 && result == 0;
             code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
            struct chunk_location location;
            struct chunk_name name;
            bool node;
            if (key.mv_size == INDEX_NAME_SIZE && decode_value(&value, &location, &node)) {
                memcpy(name.bytes, key.mv_data, INDEX_NAME_SIZE);
                result = visit(cookie, &name, &location, node);
            }
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return code == 0 || code == MDB_NOTFOUND ? result : index_error(err, code);
}

int index_figures_read(struct index *index, struct index_figures *figures, struct error *err)
{
    MDB_txn *txn;
    MDB_envinfo info;
    MDB_stat stat;
    uint64_t names;
    if (count_entries(index, index->names, &names, err) != 0) {
        return -1;
    }
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    code = read_counter(index, txn, &figures->nodes);
    mdb_txn_abort(txn);
    mdb_env_info(index->environment, &info);
    mdb_env_stat(index->environment, &stat);
    figures->chunks = names - figures->nodes;
    figures->bytes = (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
    return code == 0 ? 0 : index_error(err, code);
}
