#include "server/catalog/catalog_deletion.h"

#include "server/catalog/catalog_statement.h"

int catalog_point_check_live(const struct catalog_point *point, struct error *err)
{
    return point->deleted_ms == 0 ? 0
                                  : error_set(err, ERROR_RP_DELETED, "Recovery point %s of %s is deleted",
                                              point->id, point->vm_name);
}

int catalog_point_soft_delete(struct catalog *catalog, const char *id,
                              const struct catalog_deletion *deletion, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POINT_SOFT_DELETE);
    statement_bind_text(statement, id);
    statement_bind_integer(statement, deletion->deleted_ms);
    statement_bind_integer(statement, deletion->purge_ms);
    statement_bind_text(statement, deletion->by);
    statement_bind_text(statement, deletion->group_id);
    return statement_execute(statement, err);
}

int catalog_point_purge_at(struct catalog *catalog, const char *id, int64_t purge_ms, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POINT_PURGE_AT);
    statement_bind_text(statement, id);
    statement_bind_integer(statement, purge_ms);
    return statement_execute(statement, err);
}

int catalog_point_undelete(struct catalog *catalog, const char *id, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POINT_UNDELETE);
    statement_bind_text(statement, id);
    switch (statement_run(statement, err)) {
    case STATEMENT_DONE:
        return 0;
    case STATEMENT_NOTHING:
        return error_set(err, ERROR_RP_NOT_FOUND, "There is no deleted recovery point %s", id);
    default:
        return -1;
    }
}

int catalog_point_list_deleted_with(struct catalog *catalog, struct arena *arena, const char *group_id,
                                    const char *const **ids, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POINT_LIST_DELETED_WITH);
    statement_bind_text(statement, group_id);
    return statement_texts(statement, arena, ids, count, err);
}

int catalog_point_list_purgeable(struct catalog *catalog, struct arena *arena, int64_t until_ms,
                                 const char *const **ids, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POINT_LIST_PURGEABLE);
    statement_bind_integer(statement, until_ms);
    return statement_texts(statement, arena, ids, count, err);
}

int catalog_point_count_other_good(struct catalog *catalog, const char *vm_id, const char *id,
                                   uint64_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POINT_COUNT_OTHER_GOOD);
    statement_bind_text(statement, vm_id);
    statement_bind_text(statement, id);
    return statement_first_size(statement, count, err);
}
