#include "storage/index.h"

#include "base/bytes.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "storage/index_internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { INDEX_READERS = 512, INDEX_FORMAT = 2, INDEX_IDENTITY_SIZE = 20, CONTAINER_VALUE_SIZE = 16 };
/* Address space, not disk: the file grows as it is filled. */
static const size_t index_map_size = (size_t)1 << 38;
static const char key_identity[] = "store";
static const char key_nodes[] = "nodes";
static const char key_last[] = "last container";

int index_error(struct error *err, int code)
{
    if (code == ENOSPC || code == MDB_MAP_FULL) {
        error_set(err, ERROR_STORE_FULL, "The index of the store has no room");
    } else {
        error_set(err, ERROR_STORE_UNAVAILABLE, "The index of the store failed");
    }
    return error_set_cause(err, "%s", mdb_strerror(code));
}

MDB_val index_name_key(const struct stored_name *name)
{
    return (MDB_val){.mv_size = INDEX_NAME_SIZE, .mv_data = (void *)(uintptr_t)name->bytes};
}

/* Big-endian, so that the database is ordered by container. */
MDB_val index_container_key(uint64_t container, uint8_t bytes[8])
{
    bytes_put_u64(bytes, __builtin_bswap64(container));
    return (MDB_val){.mv_size = 8, .mv_data = bytes};
}

static MDB_val text_key(const char *text)
{
    return (MDB_val){.mv_size = strlen(text), .mv_data = (void *)(uintptr_t)text};
}

/* --- opening */

static int open_databases(struct index *index, MDB_txn *txn)
{
    struct {
        const char *name;
        MDB_dbi *handle;
        unsigned flags;
    } databases[] = {{"names", &index->names, MDB_DUPSORT | MDB_DUPFIXED},
                     {"containers", &index->containers, 0},
                     {"damaged", &index->damaged, 0},
                     {"meta", &index->meta, 0}};
    int code = 0;
    for (size_t i = 0; i < sizeof databases / sizeof databases[0] && code == 0; i++) {
        code = mdb_dbi_open(txn, databases[i].name, MDB_CREATE | databases[i].flags, databases[i].handle);
    }
    return code;
}

/* The index of another store, or of another format, is no index of this one. */
static int check_identity(struct index *index, MDB_txn *txn, const uint8_t store_uuid[16])
{
    uint8_t identity[INDEX_IDENTITY_SIZE];
    bytes_put_u32(identity, INDEX_FORMAT);
    memcpy(identity + 4, store_uuid, 16);
    MDB_val key = text_key(key_identity);
    MDB_val wanted = {.mv_size = sizeof identity, .mv_data = identity};
    MDB_val found;
    int code = mdb_get(txn, index->meta, &key, &found);
    if (code == MDB_NOTFOUND) {
        return mdb_put(txn, index->meta, &key, &wanted, 0);
    }
    bool same = code == 0 && found.mv_size == sizeof identity &&
                memcmp(found.mv_data, identity, sizeof identity) == 0;
    return code != 0 ? code : same ? 0 : MDB_INVALID;
}

static int open_environment(struct index *index, const char *path, const uint8_t store_uuid[16])
{
    MDB_txn *txn;
    int code = mdb_env_create(&index->environment);
    if (code == 0) {
        mdb_env_set_mapsize(index->environment, index_map_size);
        mdb_env_set_maxreaders(index->environment, INDEX_READERS);
        mdb_env_set_maxdbs(index->environment, 8);
        code = mdb_env_open(index->environment, path, MDB_NOTLS | MDB_NORDAHEAD, 0600);
    }
    if (code == 0) {
        code = mdb_txn_begin(index->environment, NULL, 0, &txn);
    }
    if (code != 0) {
        return code;
    }
    code = open_databases(index, txn);
    if (code == 0) {
        code = check_identity(index, txn, store_uuid);
    }
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

struct index *index_open(const char *path, const uint8_t store_uuid[16], bool *unusable, struct error *err)
{
    *unusable = false;
    if (os_path_make_directory(path, 0700, err) != 0) {
        return NULL;
    }
    struct index *index = memory_zalloc(sizeof *index);
    int code = open_environment(index, path, store_uuid);
    if (code != 0) {
        *unusable = code == MDB_INVALID || code == MDB_CORRUPTED || code == MDB_VERSION_MISMATCH ||
                    code == MDB_PAGE_NOTFOUND || code == MDB_INCOMPATIBLE || code == MDB_PANIC;
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

/* --- looking up */

int index_find_many(struct index *index, const struct stored_name *names, size_t count,
                    struct chunk_location *locations, struct error *err)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    code = mdb_cursor_open(txn, index->names, &cursor);
    if (code == 0) {
        for (size_t i = 0; i < count && code == 0; i++) {
            bool node;
            code = index_names_find(cursor, &names[i], &locations[i], &node);
            if (code == MDB_NOTFOUND) {
                locations[i] = (struct chunk_location){0};
                code = 0;
            }
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return code == 0 ? 0 : index_error(err, code);
}

int index_find(struct index *index, const struct stored_name *name, struct chunk_location *location,
               struct error *err)
{
    if (index_find_many(index, name, 1, location, err) != 0) {
        return -1;
    }
    return location->container != 0 ? 1 : 0;
}

/* --- adding */

int index_read_counter(struct index *index, MDB_txn *txn, const char *name, uint64_t *value)
{
    MDB_val key = text_key(name);
    MDB_val found;
    int code = mdb_get(txn, index->meta, &key, &found);
    *value = code == 0 && found.mv_size == 8 ? bytes_get_u64(found.mv_data) : 0;
    return code == MDB_NOTFOUND ? 0 : code;
}

int index_write_counter(struct index *index, MDB_txn *txn, const char *name, uint64_t value)
{
    uint8_t bytes[8];
    MDB_val key = text_key(name);
    MDB_val written = {.mv_size = sizeof bytes, .mv_data = bytes};
    bytes_put_u64(bytes, value);
    return mdb_put(txn, index->meta, &key, &written, 0);
}

static int add_entry(struct index *index, MDB_txn *txn, MDB_cursor *cursor, const struct pending_entry *entry,
                     uint64_t *nodes)
{
    struct chunk_location old;
    bool was_node;
    int code = index_names_find(cursor, &entry->name, &old, &was_node);
    if (code == 0) {
        *nodes -= was_node && *nodes > 0;
        code = index_names_delete(index, txn, &entry->name, &old, was_node);
    } else if (code == MDB_NOTFOUND) {
        code = 0;
    }
    if (code == 0) {
        *nodes += entry->node;
        code = index_names_add(index, txn, &entry->name, &entry->location, entry->node);
    }
    return code;
}

static int forget_damage(struct index *index, MDB_txn *txn, const struct stored_name *name)
{
    MDB_val key = index_name_key(name);
    int code = mdb_del(txn, index->damaged, &key, NULL);
    return code == MDB_NOTFOUND ? 0 : code;
}

static int add_entries(struct index *index, MDB_txn *txn, const struct pending_entry **sorted, size_t count)
{
    uint64_t nodes;
    MDB_stat damaged;
    MDB_cursor *cursor;
    int code = index_read_counter(index, txn, key_nodes, &nodes);
    if (code == 0) {
        code = mdb_stat(txn, index->damaged, &damaged);
    }
    if (code == 0) {
        code = mdb_cursor_open(txn, index->names, &cursor);
    }
    if (code != 0) {
        return code;
    }
    for (size_t i = 0; i < count && code == 0; i++) {
        code = add_entry(index, txn, cursor, sorted[i], &nodes);
        if (code == 0 && damaged.ms_entries > 0) {
            code = forget_damage(index, txn, &sorted[i]->name);
        }
    }
    mdb_cursor_close(cursor);
    return code == 0 ? index_write_counter(index, txn, key_nodes, nodes) : code;
}

int index_finish(MDB_txn *txn, int code, struct error *err)
{
    if (code != 0) {
        mdb_txn_abort(txn);
    } else {
        code = mdb_txn_commit(txn);
    }
    return code == 0 ? 0 : index_error(err, code);
}

/* --- removing */

static int remove_name(struct index *index, MDB_txn *txn, MDB_cursor *cursor, uint64_t container,
                       const struct stored_name *name, uint64_t *nodes)
{
    struct chunk_location location;
    bool node;
    int code = index_names_find(cursor, name, &location, &node);
    if (code != 0 || location.container != container) {
        return code == MDB_NOTFOUND ? 0 : code;
    }
    *nodes -= node && *nodes > 0;
    code = index_names_delete(index, txn, name, &location, node);
    return code == 0 ? forget_damage(index, txn, name) : code;
}

static int remove_names(struct index *index, MDB_txn *txn, uint64_t container,
                        const struct stored_name *names, size_t count)
{
    uint64_t nodes;
    MDB_cursor *cursor;
    int code = index_read_counter(index, txn, key_nodes, &nodes);
    if (code == 0) {
        code = mdb_cursor_open(txn, index->names, &cursor);
    }
    if (code != 0) {
        return code;
    }
    for (size_t i = 0; i < count && code == 0; i++) {
        code = remove_name(index, txn, cursor, container, &names[i], &nodes);
    }
    mdb_cursor_close(cursor);
    return code == 0 ? index_write_counter(index, txn, key_nodes, nodes) : code;
}

int index_remove_container(struct index *index, uint64_t container, const struct stored_name *names,
                           size_t count, struct error *err)
{
    MDB_txn *txn;
    uint8_t key_bytes[8];
    int code = mdb_txn_begin(index->environment, NULL, 0, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    code = remove_names(index, txn, container, names, count);
    if (code == 0) {
        MDB_val key = index_container_key(container, key_bytes);
        code = mdb_del(txn, index->containers, &key, NULL);
        code = code == MDB_NOTFOUND ? 0 : code;
    }
    return index_finish(txn, code, err);
}

/* --- damage */

int index_damage(struct index *index, const struct stored_name *name, struct error *err)
{
    MDB_txn *txn;
    MDB_val key = index_name_key(name);
    MDB_val value = {.mv_size = 0, .mv_data = (void *)(uintptr_t)name};
    int code = mdb_txn_begin(index->environment, NULL, 0, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    return index_finish(txn, mdb_put(txn, index->damaged, &key, &value, 0), err);
}

int index_is_damaged(struct index *index, const struct stored_name *name, bool *damaged, struct error *err)
{
    MDB_txn *txn;
    MDB_val key = index_name_key(name);
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
    *count = code == 0 ? figures.ms_entries : 0;
    return code == 0 ? 0 : index_error(err, code);
}

int index_count_damaged(struct index *index, uint64_t *count, struct error *err)
{
    return count_entries(index, index->damaged, count, err);
}

/* --- containers */

static int put_container(struct index *index, MDB_txn *txn, const struct index_container *container)
{
    uint8_t key_bytes[8];
    uint8_t value_bytes[CONTAINER_VALUE_SIZE];
    MDB_val key = index_container_key(container->container, key_bytes);
    MDB_val value = {.mv_size = sizeof value_bytes, .mv_data = value_bytes};
    bytes_put_u64(value_bytes, container->watermark);
    bytes_put_u64(value_bytes + 8, (uint64_t)container->verified_ms);
    return mdb_put(txn, index->containers, &key, &value, 0);
}

static int get_container(struct index *index, MDB_txn *txn, uint64_t id, struct index_container *container)
{
    uint8_t key_bytes[8];
    MDB_val key = index_container_key(id, key_bytes);
    MDB_val value;
    *container = (struct index_container){.container = id};
    int code = mdb_get(txn, index->containers, &key, &value);
    if (code == 0 && value.mv_size == CONTAINER_VALUE_SIZE) {
        const uint8_t *bytes = value.mv_data;
        container->watermark = bytes_get_u64(bytes);
        container->verified_ms = (int64_t)bytes_get_u64(bytes + 8);
    }
    return code == MDB_NOTFOUND ? 0 : code;
}

static int add_watermarks(struct index *index, MDB_txn *txn, const struct index_watermark *watermarks,
                          size_t count)
{
    uint64_t last;
    int code = index_read_counter(index, txn, key_last, &last);
    for (size_t i = 0; i < count && code == 0; i++) {
        struct index_container container = {.container = watermarks[i].container,
                                            .watermark = watermarks[i].offset};
        code = put_container(index, txn, &container);
        last = watermarks[i].container > last ? watermarks[i].container : last;
    }
    return code == 0 ? index_write_counter(index, txn, key_last, last) : code;
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
    if (code == 0) {
        code = add_watermarks(index, txn, watermarks, watermark_count);
    }
    return index_finish(txn, code, err);
}

int index_watermark(struct index *index, uint64_t container, uint64_t *offset, struct error *err)
{
    MDB_txn *txn;
    struct index_container found = {0};
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code == 0) {
        code = get_container(index, txn, container, &found);
        mdb_txn_abort(txn);
    }
    *offset = found.watermark;
    return code == 0 ? 0 : index_error(err, code);
}

int index_set_verified(struct index *index, uint64_t container, int64_t verified_ms, struct error *err)
{
    MDB_txn *txn;
    struct index_container found;
    int code = mdb_txn_begin(index->environment, NULL, 0, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    code = get_container(index, txn, container, &found);
    if (code == 0 && found.watermark > 0) {
        found.verified_ms = verified_ms;
        code = put_container(index, txn, &found);
    }
    return index_finish(txn, code, err);
}

int index_list_containers(struct index *index, struct index_container **containers, size_t *count,
                          struct error *err)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    size_t capacity = 0;
    *containers = NULL;
    *count = 0;
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    code = mdb_cursor_open(txn, index->containers, &cursor);
    if (code == 0) {
        while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
            const uint8_t *bytes = value.mv_data;
            if (key.mv_size != 8 || value.mv_size != CONTAINER_VALUE_SIZE) {
                continue;
            }
            if (*count == capacity) {
                capacity = capacity == 0 ? 64 : 2 * capacity;
                *containers = memory_resize(*containers, capacity, sizeof **containers);
            }
            (*containers)[(*count)++] =
                (struct index_container){.container = __builtin_bswap64(bytes_get_u64(key.mv_data)),
                                         .watermark = bytes_get_u64(bytes),
                                         .verified_ms = (int64_t)bytes_get_u64(bytes + 8)};
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    if (code != MDB_NOTFOUND) {
        free(*containers);
        *containers = NULL;
        return index_error(err, code);
    }
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
    code = index_read_counter(index, txn, key_nodes, &figures->nodes);
    mdb_txn_abort(txn);
    mdb_env_info(index->environment, &info);
    mdb_env_stat(index->environment, &stat);
    figures->chunks = names - figures->nodes;
    figures->bytes = (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
    return code == 0 ? 0 : index_error(err, code);
}
