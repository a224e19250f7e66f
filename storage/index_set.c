/* Which segments the index has. */
#include "base/bytes.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "storage/index_internal.h"
#include <stdlib.h>
#include <string.h>

enum { SEGMENTS_MAX = 4096 };
static const char key_segments[] = "segments";
static const char suffix[] = ".hfx";

char *index_segment_path(const struct index *index, uint64_t serial)
{
    return memory_format("%s/%016llx%s", index->path, (unsigned long long)serial, suffix);
}

struct segment_set *index_set_create(size_t count)
{
    struct segment_set *set = memory_zalloc(sizeof *set + count * sizeof set->segments[0]);
    atomic_init(&set->references, 1);
    set->count = count;
    return set;
}

void index_set_release(struct segment_set *set)
{
    if (set == NULL || atomic_fetch_sub(&set->references, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < set->count; i++) {
        index_segment_release(set->segments[i]);
    }
    free(set);
}

/* --- opening */

static MDB_val segments_key(void)
{
    return (MDB_val){.mv_size = strlen(key_segments), .mv_data = (void *)(uintptr_t)key_segments};
}

static int read_serials(struct index *index, uint64_t *serials, size_t *count)
{
    MDB_txn *txn;
    MDB_val key = segments_key();
    MDB_val value;
    int code = mdb_txn_begin(index->environment, NULL, MDB_RDONLY, &txn);
    if (code != 0) {
        return code;
    }
    code = mdb_get(txn, index->meta, &key, &value);
    *count = code == 0 ? value.mv_size / 8 : 0;
    if (*count > SEGMENTS_MAX) {
        code = MDB_CORRUPTED;
    }
    for (size_t i = 0; i < *count && code == 0; i++) {
        serials[i] = bytes_get_u64((const uint8_t *)value.mv_data + 8 * i);
    }
    mdb_txn_abort(txn);
    return code == MDB_NOTFOUND ? 0 : code;
}

static bool has_file(const struct index *index, const char *name)
{
    for (size_t i = 0; i < index->set->count; i++) {
        char *path = index_segment_path(index, index_segment_serial(index->set->segments[i]));
        bool same = strcmp(strrchr(path, '/') + 1, name) == 0;
        free(path);
        if (same) {
            return true;
        }
    }
    return false;
}

static int remove_unknown(void *cookie, const char *name)
{
    struct index *index = cookie;
    struct error ignored;
    size_t length = strlen(name);
    if (length > strlen(suffix) && strcmp(name + length - strlen(suffix), suffix) == 0 &&
        !has_file(index, name)) {
        char *path = os_path_join(index->path, name);
        os_path_remove(path, &ignored);
        free(path);
    }
    return 0;
}

int index_set_load(struct index *index, bool *unusable, struct error *err)
{
    uint64_t serials[SEGMENTS_MAX];
    size_t count;
    int code = read_serials(index, serials, &count);
    if (code != 0) {
        *unusable = code == MDB_CORRUPTED;
        return index_error(err, code);
    }
    index->set = index_set_create(count);
    for (size_t i = 0; i < count; i++) {
        char *path = index_segment_path(index, serials[i]);
        index->set->segments[i] = index_segment_open(path, serials[i], err);
        free(path);
        if (index->set->segments[i] == NULL) {
            *unusable = true; /* without one of its parts it is none */
            return -1;
        }
        index->last_serial = serials[i] > index->last_serial ? serials[i] : index->last_serial;
    }
    return os_path_list(index->path, remove_unknown, index, err) == 0 ? 0 : -1;
}

/* --- changing */

static int write_serials(struct index *index, MDB_txn *txn, const struct segment_set *set)
{
    MDB_val key = segments_key();
    MDB_val value = {.mv_size = 8 * set->count};
    int code = mdb_put(txn, index->meta, &key, &value, MDB_RESERVE);
    for (size_t i = 0; i < set->count && code == 0; i++) {
        bytes_put_u64((uint8_t *)value.mv_data + 8 * i, index_segment_serial(set->segments[i]));
    }
    return code;
}

int index_set_change(struct index *index, struct segment_set *set, bool drop_recent, struct error *err)
{
    MDB_txn *txn;
    struct segment_set *old = NULL;
    int code = set->count > SEGMENTS_MAX ? MDB_MAP_FULL : mdb_txn_begin(index->environment, NULL, 0, &txn);
    if (code != 0) {
        return index_error(err, code);
    }
    code = write_serials(index, txn, set);
    if (code == 0 && drop_recent) {
        code = mdb_drop(txn, index->recent, 0);
    }
    pthread_mutex_lock(&index->view_lock);
    int result = index_finish(txn, code, err);
    if (result == 0) {
        old = index->set;
        index->set = set;
    }
    pthread_mutex_unlock(&index->view_lock);
    index_set_release(old);
    return result;
}
