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

struct statement *statement_open(struct catalog *catalog, enum sql_query query, struct error *err)
{
    struct statement *statement = take_statement(catalog, query);
    if (statement->prepared == NULL &&
        sqlite3_prepare_v3(statement->database, sql_queries[query], -1, SQLITE_PREPARE_PERSISTENT,
                           &statement->prepared, NULL) != SQLITE_OK) {
        statement_failed(statement, err);
        pthread_mutex_unlock(statement->lock);
        return NULL;
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
    sqlite3_reset(statement->prepared);
    sqlite3_clear_bindings(statement->prepared);
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

int64_t catalog_page_limit(const struct catalog_page *page)
{
    return page == NULL || page->limit == 0 || page->limit > CATALOG_PAGE_MAX ? CATALOG_PAGE_MAX
                                                                              : (int64_t)page->limit;
}
