/* Logging in and out, and what everyone may change about himself. */
#include "base/clock.h"
#include "base/identity.h"
#include "base/log.h"
#include "server/access/api_users.h"
#include "server/access/factor.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <string.h>

enum { RECOVERY_CODES = 10, PIN_MIN = 6, PIN_MAX = 12 };

/* --- sessions */

int api_session_create(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"user", "password", "code", NULL};
    struct access_login login = {.address = call->address};
    char token[SECRET_TOKEN_SIZE];
    if (api_check_fields(call->body, fields, err) != 0 ||
        api_text_field(call->body, "user", &login.user, err) != 0 ||
        api_text_field(call->body, "password", &login.password, err) != 0 ||
        api_text_field(call->body, "code", &login.code, err) != 0) {
        return -1;
    }
    if (login.user == NULL || login.password == NULL || strlen(login.password) > SECRET_PASSWORD_MAX ||
        (login.code != NULL && strlen(login.code) > SECRET_TOKEN_SIZE)) {
        return error_set(err, ERROR_REQUEST_INVALID, "A login needs a user and a password");
    }
    if (access_log_in(call->access, call->arena, &login, token, &call->identity, &call->retry_after_ms,
                      err) != 0) {
        return -1;
    }
    call->status = 201;
    call->reply =
        json_pack("{s:s, s:s, s:s, s:o}", "token", token, "user", call->identity.user_name, "role",
                  access_role_name(call->identity.role), "expires", api_time(call->identity.expires_ms));
    OPENSSL_cleanse(token, sizeof token);
    return 0;
}

/* API tokens and admin.token are no sessions: nothing ends then. */
int api_session_end(struct api_call *call, struct error *err)
{
    const struct access_identity *identity = &call->identity;
    if (identity->kind == ACCESS_SESSION && identity->token_id[0] != '\0' &&
        catalog_access_token_delete(server_catalog(call->server), identity->token_id, err) != 0) {
        return -1;
    }
    call->reply = json_object();
    return 0;
}

/* --- oneself */

const struct catalog_user *api_own_user(struct api_call *call, struct error *err)
{
    return catalog_user_find(server_catalog(call->server), call->arena, call->identity.user_id, err);
}

int api_require_session(const struct api_call *call, struct error *err)
{
    return call->identity.kind == ACCESS_SESSION
               ? 0
               : error_set(err, ERROR_PERMISSION_DENIED, "Token %s may not do this: log in with a password",
                           call->identity.token_name);
}

int api_me_show(struct api_call *call, struct error *err)
{
    const struct access_identity *identity = &call->identity;
    const struct catalog_user *user = api_own_user(call, err);
    json_t *object = user != NULL ? api_user_json(call, user, err) : NULL;
    if (object == NULL) {
        return -1;
    }
    const char *kind = identity->kind == ACCESS_API    ? "api"
                       : identity->token_id[0] == '\0' ? "admin"
                                                       : "session";
    call->reply = json_pack("{s:o, s:s, s:{s:s, s:o, s:o, s:b}}", "user", object, "role",
                            access_role_name(identity->role), "token", "kind", kind, "name",
                            api_text_or_null(identity->token_name), "expires", api_time(identity->expires_ms),
                            "destructive", identity->kind != ACCESS_API || identity->destructive);
    return 0;
}

int api_me_password(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"old_password", "password", NULL};
    struct catalog *catalog = server_catalog(call->server);
    const char *old = NULL;
    char hash[SECRET_HASH_SIZE];
    const struct catalog_user *user = api_require_session(call, err) == 0 ? api_own_user(call, err) : NULL;
    if (user == NULL || api_check_fields(call->body, fields, err) != 0 ||
        api_text_field(call->body, "old_password", &old, err) != 0) {
        return -1;
    }
    if (json_object_get(call->body, "password") == NULL || (old == NULL && user->password_hash[0] != '\0')) {
        return error_set(err, ERROR_REQUEST_INVALID, "This needs the old and the new password");
    }
    if ((user->password_hash[0] != '\0' &&
         access_check_password(call->access, user, old, &call->retry_after_ms, err) != 0) ||
        api_read_password(call, user->name, hash, err) != 0 ||
        catalog_user_set_password(catalog, user->id, hash, err) != 0 ||
        catalog_access_token_end_sessions(catalog, user->id, call->identity.token_id, err) != 0) {
        return -1;
    }
    log_event(LOG_INFO, "password changed", "user=%s", user->name);
    return api_me_show(call, err);
}

/* --- second factors */

/* One that takes the place of another is confirmed by that other. */
static const struct catalog_user *begin_factor(struct api_call *call, struct error *err)
{
    const struct catalog_user *user = api_require_session(call, err) == 0 ? api_own_user(call, err) : NULL;
    bool has = user != NULL && (user->totp_secret[0] != '\0' || user->pin_hash[0] != '\0');
    return has && access_confirm_alone(call, err) != 0 ? NULL : user;
}

int api_me_totp(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {NULL};
    uint8_t key[TOTP_KEY_SIZE];
    char text[SECRET_BASE32_SIZE];
    const char *sealed;
    const struct catalog_user *user =
        api_check_fields(call->body, fields, err) == 0 ? begin_factor(call, err) : NULL;
    if (user == NULL) {
        return -1;
    }
    identity_random(key, sizeof key);
    secret_base32_encode(key, sizeof key, text);
    OPENSSL_cleanse(key, sizeof key);
    if (factor_seal(server_data_directory(call->server), user->id, text, call->arena, &sealed, err) != 0 ||
        catalog_user_set_totp_pending(server_catalog(call->server), user->id, sealed, err) != 0) {
        return -1;
    }
    call->reply = json_pack(
        "{s:s, s:s}", "secret", text, "uri",
        arena_format(call->arena, "otpauth://totp/Holdfast:%s?secret=%s&issuer=Holdfast", user->name, text));
    call->reply_is_secret = true;
    return 0;
}

/* New ones; those before are gone. */
static int make_recovery_codes(struct api_call *call, const char *user_id, json_t *codes, struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    int result = catalog_recovery_code_clear(catalog, user_id, err);
    for (int i = 0; i < RECOVERY_CODES && result == 0; i++) {
        char code[SECRET_RECOVERY_SIZE];
        char digest[SECRET_DIGEST_SIZE];
        secret_make_recovery_code(code);
        secret_digest(code, digest);
        json_array_append_new(codes, json_string(code));
        result = catalog_recovery_code_add(catalog, user_id, digest, err);
    }
    return result;
}

static int confirm_totp(struct api_call *call, const struct catalog_user *user, int64_t step, json_t *codes,
                        struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    bool done = false;
    if (catalog_begin(catalog, err) != 0) {
        return -1;
    }
    if (catalog_user_confirm_totp(catalog, user->id, user->totp_pending, step, &done, err) != 0 ||
        make_recovery_codes(call, user->id, codes, err) != 0) {
        catalog_roll_back(catalog);
        return -1;
    }
    if (!done) {
        catalog_roll_back(catalog);
        return error_set(err, ERROR_USER_INVALID, "The second factor was begun anew meanwhile");
    }
    return catalog_commit(catalog, err);
}

int api_me_totp_confirm(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"code", NULL};
    const char *code = NULL;
    uint8_t key[TOTP_KEY_SIZE];
    int64_t step;
    const struct catalog_user *user = api_require_session(call, err) == 0 ? api_own_user(call, err) : NULL;
    if (user == NULL || api_check_fields(call->body, fields, err) != 0 ||
        api_text_field(call->body, "code", &code, err) != 0) {
        return -1;
    }
    if (code == NULL || user->totp_pending[0] == '\0') {
        return error_set(err, ERROR_REQUEST_INVALID, "This needs a code of the second factor that was begun");
    }
    if (factor_open(server_data_directory(call->server), user->id, user->totp_pending, key, err) != 0) {
        return -1;
    }
    bool right = totp_check(key, code, clock_wall_ms(), 0, &step);
    OPENSSL_cleanse(key, sizeof key);
    if (!right) {
        return error_set(err, ERROR_USER_INVALID,
                         "The code is wrong: check the time of the server and of what makes the codes");
    }
    json_t *codes = json_array();
    if (confirm_totp(call, user, step, codes, err) != 0) {
        json_decref(codes);
        return -1;
    }
    log_event(LOG_INFO, "second factor set", "user=%s", user->name);
    call->reply = json_pack("{s:o}", "recovery_codes", codes);
    call->reply_is_secret = true;
    return 0;
}

int api_me_pin(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"pin", NULL};
    const char *pin = NULL;
    char hash[SECRET_HASH_SIZE];
    if (api_check_fields(call->body, fields, err) != 0 || api_text_field(call->body, "pin", &pin, err) != 0) {
        return -1;
    }
    size_t length = pin != NULL ? strlen(pin) : 0;
    if (length < PIN_MIN || length > PIN_MAX || strspn(pin, "0123456789") != length) {
        return error_set(err, ERROR_USER_INVALID, "A PIN has %d to %d digits", PIN_MIN, PIN_MAX);
    }
    const struct catalog_user *user = begin_factor(call, err);
    if (user == NULL) {
        return -1;
    }
    secret_hash_password(pin, hash);
    if (catalog_user_set_pin(server_catalog(call->server), user->id, hash, err) != 0) {
        return -1;
    }
    log_event(LOG_INFO, "PIN set", "user=%s", user->name);
    return api_me_show(call, err);
}

int api_me_factors_remove(struct api_call *call, struct error *err)
{
    const struct catalog_user *user = api_require_session(call, err) == 0 ? api_own_user(call, err) : NULL;
    if (user == NULL ||
        access_confirm(call, arena_format(call->arena, "remove the second factor of user %s", user->name),
                       err) != 0 ||
        catalog_user_clear_factors(server_catalog(call->server), user->id, err) != 0) {
        return -1;
    }
    log_event(LOG_INFO, "second factor removed", "user=%s by=%s", user->name, call->actor);
    return api_me_show(call, err);
}
