/* How much of a VM changed from point to point, and what of it is suspicious. */
#include "server/catalog/catalog_alerts.h"

#include "server/catalog/catalog_statement.h"

static void change_read(struct statement *statement, struct arena *arena, void *into)
{
    struct catalog_change *change = into;
    change->number = statement_integer(statement);
    change->point_id = statement_text(statement, arena);
    change->vm_id = statement_text(statement, arena);
    change->vm_name = statement_text(statement, arena);
    change->mode = statement_text(statement, arena);
    change->time_ms = statement_integer(statement);
    change->size = statement_size(statement);
    change->stored_bytes = statement_size(statement);
    change->changed_bytes = statement_size(statement);
    change->suspicious = statement_boolean(statement);
}

/* Closes the statement. */
static int read_changes(struct statement *statement, struct arena *arena,
                        const struct catalog_change **changes, size_t *count, struct error *err)
{
    return statement_rows(statement, arena, change_read, sizeof **changes, changes, count, err);
}

int catalog_change_unjudged(struct catalog *catalog, struct arena *arena, int64_t after,
                            const struct catalog_change **changes, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_CHANGE_UNJUDGED);
    statement_bind_integer(statement, after);
    return read_changes(statement, arena, changes, count, err);
}

int catalog_change_history(struct catalog *catalog, struct arena *arena, const char *vm_id, int64_t before_ms,
                           unsigned limit, const struct catalog_change **changes, size_t *count,
                           struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_CHANGE_HISTORY);
    statement_bind_text(statement, vm_id);
    statement_bind_integer(statement, before_ms);
    statement_bind_integer(statement, limit);
    return read_changes(statement, arena, changes, count, err);
}

int catalog_anomaly_insert(struct catalog *catalog, const struct catalog_anomaly *anomaly, int64_t now_ms,
                           struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ANOMALY_INSERT);
    statement_bind_text(statement, anomaly->vm_id);
    statement_bind_text(statement, anomaly->vm_name);
    statement_bind_text(statement, anomaly->point_id);
    statement_bind_text(statement, anomaly->last_good);
    statement_bind_text(statement, anomaly->description);
    statement_bind_integer(statement, now_ms);
    return statement_run(statement, err) == STATEMENT_FAILED ? -1 : 0; /* the VM may be gone */
}

static void anomaly_read(struct statement *statement, struct arena *arena, void *into)
{
    struct catalog_anomaly *anomaly = into;
    anomaly->vm_id = statement_text(statement, arena);
    anomaly->vm_name = statement_text(statement, arena);
    anomaly->point_id = statement_text(statement, arena);
    anomaly->last_good = statement_text(statement, arena);
    anomaly->description = statement_text(statement, arena);
}

int catalog_anomaly_list(struct catalog *catalog, struct arena *arena,
                         const struct catalog_anomaly **anomalies, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ANOMALY_LIST_OPEN);
    return statement_rows(statement, arena, anomaly_read, sizeof **anomalies, anomalies, count, err);
}

int catalog_anomaly_acknowledge(struct catalog *catalog, const char *vm_id, int64_t now_ms, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ANOMALY_ACKNOWLEDGE);
    statement_bind_text(statement, vm_id);
    statement_bind_integer(statement, now_ms);
    return statement_execute(statement, err);
}

static int has_row(struct catalog *catalog, enum sql_query query, const char *point_id, bool *has,
                   struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_text(statement, point_id);
    return statement_exists(statement, has, err);
}

int catalog_anomaly_is_last_good(struct catalog *catalog, const char *point_id, bool *holds,
                                 struct error *err)
{
    return has_row(catalog, SQL_ANOMALY_LAST_GOOD, point_id, holds, err);
}

int catalog_anomaly_is_suspicious(struct catalog *catalog, const char *point_id, bool *suspicious,
                                  struct error *err)
{
    return has_row(catalog, SQL_ANOMALY_SUSPICIOUS, point_id, suspicious, err);
}
