#include "server/catalog/catalog_audit.h"

#include "server/catalog/catalog_statement.h"

int catalog_audit_insert(struct catalog *catalog, const struct catalog_audit *row, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_AUDIT_INSERT);
    statement_bind_integer(statement, row->number);
    statement_bind_integer(statement, row->time_ms);
    statement_bind_text(statement, row->actor);
    statement_bind_text(statement, row->address);
    statement_bind_text(statement, row->action);
    statement_bind_text(statement, row->object);
    statement_bind_text(statement, row->outcome);
    statement_bind_text(statement, row->code);
    statement_bind_text(statement, row->detail);
    statement_bind_integer(statement, row->of);
    statement_bind_text(statement, row->hash);
    return statement_execute(statement, err);
}

static void read_row(struct statement *statement, struct arena *arena, void *into)
{
    struct catalog_audit *row = into;
    row->number = statement_integer(statement);
    row->time_ms = statement_integer(statement);
    row->actor = statement_text(statement, arena);
    row->address = statement_text(statement, arena);
    row->action = statement_text(statement, arena);
    row->object = statement_text(statement, arena);
    row->outcome = statement_text(statement, arena);
    row->code = statement_text(statement, arena);
    row->detail = statement_text(statement, arena);
    row->of = statement_integer(statement);
    row->hash = statement_text(statement, arena);
}

int catalog_audit_last(struct catalog *catalog, struct arena *arena, const struct catalog_audit **row,
                       struct error *err)
{
    size_t count;
    struct statement *statement = statement_open(catalog, SQL_AUDIT_LAST);
    return statement_rows(statement, arena, read_row, sizeof **row, row, &count, err);
}

int catalog_audit_walk(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                       const struct catalog_audit **rows, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_AUDIT_WALK);
    statement_bind_page(statement, page);
    return statement_rows(statement, arena, read_row, sizeof **rows, rows, count, err);
}

int catalog_audit_list(struct catalog *catalog, struct arena *arena,
                       const struct catalog_audit_filter *filter, const struct catalog_page *page,
                       const struct catalog_audit **rows, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_AUDIT_LIST);
    statement_bind_integer(statement, catalog_page_after(page));
    statement_bind_integer(statement, filter->since_ms);
    statement_bind_integer(statement, filter->until_ms > 0 ? filter->until_ms : INT64_MAX);
    statement_bind_integer(statement, catalog_page_limit(page));
    statement_bind_optional(statement, filter->actor);
    statement_bind_optional(statement, filter->object);
    statement_bind_integer(statement, filter->all);
    return statement_rows(statement, arena, read_row, sizeof **rows, rows, count, err);
}

/* The one text of a statement with one number. */
static int read_text(struct catalog *catalog, enum sql_query query, struct arena *arena, int64_t number,
                     const char **text, struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_integer(statement, number);
    return statement_first_text(statement, arena, text, err);
}

int catalog_audit_hash(struct catalog *catalog, struct arena *arena, int64_t number, const char **hash,
                       struct error *err)
{
    return read_text(catalog, SQL_AUDIT_HASH, arena, number, hash, err);
}

int catalog_audit_checkpoint(struct catalog *catalog, struct arena *arena, int64_t number, const char **hash,
                             struct error *err)
{
    return read_text(catalog, SQL_AUDIT_CHECKPOINT, arena, number, hash, err);
}

static void read_place(struct statement *statement, struct arena *arena, void *into)
{
    struct catalog_audit *row = into;
    row->number = statement_integer(statement);
    row->hash = statement_text(statement, arena);
}

int catalog_audit_before(struct catalog *catalog, struct arena *arena, int64_t time_ms, int64_t *number,
                         const char **hash, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_AUDIT_BEFORE);
    struct catalog_audit row = {0};
    statement_bind_integer(statement, time_ms);
    int found = statement_first(statement, arena, read_place, &row, err);
    *number = row.number;
    *hash = row.hash;
    return found < 0 ? -1 : 0;
}

int catalog_audit_prune(struct catalog *catalog, int64_t up_to, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_AUDIT_PRUNE);
    statement_bind_integer(statement, up_to);
    return statement_execute(statement, err);
}
