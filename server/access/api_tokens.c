/* API tokens, and the sessions beside them. */
#include "base/clock.h"
#include "base/log.h"
#include "server/access/api_users.h"

#include <openssl/crypto.h>
#include <string.h>

enum { DAYS_DEFAULT = 90, DAYS_MAX = 3650, TOKENS_MAX = 100, TOKEN_NAME_MAX = 50 };
static const int64_t day_ms = 24 * 60 * 60 * 1000;

static json_t *token_json(const struct catalog_access_token *token)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:o}", "id", token->id, "user",
                     token->user_name, "kind", token->kind == ACCESS_SESSION ? "session" : "api", "name",
                     token->name, "role", access_role_name(access_role_lesser(token->role, token->user_role)),
                     "destructive", token->destructive, "address", api_text_or_null(token->address),
                     "created", api_time(token->created_ms), "expires", api_time(token->expires_ms),
                     "last_used", api_time(token->last_used_ms));
}

/* Whose tokens he may see and end: NULL for everybody's. */
static const char *reach(const struct api_call *call)
{
    return api_is_full_administrator(call) ? NULL : call->identity.user_id;
}

int api_access_token_list(struct api_call *call, struct error *err)
{
    struct catalog_page page;
    const struct catalog_access_token *tokens;
    size_t count;
    if (api_page(call, &page, err) != 0 ||
        catalog_access_token_list(server_catalog(call->server), call->arena, reach(call), &page, &tokens,
                                  &count, err) != 0) {
        return -1;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(items, token_json(&tokens[i]));
    }
    call->reply = api_list(items, &page, count > 0 ? tokens[count - 1].number : 0);
    return 0;
}

struct wanted {
    const char *name;
    const struct catalog_user *owner;
    enum access_role role;
    bool destructive;
    int64_t days;
};

static int read_wanted(struct api_call *call, struct wanted *wanted, struct error *err)
{
    static const char *const fields[] = {"name", "user", "role", "days", "destructive", NULL};
    struct catalog *catalog = server_catalog(call->server);
    const char *user = NULL;
    const char *role = NULL;
    *wanted = (struct wanted){.days = DAYS_DEFAULT};
    if (api_check_fields(call->body, fields, err) != 0 ||
        api_text_field(call->body, "name", &wanted->name, err) != 0 ||
        api_text_field(call->body, "user", &user, err) != 0 ||
        api_text_field(call->body, "role", &role, err) != 0 ||
        api_number_field(call->body, "days", 1, DAYS_MAX, &wanted->days, err) != 0 ||
        api_boolean_field(call->body, "destructive", &wanted->destructive, err) != 0) {
        return -1;
    }
    if (wanted->name == NULL || *wanted->name == '\0' || strlen(wanted->name) > TOKEN_NAME_MAX) {
        return error_set(err, ERROR_REQUEST_INVALID, "A token needs a name of at most %d bytes",
                         TOKEN_NAME_MAX);
    }
    if (user != NULL && !api_is_full_administrator(call)) {
        return error_set(err, ERROR_PERMISSION_DENIED, "Only administrators make tokens for others");
    }
    wanted->owner =
        catalog_user_find(catalog, call->arena, user != NULL ? user : call->identity.user_id, err);
    if (wanted->owner == NULL) {
        return -1;
    }
    wanted->role = wanted->owner->role;
    if (role != NULL && access_role_parse(role, &wanted->role) != 0) {
        return error_set(err, ERROR_REQUEST_INVALID,
                         "There is no role %.40s: administrator, operator or viewer", role);
    }
    return access_role_allows(wanted->owner->role, wanted->role)
               ? 0
               : error_set(err, ERROR_PERMISSION_DENIED, "%s is %s; a token can't be more",
                           wanted->owner->name, access_role_name(wanted->owner->role));
}

/* Those for what can't be undone are made by a second factor, which they don't need later. Where two persons
 * are demanded, nobody can act as another. */
static int permit(struct api_call *call, const struct wanted *wanted, struct error *err)
{
    unsigned count;
    bool for_another = strcmp(wanted->owner->id, call->identity.user_id) != 0;
    if (for_another && access_second_person_demanded(call->access)) {
        return error_set(err, ERROR_PERMISSION_DENIED,
                         "Where a second person is demanded everyone makes his own tokens; %s does it",
                         wanted->owner->name);
    }
    if ((wanted->destructive || for_another) && access_confirm_alone(call, err) != 0) {
        return -1;
    }
    if (catalog_access_token_count(server_catalog(call->server), wanted->owner->id, &count, err) != 0) {
        return -1;
    }
    return count < TOKENS_MAX
               ? 0
               : error_set(err, ERROR_LIMIT_EXCEEDED, "%s has %u tokens already", wanted->owner->name, count);
}

int api_access_token_create(struct api_call *call, struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    struct wanted wanted;
    char token[SECRET_TOKEN_SIZE];
    char digest[SECRET_DIGEST_SIZE];
    char id[IDENTITY_SIZE];
    if (api_require_session(call, err) != 0 || read_wanted(call, &wanted, err) != 0 ||
        permit(call, &wanted, err) != 0) {
        return -1;
    }
    secret_make_token("hft_", token);
    secret_digest(token, digest);
    identity_create(id);
    struct catalog_access_token row = {.id = id,
                                       .user_id = wanted.owner->id,
                                       .kind = ACCESS_API,
                                       .name = wanted.name,
                                       .role = wanted.role,
                                       .destructive = wanted.destructive,
                                       .address = call->address,
                                       .expires_ms = clock_wall_ms() + wanted.days * day_ms};
    const struct catalog_access_token *made =
        catalog_access_token_insert(catalog, &row, digest, err) == 0
            ? catalog_access_token_find(catalog, call->arena, NULL, id, err)
            : NULL;
    if (made == NULL) {
        return -1;
    }
    log_event(LOG_INFO, "token made", "token=%s user=%s by=%s", id, wanted.owner->name, call->actor);
    call->status = 201;
    call->reply = token_json(made);
    json_object_set_new(call->reply, "token", json_string(token));
    call->reply_is_secret = true;
    OPENSSL_cleanse(token, sizeof token);
    return 0;
}

int api_access_token_delete(struct api_call *call, struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    const struct catalog_access_token *token =
        catalog_access_token_find(catalog, call->arena, reach(call), call->parameters[0], err);
    if (token == NULL || catalog_access_token_delete(catalog, token->id, err) != 0) {
        return -1;
    }
    log_event(LOG_INFO, "token revoked", "token=%s user=%s by=%s", token->id, token->user_name, call->actor);
    call->reply = json_object();
    return 0;
}
