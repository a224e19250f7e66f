/* What the files of the API about users share. */
#ifndef HOLDFAST_SERVER_ACCESS_API_USERS_H
#define HOLDFAST_SERVER_ACCESS_API_USERS_H

#include "server/access/guard.h"
#include "server/api/api_internal.h"

/* {"id", "name", "role", ...}; NULL on failure. */
json_t *api_user_json(struct api_call *call, const struct catalog_user *user, struct error *err);
/* Whoever asks. */
const struct catalog_user *api_own_user(struct api_call *call, struct error *err);
/* The new password of a request, hashed, into hash; "" when it says none. A request that was kept has the
 * hash itself. USER_INVALID. */
int api_read_password(struct api_call *call, const char *user_name, char hash[SECRET_HASH_SIZE],
                      struct error *err);
/* A password, a factor or a token is changed by a person, not by a script. PERMISSION_DENIED. */
int api_require_session(const struct api_call *call, struct error *err);
/* May he do this to users and tokens of others? */
bool api_is_full_administrator(const struct api_call *call);

#endif
