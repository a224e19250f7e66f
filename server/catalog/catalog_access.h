/*
 * Users, their tokens and approvals in the catalog. As server/catalog/catalog.h says: texts and rows live in
 * the arena, texts are never NULL, times are milliseconds since 1970, 0 for never; calls block;
 * CATALOG_FAILED from everything.
 */
#ifndef HOLDFAST_SERVER_CATALOG_ACCESS_H
#define HOLDFAST_SERVER_CATALOG_ACCESS_H

#include "server/access/role.h"
#include "server/catalog/catalog.h"

/* Of the built-in administrator, who is in every catalog. */
#define CATALOG_ADMIN_ID "00000000-0000-4000-8000-000000000001"

struct catalog_user {
    int64_t number;
    const char *id;
    const char *name;
    enum access_role role;
    bool everything; /* or only the groups of catalog_user_groups */
    bool disabled;
    const char *password_hash; /* "" when he has none */
    const char *pin_hash;      /* "" */
    const char *totp_secret;   /* sealed (server/access/factor.h); "" */
    const char *totp_pending;  /* the same, not yet confirmed; "" */
    int64_t totp_last_step;    /* of the last code that was used */
    int64_t created_ms;
    int64_t last_login_ms;
    unsigned recovery_codes; /* that are left */
};

/* NAME_TAKEN. Takes id, name, role, everything, disabled, password_hash. */
int catalog_user_insert(struct catalog *catalog, const struct catalog_user *user, struct error *err);
/* Name, role, everything, disabled. USER_NOT_FOUND, NAME_TAKEN. */
int catalog_user_update(struct catalog *catalog, const struct catalog_user *user, struct error *err);
/* With tokens and requests. USER_NOT_FOUND */
int catalog_user_delete(struct catalog *catalog, const char *id, struct error *err);
int catalog_user_set_password(struct catalog *catalog, const char *id, const char *hash, struct error *err);
int catalog_user_set_pin(struct catalog *catalog, const char *id, const char *hash, struct error *err);
int catalog_user_set_totp_pending(struct catalog *catalog, const char *id, const char *secret,
                                  struct error *err);
int catalog_user_set_totp_secret(struct catalog *catalog, const char *id, const char *secret,
                                 struct error *err);
/* The pending secret counts from now on, and this step is used. False in *done when it is no longer the
 * pending one. */
int catalog_user_confirm_totp(struct catalog *catalog, const char *id, const char *secret, int64_t step,
                              bool *done, struct error *err);
/* TOTP, PIN and recovery codes. */
int catalog_user_clear_factors(struct catalog *catalog, const char *id, struct error *err);
/* False in *fresh when this or a later step was used already; of two at once, one is fresh. */
int catalog_user_use_totp_step(struct catalog *catalog, const char *id, int64_t step, bool *fresh,
                               struct error *err);
int catalog_user_logged_in(struct catalog *catalog, const char *id, struct error *err);
/* By id or name. NULL with USER_NOT_FOUND. */
const struct catalog_user *catalog_user_find(struct catalog *catalog, struct arena *arena,
                                             const char *reference, struct error *err);
int catalog_user_list(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                      const struct catalog_user **users, size_t *count, struct error *err);

struct catalog_user_group {
    const char *id;
    const char *name;
};
/* The groups that he is scoped to. */
int catalog_user_groups(struct catalog *catalog, struct arena *arena, const char *user_id,
                        const struct catalog_user_group **groups, size_t *count, struct error *err);
/* These instead of those before. Between catalog_begin and catalog_commit. */
int catalog_user_set_groups(struct catalog *catalog, const char *user_id, const char *const *group_ids,
                            size_t count, struct error *err);

/* --- recovery codes, by their hash */
int catalog_recovery_code_add(struct catalog *catalog, const char *user_id, const char *hash,
                              struct error *err);
int catalog_recovery_code_clear(struct catalog *catalog, const char *user_id, struct error *err);
/* Each works once. */
int catalog_recovery_code_use(struct catalog *catalog, const char *user_id, const char *hash, bool *used,
                              struct error *err);

/* --- sessions and API tokens */

enum access_token_kind { ACCESS_SESSION, ACCESS_API };

struct catalog_access_token {
    int64_t number;
    const char *id;
    const char *user_id;
    const char *user_name;
    enum access_token_kind kind;
    const char *name;
    enum access_role role;
    bool destructive; /* may do what can't be undone, without a second factor */
    const char *address;
    int64_t created_ms;
    int64_t expires_ms;
    int64_t last_used_ms;
    enum access_role user_role;
    bool user_everything;
    bool user_disabled;
};

int catalog_access_token_insert(struct catalog *catalog, const struct catalog_access_token *token,
                                const char *secret_hash, struct error *err);
/* *token NULL when there is none. */
int catalog_access_token_by_hash(struct catalog *catalog, struct arena *arena, const char *secret_hash,
                                 const struct catalog_access_token **token, struct error *err);
/* By id or its first 8 characters; user_id NULL: of anyone. NULL with TOKEN_NOT_FOUND. */
const struct catalog_access_token *catalog_access_token_find(struct catalog *catalog, struct arena *arena,
                                                             const char *user_id, const char *reference,
                                                             struct error *err);
int catalog_access_token_list(struct catalog *catalog, struct arena *arena, const char *user_id,
                              const struct catalog_page *page, const struct catalog_access_token **tokens,
                              size_t *count, struct error *err);
int catalog_access_token_used(struct catalog *catalog, const char *id, struct error *err);
int catalog_access_token_delete(struct catalog *catalog, const char *id, struct error *err);
/* All sessions of a user but this one. */
int catalog_access_token_end_sessions(struct catalog *catalog, const char *user_id, const char *but,
                                      struct error *err);
/* Those that expired before; and all but the user's newest sessions. */
int catalog_access_token_prune(struct catalog *catalog, const char *user_id, int64_t before_ms,
                               unsigned keep_sessions, struct error *err);
int catalog_access_token_count(struct catalog *catalog, const char *user_id, unsigned *count,
                               struct error *err); /* API tokens */

/* --- which objects a scoped user has */

enum access_object {
    OBJECT_HOST,
    OBJECT_VM,
    OBJECT_POLICY,
    OBJECT_GROUP,
    OBJECT_POINT,
    OBJECT_JOB,
    OBJECT_ALERT
};
/* By the object's id. */
int catalog_scope_has(struct catalog *catalog, const char *user_id, enum access_object kind, const char *id,
                      bool *has, struct error *err);

/* --- approvals: requests that wait for a second person */

struct catalog_approval {
    int64_t number;
    const char *id;
    const char *user_id; /* who asked */
    const char *user_name;
    const char *what;
    const char *method;
    const char *path;
    const char *query;
    const char *body;
    const char *state;      /* "pending", "approved", "rejected" */
    const char *decided_by; /* "" */
    int64_t created_ms;
    int64_t expires_ms;
    int64_t decided_ms;
};

int catalog_approval_insert(struct catalog *catalog, const struct catalog_approval *approval,
                            struct error *err);
/* Newest first. */
int catalog_approval_list(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                          const struct catalog_approval **approvals, size_t *count, struct error *err);
/* By id or its first 8 characters. NULL with APPROVAL_NOT_FOUND. */
const struct catalog_approval *catalog_approval_find(struct catalog *catalog, struct arena *arena,
                                                     const char *reference, struct error *err);
/* The one that asks for the same; *same NULL when there is none. */
int catalog_approval_same(struct catalog *catalog, struct arena *arena,
                          const struct catalog_approval *approval, const struct catalog_approval **same,
                          struct error *err);
/* *done false when it was decided already or has expired; of two at once, one decides. */
int catalog_approval_decide(struct catalog *catalog, const char *id, bool approved, const char *by,
                            bool *done, struct error *err);
/* That are pending, of this user. */
int catalog_approval_count(struct catalog *catalog, const char *user_id, unsigned *count, struct error *err);
int catalog_approval_prune(struct catalog *catalog, int64_t before_ms, struct error *err);

#endif
