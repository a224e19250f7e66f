/* Recovery points and tracking points. */
#include "server/catalog/catalog.h"

#include "base/clock.h"
#include "server/catalog/catalog_statement.h"

static void point_read_row(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_point *point = into;
    point->number = statement_integer(row);
    point->id = statement_text(row, arena);
    point->vm_id = statement_text(row, arena);
    point->vm_name = statement_text(row, arena);
    point->host_id = statement_text(row, arena);
    point->host_name = statement_text(row, arena);
    point->kind = statement_text(row, arena);
    point->parent = statement_text(row, arena);
    point->job_id = statement_text(row, arena);
    point->time_ms = statement_integer(row);
    point->committed_ms = statement_integer(row);
    point->mode = statement_text(row, arena);
    point->reason = statement_text(row, arena);
    point->consistency = statement_text(row, arena);
    point->consistency_reason = statement_text(row, arena);
    point->size = statement_size(row);
    point->read_bytes = statement_size(row);
    point->sent_bytes = statement_size(row);
    point->stored_bytes = statement_size(row);
    point->retain_until_ms = statement_integer(row);
    point->held = statement_boolean(row);
    point->damaged = statement_boolean(row);
    point->verified_ms = statement_integer(row);
    point->locked_until_ms = statement_integer(row);
    point->deleted_ms = statement_integer(row);
    point->purge_ms = statement_integer(row);
    point->deleted_by = statement_text(row, arena);
    point->deleted_with = statement_text(row, arena);
}

static int point_write(struct catalog *catalog, const struct catalog_point *point, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POINT_INSERT);
    statement_bind_text(statement, point->id);
    statement_bind_text(statement, point->vm_id);
    statement_bind_text(statement, point->vm_name);
    statement_bind_text(statement, point->host_id);
    statement_bind_text(statement, point->host_name);
    statement_bind_text(statement, point->kind);
    statement_bind_text(statement, point->parent);
    statement_bind_text(statement, point->job_id);
    statement_bind_integer(statement, point->time_ms);
    statement_bind_integer(statement, point->committed_ms);
    statement_bind_text(statement, point->mode);
    statement_bind_text(statement, point->reason);
    statement_bind_text(statement, point->consistency);
    statement_bind_text(statement, point->consistency_reason);
    statement_bind_size(statement, point->size);
    statement_bind_size(statement, point->read_bytes);
    statement_bind_size(statement, point->sent_bytes);
    statement_bind_size(statement, point->stored_bytes);
    statement_bind_integer(statement, point->retain_until_ms);
    statement_bind_integer(statement, point->held);
    statement_bind_integer(statement, point->damaged);
    statement_bind_integer(statement, point->verified_ms);
    statement_bind_integer(statement, point->locked_until_ms);
    return statement_execute(statement, err);
}

static int point_write_disk(struct catalog *catalog, const char *point_id, size_t position,
                            const struct catalog_point_disk *disk, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POINT_DISK_INSERT);
    statement_bind_text(statement, point_id);
    statement_bind_integer(statement, (int64_t)position);
    statement_bind_text(statement, disk->name);
    statement_bind_text(statement, disk->format);
    statement_bind_size(statement, disk->size);
    statement_bind_size(statement, disk->transferred_bytes);
    return statement_execute(statement, err);
}

/* Only ever within the caller's transaction: it joins others, like the job's row. */
int catalog_point_insert(struct catalog *catalog, const struct catalog_point *point,
                         const struct catalog_point_disk *disks, size_t disk_count, struct error *err)
{
    if (point_write(catalog, point, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < disk_count; i++) {
        if (point_write_disk(catalog, point->id, i, &disks[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int point_result(enum statement_outcome outcome, const char *id, struct error *err)
{
    switch (outcome) {
    case STATEMENT_DONE:
        return 0;
    case STATEMENT_NOTHING:
        return error_set(err, ERROR_RP_NOT_FOUND, "There is no recovery point %s", id);
    default:
        return -1;
    }
}

int catalog_point_delete(struct catalog *catalog, const char *id, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POINT_DELETE);
    statement_bind_text(statement, id);
    return point_result(statement_run(statement, err), id, err);
}

int catalog_point_set_held(struct catalog *catalog, const char *id, bool held, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POINT_SET_HELD);
    statement_bind_text(statement, id);
    statement_bind_integer(statement, held);
    return point_result(statement_run(statement, err), id, err);
}

int catalog_point_set_retain_until(struct catalog *catalog, const char *id, int64_t retain_until_ms,
                                   struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POINT_SET_RETAIN_UNTIL);
    statement_bind_text(statement, id);
    statement_bind_integer(statement, retain_until_ms);
    return point_result(statement_run(statement, err), id, err);
}

int catalog_point_set_verified(struct catalog *catalog, const char *id, bool damaged, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POINT_SET_VERIFIED);
    statement_bind_text(statement, id);
    statement_bind_integer(statement, damaged);
    statement_bind_integer(statement, clock_wall_ms());
    return point_result(statement_run(statement, err), id, err);
}

const struct catalog_point *catalog_point_find(struct catalog *catalog, struct arena *arena,
                                               const char *reference, struct error *err)
{
    struct catalog_point *point = arena_alloc(arena, sizeof *point);
    int found = statement_find(catalog, arena, SQL_POINT_BY_ID, SQL_POINT_BY_PREFIX, reference,
                               point_read_row, point, err);
    if (found == 0) {
        error_set(err, ERROR_RP_NOT_FOUND, "There is no recovery point %s", reference);
    }
    return found > 0 ? point : NULL;
}

static int point_or_none(struct catalog *catalog, struct arena *arena, enum sql_query query,
                         const char *parameter, const struct catalog_point **point, struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    struct catalog_point *only = arena_alloc(arena, sizeof *only);
    statement_bind_text(statement, parameter);
    int found = statement_only(statement, arena, point_read_row, only, err);
    *point = found > 0 ? only : NULL;
    return found < 0 ? -1 : 0;
}

int catalog_point_of_job(struct catalog *catalog, struct arena *arena, const char *job_id,
                         const struct catalog_point **point, struct error *err)
{
    return point_or_none(catalog, arena, SQL_POINT_OF_JOB, job_id, point, err);
}

int catalog_point_newest(struct catalog *catalog, struct arena *arena, const char *vm_id,
                         const struct catalog_point **point, struct error *err)
{
    return point_or_none(catalog, arena, SQL_POINT_NEWEST, vm_id, point, err);
}

int catalog_point_list(struct catalog *catalog, struct arena *arena,
                       const struct catalog_point_filter *filter, const struct catalog_page *page,
                       const struct catalog_point **points, size_t *count, struct error *err)
{
    const char *vm_id = filter == NULL ? NULL : filter->vm_id;
    struct statement *statement =
        statement_open(catalog, vm_id == NULL ? SQL_POINT_LIST : SQL_POINT_LIST_OF_VM);
    statement_bind_integer(statement, catalog_page_before(page));
    statement_bind_integer(statement, catalog_page_limit(page));
    statement_bind_integer(statement, filter == NULL ? CATALOG_POINTS_ALL : filter->which);
    if (vm_id != NULL) {
        statement_bind_text(statement, vm_id);
    }
    return statement_rows(statement, arena, point_read_row, sizeof **points, points, count, err);
}

static void point_disk_read(struct statement *statement, struct arena *arena, void *into)
{
    struct catalog_point_disk *disk = into;
    disk->name = statement_text(statement, arena);
    disk->format = statement_text(statement, arena);
    disk->size = statement_size(statement);
    disk->transferred_bytes = statement_size(statement);
}

int catalog_point_disk_list(struct catalog *catalog, struct arena *arena, const char *point_id,
                            const struct catalog_point_disk **disks, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POINT_DISK_LIST);
    statement_bind_text(statement, point_id);
    return statement_rows(statement, arena, point_disk_read, sizeof **disks, disks, count, err);
}

static void tracking_read(struct statement *statement, struct arena *arena, void *into)
{
    struct catalog_tracking *item = into;
    item->name = statement_text(statement, arena);
    item->metadata = statement_text(statement, arena);
    item->point_id = statement_text(statement, arena);
    item->left_out = statement_text(statement, arena);
}

int catalog_tracking_list(struct catalog *catalog, struct arena *arena, const char *vm_id,
                          const struct catalog_tracking **tracking, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_TRACKING_LIST);
    statement_bind_text(statement, vm_id);
    return statement_rows(statement, arena, tracking_read, sizeof **tracking, tracking, count, err);
}

/* vm_id and, where the query has one, a name. */
static int tracking_run(struct catalog *catalog, enum sql_query query, const char *vm_id, const char *name,
                        struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_text(statement, vm_id);
    if (name != NULL) {
        statement_bind_text(statement, name);
    }
    return statement_execute(statement, err);
}

int catalog_tracking_add(struct catalog *catalog, const char *vm_id, const struct catalog_tracking *tracking,
                         struct error *err)
{
    if (tracking_run(catalog, SQL_TRACKING_REMOVE, vm_id, tracking->name, err) != 0) {
        return -1;
    }
    struct statement *statement = statement_open(catalog, SQL_TRACKING_INSERT);
    statement_bind_text(statement, vm_id);
    statement_bind_text(statement, tracking->name);
    statement_bind_text(statement, tracking->metadata);
    statement_bind_text(statement, tracking->point_id);
    statement_bind_text(statement, tracking->left_out);
    return statement_execute(statement, err);
}

int catalog_tracking_trim(struct catalog *catalog, const char *vm_id, struct error *err)
{
    return tracking_run(catalog, SQL_TRACKING_TRIM, vm_id, NULL, err);
}

int catalog_tracking_clear(struct catalog *catalog, const char *vm_id, struct error *err)
{
    return tracking_run(catalog, SQL_TRACKING_CLEAR, vm_id, NULL, err);
}
