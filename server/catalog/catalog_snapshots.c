#include "server/catalog/catalog_snapshots.h"

#include "server/catalog/catalog_statement.h"
#include <string.h>

/* The VM's id in the arena; *vm_id NULL when nobody knows it. */
static int find_vm(struct catalog *catalog, struct arena *arena, const char *host_id,
                   const struct catalog_snapshot *snapshot, const char **vm_id, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_SNAPSHOT_VM, err);
    if (statement == NULL) {
        return -1;
    }
    statement_bind_text(statement, host_id);
    statement_bind_text(statement, snapshot->kind);
    statement_bind_text(statement, snapshot->vm_uuid);
    int found = statement_next(statement, err);
    *vm_id = found > 0 ? statement_text(statement, arena) : NULL;
    statement_close(statement);
    return found < 0 ? -1 : 0;
}

static int run_plain(struct catalog *catalog, enum sql_query query, struct error *err)
{
    struct statement *statement = statement_open(catalog, query, err);
    return statement == NULL || statement_run(statement, err) == STATEMENT_FAILED ? -1 : 0;
}

static int insert(struct catalog *catalog, const char *host_id, const char *vm_id,
                  const struct catalog_snapshot *snapshot, struct error *err)
{
    if (run_plain(catalog, SQL_SNAPSHOT_SEQUENCE_BEGIN, err) != 0 ||
        run_plain(catalog, SQL_SNAPSHOT_SEQUENCE_NEXT, err) != 0) {
        return -1;
    }
    struct statement *statement = statement_open(catalog, SQL_SNAPSHOT_INSERT, err);
    if (statement == NULL) {
        return -1;
    }
    statement_bind_text(statement, snapshot->point_id);
    statement_bind_text(statement, host_id);
    statement_bind_text(statement, vm_id);
    statement_bind_text(statement, snapshot->vm_name);
    statement_bind_text(statement, snapshot->kind);
    statement_bind_text(statement, snapshot->job_id);
    statement_bind_text(statement, snapshot->consistency);
    statement_bind_integer(statement, snapshot->time_ms);
    statement_bind_integer(statement, snapshot->until_ms);
    statement_bind_size(statement, snapshot->size);
    statement_bind_text(statement, snapshot->disks);
    enum statement_outcome outcome = statement_run(statement, err);
    return outcome == STATEMENT_DONE || outcome == STATEMENT_TAKEN ? 0 : -1; /* the id is another host's */
}

static int put(struct catalog *catalog, struct arena *arena, const char *host_id,
               const struct catalog_snapshot *snapshot, struct error *err)
{
    const char *vm_id = NULL;
    struct statement *statement = statement_open(catalog, SQL_SNAPSHOT_UPDATE, err);
    if (statement == NULL) {
        return -1;
    }
    statement_bind_text(statement, snapshot->point_id);
    statement_bind_text(statement, host_id);
    statement_bind_integer(statement, snapshot->until_ms);
    enum statement_outcome outcome = statement_run(statement, err);
    if (outcome != STATEMENT_NOTHING) {
        return outcome == STATEMENT_DONE ? 0 : -1;
    }
    if (find_vm(catalog, arena, host_id, snapshot, &vm_id, err) != 0) {
        return -1;
    }
    return vm_id == NULL ? 0 : insert(catalog, host_id, vm_id, snapshot, err);
}

static bool is_reported(const struct catalog_snapshot *snapshots, size_t count, const char *point_id)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(snapshots[i].point_id, point_id) == 0) {
            return true;
        }
    }
    return false;
}

static int known_ids(struct catalog *catalog, struct arena *arena, const char *host_id, const char ***ids,
                     size_t *count, struct error *err)
{
    int more;
    struct statement *statement = statement_open(catalog, SQL_SNAPSHOT_IDS_OF_HOST, err);
    if (statement == NULL) {
        return -1;
    }
    statement_bind_text(statement, host_id);
    while ((more = statement_next(statement, err)) > 0) {
        *ids = arena_grow(arena, *ids, *count, sizeof **ids);
        (*ids)[(*count)++] = statement_text(statement, arena);
    }
    statement_close(statement);
    return more;
}

static int delete_others(struct catalog *catalog, struct arena *arena, const char *host_id,
                         const struct catalog_snapshot *snapshots, size_t count, struct error *err)
{
    const char **ids = NULL;
    size_t known = 0;
    int result = known_ids(catalog, arena, host_id, &ids, &known, err);
    for (size_t i = 0; i < known && result == 0; i++) {
        if (is_reported(snapshots, count, ids[i])) {
            continue;
        }
        struct statement *statement = statement_open(catalog, SQL_SNAPSHOT_DELETE, err);
        if (statement == NULL) {
            return -1;
        }
        statement_bind_text(statement, ids[i]);
        statement_bind_text(statement, host_id);
        result = statement_run(statement, err) == STATEMENT_FAILED ? -1 : 0;
    }
    return result;
}

int catalog_snapshot_report(struct catalog *catalog, const char *host_id,
                            const struct catalog_snapshot *snapshots, size_t count, struct error *err)
{
    struct arena *arena = arena_create();
    int result = catalog_begin(catalog, err);
    if (result == 0) {
        result = delete_others(catalog, arena, host_id, snapshots, count, err);
        for (size_t i = 0; i < count && result == 0; i++) {
            result = put(catalog, arena, host_id, &snapshots[i], err);
        }
        if (result == 0) {
            result = catalog_commit(catalog, err);
        } else {
            catalog_roll_back(catalog);
        }
    }
    arena_destroy(arena);
    return result;
}

int catalog_snapshot_put(struct catalog *catalog, const char *host_id,
                         const struct catalog_snapshot *snapshot, struct error *err)
{
    struct arena *arena = arena_create();
    int result = catalog_begin(catalog, err);
    if (result == 0) {
        result = put(catalog, arena, host_id, snapshot, err);
        if (result == 0) {
            result = catalog_commit(catalog, err);
        } else {
            catalog_roll_back(catalog);
        }
    }
    arena_destroy(arena);
    return result;
}

int catalog_snapshot_set_unwanted(struct catalog *catalog, const char *point_id, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_SNAPSHOT_SET_UNWANTED, err);
    if (statement == NULL) {
        return -1;
    }
    statement_bind_text(statement, point_id);
    return statement_run(statement, err) == STATEMENT_FAILED ? -1 : 0;
}

int catalog_snapshot_of_job(struct catalog *catalog, struct arena *arena, const char *job_id,
                            const char *host_id, const char **point_id, int64_t *until_ms, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_SNAPSHOT_OF_JOB, err);
    *point_id = NULL;
    if (statement == NULL) {
        return -1;
    }
    statement_bind_text(statement, job_id);
    statement_bind_text(statement, host_id);
    int found = statement_next(statement, err);
    if (found > 0) {
        *point_id = statement_text(statement, arena);
        *until_ms = statement_integer(statement);
    }
    statement_close(statement);
    return found < 0 ? -1 : 0;
}

int catalog_snapshot_limits(struct catalog *catalog, struct arena *arena, const char *host_id,
                            const struct catalog_snapshot_limit **limits, size_t *count, struct error *err)
{
    struct catalog_snapshot_limit *items = NULL;
    int more;
    *count = 0;
    struct statement *statement = statement_open(catalog, SQL_SNAPSHOT_LIMITS, err);
    if (statement == NULL) {
        return -1;
    }
    statement_bind_text(statement, host_id);
    while ((more = statement_next(statement, err)) > 0) {
        items = arena_grow(arena, items, *count, sizeof *items);
        items[*count].point_id = statement_text(statement, arena);
        items[(*count)++].until_ms = statement_integer(statement);
    }
    statement_close(statement);
    *limits = items;
    return more;
}

/* --- what can be restored */

/* Columns as in the view. A point of the store is looked up whole. 1 it is there, 0 it went meanwhile, -1
 * failure. */
static int read_row(struct statement *row, struct arena *arena, struct catalog_point *point,
                    struct error *err)
{
    struct catalog_point read = {.parent = "", .mode = "snapshot", .reason = "", .consistency_reason = ""};
    read.number = statement_integer(row);
    read.id = statement_text(row, arena);
    read.vm_id = statement_text(row, arena);
    read.vm_name = statement_text(row, arena);
    read.kind = statement_text(row, arena);
    read.job_id = statement_text(row, arena);
    read.time_ms = statement_integer(row);
    read.consistency = statement_text(row, arena);
    read.size = statement_size(row);
    bool host_only = statement_boolean(row);
    struct catalog_point_snapshot snapshot = {.host_only = host_only};
    snapshot.host_id = statement_text(row, arena);
    snapshot.host_name = statement_text(row, arena);
    snapshot.until_ms = statement_integer(row);
    snapshot.disks = statement_text(row, arena);
    *point = read;
    if (host_only) {
        point->host_id = snapshot.host_id;
        point->host_name = snapshot.host_name;
    } else {
        const struct catalog_point *stored = catalog_point_find(row->catalog, arena, read.id, err);
        if (stored == NULL) {
            return err->code == ERROR_RP_NOT_FOUND ? 0 : -1;
        }
        *point = *stored;
    }
    point->snapshot = snapshot;
    return 1;
}

/* The only row of a query with one text parameter: 1, none or several: 0, failure: -1. */
static int find_only(struct catalog *catalog, struct arena *arena, enum sql_query query,
                     const char *parameter, struct catalog_point *point, struct error *err)
{
    struct statement *statement = statement_open(catalog, query, err);
    if (statement == NULL) {
        return -1;
    }
    statement_bind_text(statement, parameter);
    int found = statement_next(statement, err);
    if (found > 0) {
        found = read_row(statement, arena, point, err);
    }
    if (found > 0) {
        int second = statement_next(statement, err);
        found = second < 0 ? -1 : 1 - second;
    }
    statement_close(statement);
    return found;
}

const struct catalog_point *catalog_restorable_find(struct catalog *catalog, struct arena *arena,
                                                    const char *reference, struct error *err)
{
    enum { PREFIX_MIN = 8 };
    struct catalog_point *point = arena_alloc(arena, sizeof *point);
    int found = find_only(catalog, arena, SQL_RESTORABLE_BY_ID, reference, point, err);
    if (found == 0 && strlen(reference) >= PREFIX_MIN) {
        found = find_only(catalog, arena, SQL_RESTORABLE_BY_PREFIX, reference, point, err);
    }
    if (found == 0) {
        error_set(err, ERROR_RP_NOT_FOUND, "There is no recovery point %s", reference);
    }
    return found > 0 ? point : NULL;
}

const struct catalog_point *catalog_stored_find(struct catalog *catalog, struct arena *arena,
                                                const char *reference, struct error *err)
{
    const struct catalog_point *point = catalog_restorable_find(catalog, arena, reference, err);
    if (point != NULL && point->snapshot.host_only) {
        error_set(err, ERROR_RP_ON_HOST_ONLY, "Recovery point %s of %s is on host %s only, not in the store",
                  point->id, point->vm_name, point->host_name);
        return NULL;
    }
    return point;
}

int catalog_restorable_list(struct catalog *catalog, struct arena *arena,
                            const struct catalog_point_filter *filter, const struct catalog_page *page,
                            const struct catalog_point **points, size_t *count, struct error *err)
{
    bool of_vm = filter->vm_id != NULL;
    struct statement *statement =
        statement_open(catalog, of_vm ? SQL_RESTORABLE_LIST_OF_VM : SQL_RESTORABLE_LIST, err);
    if (statement == NULL) {
        return -1;
    }
    statement_bind_integer(statement, page->after);
    statement_bind_integer(statement, filter->since_ms);
    statement_bind_integer(statement, filter->until_ms == 0 ? INT64_MAX : filter->until_ms);
    statement_bind_integer(statement, catalog_page_limit(page));
    statement_bind_integer(statement, filter->which);
    if (of_vm) {
        statement_bind_text(statement, filter->vm_id);
    }
    struct catalog_point *items = NULL;
    int more = 0;
    *count = 0;
    while ((more = statement_next(statement, err)) > 0) {
        items = arena_grow(arena, items, *count, sizeof *items);
        int there = read_row(statement, arena, &items[*count], err);
        if (there < 0) {
            more = -1;
            break;
        }
        *count += (size_t)there;
    }
    statement_close(statement);
    *points = items;
    return more;
}
