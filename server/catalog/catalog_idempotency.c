#include "server/catalog/catalog_idempotency.h"

#include "base/clock.h"
#include "server/catalog/catalog_statement.h"
#include <string.h>

enum { KEPT_MS = 24 * 3600 * 1000, KEPT_MAX = 1000 /* for one actor */ };

static int prune(struct catalog *catalog, const char *actor, int64_t now_ms, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_IDEMPOTENCY_PRUNE);
    statement_bind_integer(statement, now_ms - KEPT_MS);
    if (statement_execute(statement, err) != 0) {
        return -1;
    }
    statement = statement_open(catalog, SQL_IDEMPOTENCY_TRIM);
    statement_bind_text(statement, actor);
    statement_bind_integer(statement, KEPT_MAX);
    return statement_execute(statement, err);
}

static int find(struct catalog *catalog, struct arena *arena, struct catalog_request *request,
                enum catalog_request_state *state, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_IDEMPOTENCY_GET);
    statement_bind_text(statement, request->actor);
    statement_bind_text(statement, request->key);
    int found = statement_next(statement, err);
    if (found > 0) {
        request->fingerprint = statement_text(statement, arena);
        const char *name = statement_text(statement, arena);
        *state = strcmp(name, "done") == 0      ? CATALOG_REQUEST_DONE
                 : strcmp(name, "running") == 0 ? CATALOG_REQUEST_RUNNING
                                                : CATALOG_REQUEST_UNKNOWN;
        request->status = (int)statement_integer(statement);
        request->answer = statement_text(statement, arena);
    }
    statement_close(statement);
    return found > 0 ? 0 : -1;
}

int catalog_request_begin(struct catalog *catalog, struct arena *arena, struct catalog_request *request,
                          enum catalog_request_state *state, struct error *err)
{
    int64_t now_ms = clock_wall_ms();
    int result = -1;
    pthread_mutex_lock(&catalog->lock); /* nothing comes between not finding and finding */
    if (prune(catalog, request->actor, now_ms, err) == 0) {
        struct statement *statement = statement_open(catalog, SQL_IDEMPOTENCY_BEGIN);
        statement_bind_text(statement, request->actor);
        statement_bind_text(statement, request->key);
        statement_bind_text(statement, request->fingerprint);
        statement_bind_integer(statement, now_ms);
        enum statement_outcome outcome = statement_run(statement, err);
        *state = CATALOG_REQUEST_NEW;
        result = outcome == STATEMENT_DONE      ? 0
                 : outcome == STATEMENT_NOTHING ? find(catalog, arena, request, state, err)
                                                : -1;
    }
    pthread_mutex_unlock(&catalog->lock);
    return result;
}

int catalog_request_done(struct catalog *catalog, const struct catalog_request *request, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_IDEMPOTENCY_DONE);
    statement_bind_text(statement, request->actor);
    statement_bind_text(statement, request->key);
    statement_bind_text(statement, "done");
    statement_bind_integer(statement, request->status);
    statement_bind_text(statement, request->answer);
    return statement_execute(statement, err);
}

int catalog_request_forget(struct catalog *catalog, const struct catalog_request *request, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_IDEMPOTENCY_FORGET);
    statement_bind_text(statement, request->actor);
    statement_bind_text(statement, request->key);
    return statement_execute(statement, err);
}

int catalog_request_interrupted(struct catalog *catalog, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_IDEMPOTENCY_INTERRUPTED);
    return statement_execute(statement, err);
}
