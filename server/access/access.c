#include "server/access/access.h"

#include "base/clock.h"
#include "base/memory.h"
#include "server/access/access_internal.h"
#include <stdlib.h>
#include <string.h>

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS, ADDRESS_TRIES = 4 };
enum { BURST_S = 5, LOGIN_BURST = 20 };

static int read_settings(struct access *access, const struct config *config, struct error *err)
{
    int64_t idle, hours, rate, logins, tries;
    const char *factor = config_text(config, "second-factor");
    if (config_integer(config, "session-idle-minutes", 1, 7 * 24 * 60, &idle, err) != 0 ||
        config_integer(config, "session-hours", 1, 365 * 24, &hours, err) != 0 ||
        config_integer(config, "requests-per-second", 1, 1000000, &rate, err) != 0 ||
        config_integer(config, "logins-per-minute", 1, 1000000, &logins, err) != 0 ||
        config_integer(config, "login-tries", 1, 1000, &tries, err) != 0 ||
        config_boolean(config, "second-person", &access->second_person, err) != 0) {
        return -1;
    }
    if (strcmp(factor, "if-set") != 0 && strcmp(factor, "required") != 0) {
        return error_set(err, ERROR_CONFIG_INVALID, "second-factor must be if-set or required");
    }
    access->factor_demanded = strcmp(factor, "required") == 0;
    access->idle_ms = idle * MINUTE_MS;
    access->session_ms = hours * HOUR_MS;
    access->requests = rate_limit_create((double)rate, (double)(rate * BURST_S));
    access->logins =
        rate_limit_create((double)logins / 60, logins > LOGIN_BURST ? (double)logins : LOGIN_BURST);
    access->users = lockout_create((unsigned)tries);
    access->addresses = lockout_create((unsigned)tries * ADDRESS_TRIES);
    return 0;
}

struct access *access_create(struct catalog *catalog, const struct config *config, const char *data_directory,
                             struct error *err)
{
    struct access *access = memory_zalloc(sizeof *access);
    access->catalog = catalog;
    access->data_directory = data_directory;
    if (read_settings(access, config, err) != 0) {
        access_destroy(access);
        return NULL;
    }
    return access;
}

void access_destroy(struct access *access)
{
    if (access == NULL) {
        return;
    }
    rate_limit_destroy(access->requests);
    rate_limit_destroy(access->logins);
    lockout_destroy(access->users);
    lockout_destroy(access->addresses);
    free(access);
}

bool access_factor_demanded(const struct access *access)
{
    return access->factor_demanded;
}

bool access_second_person_demanded(const struct access *access)
{
    return access->second_person;
}

int access_admit(struct access *access, const char *address, const char *token_digest, bool login,
                 int64_t *wait_ms, struct error *err)
{
    if (!rate_limit_take(access->requests, address, wait_ms) ||
        (token_digest != NULL && !rate_limit_take(access->requests, token_digest, wait_ms))) {
        return error_set(err, ERROR_LIMIT_EXCEEDED, "There are too many requests from %s", address);
    }
    if (login && !rate_limit_take(access->logins, address, wait_ms)) {
        return error_set(err, ERROR_LIMIT_EXCEEDED, "There are too many logins from %s", address);
    }
    return 0;
}

/* --- tokens */

/* False when the digest is not that of admin.token. */
static int is_admin_token(struct access *access, struct arena *arena, const char *digest, bool *is,
                          struct error *err)
{
    const char *kept = NULL;
    if (catalog_setting_get(access->catalog, arena, "admin_token_hash", &kept, err) != 0) {
        return -1;
    }
    *is = kept != NULL && secret_equal(kept, digest);
    return 0;
}

/* Kept only so often, since every write waits for the disk. */
static int note_use(struct access *access, const struct catalog_access_token *token, int64_t now,
                    struct error *err)
{
    int64_t often = access->idle_ms / 8 < MINUTE_MS ? access->idle_ms / 8 : MINUTE_MS;
    return now - token->last_used_ms < often ? 0 : catalog_access_token_used(access->catalog, token->id, err);
}

static int check_expiry(const struct access *access, const struct catalog_access_token *token, int64_t now,
                        struct error *err)
{
    if (now >= token->expires_ms) {
        return error_set(err, ERROR_SESSION_EXPIRED,
                         token->kind == ACCESS_SESSION ? "The session has expired"
                                                       : "The token %s has expired",
                         token->name);
    }
    if (token->kind == ACCESS_SESSION && now - token->last_used_ms >= access->idle_ms) {
        return error_set(err, ERROR_SESSION_EXPIRED, "The session was not used for too long");
    }
    return 0;
}

int access_authenticate(struct access *access, struct arena *arena, const char *token_digest,
                        struct access_identity *identity, struct error *err)
{
    const struct catalog_access_token *token;
    int64_t now = clock_wall_ms();
    bool admin;
    if (is_admin_token(access, arena, token_digest, &admin, err) != 0) {
        return -1;
    }
    if (admin) {
        return access_identify(access, arena, CATALOG_ADMIN_ID, identity, err);
    }
    if (catalog_access_token_by_hash(access->catalog, arena, token_digest, &token, err) != 0) {
        return -1;
    }
    if (token == NULL || token->user_disabled) {
        return error_set(err, ERROR_AUTHENTICATION_FAILED, "The token is wrong");
    }
    if (check_expiry(access, token, now, err) != 0 || note_use(access, token, now, err) != 0) {
        return -1;
    }
    *identity = (struct access_identity){.user_id = token->user_id,
                                         .user_name = token->user_name,
                                         .role = access_role_lesser(token->role, token->user_role),
                                         .everything = token->user_everything,
                                         .kind = token->kind,
                                         .token_id = token->id,
                                         .token_name = token->name,
                                         .expires_ms = token->expires_ms,
                                         .destructive = token->destructive};
    return 0;
}

int access_identify(struct access *access, struct arena *arena, const char *user_id,
                    struct access_identity *identity, struct error *err)
{
    const struct catalog_user *user = catalog_user_find(access->catalog, arena, user_id, err);
    if (user == NULL) {
        return -1;
    }
    if (user->disabled) {
        return error_set(err, ERROR_AUTHENTICATION_FAILED, "User %s is disabled", user->name);
    }
    *identity = (struct access_identity){.user_id = user->id,
                                         .user_name = user->name,
                                         .role = user->role,
                                         .everything = user->everything,
                                         .kind = ACCESS_SESSION,
                                         .token_id = "",
                                         .token_name = ""};
    return 0;
}
