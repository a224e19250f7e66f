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
 * connection's lock until statement_close, or until one of the functions below that close it. Never NULL: of
 * one that can't be prepared, running it or asking for its rows fails. */
struct statement *statement_open(struct catalog *catalog, enum sql_query query);
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

/* --- what is done with most statements; each closes it
 * ------------------------------------------------------------ */

/* Reads the columns of a row into *into, of the type that the reader knows; all that has no column is 0
 * already. */
typedef void (*row_reader)(struct statement *row, struct arena *arena, void *into);

/* All rows as an array in the arena. `rows` is the address of the caller's pointer to them; rows are row_size
 * long. */
int statement_rows(struct statement *statement, struct arena *arena, row_reader reader, size_t row_size,
                   void *rows, size_t *count, struct error *err);
/* The first column of all rows, as texts in the arena. */
int statement_texts(struct statement *statement, struct arena *arena, const char *const **texts,
                    size_t *count, struct error *err);
/* The first row, or the only one, into *into: 1; none, or for the only one several: 0; failure: -1. */
int statement_first(struct statement *statement, struct arena *arena, row_reader reader, void *into,
                    struct error *err);
int statement_only(struct statement *statement, struct arena *arena, row_reader reader, void *into,
                   struct error *err);
/* The first column of the first row; without a row NULL, 0, false. */
int statement_first_text(struct statement *statement, struct arena *arena, const char **text,
                         struct error *err);
int statement_first_integer(struct statement *statement, int64_t *value, struct error *err);
int statement_first_size(struct statement *statement, uint64_t *value, struct error *err);
int statement_exists(struct statement *statement, bool *exists, struct error *err);

/* The row with that id, or the only one whose id begins so when that is of some length. Both queries have one
 * parameter. 1, 0 when there is none or several begin so, -1. */
int statement_find(struct catalog *catalog, struct arena *arena, enum sql_query by_id,
                   enum sql_query by_prefix, const char *reference, row_reader reader, void *into,
                   struct error *err);
enum { STATEMENT_PREFIX_MIN = 8 };

enum statement_outcome {
    STATEMENT_FAILED = -1, /* err is set */
    STATEMENT_DONE = 0,
    STATEMENT_NOTHING = 1,  /* no row was changed */
    STATEMENT_TAKEN = 2,    /* a unique column has that value already; err is set */
    STATEMENT_DANGLING = 3, /* a referenced row is missing, or is still referenced; err is set */
};
/* Run a statement that gives no rows, and close it. */
enum statement_outcome statement_run(struct statement *statement, struct error *err);
/* The same when it is nothing special that no row was changed. */
int statement_execute(struct statement *statement, struct error *err);

/* For lists: after which row to go on, and how many rows to give; NULL is the first page, 0 or too many rows
 * become the most. */
void statement_bind_page(struct statement *statement, const struct catalog_page *page); /* both */
int64_t catalog_page_after(const struct catalog_page *page);
int64_t catalog_page_before(const struct catalog_page *page); /* newest first: the beginning is behind all */
int64_t catalog_page_limit(const struct catalog_page *page);

#endif
