/* Users, as administrators see and change them. */
#include "server/access/api_users.h"
#include "base/log.h"

#include <ctype.h>
#include <string.h>

enum { USER_NAME_MIN = 2, USER_NAME_MAX = 50 };

json_t *api_user_json(struct api_call *call, const struct catalog_user *user, struct error *err)
{
    const struct catalog_user_group *groups;
    size_t count;
    if (catalog_user_groups(server_catalog(call->server), call->arena, user->id, &groups, &count, err) != 0) {
        return NULL;
    }
    json_t *names = user->everything ? json_null() : json_array();
    for (size_t i = 0; i < count && !user->everything; i++) {
        json_array_append_new(names, json_string(groups[i].name));
    }
    const char *factor = user->totp_secret[0] != '\0' ? "totp" : user->pin_hash[0] != '\0' ? "pin" : NULL;
    return json_pack("{s:s, s:s, s:s, s:o, s:b, s:b, s:s?, s:i, s:o, s:o}", "id", user->id, "name",
                     user->name, "role", access_role_name(user->role), "groups", names, "disabled",
                     user->disabled, "has_password", user->password_hash[0] != '\0', "second_factor", factor,
                     "recovery_codes", (int)user->recovery_codes, "created", api_time(user->created_ms),
                     "last_login", api_time(user->last_login_ms));
}

bool api_is_full_administrator(const struct api_call *call)
{
    return call->identity.role == ROLE_ADMINISTRATOR && call->identity.everything;
}

static const struct catalog_user *find_user(struct api_call *call, struct error *err)
{
    return catalog_user_find(server_catalog(call->server), call->arena, call->parameters[0], err);
}

int api_user_list(struct api_call *call, struct error *err)
{
    struct catalog_page page;
    const struct catalog_user *users;
    size_t count;
    if (api_page(call, &page, err) != 0 ||
        catalog_user_list(server_catalog(call->server), call->arena, &page, &users, &count, err) != 0) {
        return -1;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *item = api_user_json(call, &users[i], err);
        if (item == NULL) {
            json_decref(items);
            return -1;
        }
        json_array_append_new(items, item);
    }
    call->reply = api_list(items, &page, count > 0 ? users[count - 1].number : 0);
    return 0;
}

int api_user_show(struct api_call *call, struct error *err)
{
    const struct catalog_user *user = find_user(call, err);
    call->reply = user != NULL ? api_user_json(call, user, err) : NULL;
    return call->reply != NULL ? 0 : -1;
}

/* --- making and changing */

static int check_name(const char *name, struct error *err)
{
    size_t length = strlen(name);
    bool valid = length >= USER_NAME_MIN && length <= USER_NAME_MAX && isalpha((unsigned char)name[0]);
    for (const char *c = name; *c != '\0'; c++) {
        valid = valid && (isalnum((unsigned char)*c) || strchr("-_.@", *c) != NULL);
    }
    return valid ? 0
                 : error_set(
                       err, ERROR_USER_INVALID,
                       "“%.60s” is no name of a user: 2 to 50 letters, digits and - _ . @, a letter first",
                       name);
}

int api_read_password(struct api_call *call, const char *user_name, char hash[SECRET_HASH_SIZE],
                      struct error *err)
{
    const char *password = NULL;
    const char *kept = NULL;
    hash[0] = '\0';
    if (api_text_field(call->body, "password", &password, err) != 0 ||
        api_text_field(call->body, "password_hash", &kept, err) != 0) {
        return -1;
    }
    if (kept != NULL && !call->approved) {
        return error_set(err, ERROR_REQUEST_INVALID, "There is no field password_hash in this request");
    }
    if (kept != NULL && strlen(kept) < SECRET_HASH_SIZE) {
        memcpy(hash, kept, strlen(kept) + 1);
        return 0;
    }
    if (password == NULL) {
        return 0;
    }
    if (strlen(password) < SECRET_PASSWORD_MIN || strlen(password) > SECRET_PASSWORD_MAX) {
        return error_set(err, ERROR_USER_INVALID, "A password has %d to %d bytes", SECRET_PASSWORD_MIN,
                         SECRET_PASSWORD_MAX);
    }
    if (strcmp(password, user_name) == 0) {
        return error_set(err, ERROR_USER_INVALID, "The password must not be the name of the user");
    }
    secret_hash_password(password, hash);
    return hash[0] != '\0' ? 0 : error_set(err, ERROR_INTERNAL, "The password could not be hashed");
}

static int read_role(struct api_call *call, enum access_role *role, struct error *err)
{
    const char *name = NULL;
    if (api_text_field(call->body, "role", &name, err) != 0) {
        return -1;
    }
    return name == NULL || access_role_parse(name, role) == 0
               ? 0
               : error_set(err, ERROR_REQUEST_INVALID,
                           "There is no role %.40s: administrator, operator or viewer", name);
}

/* The groups that the request says; *said false when it says nothing about them. null is everything. */
static int read_groups(struct api_call *call, struct catalog_user *user, bool *said, const char *const **ids,
                       size_t *count, struct error *err)
{
    json_t *names = json_object_get(call->body, "groups");
    const char **list = arena_alloc(call->arena, (json_array_size(names) + 1) * sizeof *list);
    *said = names != NULL;
    *count = json_array_size(names);
    *ids = list;
    if (names == NULL || json_is_null(names)) {
        user->everything = user->everything || names != NULL;
        return 0;
    }
    if (!json_is_array(names)) {
        return error_set(err, ERROR_REQUEST_INVALID,
                         "groups must be a list of groups, or null for everything");
    }
    user->everything = false;
    for (size_t i = 0; i < *count; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (name == NULL) {
            return error_set(err, ERROR_REQUEST_INVALID, "groups must be a list of names or ids");
        }
        const struct catalog_group *group =
            catalog_group_find(server_catalog(call->server), call->arena, name, err);
        if (group == NULL) {
            return -1;
        }
        list[i] = group->id;
    }
    return 0;
}

/* The user and his groups, as one. */
static int save(struct api_call *call, const struct catalog_user *user, bool is_new, bool groups_said,
                const char *const *group_ids, size_t count, struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    if (catalog_begin(catalog, err) != 0) {
        return -1;
    }
    bool done = (is_new ? catalog_user_insert : catalog_user_update)(catalog, user, err) == 0 &&
                (!groups_said || catalog_user_set_groups(catalog, user->id, group_ids, count, err) == 0) &&
                (!user->disabled || catalog_access_token_end_sessions(catalog, user->id, "", err) == 0);
    return catalog_end(catalog, done ? 0 : -1, err);
}

int api_user_create(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"name", "role", "groups", "password", "password_hash", NULL};
    struct catalog_user user = {.role = ROLE_VIEWER, .everything = true};
    char hash[SECRET_HASH_SIZE];
    char id[IDENTITY_SIZE];
    const char *const *groups;
    size_t count;
    bool said;
    if (api_check_fields(call->body, fields, err) != 0 ||
        api_text_field(call->body, "name", &user.name, err) != 0 || read_role(call, &user.role, err) != 0 ||
        read_groups(call, &user, &said, &groups, &count, err) != 0) {
        return -1;
    }
    if (user.name == NULL) {
        return error_set(err, ERROR_REQUEST_INVALID, "A user needs a name");
    }
    if (check_name(user.name, err) != 0 ||
        access_confirm(call,
                       arena_format(call->arena, "make user %s, %s", user.name, access_role_name(user.role)),
                       err) != 0 ||
        api_read_password(call, user.name, hash, err) != 0) {
        return -1;
    }
    identity_create(id);
    user.id = id;
    user.password_hash = hash;
    if (save(call, &user, true, said, groups, count, err) != 0) {
        return -1;
    }
    log_event(LOG_INFO, "user made", "user=%s role=%s by=%s", user.name, access_role_name(user.role),
              call->actor);
    call->status = 201;
    call->parameters[0] = arena_text(call->arena, id);
    return api_user_show(call, err);
}

int api_user_edit(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"name", "role", "groups", "disabled", NULL};
    const char *const *groups;
    size_t count;
    bool said;
    const struct catalog_user *user = find_user(call, err);
    if (user == NULL) {
        return -1;
    }
    struct catalog_user changed = *user;
    if (api_check_fields(call->body, fields, err) != 0 ||
        api_text_field(call->body, "name", &changed.name, err) != 0 ||
        read_role(call, &changed.role, err) != 0 ||
        api_boolean_field(call->body, "disabled", &changed.disabled, err) != 0 ||
        read_groups(call, &changed, &said, &groups, &count, err) != 0 || check_name(changed.name, err) != 0) {
        return -1;
    }
    if (strcmp(user->id, CATALOG_ADMIN_ID) == 0) {
        return error_set(err, ERROR_LAST_ADMINISTRATOR, "The built-in administrator stays as he is");
    }
    if (access_confirm(call, arena_format(call->arena, "change user %s", user->name), err) != 0 ||
        save(call, &changed, false, said, groups, count, err) != 0) {
        return -1;
    }
    log_event(LOG_INFO, "user changed", "user=%s role=%s by=%s", changed.name, access_role_name(changed.role),
              call->actor);
    call->parameters[0] = user->id;
    return api_user_show(call, err);
}

int api_user_delete(struct api_call *call, struct error *err)
{
    const struct catalog_user *user = find_user(call, err);
    if (user == NULL) {
        return -1;
    }
    if (strcmp(user->id, CATALOG_ADMIN_ID) == 0) {
        return error_set(err, ERROR_LAST_ADMINISTRATOR, "The built-in administrator can't be removed");
    }
    if (catalog_user_delete(server_catalog(call->server), user->id, err) != 0) {
        return -1;
    }
    log_event(LOG_INFO, "user removed", "user=%s by=%s", user->name, call->actor);
    call->reply = json_object();
    return 0;
}

int api_user_password(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"password", "password_hash", NULL};
    struct catalog *catalog = server_catalog(call->server);
    char hash[SECRET_HASH_SIZE];
    const struct catalog_user *user = find_user(call, err);
    if (user == NULL || api_check_fields(call->body, fields, err) != 0 ||
        api_read_password(call, user->name, hash, err) != 0) {
        return -1;
    }
    if (hash[0] == '\0') {
        return error_set(err, ERROR_REQUEST_INVALID, "There is no password in the request");
    }
    if (catalog_user_set_password(catalog, user->id, hash, err) != 0 ||
        catalog_access_token_end_sessions(catalog, user->id, "", err) != 0) {
        return -1;
    }
    log_event(LOG_INFO, "password reset", "user=%s by=%s", user->name, call->actor);
    return api_user_show(call, err);
}

int api_user_factors_remove(struct api_call *call, struct error *err)
{
    const struct catalog_user *user = find_user(call, err);
    if (user == NULL || catalog_user_clear_factors(server_catalog(call->server), user->id, err) != 0) {
        return -1;
    }
    log_event(LOG_INFO, "second factor removed", "user=%s by=%s", user->name, call->actor);
    return api_user_show(call, err);
}
