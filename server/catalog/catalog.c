#include "server/catalog/catalog.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/catalog/catalog_statement.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { CATALOG_BUSY_TIMEOUT_MS = 5000, CATALOG_TOKEN_KEPT_MS = 30 * 24 * 3600 * 1000L };

static int catalog_execute(struct catalog *catalog, const char *doing, const char *sql, struct error *err)
{
    if (sqlite3_exec(catalog->database, sql, NULL, NULL, NULL) != SQLITE_OK) {
        return catalog_failed(catalog, doing, err);
    }
    return 0;
}

static int catalog_version(struct catalog *catalog, int *version, struct error *err)
{
    sqlite3_stmt *query = NULL;
    if (sqlite3_prepare_v2(catalog->database, "PRAGMA user_version", -1, &query, NULL) != SQLITE_OK) {
        return catalog_failed(catalog, "open", err);
    }
    int result = 0;
    if (sqlite3_step(query) == SQLITE_ROW) {
        *version = sqlite3_column_int(query, 0);
    } else {
        result = catalog_failed(catalog, "open", err);
    }
    sqlite3_finalize(query);
    return result;
}

/* One migration and its version number are one transaction: a crash leaves the version before or after. */
static int catalog_migrate_one(struct catalog *catalog, int version, struct error *err)
{
    char pragma[64];
    snprintf(pragma, sizeof pragma, "PRAGMA user_version = %d", version);
    if (catalog_execute(catalog, "migrate", "BEGIN IMMEDIATE", err) != 0) {
        return -1;
    }
    if (catalog_execute(catalog, "migrate", sql_migrations[version - 1], err) != 0 ||
        catalog_execute(catalog, "migrate", pragma, err) != 0 ||
        catalog_execute(catalog, "migrate", "COMMIT", err) != 0) {
        sqlite3_exec(catalog->database, "ROLLBACK", NULL, NULL, NULL);
        return -1;
    }
    return 0;
}

static int catalog_migrate(struct catalog *catalog, const char *path, struct error *err)
{
    int version = 0;
    if (catalog_version(catalog, &version, err) != 0) {
        return -1;
    }
    if (version < 0 || version > SQL_MIGRATION_COUNT) {
        return error_set(err, ERROR_CATALOG_NEWER,
                         "The catalog %s was written by a newer version (%d; this server knows %d)", path,
                         version, SQL_MIGRATION_COUNT);
    }
    /* Only now: these write to the file. */
    if (catalog_execute(catalog, "open", "PRAGMA journal_mode = WAL", err) != 0 ||
        catalog_execute(catalog, "open", "PRAGMA synchronous = FULL", err) != 0 ||
        catalog_execute(catalog, "open", "PRAGMA foreign_keys = ON", err) != 0) {
        return -1;
    }
    while (version < SQL_MIGRATION_COUNT) {
        version++;
        if (catalog_migrate_one(catalog, version, err) != 0) {
            return -1;
        }
        log_event(LOG_INFO, "catalog migrated", "version=%d", version);
    }
    return 0;
}

static void catalog_create_locks(struct catalog *catalog)
{
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&catalog->lock, &recursive);
    for (size_t i = 0; i < CATALOG_READERS; i++) {
        pthread_mutex_init(&catalog->readers[i].lock, &recursive);
    }
    pthread_mutexattr_destroy(&recursive);
}

static int catalog_connect(const char *path, sqlite3 **database, struct error *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, database, flags, NULL) != SQLITE_OK) {
        error_set(err, ERROR_CATALOG_FAILED, "The catalog %s can't be opened", path);
        return error_set_cause(err, "%s", *database == NULL ? "out of memory" : sqlite3_errmsg(*database));
    }
    sqlite3_extended_result_codes(*database, 1);
    sqlite3_busy_timeout(*database, CATALOG_BUSY_TIMEOUT_MS);
    return 0;
}

static int catalog_connect_readers(struct catalog *catalog, const char *path, struct error *err)
{
    for (size_t i = 0; i < CATALOG_READERS; i++) {
        struct catalog_reader *reader = &catalog->readers[i];
        if (catalog_connect(path, &reader->database, err) != 0) {
            return -1;
        }
        if (sqlite3_exec(reader->database, "PRAGMA query_only = ON", NULL, NULL, NULL) != SQLITE_OK) {
            error_set(err, ERROR_CATALOG_FAILED, "The catalog failed (open)");
            return error_set_cause(err, "%s", sqlite3_errmsg(reader->database));
        }
    }
    return 0;
}

struct catalog *catalog_open(const char *path, struct error *err)
{
    struct catalog *catalog = memory_zalloc(sizeof *catalog);
    catalog_create_locks(catalog);
    if (catalog_connect(path, &catalog->database, err) != 0 || catalog_migrate(catalog, path, err) != 0 ||
        catalog_connect_readers(catalog, path, err) != 0) {
        catalog_close(catalog);
        return NULL;
    }
    return catalog;
}

static void catalog_disconnect(sqlite3 *database, struct statement *statements, pthread_mutex_t *lock)
{
    for (size_t i = 0; i < SQL_QUERY_COUNT; i++) {
        sqlite3_finalize(statements[i].prepared);
    }
    sqlite3_close(database);
    pthread_mutex_destroy(lock);
}

void catalog_on_full(struct catalog *catalog, bool (*make_room)(void *cookie), void *cookie)
{
    pthread_mutex_lock(&catalog->lock);
    catalog->make_room = make_room;
    catalog->make_room_cookie = cookie;
    pthread_mutex_unlock(&catalog->lock);
}

void catalog_close(struct catalog *catalog)
{
    if (catalog == NULL) {
        return;
    }
    for (size_t i = 0; i < CATALOG_READERS; i++) {
        struct catalog_reader *reader = &catalog->readers[i];
        catalog_disconnect(reader->database, reader->statements, &reader->lock);
    }
    catalog_disconnect(catalog->database, catalog->statements, &catalog->lock);
    free(catalog);
}

int catalog_begin(struct catalog *catalog, struct error *err)
{
    pthread_mutex_lock(&catalog->lock);
    if (statement_execute(statement_open(catalog, SQL_BEGIN), err) != 0) {
        pthread_mutex_unlock(&catalog->lock);
        return -1;
    }
    catalog_note_transaction(true);
    return 0;
}

int catalog_commit(struct catalog *catalog, struct error *err)
{
    if (statement_execute(statement_open(catalog, SQL_COMMIT), err) != 0) {
        catalog_roll_back(catalog);
        return -1;
    }
    catalog_note_transaction(false);
    pthread_mutex_unlock(&catalog->lock);
    return 0;
}

void catalog_roll_back(struct catalog *catalog)
{
    struct error ignored; /* SQLite may have rolled back by itself: there is nothing to undo then */
    if (sqlite3_get_autocommit(catalog->database) == 0) {
        statement_execute(statement_open(catalog, SQL_ROLL_BACK), &ignored);
    }
    catalog_note_transaction(false);
    pthread_mutex_unlock(&catalog->lock);
}

int catalog_end(struct catalog *catalog, int result, struct error *err)
{
    if (result == 0) {
        return catalog_commit(catalog, err);
    }
    catalog_roll_back(catalog);
    return -1;
}

int catalog_rewrite(struct catalog *catalog, struct error *err)
{
    int64_t blocked;
    if (statement_execute(statement_open(catalog, SQL_VACUUM), err) != 0 ||
        statement_first_integer(statement_open(catalog, SQL_CHECKPOINT), &blocked, err) != 0) {
        return -1;
    }
    return blocked != 0 ? error_set(err, ERROR_CATALOG_FAILED, "The catalog is in use by another program")
                        : 0;
}

int catalog_setting_get(struct catalog *catalog, struct arena *arena, const char *name, const char **value,
                        struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_SETTING_GET);
    statement_bind_text(statement, name);
    return statement_first_text(statement, arena, value, err);
}

int catalog_setting_set(struct catalog *catalog, const char *name, const char *value, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_SETTING_SET);
    statement_bind_text(statement, name);
    statement_bind_text(statement, value);
    return statement_execute(statement, err);
}

int catalog_token_insert(struct catalog *catalog, const char *id, const char *secret_hash, int64_t expires_ms,
                         struct error *err)
{
    int64_t now = clock_wall_ms();
    struct statement *statement = statement_open(catalog, SQL_TOKEN_PRUNE);
    statement_bind_integer(statement, now - CATALOG_TOKEN_KEPT_MS);
    if (statement_execute(statement, err) != 0) {
        return -1;
    }
    statement = statement_open(catalog, SQL_TOKEN_INSERT);
    statement_bind_text(statement, id);
    statement_bind_text(statement, secret_hash);
    statement_bind_integer(statement, now);
    statement_bind_integer(statement, expires_ms);
    return statement_execute(statement, err);
}

int catalog_token_check(struct catalog *catalog, const char *secret_hash, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_TOKEN_CHECK);
    statement_bind_text(statement, secret_hash);
    statement_bind_integer(statement, clock_wall_ms());
    bool usable;
    if (statement_exists(statement, &usable, err) != 0) {
        return -1;
    }
    return usable
               ? 0
               : error_set(err, ERROR_ENROL_TOKEN_INVALID, "The enrolment token is unknown, used or expired");
}

int catalog_token_use(struct catalog *catalog, const char *secret_hash, const char *host_id,
                      struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_TOKEN_USE);
    statement_bind_text(statement, secret_hash);
    statement_bind_integer(statement, clock_wall_ms());
    statement_bind_text(statement, host_id);
    switch (statement_run(statement, err)) {
    case STATEMENT_DONE:
        return 0;
    case STATEMENT_NOTHING:
        return error_set(err, ERROR_ENROL_TOKEN_INVALID, "The enrolment token is unknown, used or expired");
    default:
        return -1;
    }
}
