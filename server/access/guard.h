/*
 * What a request may do, in the terms of the API: roles, scopes, and confirmation of acts that can't be
 * undone. Called on workers.
 *
 * A handler for an act that can't be undone needs one line: a text in the last column of its route
 * (api_routes.c), or, where it depends on what the request says,
 *
 *     if (access_confirm(call, "shorten the retention of policy web", err) != 0) {
 *         return -1;
 *     }
 *
 * before it changes anything.
 */
#ifndef HOLDFAST_SERVER_ACCESS_GUARD_H
#define HOLDFAST_SERVER_ACCESS_GUARD_H

#include "server/catalog/catalog_access.h"

struct api_call;
struct api_route;

/* The second factor (header Holdfast-Second-Factor) of whoever asks, if he has one or the server demands it;
 * then the second person, if the server demands him: the request is kept, and acts when it is approved.
 * what: "delete recovery point 3f6c1a2b", for whoever approves. SECOND_FACTOR_REQUIRED,
 * AUTHENTICATION_FAILED, LOGIN_DELAYED; APPROVAL_PENDING; PERMISSION_DENIED for API tokens that were not made
 * for this (those that were need neither factor nor, since they are no persons, approval less than others).
 * Asked twice in a request, it answers once. */
int access_confirm(struct api_call *call, const char *what, struct error *err);
/* The same without a second person. */
int access_confirm_alone(struct api_call *call, struct error *err);

/* May whoever asks use this route? PERMISSION_DENIED. */
int access_check_role(const struct api_call *call, const struct api_route *route, struct error *err);
/* Are the objects that the request names there for him? By name: path, query and body fields `host`, `vm`,
 * `policy`, `group`, `point`, `job`, `alert`, and lists of them in the plural. HOST_NOT_FOUND and so on. */
int access_check_objects(struct api_call *call, const struct api_route *route, struct error *err);
/* Take out of a list what he must not see, and read on until the page is full or the list ends. Blocks for as
 * long as that takes. */
int access_filter_list(struct api_call *call, const struct api_route *route, struct error *err);
/* Is the object with this id there for him? Everything is for whom everything is. */
int access_has(struct api_call *call, enum access_object kind, const char *id, bool *has, struct error *err);
/* NULL for whom everything is; otherwise his id, for lists of what he is scoped to. Borrowed of the call. */
const char *access_scope_user(const struct api_call *call);

#endif
