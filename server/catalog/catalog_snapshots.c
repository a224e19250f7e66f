#include "server/catalog/catalog_snapshots.h"

#include "server/catalog/catalog_statement.h"
#include <string.h>

/* The VM's id in the arena; *vm_id NULL when nobody knows it. */
static int find_vm(struct catalog *catalog, struct arena *arena, const char *host_id,
                   const struct catalog_snapshot *snapshot, const char **vm_id, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_SNAPSHOT_VM);
    statement_bind_text(statement, host_id);
    statement_bind_text(statement, snapshot->kind);
    statement_bind_text(statement, snapshot->vm_uuid);
    return statement_first_text(statement, arena, vm_id, err);
}

static int insert(struct catalog *catalog, const char *host_id, const char *vm_id,
                  const struct catalog_snapshot *snapshot, struct error *err)
{
    if (statement_execute(statement_open(catalog, SQL_SNAPSHOT_SEQUENCE_BEGIN), err) != 0 ||
        statement_execute(statement_open(catalog, SQL_SNAPSHOT_SEQUENCE_NEXT), err) != 0) {
        return -1;
    }
    struct statement *statement = statement_open(catalog, SQL_SNAPSHOT_INSERT);
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
    struct statement *statement = statement_open(catalog, SQL_SNAPSHOT_UPDATE);
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

static int delete_others(struct catalog *catalog, struct arena *arena, const char *host_id,
                         const struct catalog_snapshot *snapshots, size_t count, struct error *err)
{
    const char *const *ids;
    size_t known;
    struct statement *all = statement_open(catalog, SQL_SNAPSHOT_IDS_OF_HOST);
    statement_bind_text(all, host_id);
    int result = statement_texts(all, arena, &ids, &known, err);
    for (size_t i = 0; i < known && result == 0; i++) {
        if (is_reported(snapshots, count, ids[i])) {
            continue;
        }
        struct statement *statement = statement_open(catalog, SQL_SNAPSHOT_DELETE);
        statement_bind_text(statement, ids[i]);
        statement_bind_text(statement, host_id);
        result = statement_execute(statement, err);
    }
    return result;
}

/* With `others`, those of the host that are not among these go. */
static int take(struct catalog *catalog, const char *host_id, const struct catalog_snapshot *snapshots,
                size_t count, bool others, struct error *err)
{
    if (catalog_begin(catalog, err) != 0) {
        return -1;
    }
    struct arena *arena = arena_create();
    int result = others ? delete_others(catalog, arena, host_id, snapshots, count, err) : 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        result = put(catalog, arena, host_id, &snapshots[i], err);
    }
    arena_destroy(arena);
    return catalog_end(catalog, result, err);
}

int catalog_snapshot_report(struct catalog *catalog, const char *host_id,
                            const struct catalog_snapshot *snapshots, size_t count, struct error *err)
{
    return take(catalog, host_id, snapshots, count, true, err);
}

int catalog_snapshot_put(struct catalog *catalog, const char *host_id,
                         const struct catalog_snapshot *snapshot, struct error *err)
{
    return take(catalog, host_id, snapshot, 1, false, err);
}

int catalog_snapshot_set_unwanted(struct catalog *catalog, const char *point_id, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_SNAPSHOT_SET_UNWANTED);
    statement_bind_text(statement, point_id);
    return statement_execute(statement, err);
}

static void limit_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_snapshot_limit *limit = into;
    limit->point_id = statement_text(row, arena);
    limit->until_ms = statement_integer(row);
}

int catalog_snapshot_of_job(struct catalog *catalog, struct arena *arena, const char *job_id,
                            const char *host_id, const char **point_id, int64_t *until_ms, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_SNAPSHOT_OF_JOB);
    struct catalog_snapshot_limit kept = {0};
    statement_bind_text(statement, job_id);
    statement_bind_text(statement, host_id);
    int found = statement_first(statement, arena, limit_read, &kept, err);
    *point_id = kept.point_id;
    if (found > 0) {
        *until_ms = kept.until_ms;
    }
    return found < 0 ? -1 : 0;
}

int catalog_snapshot_limits(struct catalog *catalog, struct arena *arena, const char *host_id,
                            const struct catalog_snapshot_limit **limits, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_SNAPSHOT_LIMITS);
    statement_bind_text(statement, host_id);
    return statement_rows(statement, arena, limit_read, sizeof **limits, limits, count, err);
}

/* --- what can be restored */

/* Columns as in the view. */
static void restorable_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_point *point = into;
    *point = (struct catalog_point){.parent = "", .mode = "snapshot", .reason = "", .consistency_reason = ""};
    point->number = statement_integer(row);
    point->id = statement_text(row, arena);
    point->vm_id = statement_text(row, arena);
    point->vm_name = statement_text(row, arena);
    point->kind = statement_text(row, arena);
    point->job_id = statement_text(row, arena);
    point->time_ms = statement_integer(row);
    point->consistency = statement_text(row, arena);
    point->size = statement_size(row);
    point->snapshot.host_only = statement_boolean(row);
    point->snapshot.host_id = point->host_id = statement_text(row, arena);
    point->snapshot.host_name = point->host_name = statement_text(row, arena);
    point->snapshot.until_ms = statement_integer(row);
    point->snapshot.disks = statement_text(row, arena);
}

/* A point of the store is looked up whole. 1 it is there, 0 it went meanwhile, -1 failure. */
static int complete(struct catalog *catalog, struct arena *arena, struct catalog_point *point,
                    struct error *err)
{
    if (point->snapshot.host_only) {
        return 1;
    }
    const struct catalog_point *stored = catalog_point_find(catalog, arena, point->id, err);
    if (stored == NULL) {
        return err->code == ERROR_RP_NOT_FOUND ? 0 : -1;
    }
    struct catalog_point_snapshot snapshot = point->snapshot;
    *point = *stored;
    point->snapshot = snapshot;
    return 1;
}

const struct catalog_point *catalog_restorable_find(struct catalog *catalog, struct arena *arena,
                                                    const char *reference, struct error *err)
{
    struct catalog_point *point = arena_alloc(arena, sizeof *point);
    int found = statement_find(catalog, arena, SQL_RESTORABLE_BY_ID, SQL_RESTORABLE_BY_PREFIX, reference,
                               restorable_read, point, err);
    if (found > 0) {
        found = complete(catalog, arena, point, err);
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

static void number_read(struct statement *row, struct arena *arena, void *into)
{
    int64_t *number = into;
    (void)arena;
    *number = statement_integer(row);
}

static int list_numbers(struct catalog *catalog, struct arena *arena,
                        const struct catalog_point_filter *filter, const struct catalog_page *page,
                        const int64_t **numbers, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, filter->vm_id != NULL ? SQL_RESTORABLE_NUMBERS_OF_VM
                                                                                : SQL_RESTORABLE_NUMBERS);
    statement_bind_integer(statement, catalog_page_before(page));
    statement_bind_integer(statement, catalog_page_limit(page));
    statement_bind_integer(statement, filter->which);
    if (filter->vm_id != NULL) {
        statement_bind_text(statement, filter->vm_id);
    }
    return statement_rows(statement, arena, number_read, sizeof **numbers, numbers, count, err);
}

/* 1 with the point, 0 when it went meanwhile, -1. */
static int read_one(struct catalog *catalog, struct arena *arena, int64_t number, struct catalog_point *point,
                    struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_RESTORABLE_BY_NUMBER);
    statement_bind_integer(statement, number);
    int found = statement_first(statement, arena, restorable_read, point, err);
    return found > 0 ? complete(catalog, arena, point, err) : found;
}

int catalog_restorable_list(struct catalog *catalog, struct arena *arena,
                            const struct catalog_point_filter *filter, const struct catalog_page *page,
                            const struct catalog_point **points, size_t *count, struct error *err)
{
    const int64_t *numbers;
    size_t numbered;
    int result = list_numbers(catalog, arena, filter, page, &numbers, &numbered, err);
    struct catalog_point *items = arena_alloc(arena, (numbered + 1) * sizeof *items);
    *count = 0;
    for (size_t i = 0; i < numbered && result == 0; i++) {
        int there = read_one(catalog, arena, numbers[i], &items[*count], err);
        *count += there > 0;
        result = there < 0 ? -1 : 0;
    }
    *points = items;
    return result;
}
