/*
 * Who asks, and whether he may: tokens, sessions, passwords, second factors, and how often each may be tried.
 * Thread-safe. Everything but access_admit reads the catalog or hashes, so it is called on workers.
 *
 * A session begins with a password (and a code where the user has TOTP), ends when it was idle for
 * `session-idle-minutes`, and in any case after `session-hours`. An API token has a name, an end, and a role
 * that is at most its owner's. admin.token is a session of the built-in administrator that never ends.
 */
#ifndef HOLDFAST_SERVER_ACCESS_ACCESS_H
#define HOLDFAST_SERVER_ACCESS_ACCESS_H

#include "base/config.h"
#include "server/access/secret.h"
#include "server/catalog/catalog_access.h"

struct access;

/* CONFIG_INVALID. The catalog and the text are borrowed. */
struct access *access_create(struct catalog *catalog, const struct config *config, const char *data_directory,
                             struct error *err);
void access_destroy(struct access *access); /* NULL is fine */

/* May this address, and whoever has this token (its digest; NULL: none), ask once more now? login: it is a
 * try to log in. LIMIT_EXCEEDED: *wait_ms until it may. Memory only: for event loops. */
int access_admit(struct access *access, const char *address, const char *token_digest, bool login,
                 int64_t *wait_ms, struct error *err);

/* Who a request comes from. Texts live in the arena that was given. */
struct access_identity {
    const char *user_id;
    const char *user_name;
    enum access_role role; /* what counts: the token's and the user's, whichever is less */
    bool everything;       /* not scoped to groups */
    enum access_token_kind kind;
    const char *token_id; /* "" for admin.token */
    const char *token_name;
    int64_t expires_ms; /* 0: never */
    bool destructive;   /* an API token that may do what can't be undone */
};

/* AUTHENTICATION_FAILED, SESSION_EXPIRED (also of API tokens). */
int access_authenticate(struct access *access, struct arena *arena, const char *token_digest,
                        struct access_identity *identity, struct error *err);
/* A user as he is now, as for a request of his that was approved. AUTHENTICATION_FAILED when he is disabled.
 */
int access_identify(struct access *access, struct arena *arena, const char *user_id,
                    struct access_identity *identity, struct error *err);

struct access_login {
    const char *user;
    const char *password;
    const char *code; /* of the second factor; NULL */
    const char *address;
};

/* Begin a session. AUTHENTICATION_FAILED, the same whether there is such a user or not, and as late;
 * SECOND_FACTOR_REQUIRED when the password is right and a code is missing; LOGIN_DELAYED with *wait_ms. */
int access_log_in(struct access *access, struct arena *arena, const struct access_login *login,
                  char token[SECRET_TOKEN_SIZE], struct access_identity *identity, int64_t *wait_ms,
                  struct error *err);

/* Is this the password of that user? Wrong ones count as those of access_log_in. AUTHENTICATION_FAILED,
 * LOGIN_DELAYED. */
int access_check_password(struct access *access, const struct catalog_user *user, const char *password,
                          int64_t *wait_ms, struct error *err);
/* The user's second factor: a code of TOTP or a recovery code, each of which works once, or his PIN when he
 * has no TOTP. code NULL, or no factor where one is demanded: SECOND_FACTOR_REQUIRED. AUTHENTICATION_FAILED,
 * LOGIN_DELAYED, SECRET_UNREADABLE. Without a factor, and where none is demanded: fine. */
int access_check_factor(struct access *access, const struct catalog_user *user, const char *code,
                        bool demanded, int64_t *wait_ms, struct error *err);

/* Of the configuration. */
bool access_factor_demanded(const struct access *access);
bool access_second_person_demanded(const struct access *access);

#endif
