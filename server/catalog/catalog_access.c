/* Sessions and API tokens, scopes, approvals. */
#include "server/catalog/catalog_access.h"

#include "base/clock.h"
#include "server/catalog/catalog_statement.h"
#include <string.h>

static enum access_role read_role(struct statement *row, struct arena *arena)
{
    enum access_role role = ROLE_VIEWER;
    access_role_parse(statement_text(row, arena), &role);
    return role;
}

static const char *kind_name(enum access_token_kind kind)
{
    return kind == ACCESS_SESSION ? "session" : "api";
}

static void token_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_access_token *token = into;
    token->number = statement_integer(row);
    token->id = statement_text(row, arena);
    token->user_id = statement_text(row, arena);
    token->user_name = statement_text(row, arena);
    token->kind = strcmp(statement_text(row, arena), "session") == 0 ? ACCESS_SESSION : ACCESS_API;
    token->name = statement_text(row, arena);
    token->role = read_role(row, arena);
    token->destructive = statement_boolean(row);
    token->address = statement_text(row, arena);
    token->created_ms = statement_integer(row);
    token->expires_ms = statement_integer(row);
    token->last_used_ms = statement_integer(row);
    token->user_role = read_role(row, arena);
    token->user_everything = statement_boolean(row);
    token->user_disabled = statement_boolean(row);
}

int catalog_access_token_insert(struct catalog *catalog, const struct catalog_access_token *token,
                                const char *secret_hash, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ACCESS_TOKEN_INSERT);
    statement_bind_text(statement, token->id);
    statement_bind_text(statement, token->user_id);
    statement_bind_text(statement, kind_name(token->kind));
    statement_bind_text(statement, token->name);
    statement_bind_text(statement, secret_hash);
    statement_bind_text(statement, access_role_name(token->role));
    statement_bind_integer(statement, token->destructive);
    statement_bind_text(statement, token->address);
    statement_bind_integer(statement, clock_wall_ms());
    statement_bind_integer(statement, token->expires_ms);
    return statement_execute(statement, err);
}

int catalog_access_token_by_hash(struct catalog *catalog, struct arena *arena, const char *secret_hash,
                                 const struct catalog_access_token **token, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ACCESS_TOKEN_BY_HASH);
    struct catalog_access_token *one = arena_alloc(arena, sizeof *one);
    statement_bind_text(statement, secret_hash);
    int found = statement_first(statement, arena, token_read, one, err);
    *token = found > 0 ? one : NULL;
    return found < 0 ? -1 : 0;
}

const struct catalog_access_token *catalog_access_token_find(struct catalog *catalog, struct arena *arena,
                                                             const char *user_id, const char *reference,
                                                             struct error *err)
{
    struct catalog_access_token *token = arena_alloc(arena, sizeof *token);
    int found = 0;
    if (strlen(reference) >= STATEMENT_PREFIX_MIN) {
        struct statement *statement = statement_open(catalog, SQL_ACCESS_TOKEN_FIND);
        statement_bind_text(statement, reference);
        statement_bind_optional(statement, user_id);
        found = statement_only(statement, arena, token_read, token, err);
    }
    if (found == 0) {
        error_set(err, ERROR_TOKEN_NOT_FOUND, "There is no token %.100s", reference);
    }
    return found > 0 ? token : NULL;
}

int catalog_access_token_list(struct catalog *catalog, struct arena *arena, const char *user_id,
                              const struct catalog_page *page, const struct catalog_access_token **tokens,
                              size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ACCESS_TOKEN_LIST);
    statement_bind_integer(statement, catalog_page_after(page));
    statement_bind_optional(statement, user_id);
    statement_bind_integer(statement, catalog_page_limit(page));
    return statement_rows(statement, arena, token_read, sizeof **tokens, tokens, count, err);
}

int catalog_access_token_used(struct catalog *catalog, const char *id, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ACCESS_TOKEN_USED);
    statement_bind_text(statement, id);
    statement_bind_integer(statement, clock_wall_ms());
    return statement_execute(statement, err);
}

int catalog_access_token_delete(struct catalog *catalog, const char *id, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ACCESS_TOKEN_DELETE);
    statement_bind_text(statement, id);
    return statement_execute(statement, err);
}

int catalog_access_token_end_sessions(struct catalog *catalog, const char *user_id, const char *but,
                                      struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ACCESS_TOKEN_END_SESSIONS);
    statement_bind_text(statement, user_id);
    statement_bind_text(statement, but);
    return statement_execute(statement, err);
}

int catalog_access_token_prune(struct catalog *catalog, const char *user_id, int64_t before_ms,
                               unsigned keep_sessions, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ACCESS_TOKEN_PRUNE);
    statement_bind_integer(statement, before_ms);
    if (statement_execute(statement, err) != 0) {
        return -1;
    }
    statement = statement_open(catalog, SQL_ACCESS_TOKEN_TRIM);
    statement_bind_text(statement, user_id);
    statement_bind_text(statement, kind_name(ACCESS_SESSION));
    statement_bind_integer(statement, keep_sessions);
    return statement_execute(statement, err);
}

/* A statement that gives one number. */
static int read_count(struct statement *statement, unsigned *count, struct error *err)
{
    int64_t number;
    int result = statement_first_integer(statement, &number, err);
    *count = (unsigned)number;
    return result;
}

int catalog_access_token_count(struct catalog *catalog, const char *user_id, unsigned *count,
                               struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ACCESS_TOKEN_COUNT);
    statement_bind_text(statement, user_id);
    statement_bind_text(statement, kind_name(ACCESS_API));
    return read_count(statement, count, err);
}

int catalog_scope_has(struct catalog *catalog, const char *user_id, enum access_object kind, const char *id,
                      bool *has, struct error *err)
{
    static const enum sql_query queries[] = {
        [OBJECT_HOST] = SQL_SCOPE_HAS_HOST,     [OBJECT_VM] = SQL_SCOPE_HAS_VM,
        [OBJECT_POLICY] = SQL_SCOPE_HAS_POLICY, [OBJECT_GROUP] = SQL_SCOPE_HAS_GROUP,
        [OBJECT_POINT] = SQL_SCOPE_HAS_POINT,   [OBJECT_JOB] = SQL_SCOPE_HAS_JOB,
        [OBJECT_ALERT] = SQL_SCOPE_HAS_ALERT,
    };
    struct statement *statement = statement_open(catalog, queries[kind]);
    statement_bind_text(statement, user_id);
    statement_bind_text(statement, id);
    return statement_exists(statement, has, err);
}

/* --- approvals */

static void approval_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_approval *approval = into;
    approval->number = statement_integer(row);
    approval->id = statement_text(row, arena);
    approval->user_id = statement_text(row, arena);
    approval->user_name = statement_text(row, arena);
    approval->what = statement_text(row, arena);
    approval->method = statement_text(row, arena);
    approval->path = statement_text(row, arena);
    approval->query = statement_text(row, arena);
    approval->body = statement_text(row, arena);
    approval->state = statement_text(row, arena);
    approval->decided_by = statement_text(row, arena);
    approval->created_ms = statement_integer(row);
    approval->expires_ms = statement_integer(row);
    approval->decided_ms = statement_integer(row);
}

int catalog_approval_insert(struct catalog *catalog, const struct catalog_approval *approval,
                            struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_APPROVAL_INSERT);
    statement_bind_text(statement, approval->id);
    statement_bind_text(statement, approval->user_id);
    statement_bind_text(statement, approval->what);
    statement_bind_text(statement, approval->method);
    statement_bind_text(statement, approval->path);
    statement_bind_text(statement, approval->query);
    statement_bind_text(statement, approval->body);
    statement_bind_integer(statement, clock_wall_ms());
    statement_bind_integer(statement, approval->expires_ms);
    return statement_execute(statement, err);
}

int catalog_approval_list(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                          const struct catalog_approval **approvals, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_APPROVAL_LIST);
    statement_bind_page(statement, page);
    return statement_rows(statement, arena, approval_read, sizeof **approvals, approvals, count, err);
}

/* The only one that the statement gives; NULL when there is none, or more than one. */
static int only_approval(struct statement *statement, struct arena *arena,
                         const struct catalog_approval **approval, struct error *err)
{
    struct catalog_approval *one = arena_alloc(arena, sizeof *one);
    int found = statement_only(statement, arena, approval_read, one, err);
    *approval = found > 0 ? one : NULL;
    return found < 0 ? -1 : 0;
}

const struct catalog_approval *catalog_approval_find(struct catalog *catalog, struct arena *arena,
                                                     const char *reference, struct error *err)
{
    const struct catalog_approval *approval = NULL;
    struct statement *statement = statement_open(catalog, SQL_APPROVAL_FIND);
    statement_bind_text(statement, reference);
    if (only_approval(statement, arena, &approval, err) != 0) {
        return NULL;
    }
    if (approval == NULL || strlen(reference) < STATEMENT_PREFIX_MIN) {
        error_set(err, ERROR_APPROVAL_NOT_FOUND, "There is no request %.100s that waits for approval",
                  reference);
        return NULL;
    }
    return approval;
}

int catalog_approval_same(struct catalog *catalog, struct arena *arena,
                          const struct catalog_approval *approval, const struct catalog_approval **same,
                          struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_APPROVAL_SAME);
    statement_bind_integer(statement, clock_wall_ms());
    statement_bind_text(statement, approval->user_id);
    statement_bind_text(statement, approval->method);
    statement_bind_text(statement, approval->path);
    statement_bind_text(statement, approval->query);
    statement_bind_text(statement, approval->body);
    return only_approval(statement, arena, same, err);
}

int catalog_approval_decide(struct catalog *catalog, const char *id, bool approved, const char *by,
                            bool *done, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_APPROVAL_DECIDE);
    statement_bind_text(statement, id);
    statement_bind_text(statement, approved ? "approved" : "rejected");
    statement_bind_text(statement, by);
    statement_bind_integer(statement, clock_wall_ms());
    enum statement_outcome outcome = statement_run(statement, err);
    *done = outcome == STATEMENT_DONE;
    return outcome == STATEMENT_FAILED ? -1 : 0;
}

int catalog_approval_count(struct catalog *catalog, const char *user_id, unsigned *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_APPROVAL_COUNT);
    statement_bind_text(statement, user_id);
    statement_bind_integer(statement, clock_wall_ms());
    return read_count(statement, count, err);
}

int catalog_approval_prune(struct catalog *catalog, int64_t before_ms, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_APPROVAL_PRUNE);
    statement_bind_integer(statement, before_ms);
    return statement_execute(statement, err);
}
