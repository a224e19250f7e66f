#include "server/catalog/catalog_audit.h"

#include "server/catalog/catalog_statement.h"

int catalog_audit_insert(struct catalog *catalog, const struct catalog_audit *row, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_AUDIT_INSERT, err);
    if (statement == NULL) {
        return -1;
    }
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
    return statement_run(statement, err) == STATEMENT_DONE ? 0 : -1;
}

static void read_row(struct statement *statement, struct arena *arena, struct catalog_audit *row)
{
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

/* Closes the statement. */
static int read_rows(struct statement *statement, struct arena *arena, const struct catalog_audit **rows,
                     size_t *count, struct error *err)
{
    struct catalog_audit *list = NULL;
    int more;
    *count = 0;
    while ((more = statement_next(statement, err)) > 0) {
        list = arena_grow(arena, list, *count, sizeof *list);
        read_row(statement, arena, &list[(*count)++]);
    }
    statement_close(statement);
    *rows = list;
    return more < 0 ? -1 : 0;
}

int catalog_audit_last(struct catalog *catalog, struct arena *arena, const struct catalog_audit **row,
                       struct error *err)
{
    size_t count;
    struct statement *statement = statement_open(catalog, SQL_AUDIT_LAST, err);
    return statement == NULL ? -1 : read_rows(statement, arena, row, &count, err);
}

int catalog_audit_walk(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                       const struct catalog_audit **rows, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_AUDIT_WALK, err);
    if (statement == NULL) {
        return -1;
    }
    statement_bind_integer(statement, page->after);
    statement_bind_integer(statement, catalog_page_limit(page));
    return read_rows(statement, arena, rows, count, err);
}

int catalog_audit_list(struct catalog *catalog, struct arena *arena,
                       const struct catalog_audit_filter *filter, const struct catalog_page *page,
                       const struct catalog_audit **rows, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_AUDIT_LIST, err);
    if (statement == NULL) {
        return -1;
    }
    statement_bind_integer(statement, page->after);
    statement_bind_integer(statement, filter->since_ms);
    statement_bind_integer(statement, filter->until_ms > 0 ? filter->until_ms : INT64_MAX);
    statement_bind_integer(statement, catalog_page_limit(page));
    statement_bind_optional(statement, filter->actor);
    statement_bind_optional(statement, filter->object);
    statement_bind_integer(statement, filter->all);
    return read_rows(statement, arena, rows, count, err);
}

/* The one text of a statement with one number. */
static int read_text(struct catalog *catalog, enum sql_query query, struct arena *arena, int64_t number,
                     const char **text, struct error *err)
{
    struct statement *statement = statement_open(catalog, query, err);
    if (statement == NULL) {
        return -1;
    }
    statement_bind_integer(statement, number);
    int found = statement_next(statement, err);
    *text = found > 0 ? statement_text(statement, arena) : NULL;
    statement_close(statement);
    return found < 0 ? -1 : 0;
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

int catalog_audit_before(struct catalog *catalog, struct arena *arena, int64_t time_ms, int64_t *number,
                         const char **hash, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_AUDIT_BEFORE, err);
    if (statement == NULL) {
        return -1;
    }
    statement_bind_integer(statement, time_ms);
    int found = statement_next(statement, err);
    *number = found > 0 ? statement_integer(statement) : 0;
    *hash = found > 0 ? statement_text(statement, arena) : NULL;
    statement_close(statement);
    return found < 0 ? -1 : 0;
}

int catalog_audit_prune(struct catalog *catalog, int64_t up_to, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_AUDIT_PRUNE, err);
    if (statement == NULL) {
        return -1;
    }
    statement_bind_integer(statement, up_to);
    return statement_run(statement, err) == STATEMENT_FAILED ? -1 : 0;
}
