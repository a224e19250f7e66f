/* Acts that can't be undone: the second factor, and the second person. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/access/guard.h"
#include "server/api/api_internal.h"

#include <stdlib.h>
#include <string.h>

enum { APPROVAL_MS = 24 * 60 * 60 * 1000, KEPT_MS = 30 * 24 * 60 * 60 * 1000L, PENDING_MAX = 50 };

int access_confirm_alone(struct api_call *call, struct error *err)
{
    const struct access_identity *identity = &call->identity;
    if (call->confirmed || call->approved) {
        return 0;
    }
    if (identity->kind == ACCESS_API && !identity->destructive) {
        return error_set(err, ERROR_PERMISSION_DENIED,
                         "Token %s may not do what can't be undone: it was made without --destructive",
                         identity->token_name);
    }
    if (identity->kind != ACCESS_API) {
        const struct catalog_user *user =
            catalog_user_find(server_catalog(call->server), call->arena, identity->user_id, err);
        if (user == NULL ||
            access_check_factor(call->access, user, call->second_factor, access_factor_demanded(call->access),
                                &call->retry_after_ms, err) != 0) {
            return -1;
        }
    }
    call->confirmed = true;
    return 0;
}

/* The request's body as it may be kept: a password is hashed. malloc'd. */
static char *kept_body(const struct api_call *call)
{
    char hash[SECRET_HASH_SIZE];
    json_t *body = json_copy(call->body);
    const char *password = json_string_value(json_object_get(body, "password"));
    if (password != NULL) {
        secret_hash_password(password, hash);
        json_object_set_new(body, "password_hash", json_string(hash));
        json_object_del(body, "password");
    }
    char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(body);
    return text != NULL ? text : memory_copy_text("{}");
}

static int pending(const char *what, const char *id, struct error *err)
{
    return error_set(err, ERROR_APPROVAL_PENDING,
                     "To %s needs a second person: request %.8s waits for approval", what, id);
}

static int keep(struct api_call *call, struct catalog_approval *approval, struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    const struct catalog_approval *same;
    unsigned count;
    if (catalog_approval_prune(catalog, clock_wall_ms() - KEPT_MS, err) != 0 ||
        catalog_approval_same(catalog, call->arena, approval, &same, err) != 0 ||
        catalog_approval_count(catalog, approval->user_id, &count, err) != 0) {
        return -1;
    }
    if (same != NULL) {
        return pending(approval->what, same->id, err);
    }
    if (count >= PENDING_MAX) {
        return error_set(err, ERROR_LIMIT_EXCEEDED, "%u requests of %s wait for approval already", count,
                         call->identity.user_name);
    }
    if (catalog_approval_insert(catalog, approval, err) != 0) {
        return -1;
    }
    log_event(LOG_INFO, "approval asked for", "user=%s request=%s", call->identity.user_name, approval->id);
    return pending(approval->what, approval->id, err);
}

int access_confirm(struct api_call *call, const char *what, struct error *err)
{
    if (call->approved) {
        return 0;
    }
    if (access_confirm_alone(call, err) != 0) {
        return -1;
    }
    if (!access_second_person_demanded(call->access)) {
        return 0;
    }
    char id[IDENTITY_SIZE];
    char *body = kept_body(call);
    identity_create(id);
    struct catalog_approval approval = {.id = id,
                                        .user_id = call->identity.user_id,
                                        .what = what,
                                        .method = call->method,
                                        .path = call->path,
                                        .query = call->query != NULL ? call->query : "",
                                        .body = body,
                                        .expires_ms = clock_wall_ms() + APPROVAL_MS};
    int result = keep(call, &approval, err);
    free(body);
    return result;
}
