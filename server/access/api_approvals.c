/* Requests that wait for a second person: one administrator asks, another lets them act. */
#include "base/clock.h"
#include "base/log.h"
#include "server/access/api_users.h"

#include <string.h>

static const char *state_of(const struct catalog_approval *approval)
{
    bool late = strcmp(approval->state, "pending") == 0 && approval->expires_ms <= clock_wall_ms();
    return late ? "expired" : approval->state;
}

/* What would be done, in full but for secrets: who approves it must not have to trust a summary. */
static json_t *request_json(const struct catalog_approval *approval)
{
    json_t *body = json_loads(approval->body, 0, NULL);
    json_t *request = json_pack("{s:s, s:s, s:o, s:o}", "method", approval->method, "path", approval->path,
                                "query", api_text_or_null(approval->query), "body", api_audit_mask(body));
    json_decref(body);
    return request;
}

static json_t *approval_json(const struct catalog_approval *approval)
{
    return json_pack("{s:s, s:s, s:o, s:s, s:s, s:o, s:o, s:o, s:o}", "id", approval->id, "what",
                     approval->what, "request", request_json(approval), "requested_by", approval->user_name,
                     "state", state_of(approval), "decided_by", api_text_or_null(approval->decided_by),
                     "created", api_time(approval->created_ms), "expires", api_time(approval->expires_ms),
                     "decided", api_time(approval->decided_ms));
}

int api_approval_list(struct api_call *call, struct error *err)
{
    struct catalog_page page;
    const struct catalog_approval *approvals;
    size_t count;
    if (api_page(call, &page, err) != 0 || catalog_approval_list(server_catalog(call->server), call->arena,
                                                                 &page, &approvals, &count, err) != 0) {
        return -1;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(items, approval_json(&approvals[i]));
    }
    call->reply = api_list(items, &page, count > 0 ? approvals[count - 1].number : 0);
    return 0;
}

static int decide(struct api_call *call, const struct catalog_approval *approval, bool approved,
                  struct error *err)
{
    bool done;
    if (catalog_approval_decide(server_catalog(call->server), approval->id, approved, call->actor, &done,
                                err) != 0) {
        return -1;
    }
    if (!done) {
        return error_set(err, ERROR_APPROVAL_CLOSED, "Request %.8s is %s", approval->id, state_of(approval));
    }
    log_event(LOG_INFO, approved ? "approved" : "rejected", "request=%s user=%s by=%s", approval->id,
              approval->user_name, call->actor);
    return 0;
}

/* What was asked for, as if its author asked again: his role and scope of now count. */
static int act(struct api_call *call, const struct catalog_approval *approval, struct error *err)
{
    struct api_call asked = {.server = call->server,
                             .access = call->access,
                             .arena = call->arena,
                             .address = call->address,
                             .method = approval->method,
                             .path = approval->path,
                             .query = approval->query[0] != '\0' ? approval->query : NULL,
                             .status = 200,
                             .approved = true};
    if (access_identify(call->access, call->arena, approval->user_id, &asked.identity, err) != 0) {
        return -1;
    }
    asked.actor = asked.identity.user_name;
    asked.body = json_loads(approval->body, 0, NULL);
    const struct api_route *route = api_route_find(&asked, asked.method, asked.path, err);
    int result = route != NULL ? api_dispatch(&asked, route, err) : -1;
    json_decref(asked.body);
    json_decref(call->audit_changed);
    call->audit_changed = asked.audit_changed;
    call->reply_is_secret = asked.reply_is_secret;
    if (result != 0) {
        json_decref(asked.reply);
        return -1;
    }
    call->reply = json_pack("{s:o}", "result", asked.reply != NULL ? asked.reply : json_object());
    return 0;
}

static const struct catalog_approval *find_approval(struct api_call *call, struct error *err)
{
    return catalog_approval_find(server_catalog(call->server), call->arena, call->parameters[0], err);
}

int api_approval_approve(struct api_call *call, struct error *err)
{
    const struct catalog_approval *approval =
        api_require_session(call, err) == 0 ? find_approval(call, err) : NULL;
    if (approval == NULL) {
        return -1;
    }
    if (strcmp(approval->user_id, call->identity.user_id) == 0) {
        return error_set(err, ERROR_PERMISSION_DENIED,
                         "Request %.8s is your own: another administrator approves it", approval->id);
    }
    if (access_confirm_alone(call, err) != 0 || decide(call, approval, true, err) != 0 ||
        act(call, approval, err) != 0) {
        return -1;
    }
    approval = find_approval(call, err);
    if (approval != NULL) {
        json_object_set_new(call->reply, "approval", approval_json(approval));
    }
    return approval != NULL ? 0 : -1;
}

/* One's own, too: to take it back. */
int api_approval_reject(struct api_call *call, struct error *err)
{
    const struct catalog_approval *approval = find_approval(call, err);
    if (approval == NULL || decide(call, approval, false, err) != 0) {
        return -1;
    }
    approval = find_approval(call, err);
    call->reply = approval != NULL ? approval_json(approval) : NULL;
    return approval != NULL ? 0 : -1;
}
