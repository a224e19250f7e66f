#include "server/catalog/catalog_statement.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

/* This thread is between catalog_begin and its end. */
static _Thread_local bool in_transaction;

void catalog_note_transaction(bool begun)
{
    in_transaction = begun;
}

int catalog_failed(struct catalog *catalog, const char *doing, struct error *err)
{
    error_set(err, ERROR_CATALOG_FAILED, "The catalog failed (%s)", doing);
    return error_set_cause(err, "%s", sqlite3_errmsg(catalog->database));
}

static int statement_failed(struct statement *statement, struct error *err)
{
    error_set(err, ERROR_CATALOG_FAILED, "The catalog failed (%s)", sql_query_names[statement->query]);
    return error_set_cause(err, "%s", sqlite3_errmsg(statement->database));
}

static bool query_only_reads(enum sql_query query)
{
    const char *text = sql_queries[query];
    return strncasecmp(text + strspn(text, " \n"), "SELECT", strlen("SELECT")) == 0;
}

/* A reader that nobody uses, locked; when there is none, the first as soon as it is free. */
static struct catalog_reader *take_reader(struct catalog *catalog)
{
    for (size_t i = 0; i < CATALOG_READERS; i++) {
        if (pthread_mutex_trylock(&catalog->readers[i].lock) == 0) {
            return &catalog->readers[i];
        }
    }
    pthread_mutex_lock(&catalog->readers[0].lock);
    return &catalog->readers[0];
}

/* The statement's place at a connection that is locked for it. */
static struct statement *take_statement(struct catalog *catalog, enum sql_query query)
{
    struct statement *statement;
    if (!in_transaction && query_only_reads(query)) {
        struct catalog_reader *reader = take_reader(catalog);
        statement = &reader->statements[query];
        statement->lock = &reader->lock;
        statement->database = reader->database;
    } else {
        pthread_mutex_lock(&catalog->lock);
        statement = &catalog->statements[query];
        statement->lock = &catalog->lock;
        statement->database = catalog->database;
    }
    statement->catalog = catalog;
    statement->query = query;
    return statement;
}

struct statement *statement_open(struct catalog *catalog, enum sql_query query)
{
    struct statement *statement = take_statement(catalog, query);
    if (statement->prepared == NULL) {
        /* A failure is told by the first step: a statement that is NULL takes parameters and gives no rows.
         */
        sqlite3_prepare_v3(statement->database, sql_queries[query], -1, SQLITE_PREPARE_PERSISTENT,
                           &statement->prepared, NULL);
    }
    statement->parameter = 0;
    return statement;
}

void statement_bind_optional(struct statement *statement, const char *text)
{
    /* Parameters that were not bound are NULL. Borrowed: the statement is closed before the caller returns.
     */
    sqlite3_bind_text(statement->prepared, ++statement->parameter, text, -1, SQLITE_STATIC);
}

void statement_bind_text(struct statement *statement, const char *text)
{
    statement_bind_optional(statement, text == NULL ? "" : text);
}

void statement_bind_reference(struct statement *statement, const char *text)
{
    statement_bind_optional(statement, text == NULL || text[0] == '\0' ? NULL : text);
}

void statement_bind_integer(struct statement *statement, int64_t value)
{
    sqlite3_bind_int64(statement->prepared, ++statement->parameter, value);
}

void statement_bind_size(struct statement *statement, uint64_t value)
{
    statement_bind_integer(statement, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

static bool is_full(sqlite3 *database, int result)
{
    return (result & 0xff) == SQLITE_FULL ||
           ((result & 0xff) == SQLITE_IOERR && sqlite3_system_errno(database) == ENOSPC);
}

/* A transaction that SQLite has undone by itself can't go on: its owner begins anew. */
static int step(struct statement *statement)
{
    struct catalog *catalog = statement->catalog;
    bool alone = sqlite3_get_autocommit(statement->database) != 0;
    int result = sqlite3_step(statement->prepared);
    if (is_full(statement->database, result) && catalog->make_room != NULL &&
        catalog->make_room(catalog->make_room_cookie) &&
        alone == (sqlite3_get_autocommit(statement->database) != 0)) {
        sqlite3_reset(statement->prepared);
        result = sqlite3_step(statement->prepared);
    }
    return result;
}

int statement_next(struct statement *statement, struct error *err)
{
    statement->column = 0;
    switch (step(statement)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        return 0;
    default:
        return statement_failed(statement, err);
    }
}

const char *statement_text(struct statement *statement, struct arena *arena)
{
    const char *text = (const char *)sqlite3_column_text(statement->prepared, statement->column++);
    return text == NULL ? "" : arena_text(arena, text);
}

int64_t statement_integer(struct statement *statement)
{
    return sqlite3_column_int64(statement->prepared, statement->column++);
}

uint64_t statement_size(struct statement *statement)
{
    int64_t value = statement_integer(statement);
    return value < 0 ? 0 : (uint64_t)value;
}

unsigned statement_unsigned(struct statement *statement)
{
    int64_t value = statement_integer(statement);
    return value < 0 || value > UINT_MAX ? 0 : (unsigned)value;
}

bool statement_boolean(struct statement *statement)
{
    return statement_integer(statement) != 0;
}

void statement_close(struct statement *statement)
{
    if (statement->prepared != NULL) {
        sqlite3_reset(statement->prepared);
        sqlite3_clear_bindings(statement->prepared);
    }
    pthread_mutex_unlock(statement->lock);
}

enum statement_outcome statement_run(struct statement *statement, struct error *err)
{
    enum statement_outcome outcome = STATEMENT_DONE;
    int result = step(statement);
    if (result == SQLITE_DONE) {
        outcome = sqlite3_changes(statement->database) > 0 ? STATEMENT_DONE : STATEMENT_NOTHING;
    } else {
        statement_failed(statement, err);
        switch (sqlite3_extended_errcode(statement->database)) {
        case SQLITE_CONSTRAINT_UNIQUE:
        case SQLITE_CONSTRAINT_PRIMARYKEY:
            outcome = STATEMENT_TAKEN;
            break;
        case SQLITE_CONSTRAINT_FOREIGNKEY:
        case SQLITE_CONSTRAINT_TRIGGER: /* ON DELETE RESTRICT */
            outcome = STATEMENT_DANGLING;
            break;
        default:
            outcome = STATEMENT_FAILED;
        }
    }
    statement_close(statement);
    return outcome;
}

int statement_execute(struct statement *statement, struct error *err)
{
    enum statement_outcome outcome = statement_run(statement, err);
    return outcome == STATEMENT_DONE || outcome == STATEMENT_NOTHING ? 0 : -1;
}

int statement_rows(struct statement *statement, struct arena *arena, row_reader reader, size_t row_size,
                   void *rows, size_t *count, struct error *err)
{
    char *list = NULL;
    int more;
    *count = 0;
    while ((more = statement_next(statement, err)) > 0) {
        list = arena_grow(arena, list, *count, row_size);
        char *row = list + *count * row_size;
        memset(row, 0, row_size);
        reader(statement, arena, row);
        (*count)++;
    }
    statement_close(statement);
    memcpy(rows, &list, sizeof list);
    return more;
}

static void text_read(struct statement *row, struct arena *arena, void *into)
{
    const char **text = into;
    *text = statement_text(row, arena);
}

int statement_texts(struct statement *statement, struct arena *arena, const char *const **texts,
                    size_t *count, struct error *err)
{
    return statement_rows(statement, arena, text_read, sizeof **texts, texts, count, err);
}

int statement_first(struct statement *statement, struct arena *arena, row_reader reader, void *into,
                    struct error *err)
{
    int found = statement_next(statement, err);
    if (found > 0) {
        reader(statement, arena, into);
    }
    statement_close(statement);
    return found;
}

int statement_only(struct statement *statement, struct arena *arena, row_reader reader, void *into,
                   struct error *err)
{
    int found = statement_next(statement, err);
    if (found > 0) {
        reader(statement, arena, into);
        int second = statement_next(statement, err);
        found = second < 0 ? -1 : 1 - second;
    }
    statement_close(statement);
    return found;
}

int statement_first_text(struct statement *statement, struct arena *arena, const char **text,
                         struct error *err)
{
    *text = NULL;
    return statement_first(statement, arena, text_read, text, err) < 0 ? -1 : 0;
}

int statement_first_integer(struct statement *statement, int64_t *value, struct error *err)
{
    int found = statement_next(statement, err);
    *value = found > 0 ? statement_integer(statement) : 0;
    statement_close(statement);
    return found < 0 ? -1 : 0;
}

int statement_first_size(struct statement *statement, uint64_t *value, struct error *err)
{
    int64_t number;
    int result = statement_first_integer(statement, &number, err);
    *value = number < 0 ? 0 : (uint64_t)number;
    return result;
}

int statement_exists(struct statement *statement, bool *exists, struct error *err)
{
    int found = statement_next(statement, err);
    *exists = found > 0;
    statement_close(statement);
    return found < 0 ? -1 : 0;
}

int statement_find(struct catalog *catalog, struct arena *arena, enum sql_query by_id,
                   enum sql_query by_prefix, const char *reference, row_reader reader, void *into,
                   struct error *err)
{
    struct statement *statement = statement_open(catalog, by_id);
    statement_bind_text(statement, reference);
    int found = statement_only(statement, arena, reader, into, err);
    if (found == 0 && strlen(reference) >= STATEMENT_PREFIX_MIN) {
        statement = statement_open(catalog, by_prefix);
        statement_bind_text(statement, reference);
        found = statement_only(statement, arena, reader, into, err);
    }
    return found;
}

int64_t catalog_page_after(const struct catalog_page *page)
{
    return page == NULL ? 0 : page->after;
}

int64_t catalog_page_before(const struct catalog_page *page)
{
    return page == NULL || page->after == 0 ? INT64_MAX : page->after;
}

int64_t catalog_page_limit(const struct catalog_page *page)
{
    return page == NULL || page->limit == 0 || page->limit > CATALOG_PAGE_MAX ? CATALOG_PAGE_MAX
                                                                              : (int64_t)page->limit;
}

void statement_bind_page(struct statement *statement, const struct catalog_page *page)
{
    statement_bind_integer(statement, catalog_page_after(page));
    statement_bind_integer(statement, catalog_page_limit(page));
}
