/*
 * Inside the catalog: its connection, and statements with a cursor over parameters and columns, so that a row
 * is written and read in one order, the order of the SQL.
 */
#ifndef HOLDFAST_SERVER_CATALOG_STATEMENT_H
#define HOLDFAST_SERVER_CATALOG_STATEMENT_H

#include "server/catalog/catalog.h"
#include "sql/statements.h"
#include <pthread.h>
#include <sqlite3.h>

struct statement {
    struct catalog *catalog;
    sqlite3 *database;     /* the writer's, or a reader's */
    pthread_mutex_t *lock; /* its */
    enum sql_query query;
    sqlite3_stmt *prepared; /* kept for the next use */
    int parameter;
    int column;
};

enum { CATALOG_READERS = 4 };

/* A connection that only reads: questions don't wait for transactions and their syncs (SQLite, "Write-Ahead
 * Logging"). */
struct catalog_reader {
    pthread_mutex_t lock; /* recursive; guards the rest */
    sqlite3 *database;
    struct statement statements[SQL_QUERY_COUNT];
};

/* A thread that holds a reader's lock may take the writer's; never the other way round: within a transaction
 * the writer's connection answers questions, too. */
struct catalog {
    pthread_mutex_t lock; /* recursive; guards the writer's, and is held from catalog_begin to its end */
    sqlite3 *database;
    bool (*make_room)(void *cookie); /* see catalog_on_full; or NULL */
    void *make_room_cookie;
    struct statement statements[SQL_QUERY_COUNT];
    struct catalog_reader readers[CATALOG_READERS];
};

/* Fill err from the connection's last failure. Returns -1. */
int catalog_failed(struct catalog *catalog, const char *doing, struct error *err);

/* This thread has begun a transaction, or ended it. */
void catalog_note_transaction(bool begun);

/* A reader's statement when it is a SELECT and this thread is in no transaction, else the writer's. Takes the
 * connection's lock until statement_close. NULL on failure (nothing is to be closed then). */
struct statement *statement_open(struct catalog *catalog, enum sql_query query, struct error *err);
/* The next parameter. */
void statement_bind_text(struct statement *statement, const char *text);      /* NULL is "" */
void statement_bind_reference(struct statement *statement, const char *text); /* NULL and "" are NULL */
void statement_bind_optional(struct statement *statement, const char *text);  /* NULL is NULL */
void statement_bind_integer(struct statement *statement, int64_t value);
void statement_bind_size(struct statement *statement, uint64_t value); /* at most INT64_MAX, else that */
/* 1 a row is there, 0 the end, -1 failure. */
int statement_next(struct statement *statement, struct error *err);
/* The next column of the row. */
const char *statement_text(struct statement *statement, struct arena *arena); /* never NULL */
int64_t statement_integer(struct statement *statement);
uint64_t statement_size(struct statement *statement);
unsigned statement_unsigned(struct statement *statement);
bool statement_boolean(struct statement *statement);
void statement_close(struct statement *statement);

enum statement_outcome {
    STATEMENT_FAILED = -1, /* err is set */
    STATEMENT_DONE = 0,
    STATEMENT_NOTHING = 1,  /* no row was changed */
    STATEMENT_TAKEN = 2,    /* a unique column has that value already; err is set */
    STATEMENT_DANGLING = 3, /* a referenced row is missing, or is still referenced; err is set */
};
/* Run a statement that gives no rows, and close it. */
enum statement_outcome statement_run(struct statement *statement, struct error *err);

/* For lists: 0 or too many rows become the most. */
int64_t catalog_page_limit(const struct catalog_page *page);

#endif
