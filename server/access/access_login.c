/* Passwords, second factors, and what wrong ones cost. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/access/access_internal.h"
#include "server/access/factor.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

enum { SESSIONS_KEPT = 50, KEY_SIZE = 160 };

/* Names that nobody has count, too; what is long is cut. */
static const char *user_key(const char *kind, const char *name, char key[KEY_SIZE])
{
    snprintf(key, KEY_SIZE, "%s %s", kind, name);
    return key;
}

static int delayed(int64_t wait_ms, struct error *err)
{
    return error_set(err, ERROR_LOGIN_DELAYED, "There were too many wrong tries; wait %lld seconds",
                     (long long)(wait_ms + 999) / 1000);
}

/* Counts a try before it is checked. LOGIN_DELAYED. */
static int begin_try(struct lockout *lockout, const char *key, int64_t *wait_ms, struct error *err)
{
    *wait_ms = lockout_wait_ms(lockout, key);
    if (*wait_ms > 0) {
        return delayed(*wait_ms, err);
    }
    lockout_wrong(lockout, key);
    return 0;
}

int access_check_password(struct access *access, const struct catalog_user *user, const char *password,
                          int64_t *wait_ms, struct error *err)
{
    char key[KEY_SIZE];
    if (begin_try(access->users, user_key("password", user->name, key), wait_ms, err) != 0) {
        return -1;
    }
    if (!secret_check_password(password, user->password_hash)) {
        return error_set(err, ERROR_AUTHENTICATION_FAILED, "The password is wrong");
    }
    lockout_right(access->users, key);
    return 0;
}

/* --- second factors */

static int check_totp(struct access *access, const struct catalog_user *user, const char *code, bool *right,
                      struct error *err)
{
    uint8_t key[TOTP_KEY_SIZE];
    int64_t step;
    *right = false;
    if (factor_open(access->data_directory, user->id, user->totp_secret, key, err) != 0) {
        return -1;
    }
    bool fits = totp_check(key, code, clock_wall_ms(), user->totp_last_step, &step);
    OPENSSL_cleanse(key, sizeof key);
    return fits ? catalog_user_use_totp_step(access->catalog, user->id, step, right, err) : 0;
}

static int check_recovery(struct access *access, const struct catalog_user *user, const char *code,
                          bool *right, struct error *err)
{
    char recovery[SECRET_RECOVERY_SIZE];
    char digest[SECRET_DIGEST_SIZE];
    if (!secret_read_recovery_code(code, recovery)) {
        *right = false;
        return 0;
    }
    secret_digest(recovery, digest);
    return catalog_recovery_code_use(access->catalog, user->id, digest, right, err);
}

static int try_factor(struct access *access, const struct catalog_user *user, const char *code, bool *right,
                      struct error *err)
{
    if (user->totp_secret[0] == '\0') {
        *right = secret_check_password(code, user->pin_hash);
        return 0;
    }
    return strlen(code) == TOTP_DIGITS ? check_totp(access, user, code, right, err)
                                       : check_recovery(access, user, code, right, err);
}

int access_check_factor(struct access *access, const struct catalog_user *user, const char *code,
                        bool demanded, int64_t *wait_ms, struct error *err)
{
    char key[KEY_SIZE];
    bool right;
    bool has = user->totp_secret[0] != '\0' || user->pin_hash[0] != '\0';
    *wait_ms = 0;
    if (!has && !demanded) {
        return 0;
    }
    if (!has) {
        return error_set(err, ERROR_SECOND_FACTOR_REQUIRED,
                         "This needs a second factor, and %s has none so far", user->name);
    }
    if (code == NULL || *code == '\0') {
        return error_set(err, ERROR_SECOND_FACTOR_REQUIRED, "This needs the second factor of %s: %s",
                         user->name, user->totp_secret[0] != '\0' ? "a code" : "the PIN");
    }
    if (begin_try(access->users, user_key("factor", user->name, key), wait_ms, err) != 0 ||
        try_factor(access, user, code, &right, err) != 0) {
        return -1;
    }
    if (!right) {
        return error_set(err, ERROR_AUTHENTICATION_FAILED, "The code is wrong, or was used already");
    }
    lockout_right(access->users, key);
    return 0;
}

/* --- login */

static int begin_session(struct access *access, struct arena *arena, const struct catalog_user *user,
                         const char *address, char token[SECRET_TOKEN_SIZE], struct access_identity *identity,
                         struct error *err)
{
    char digest[SECRET_DIGEST_SIZE];
    char id[IDENTITY_SIZE];
    int64_t now = clock_wall_ms();
    secret_make_token("hfs_", token);
    secret_digest(token, digest);
    identity_create(id);
    struct catalog_access_token row = {.id = id,
                                       .user_id = user->id,
                                       .kind = ACCESS_SESSION,
                                       .name = "session",
                                       .role = user->role,
                                       .address = address,
                                       .expires_ms = now + access->session_ms};
    return catalog_access_token_insert(access->catalog, &row, digest, err) != 0 ||
                   catalog_access_token_prune(access->catalog, user->id, now - access->session_ms,
                                              SESSIONS_KEPT, err) != 0 ||
                   catalog_user_logged_in(access->catalog, user->id, err) != 0
               ? -1
               : access_authenticate(access, arena, digest, identity, err);
}

static int check_login(struct access *access, const struct access_login *login,
                       const struct catalog_user *user, int64_t *wait_ms, struct error *err)
{
    static const struct catalog_user nobody = {.password_hash = "", .totp_secret = "", .pin_hash = ""};
    struct catalog_user checked = user != NULL && !user->disabled ? *user : nobody;
    checked.name = login->user; /* the one who is tried counts, whether he is there or not */
    if (access_check_password(access, &checked, login->password, wait_ms, err) != 0) {
        return err->code != ERROR_AUTHENTICATION_FAILED
                   ? -1
                   : error_set(err, ERROR_AUTHENTICATION_FAILED, "The user or the password is wrong");
    }
    if (user == NULL) {
        return error_set(err, ERROR_INTERNAL, "Nobody has a password"); /* it is never right */
    }
    return checked.totp_secret[0] == '\0'
               ? 0
               : access_check_factor(access, user, login->code, false, wait_ms, err);
}

int access_log_in(struct access *access, struct arena *arena, const struct access_login *login,
                  char token[SECRET_TOKEN_SIZE], struct access_identity *identity, int64_t *wait_ms,
                  struct error *err)
{
    if (begin_try(access->addresses, login->address, wait_ms, err) != 0) {
        return -1;
    }
    const struct catalog_user *user = catalog_user_find(access->catalog, arena, login->user, err);
    if (user == NULL && err->code != ERROR_USER_NOT_FOUND) {
        return -1;
    }
    if (user != NULL && strcmp(user->name, login->user) != 0) {
        user = NULL; /* by name only */
    }
    if (check_login(access, login, user, wait_ms, err) != 0 || user == NULL) {
        if (err->code == ERROR_SECOND_FACTOR_REQUIRED) {
            lockout_undo(access->addresses, login->address);
        }
        log_event(LOG_WARNING, "login refused", "user=%s address=%s code=%s", user != NULL ? user->name : "-",
                  login->address, error_code_name(err->code));
        return -1;
    }
    lockout_undo(access->addresses, login->address);
    log_event(LOG_INFO, "login", "user=%s address=%s", user->name, login->address);
    return begin_session(access, arena, user, login->address, token, identity, err);
}
