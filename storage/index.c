#include "storage/index.h"

#include "base/bytes.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "storage/index_internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    INDEX_READERS = 512,
    INDEX_FORMAT = 3,
    INDEX_IDENTITY_SIZE = 20,
    RECENT_MAX = 256 * 1024, /* names; about 25 MB of LMDB, of which a commit writes no more than all */
};
/* Address space, not disk: the file grows as it is filled. */
static const size_t index_map_size = (size_t)1 << 38;
static const char key_identity[] = "store";

int index_error(struct error *err, int code)
{
    if (code == ENOSPC || code == MDB_MAP_FULL) {
        error_set(err, ERROR_STORE_FULL, "The index of the store has no room");
    } else {
        error_set(err, ERROR_STORE_UNAVAILABLE, "The index of the store failed");
    }
    return error_set_cause(err, "%s", mdb_strerror(code));
}

static MDB_val name_key(const struct stored_name *name)
{
    return (MDB_val){.mv_size = INDEX_NAME_SIZE, .mv_data = (void *)(uintptr_t)name->bytes};
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
    } databases[] = {{"recent", &index->recent},
                     {"containers", &index->containers},
                     {"damaged", &index->damaged},
                     {"meta", &index->meta}};
    int code = 0;
    for (size_t i = 0; i < sizeof databases / sizeof databases[0] && code == 0; i++) {
        code = mdb_dbi_open(txn, databases[i].name, MDB_CREATE, databases[i].handle);
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

static int open_parts(struct index *index, const uint8_t store_uuid[16], bool *unusable, struct error *err)
{
    int code = open_environment(index, index->path, store_uuid);
    if (code == 0) {
        code = index_load_containers(index);
    }
    if (code != 0) {
        *unusable = code == MDB_INVALID || code == MDB_CORRUPTED || code == MDB_VERSION_MISMATCH ||
                    code == MDB_PAGE_NOTFOUND || code == MDB_INCOMPATIBLE || code == MDB_PANIC;
        return index_error(err, code);
    }
    return index_set_load(index, unusable, err) == 0 ? index_start_merging(index, err) : -1;
}

struct index *index_open(const char *path, const uint8_t store_uuid[16], bool *unusable, struct error *err)
{
    *unusable = false;
    if (os_path_make_directory(path, 0700, err) != 0) {
        return NULL;
    }
    struct index *index = memory_zalloc(sizeof *index);
    index->path = memory_copy_text(path);
    atomic_init(&index->recent_max, RECENT_MAX);
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    /* Lookups never end; who adds a container gets its turn. */
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&index->live.lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    pthread_mutex_init(&index->change_lock, NULL);
    pthread_mutex_init(&index->view_lock, NULL);
    pthread_mutex_init(&index->merge_lock, NULL);
    pthread_cond_init(&index->merge_wanted, NULL);
    if (open_parts(index, store_uuid, unusable, err) != 0) {
        index_close(index);
        return NULL;
    }
    return index;
}

void index_close(struct index *index)
{
    if (index == NULL) {
        return;
    }
    index_retire(index);
    index_set_release(index->set);
    mdb_env_close(index->environment);
    pthread_rwlock_destroy(&index->live.lock);
    pthread_mutex_destroy(&index->change_lock);
    pthread_mutex_destroy(&index->view_lock);
    pthread_mutex_destroy(&index->merge_lock);
    pthread_cond_destroy(&index->merge_wanted);
    free(index->live.bits);
    free(index->path);
    free(index);
}

int index_rename(struct index *index, const char *path, struct error *err)
{
    pthread_mutex_lock(&index->change_lock);
    int result = os_path_rename(index->path, path, err);
    if (result == 0) {
        free(index->path);
        index->path = memory_copy_text(path);
    }
    pthread_mutex_unlock(&index->change_lock);
    return result;
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

int index_finish(MDB_txn *txn, int code, struct error *err)
{
    if (code != 0) {
        mdb_txn_abort(txn);
    } else {
        code = mdb_txn_commit(txn);
    }
    return code == 0 ? 0 : index_error(err, code);
}

static int forget_damage(struct index *index, MDB_txn *txn, const struct stored_name *name)
{
    MDB_val key = name_key(name);
    int code = mdb_del(txn, index->damaged, &key, NULL);
    return code == MDB_NOTFOUND ? 0 : code;
}

static int add_entries(struct index *index, MDB_txn *txn, const struct pending_entry **sorted, size_t count)
{
    MDB_stat damaged;
    int code = mdb_stat(txn, index->damaged, &damaged);
    for (size_t i = 0; i < count && code == 0; i++) {
        uint8_t bytes[INDEX_VALUE_SIZE];
        MDB_val key = name_key(&sorted[i]->name);
        MDB_val value = {.mv_size = sizeof bytes, .mv_data = bytes};
        index_item_encode(&sorted[i]->location, sorted[i]->node, bytes);
        code = mdb_put(txn, index->recent, &key, &value, 0);
        if (code == 0 && damaged.ms_entries > 0) {
            code = forget_damage(index, txn, &sorted[i]->name);
        }
    }
    return code;
}

static int compare_tallies(const void *a, const void *b)
{
    const struct index_tally *left = a;
    const struct index_tally *right = b;
    return left->watermark.container < right->watermark.container
               ? -1
               : left->watermark.container > right->watermark.container;
}

/* What comes to each container; malloc'd, sorted by container. */
static struct index_tally *tally(const struct pending_entry **entries, size_t entry_count,
                                 const struct index_watermark *watermarks, size_t count)
{
    struct index_tally *tallies = memory_array(count, sizeof *tallies);
    for (size_t i = 0; i < count; i++) {
        tallies[i] = (struct index_tally){.watermark = watermarks[i]};
    }
    qsort(tallies, count, sizeof *tallies, compare_tallies);
    for (size_t i = 0; i < entry_count; i++) {
        struct index_tally wanted = {.watermark = {.container = entries[i]->location.container}};
        struct index_tally *found = bsearch(&wanted, tallies, count, sizeof *tallies, compare_tallies);
        if (found != NULL) {
            *(entries[i]->node ? &found->nodes : &found->chunks) += 1;
        }
    }
    return tallies;
}

static void note_tallies(struct index *index, const struct index_tally *tallies, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        index_live_set(index, tallies[i].watermark.container, true);
        atomic_fetch_add(&index->chunks, tallies[i].chunks);
        atomic_fetch_add(&index->nodes, tallies[i].nodes);
    }
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
    struct index_tally *tallies = tally(sorted, entries->count, watermarks, watermark_count);
    code = add_entries(index, txn, sorted, entries->count);
    if (code == 0) {
        code = index_put_tallies(index, txn, tallies, watermark_count);
    }
    int result = index_finish(txn, code, err);
    if (result == 0) {
        note_tallies(index, tallies, watermark_count);
        index_flush_if_many(index);
    }
    free(tallies);
    free(sorted);
    return result;
}

/* --- removing */

struct names {
    struct stored_name *items;
    size_t count;
};

static int read_damaged(struct index *index, struct names *names)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_stat figures;
    MDB_val key;
    MDB_val value;
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return code;
    }
    code = mdb_stat(txn, index->damaged, &figures);
    if (code == 0) {
        code = mdb_cursor_open(txn, index->damaged, &cursor);
    }
    if (code == 0) {
        names->items = memory_array(figures.ms_entries, sizeof *names->items);
        while (names->count < figures.ms_entries && mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
            struct stored_name *name = &names->items[names->count++];
            *name = (struct stored_name){0};
            memcpy(name->bytes, key.mv_data, key.mv_size < INDEX_NAME_SIZE ? key.mv_size : INDEX_NAME_SIZE);
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return code;
}

/* Of damaged names those that the index does not know any more. */
static int find_forgotten(struct index *index, struct names *names, struct error *err)
{
    int code = read_damaged(index, names);
    size_t kept = 0;
    if (code != 0) {
        return index_error(err, code);
    }
    for (size_t i = 0; i < names->count; i++) {
        struct chunk_location location;
        int found = index_find(index, &names->items[i], &location, err);
        if (found < 0) {
            return -1;
        }
        if (found == 0) {
            names->items[kept++] = names->items[i];
        }
    }
    names->count = kept;
    return 0;
}

int index_remove_container(struct index *index, uint64_t container, struct error *err)
{
    MDB_txn *txn;
    struct names forgotten = {0};
    struct index_tally had = {0};
    index_live_set(index, container, false);
    int result = find_forgotten(index, &forgotten, err);
    int code = result == 0 ? mdb_txn_begin(index->environment, NULL, 0, &txn) : 0;
    if (result == 0 && code != 0) {
        result = index_error(err, code);
    } else if (result == 0) {
        code = index_drop_container(index, txn, container, &had);
        for (size_t i = 0; i < forgotten.count && code == 0; i++) {
            code = forget_damage(index, txn, &forgotten.items[i]);
        }
        result = index_finish(txn, code, err);
    }
    if (result == 0) {
        atomic_fetch_sub(&index->chunks, had.chunks);
        atomic_fetch_sub(&index->nodes, had.nodes);
    } else {
        index_live_set(index, container, true);
    }
    free(forgotten.items);
    return result;
}

/* --- damage */

int index_damage(struct index *index, const struct stored_name *name, struct error *err)
{
    MDB_txn *txn;
    MDB_val key = name_key(name);
    MDB_val value = {.mv_size = 0, .mv_data = (void *)(uintptr_t)name};
    int code = mdb_txn_begin(index->environment, NULL, 0, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    return index_finish(txn, mdb_put(txn, index->damaged, &key, &value, 0), err);
}

int index_forget_damage(struct index *index, const struct stored_name *name, struct error *err)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(index->environment, NULL, 0, &txn);
    return code != 0 ? index_error(err, code) : index_finish(txn, forget_damage(index, txn, name), err);
}

int index_list_damaged(struct index *index, struct stored_name **names, size_t *count, struct error *err)
{
    struct names damaged = {0};
    int code = read_damaged(index, &damaged);
    if (code != 0) {
        free(damaged.items);
        return index_error(err, code);
    }
    *names = damaged.items;
    *count = damaged.count;
    return 0;
}

int index_is_damaged(struct index *index, const struct stored_name *name, bool *damaged, struct error *err)
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
    *count = code == 0 ? figures.ms_entries : 0;
    return code == 0 ? 0 : index_error(err, code);
}

int index_count_damaged(struct index *index, uint64_t *count, struct error *err)
{
    return count_entries(index, index->damaged, count, err);
}

int index_figures_read(struct index *index, struct index_figures *figures, struct error *err)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct index_view view;
    int code = index_view_open(index, &view);
    if (code != 0) {
        return index_error(err, code);
    }
    mdb_env_info(index->environment, &info);
    mdb_env_stat(index->environment, &stat);
    figures->chunks = atomic_load(&index->chunks);
    figures->nodes = atomic_load(&index->nodes);
    figures->bytes = (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
    for (size_t i = 0; i < view.set->count; i++) {
        figures->bytes += index_segment_bytes(view.set->segments[i]);
    }
    index_view_close(&view);
    return 0;
}
