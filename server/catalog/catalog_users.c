/* Users, what they are scoped to, and their recovery codes. */
#include "base/clock.h"
#include "server/catalog/catalog_access.h"
#include "server/catalog/catalog_statement.h"

static enum access_role read_role(struct statement *row, struct arena *arena)
{
    enum access_role role = ROLE_VIEWER;
    access_role_parse(statement_text(row, arena), &role);
    return role;
}

static void user_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_user *user = into;
    user->number = statement_integer(row);
    user->id = statement_text(row, arena);
    user->name = statement_text(row, arena);
    user->role = read_role(row, arena);
    user->everything = statement_boolean(row);
    user->disabled = statement_boolean(row);
    user->password_hash = statement_text(row, arena);
    user->pin_hash = statement_text(row, arena);
    user->totp_secret = statement_text(row, arena);
    user->totp_pending = statement_text(row, arena);
    user->totp_last_step = statement_integer(row);
    user->created_ms = statement_integer(row);
    user->last_login_ms = statement_integer(row);
    user->recovery_codes = statement_unsigned(row);
}

static int user_result(enum statement_outcome outcome, const struct catalog_user *user, struct error *err)
{
    switch (outcome) {
    case STATEMENT_DONE:
        return 0;
    case STATEMENT_NOTHING:
        return error_set(err, ERROR_USER_NOT_FOUND, "There is no user %s", user->id);
    case STATEMENT_TAKEN:
        return error_set(err, ERROR_NAME_TAKEN, "There is a user called %s already", user->name);
    default:
        return -1;
    }
}

int catalog_user_insert(struct catalog *catalog, const struct catalog_user *user, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_USER_INSERT);
    statement_bind_text(statement, user->id);
    statement_bind_text(statement, user->name);
    statement_bind_text(statement, access_role_name(user->role));
    statement_bind_integer(statement, user->everything);
    statement_bind_integer(statement, user->disabled);
    statement_bind_text(statement, user->password_hash);
    statement_bind_integer(statement, clock_wall_ms());
    return user_result(statement_run(statement, err), user, err);
}

int catalog_user_update(struct catalog *catalog, const struct catalog_user *user, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_USER_UPDATE);
    statement_bind_text(statement, user->id);
    statement_bind_text(statement, user->name);
    statement_bind_text(statement, access_role_name(user->role));
    statement_bind_integer(statement, user->everything);
    statement_bind_integer(statement, user->disabled);
    return user_result(statement_run(statement, err), user, err);
}

/* A statement with the user's id and one text or none; all that is changed is one row. */
static int change_user(struct catalog *catalog, enum sql_query query, const char *id, const char *text,
                       struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_text(statement, id);
    if (text != NULL) {
        statement_bind_text(statement, text);
    }
    return user_result(statement_run(statement, err), &(struct catalog_user){.id = id, .name = ""}, err);
}

int catalog_user_delete(struct catalog *catalog, const char *id, struct error *err)
{
    return change_user(catalog, SQL_USER_DELETE, id, NULL, err);
}

int catalog_user_set_password(struct catalog *catalog, const char *id, const char *hash, struct error *err)
{
    return change_user(catalog, SQL_USER_SET_PASSWORD, id, hash, err);
}

int catalog_user_set_pin(struct catalog *catalog, const char *id, const char *hash, struct error *err)
{
    return change_user(catalog, SQL_USER_SET_PIN, id, hash, err);
}

int catalog_user_set_totp_pending(struct catalog *catalog, const char *id, const char *secret,
                                  struct error *err)
{
    return change_user(catalog, SQL_USER_SET_TOTP_PENDING, id, secret, err);
}

int catalog_user_set_totp_secret(struct catalog *catalog, const char *id, const char *secret,
                                 struct error *err)
{
    return change_user(catalog, SQL_USER_SET_TOTP_SECRET, id, secret, err);
}

/* *changed: was there a row that this changed? */
static int run_changes(struct statement *statement, bool *changed, struct error *err)
{
    enum statement_outcome outcome = statement_run(statement, err);
    *changed = outcome == STATEMENT_DONE;
    return outcome == STATEMENT_DONE || outcome == STATEMENT_NOTHING ? 0 : -1;
}

int catalog_user_confirm_totp(struct catalog *catalog, const char *id, const char *secret, int64_t step,
                              bool *done, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_USER_CONFIRM_TOTP);
    statement_bind_text(statement, id);
    statement_bind_integer(statement, step);
    statement_bind_text(statement, secret);
    return run_changes(statement, done, err);
}

int catalog_user_clear_factors(struct catalog *catalog, const char *id, struct error *err)
{
    return change_user(catalog, SQL_USER_CLEAR_FACTORS, id, NULL, err) != 0
               ? -1
               : catalog_recovery_code_clear(catalog, id, err);
}

int catalog_user_use_totp_step(struct catalog *catalog, const char *id, int64_t step, bool *fresh,
                               struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_USER_USE_TOTP_STEP);
    statement_bind_text(statement, id);
    statement_bind_integer(statement, step);
    return run_changes(statement, fresh, err);
}

int catalog_user_logged_in(struct catalog *catalog, const char *id, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_USER_LOGGED_IN);
    statement_bind_text(statement, id);
    statement_bind_integer(statement, clock_wall_ms());
    return statement_execute(statement, err);
}

const struct catalog_user *catalog_user_find(struct catalog *catalog, struct arena *arena,
                                             const char *reference, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_USER_FIND);
    struct catalog_user *user = arena_alloc(arena, sizeof *user);
    statement_bind_text(statement, reference);
    int found = statement_first(statement, arena, user_read, user, err);
    if (found == 0) {
        error_set(err, ERROR_USER_NOT_FOUND, "There is no user %.100s", reference);
    }
    return found > 0 ? user : NULL;
}

int catalog_user_list(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                      const struct catalog_user **users, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_USER_LIST);
    statement_bind_page(statement, page);
    return statement_rows(statement, arena, user_read, sizeof **users, users, count, err);
}

/* --- groups */

static void user_group_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_user_group *group = into;
    group->id = statement_text(row, arena);
    group->name = statement_text(row, arena);
}

int catalog_user_groups(struct catalog *catalog, struct arena *arena, const char *user_id,
                        const struct catalog_user_group **groups, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_USER_GROUP_LIST);
    statement_bind_text(statement, user_id);
    return statement_rows(statement, arena, user_group_read, sizeof **groups, groups, count, err);
}

static int run_pair(struct catalog *catalog, enum sql_query query, const char *a, const char *b,
                    bool *changed, struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_text(statement, a);
    if (b != NULL) {
        statement_bind_text(statement, b);
    }
    return run_changes(statement, changed, err);
}

int catalog_user_set_groups(struct catalog *catalog, const char *user_id, const char *const *group_ids,
                            size_t count, struct error *err)
{
    bool changed;
    int result = run_pair(catalog, SQL_USER_GROUP_CLEAR, user_id, NULL, &changed, err);
    for (size_t i = 0; i < count && result == 0; i++) {
        result = run_pair(catalog, SQL_USER_GROUP_ADD, user_id, group_ids[i], &changed, err);
    }
    return result;
}

/* --- recovery codes */

int catalog_recovery_code_add(struct catalog *catalog, const char *user_id, const char *hash,
                              struct error *err)
{
    bool changed;
    return run_pair(catalog, SQL_RECOVERY_CODE_ADD, user_id, hash, &changed, err);
}

int catalog_recovery_code_clear(struct catalog *catalog, const char *user_id, struct error *err)
{
    bool changed;
    return run_pair(catalog, SQL_RECOVERY_CODE_CLEAR, user_id, NULL, &changed, err);
}

int catalog_recovery_code_use(struct catalog *catalog, const char *user_id, const char *hash, bool *used,
                              struct error *err)
{
    return run_pair(catalog, SQL_RECOVERY_CODE_USE, user_id, hash, used, err);
}
