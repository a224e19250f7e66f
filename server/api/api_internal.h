/* Inside the module: one request, and the table of routes. */
#ifndef HOLDFAST_SERVER_API_INTERNAL_H
#define HOLDFAST_SERVER_API_INTERNAL_H

#include "server/access/access.h"
#include "server/api/api.h"
#include "server/arena.h"
#include <jansson.h>

enum { API_PARAMETERS_MAX = 2 };

struct api_call {
    struct server *server;
    struct access *access;
    struct arena *arena;
    const char *actor;                          /* who asks, as jobs and logs name him */
    struct access_identity identity;            /* the same in full; empty on routes for anyone */
    const char *second_factor;                  /* the code that came with the request, or NULL */
    bool confirmed;                             /* his second factor was right */
    bool approved;                              /* a second person approved it: this is the kept request */
    const char *address;                        /* from where, as text */
    const char *method;                         /* "POST" */
    const char *path;                           /* as it was asked for */
    const char *parameters[API_PARAMETERS_MAX]; /* of the path, decoded */
    const char *query;                          /* raw, or NULL */
    const char *idempotency_key;                /* the header, or NULL: see api_once.h */
    const char *last_event_id;                  /* the header, or NULL */
    json_t *body;                               /* an object; empty when nothing was sent */
    json_t *reply;                              /* filled by the handler */
    int status;                                 /* 200 unless the handler says otherwise */
    bool reply_is_secret;                       /* it is shown once and kept nowhere, such as a token */
    int64_t retry_after_ms;                     /* when it was refused for too many tries */
    struct api_export *export;                  /* instead of a reply: a disk's stream, see api_export.c */
    char *text;                                 /* instead of a reply: malloc'd, of this type: */
    const char *content_type;
    struct api_statistics *statistics; /* of all requests */
    int64_t audit_number;              /* of the entry that it began with; 0: it changes nothing */
    const char *audit_object;          /* what it is about, as it was named */
    json_t *audit_changed;             /* see api_audit_changed; or NULL */
    struct api_event_filter *events;   /* instead of a reply: a stream of events, see api_events.h */
};

typedef int (*api_handler)(struct api_call *call, struct error *err);

struct api_route {
    const char *method;
    const char *path; /* "/v1/hosts/{host}" */
    api_handler handler;
    enum access_role role;   /* the least that is needed */
    enum access_scope scope; /* for users that are scoped to groups */
    const char
        *guard; /* an act that can't be undone: "retire host {host}"; see server/access/guard.h. Or NULL */
};

extern const struct api_route api_routes[]; /* ends with a NULL method */

/* The route of a request, its parameters decoded into the call. ROUTE_NOT_FOUND. */
const struct api_route *api_route_find(struct api_call *call, const char *method, const char *path,
                                       struct error *err);

/* Check query, role, scope and guard, then run the handler. */
int api_dispatch(struct api_call *call, const struct api_route *route, struct error *err);

/* --- reading requests */
/* NAME=VALUE, joined by &; else no parameter of it could be found. REQUEST_INVALID. */
int api_check_query(const struct api_call *call, struct error *err);
/* A parameter of the query, decoded, or NULL. */
const char *api_query(struct api_call *call, const char *name);
/* A whole number of the query, 0 to maximum; absent leaves *value as it is. REQUEST_INVALID. */
int api_query_number(struct api_call *call, const char *name, int64_t maximum, int64_t *value,
                     struct error *err);
/* true or false in the query; absent leaves *value as it is. REQUEST_INVALID. */
int api_query_flag(struct api_call *call, const char *name, bool *value, struct error *err);
/* Absent: *value_ms as it is. REQUEST_INVALID. */
int api_query_time(struct api_call *call, const char *name, int64_t *value_ms, struct error *err);
int api_page(struct api_call *call, struct catalog_page *page, struct error *err);
/* No other fields than these (ends with NULL). REQUEST_INVALID names the one that is. */
int api_check_fields(const json_t *body, const char *const *allowed, struct error *err);
/* Absent fields leave *value as it is. REQUEST_INVALID. */
int api_text_field(const json_t *body, const char *name, const char **value, struct error *err);
int api_boolean_field(const json_t *body, const char *name, bool *value, struct error *err);
int api_number_field(const json_t *body, const char *name, int64_t minimum, int64_t maximum, int64_t *value,
                     struct error *err);
int api_time_field(const json_t *body, const char *name, int64_t *value_ms, struct error *err);
/* What a request says about a schedule (NULL: nothing), a priority, over what the policy is. */
int api_schedule_read(const json_t *schedule, struct catalog_policy *policy, struct error *err);
int api_priority_read(const json_t *body, struct catalog_policy *policy, struct error *err);
/* Is it one that this server's settings allow? SCHEDULE_INVALID. */
int api_schedule_check(struct api_call *call, const struct catalog_policy *policy, struct error *err);

/* --- writing answers */
json_t *api_time(int64_t ms);               /* RFC 3339, null for 0 */
json_t *api_text_or_null(const char *text); /* null for "" */
json_t *api_error_json(const struct error *err);
int api_error_status(const struct error *err);
/* {"items":…,"next":…}: next is the last row's number when the page is full. Takes items. */
json_t *api_list(json_t *items, const struct catalog_page *page, int64_t last_number);
/* Parts of a policy that a request says, over what the policy is. */
int api_read_policy(const json_t *body, struct catalog_policy *policy, struct error *err);
/* Would points go sooner, or be locked for less? */
bool api_policy_shortens(const struct catalog_policy *from, const struct catalog_policy *to);
/* Into the reply: how many points the next run of retention deletes under this policy. */
int api_add_next_run(struct api_call *call, const struct catalog_policy *policy, struct error *err);
/* Into the point's object: what keeps it, and until when. plans: NULL at first; what was read for a VM
 * already. */
struct api_plan;
int api_add_kept(struct api_call *call, struct api_plan **plans, const struct catalog_point *point,
                 json_t *object, struct error *err);
json_t *api_job_json(const struct catalog_job *job);
json_t *api_policy_json(const struct catalog_policy *policy);
json_t *api_schedule_json(const struct catalog_policy *policy);
/* When the policy's schedule runs next, null for never. For a VM: when its turn is in the spread window. */
json_t *api_next_run(const struct catalog_policy *policy, const char *vm_id);
/* The same for a group: never while it is stopped. */
json_t *api_group_next_run(struct api_call *call, const struct catalog_group *group, const char *vm_id);
int api_accept_job(struct api_call *call, const char *job_id, struct error *err);

/* What alerts add to the status. */
int api_status_alerts(struct api_call *call, json_t *status, struct error *err);
/* The field "notify" of a request that begins jobs. REQUEST_INVALID; NOTIFY_NOT_FOUND when nobody would be
 * told. */
int api_check_notify(struct api_call *call, struct error *err);
/* Tell of the end of this job, if the request says so. */
int api_notify_of_job(struct api_call *call, const char *job_id, struct error *err);
/* --- the audit record (server/audit/api_audit.c): around every request that changes something or reads data
 */
/* AUDIT_FAILED: it must not be answered. body may be NULL. */
int api_audit_begin(struct api_call *call, const struct api_route *route, struct error *err);
void api_audit_end(struct api_call *call, const struct api_route *route, const struct error *refused);
/* A copy in which "***" stands for every secret: what is kept or digested of a request. */
json_t *api_audit_mask(const json_t *value);
/* A handler tells what it changed: an object of the API as it was (taken over) and is, NULL: gone.
 */
void api_audit_changed(struct api_call *call, json_t *before, const json_t *after);

/* --- handlers, by file */
int api_status(struct api_call *call, struct error *err);
int api_host_list(struct api_call *call, struct error *err);
int api_host_show(struct api_call *call, struct error *err);
int api_host_retire(struct api_call *call, struct error *err);
int api_host_limit(struct api_call *call, struct error *err);
int api_host_drain(struct api_call *call, struct error *err);
int api_host_resume(struct api_call *call, struct error *err);
int api_host_discover(struct api_call *call, struct error *err);
int api_host_token(struct api_call *call, struct error *err);
int api_vm_list(struct api_call *call, struct error *err);
int api_vm_show(struct api_call *call, struct error *err);
int api_vm_seed(struct api_call *call, struct error *err);
int api_vm_seed_forget(struct api_call *call, struct error *err);
int api_policy_list(struct api_call *call, struct error *err);
int api_policy_create(struct api_call *call, struct error *err);
int api_policy_show(struct api_call *call, struct error *err);
int api_policy_edit(struct api_call *call, struct error *err);
int api_policy_preview(struct api_call *call, struct error *err);
int api_policy_delete(struct api_call *call, struct error *err);
int api_policy_runs(struct api_call *call, struct error *err);
int api_policy_versions(struct api_call *call, struct error *err);
int api_policy_version_show(struct api_call *call, struct error *err);
int api_schedule_runs(struct api_call *call, struct error *err);
int api_group_list(struct api_call *call, struct error *err);
int api_group_create(struct api_call *call, struct error *err);
int api_group_show(struct api_call *call, struct error *err);
int api_group_stop(struct api_call *call, struct error *err);
int api_group_resume(struct api_call *call, struct error *err);
int api_group_edit(struct api_call *call, struct error *err);
int api_group_delete(struct api_call *call, struct error *err);
int api_group_add(struct api_call *call, struct error *err);
int api_group_remove(struct api_call *call, struct error *err);
int api_backup_start(struct api_call *call, struct error *err);
int api_check_start(struct api_call *call, struct error *err);
int api_point_list(struct api_call *call, struct error *err);
int api_point_show(struct api_call *call, struct error *err);
int api_point_delete(struct api_call *call, struct error *err);
int api_point_verify(struct api_call *call, struct error *err);
int api_point_undelete(struct api_call *call, struct error *err);
int api_point_retain(struct api_call *call, struct error *err);
int api_point_hold(struct api_call *call, struct error *err);
int api_point_data(struct api_call *call, struct error *err);
int api_restore_start(struct api_call *call, struct error *err);
int api_job_list(struct api_call *call, struct error *err);
int api_job_show(struct api_call *call, struct error *err);
int api_job_log(struct api_call *call, struct error *err);
int api_job_cancel(struct api_call *call, struct error *err);
int api_alert_list(struct api_call *call, struct error *err);
int api_alert_show(struct api_call *call, struct error *err);
int api_alert_acknowledge(struct api_call *call, struct error *err);
int api_digest(struct api_call *call, struct error *err);
int api_notification_list(struct api_call *call, struct error *err);
int api_notification_create(struct api_call *call, struct error *err);
int api_notification_show(struct api_call *call, struct error *err);
int api_notification_edit(struct api_call *call, struct error *err);
int api_notification_delete(struct api_call *call, struct error *err);
int api_notification_test(struct api_call *call, struct error *err);
int api_audit_list(struct api_call *call, struct error *err);
int api_audit_verify(struct api_call *call, struct error *err);
int api_metrics(struct api_call *call, struct error *err);
int api_report(struct api_call *call, struct error *err);
int api_store_capacity(struct api_call *call, struct error *err);
int api_store_status(struct api_call *call, struct error *err);
int api_store_verify(struct api_call *call, struct error *err);
int api_store_rebuild(struct api_call *call, struct error *err);
int api_store_collect(struct api_call *call, struct error *err);
int api_session_create(struct api_call *call, struct error *err);
int api_session_end(struct api_call *call, struct error *err);
int api_me_show(struct api_call *call, struct error *err);
int api_me_password(struct api_call *call, struct error *err);
int api_me_totp(struct api_call *call, struct error *err);
int api_me_totp_confirm(struct api_call *call, struct error *err);
int api_me_pin(struct api_call *call, struct error *err);
int api_me_factors_remove(struct api_call *call, struct error *err);
int api_user_list(struct api_call *call, struct error *err);
int api_user_create(struct api_call *call, struct error *err);
int api_user_show(struct api_call *call, struct error *err);
int api_user_edit(struct api_call *call, struct error *err);
int api_user_delete(struct api_call *call, struct error *err);
int api_user_password(struct api_call *call, struct error *err);
int api_user_factors_remove(struct api_call *call, struct error *err);
int api_access_token_list(struct api_call *call, struct error *err);
int api_access_token_create(struct api_call *call, struct error *err);
int api_access_token_delete(struct api_call *call, struct error *err);
int api_approval_list(struct api_call *call, struct error *err);
int api_approval_approve(struct api_call *call, struct error *err);
int api_approval_reject(struct api_call *call, struct error *err);

/* --- streams. The sink is called on a worker and blocks while the client reads slowly; -1 when it is gone.
 */
typedef int (*api_sink)(void *cookie, const void *bytes, size_t length);
int api_export_run(struct api_export *export, api_sink sink, void *cookie);
void api_export_destroy(struct api_export *export);

#endif
