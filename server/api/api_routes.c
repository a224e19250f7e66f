#include "base/clock.h"
#include "base/memory.h"
#include "server/api/api_events.h"
#include "server/api/api_internal.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>

const struct api_route api_routes[] = {
    {"GET", "/v1/status", api_status, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"GET", "/metrics", api_metrics, ROLE_VIEWER, SCOPE_SERVER, NULL},
    {"GET", "/v1/audit", api_audit_list, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"GET", "/v1/audit/verify", api_audit_verify, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"GET", "/v1/reports/{report}", api_report, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"GET", "/v1/hosts", api_host_list, ROLE_VIEWER, SCOPE_HOSTS, NULL},
    {"POST", "/v1/host-tokens", api_host_token, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"GET", "/v1/hosts/{host}", api_host_show, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"POST", "/v1/hosts/{host}/retire", api_host_retire, ROLE_ADMINISTRATOR, SCOPE_SERVER,
     "retire host {host}"},
    {"POST", "/v1/hosts/{host}/discover", api_host_discover, ROLE_OPERATOR, SCOPE_NAMED, NULL},
    {"POST", "/v1/hosts/{host}/bandwidth", api_host_limit, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"POST", "/v1/hosts/{host}/drain", api_host_drain, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"POST", "/v1/hosts/{host}/resume", api_host_resume, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"GET", "/v1/vms", api_vm_list, ROLE_VIEWER, SCOPE_VMS, NULL},
    {"GET", "/v1/vms/{vm}", api_vm_show, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"POST", "/v1/vms/{vm}/seed", api_vm_seed, ROLE_ADMINISTRATOR, SCOPE_NAMED, NULL},
    {"DELETE", "/v1/vms/{vm}/seed", api_vm_seed_forget, ROLE_ADMINISTRATOR, SCOPE_NAMED, NULL},
    {"GET", "/v1/policies", api_policy_list, ROLE_VIEWER, SCOPE_POLICIES, NULL},
    {"POST", "/v1/policies", api_policy_create, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"GET", "/v1/policies/{policy}", api_policy_show, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"PATCH", "/v1/policies/{policy}", api_policy_edit, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"POST", "/v1/policies/{policy}/preview", api_policy_preview, ROLE_VIEWER, SCOPE_SERVER, NULL},
    {"DELETE", "/v1/policies/{policy}", api_policy_delete, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"GET", "/v1/policies/{policy}/runs", api_policy_runs, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"GET", "/v1/policies/{policy}/versions", api_policy_versions, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"GET", "/v1/policies/{policy}/versions/{version}", api_policy_version_show, ROLE_VIEWER, SCOPE_NAMED,
     NULL},
    {"POST", "/v1/schedules/runs", api_schedule_runs, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"GET", "/v1/groups", api_group_list, ROLE_VIEWER, SCOPE_GROUPS, NULL},
    {"POST", "/v1/groups", api_group_create, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"GET", "/v1/groups/{group}", api_group_show, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"PATCH", "/v1/groups/{group}", api_group_edit, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"DELETE", "/v1/groups/{group}", api_group_delete, ROLE_ADMINISTRATOR, SCOPE_NAMED, NULL},
    {"POST", "/v1/groups/{group}/stop", api_group_stop, ROLE_ADMINISTRATOR, SCOPE_NAMED, NULL},
    {"POST", "/v1/groups/{group}/resume", api_group_resume, ROLE_ADMINISTRATOR, SCOPE_NAMED, NULL},
    {"POST", "/v1/groups/{group}/members", api_group_add, ROLE_ADMINISTRATOR, SCOPE_NAMED, NULL},
    {"DELETE", "/v1/groups/{group}/members/{vm}", api_group_remove, ROLE_ADMINISTRATOR, SCOPE_NAMED, NULL},
    {"POST", "/v1/backups", api_backup_start, ROLE_OPERATOR, SCOPE_NAMED, NULL},
    {"POST", "/v1/checks", api_check_start, ROLE_OPERATOR, SCOPE_NAMED, NULL},
    {"GET", "/v1/recovery-points", api_point_list, ROLE_VIEWER, SCOPE_POINTS, NULL},
    {"GET", "/v1/recovery-points/{point}", api_point_show, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"DELETE", "/v1/recovery-points/{point}", api_point_delete, ROLE_ADMINISTRATOR, SCOPE_NAMED,
     "delete recovery point {point}"},
    {"POST", "/v1/recovery-points/{point}/verify", api_point_verify, ROLE_OPERATOR, SCOPE_NAMED, NULL},
    {"POST", "/v1/recovery-points/{point}/hold", api_point_hold, ROLE_OPERATOR, SCOPE_NAMED, NULL},
    {"POST", "/v1/recovery-points/{point}/retain", api_point_retain, ROLE_OPERATOR, SCOPE_NAMED, NULL},
    {"POST", "/v1/recovery-points/{point}/undelete", api_point_undelete, ROLE_OPERATOR, SCOPE_NAMED, NULL},
    {"GET", "/v1/recovery-points/{point}/disks/{disk}/data", api_point_data, ROLE_OPERATOR, SCOPE_NAMED,
     NULL},
    {"POST", "/v1/restores", api_restore_start, ROLE_OPERATOR, SCOPE_NAMED, NULL},
    {"GET", "/v1/jobs", api_job_list, ROLE_VIEWER, SCOPE_JOBS, NULL},
    {"GET", "/v1/jobs/{job}", api_job_show, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"GET", "/v1/jobs/{job}/log", api_job_log, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"POST", "/v1/jobs/{job}/cancel", api_job_cancel, ROLE_OPERATOR, SCOPE_NAMED, NULL},
    {"GET", "/v1/alerts", api_alert_list, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"GET", "/v1/alerts/{alert}", api_alert_show, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"POST", "/v1/alerts/{alert}/ack", api_alert_acknowledge, ROLE_OPERATOR, SCOPE_NAMED, NULL},
    {"GET", "/v1/digest", api_digest, ROLE_VIEWER, SCOPE_SERVER, NULL},
    {"GET", "/v1/notifications", api_notification_list, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"POST", "/v1/notifications", api_notification_create, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"GET", "/v1/notifications/{notification}", api_notification_show, ROLE_ADMINISTRATOR, SCOPE_SERVER,
     NULL},
    {"PATCH", "/v1/notifications/{notification}", api_notification_edit, ROLE_ADMINISTRATOR, SCOPE_SERVER,
     NULL},
    {"DELETE", "/v1/notifications/{notification}", api_notification_delete, ROLE_ADMINISTRATOR, SCOPE_SERVER,
     NULL},
    {"POST", "/v1/notifications/{notification}/test", api_notification_test, ROLE_ADMINISTRATOR, SCOPE_SERVER,
     NULL},
    {"GET", "/v1/events", api_event_stream, ROLE_VIEWER, SCOPE_SERVER, NULL},
    {"GET", "/v1/store", api_store_status, ROLE_VIEWER, SCOPE_SERVER, NULL},
    {"GET", "/v1/store/capacity", api_store_capacity, ROLE_VIEWER, SCOPE_SERVER, NULL},
    {"POST", "/v1/store/verify", api_store_verify, ROLE_OPERATOR, SCOPE_SERVER, NULL},
    {"POST", "/v1/store/rebuild", api_store_rebuild, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"POST", "/v1/store/collect", api_store_collect, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"POST", "/v1/sessions", api_session_create, ROLE_ANYONE, SCOPE_NAMED, NULL},
    {"DELETE", "/v1/sessions/current", api_session_end, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"GET", "/v1/me", api_me_show, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"POST", "/v1/me/password", api_me_password, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"POST", "/v1/me/totp", api_me_totp, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"POST", "/v1/me/totp/confirm", api_me_totp_confirm, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"POST", "/v1/me/pin", api_me_pin, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"DELETE", "/v1/me/second-factor", api_me_factors_remove, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"GET", "/v1/users", api_user_list, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"POST", "/v1/users", api_user_create, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"GET", "/v1/users/{user}", api_user_show, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"PATCH", "/v1/users/{user}", api_user_edit, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"DELETE", "/v1/users/{user}", api_user_delete, ROLE_ADMINISTRATOR, SCOPE_SERVER, "remove user {user}"},
    {"POST", "/v1/users/{user}/password", api_user_password, ROLE_ADMINISTRATOR, SCOPE_SERVER,
     "give user {user} a new password"},
    {"DELETE", "/v1/users/{user}/second-factor", api_user_factors_remove, ROLE_ADMINISTRATOR, SCOPE_SERVER,
     "remove the second factor of user {user}"},
    {"GET", "/v1/tokens", api_access_token_list, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"POST", "/v1/tokens", api_access_token_create, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"DELETE", "/v1/tokens/{token}", api_access_token_delete, ROLE_VIEWER, SCOPE_NAMED, NULL},
    {"GET", "/v1/approvals", api_approval_list, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {"POST", "/v1/approvals/{approval}/approve", api_approval_approve, ROLE_ADMINISTRATOR, SCOPE_SERVER,
     NULL},
    {"POST", "/v1/approvals/{approval}/reject", api_approval_reject, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
    {NULL, NULL, NULL, ROLE_ADMINISTRATOR, SCOPE_SERVER, NULL},
};

/* Does the path fit the template? Parameters are decoded into the call. */
static bool path_matches(struct api_call *call, const char *template, const char *path)
{
    size_t count = 0;
    while (*template == '/' && *path == '/') {
        size_t wanted = strcspn(++template, "/");
        size_t given = strcspn(++path, "/");
        if (*template == '{') {
            char *raw = memory_format("%.*s", (int)given, path);
            char *decoded = evhttp_uridecode(raw, 0, NULL);
            free(raw);
            if (given == 0 || decoded == NULL || count == API_PARAMETERS_MAX) {
                free(decoded);
                return false;
            }
            call->parameters[count++] = arena_text(call->arena, decoded);
            free(decoded);
        } else if (wanted != given || strncmp(template, path, wanted) != 0) {
            return false;
        }
        template += wanted;
        path += given;
    }
    return *template == '\0' && *path == '\0';
}

const struct api_route *api_route_find(struct api_call *call, const char *method, const char *path,
                                       struct error *err)
{
    for (const struct api_route *route = api_routes; route->method != NULL; route++) {
        if (strcmp(route->method, method) == 0 && path_matches(call, route->path, path)) {
            return route;
        }
    }
    error_set(err, ERROR_ROUTE_NOT_FOUND, "There is no %s %s", method, path);
    return NULL;
}

/* --- reading requests
 * --------------------------------------------------------------------------------------- */

int api_check_query(const struct api_call *call, struct error *err)
{
    struct evkeyvalq parameters = {0};
    if (call->query != NULL && evhttp_parse_query_str(call->query, &parameters) != 0) {
        return error_set(err, ERROR_REQUEST_INVALID, "The query \"%.80s\" is not NAME=VALUE, joined by &",
                         call->query);
    }
    evhttp_clear_headers(&parameters);
    return 0;
}

const char *api_query(struct api_call *call, const char *name)
{
    struct evkeyvalq parameters = {0};
    const char *found = NULL;
    if (call->query != NULL && evhttp_parse_query_str(call->query, &parameters) == 0) {
        const char *value = evhttp_find_header(&parameters, name);
        found = value != NULL ? arena_text(call->arena, value) : NULL;
        evhttp_clear_headers(&parameters);
    }
    return found;
}

int api_query_flag(struct api_call *call, const char *name, bool *value, struct error *err)
{
    const char *text = api_query(call, name);
    if (text == NULL) {
        return 0;
    }
    *value = strcmp(text, "true") == 0;
    return *value || strcmp(text, "false") == 0
               ? 0
               : error_set(err, ERROR_REQUEST_INVALID, "%s must be true or false", name);
}

int api_query_number(struct api_call *call, const char *name, int64_t maximum, int64_t *value,
                     struct error *err)
{
    const char *text = api_query(call, name);
    char *end;
    if (text == NULL) {
        return 0;
    }
    long long number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || number < 0 || number > maximum) {
        return error_set(err, ERROR_REQUEST_INVALID, "%s must be a number from 0 to %lld", name,
                         (long long)maximum);
    }
    *value = number;
    return 0;
}

int api_page(struct api_call *call, struct catalog_page *page, struct error *err)
{
    int64_t limit = 100;
    *page = (struct catalog_page){0};
    if (api_query_number(call, "limit", CATALOG_PAGE_MAX, &limit, err) != 0 ||
        api_query_number(call, "after", INT64_MAX, &page->after, err) != 0) {
        return -1;
    }
    page->limit = limit > 0 ? (unsigned)limit : CATALOG_PAGE_MAX;
    return 0;
}

int api_check_fields(const json_t *body, const char *const *allowed, struct error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)body, key, value) {
        const char *const *name = allowed;
        while (*name != NULL && strcmp(*name, key) != 0) {
            name++;
        }
        if (*name == NULL) {
            return error_set(err, ERROR_REQUEST_INVALID, "There is no field %.100s in this request", key);
        }
    }
    return 0;
}

int api_text_field(const json_t *body, const char *name, const char **value, struct error *err)
{
    const json_t *field = json_object_get(body, name);
    if (field == NULL || json_is_null(field)) {
        return 0;
    }
    if (!json_is_string(field)) {
        return error_set(err, ERROR_REQUEST_INVALID, "%s must be a text", name);
    }
    *value = json_string_value(field);
    return 0;
}

int api_boolean_field(const json_t *body, const char *name, bool *value, struct error *err)
{
    const json_t *field = json_object_get(body, name);
    if (field == NULL || json_is_null(field)) {
        return 0;
    }
    if (!json_is_boolean(field)) {
        return error_set(err, ERROR_REQUEST_INVALID, "%s must be true or false", name);
    }
    *value = json_is_true(field);
    return 0;
}

int api_number_field(const json_t *body, const char *name, int64_t minimum, int64_t maximum, int64_t *value,
                     struct error *err)
{
    const json_t *field = json_object_get(body, name);
    if (field == NULL || json_is_null(field)) {
        return 0;
    }
    if (!json_is_integer(field) || json_integer_value(field) < minimum ||
        json_integer_value(field) > maximum) {
        return error_set(err, ERROR_REQUEST_INVALID, "%s must be a whole number from %lld to %lld", name,
                         (long long)minimum, (long long)maximum);
    }
    *value = json_integer_value(field);
    return 0;
}

int api_time_field(const json_t *body, const char *name, int64_t *value_ms, struct error *err)
{
    const char *text = NULL;
    if (api_text_field(body, name, &text, err) != 0) {
        return -1;
    }
    if (text != NULL && clock_parse_wall(text, value_ms) != 0) {
        return error_set(err, ERROR_REQUEST_INVALID,
                         "%s must be a time such as 2026-01-31T10:00:00Z, or a date", name);
    }
    return 0;
}

/* --- writing answers
 * ---------------------------------------------------------------------------------------- */

json_t *api_time(int64_t ms)
{
    char text[CLOCK_TEXT_SIZE];
    return ms != 0 ? json_string(clock_format_wall(ms, text)) : json_null();
}

json_t *api_text_or_null(const char *text)
{
    return text != NULL && *text != '\0' ? json_string(text) : json_null();
}

json_t *api_error_json(const struct error *err)
{
    return json_pack("{s:s, s:s, s:o, s:s}", "code", error_code_name(err->code), "message", err->message,
                     "cause", api_text_or_null(err->cause), "action", error_code_action(err->code));
}

int api_error_status(const struct error *err)
{
    switch (err->code) {
    case ERROR_REQUEST_INVALID:
    case ERROR_POLICY_NAME_INVALID:
    case ERROR_SCHEDULE_INVALID:
    case ERROR_RETENTION_INVALID:
    case ERROR_USER_INVALID:
        return 400;
    case ERROR_AUTHENTICATION_FAILED:
    case ERROR_SESSION_EXPIRED:
        return 401;
    case ERROR_PERMISSION_DENIED:
    case ERROR_SECOND_FACTOR_REQUIRED:
        return 403;
    case ERROR_ROUTE_NOT_FOUND:
    case ERROR_HOST_NOT_FOUND:
    case ERROR_VM_NOT_FOUND:
    case ERROR_DISK_NOT_FOUND:
    case ERROR_POLICY_NOT_FOUND:
    case ERROR_GROUP_NOT_FOUND:
    case ERROR_ALERT_NOT_FOUND:
    case ERROR_NOTIFY_NOT_FOUND:
    case ERROR_RP_NOT_FOUND:
    case ERROR_JOB_NOT_FOUND:
    case ERROR_USER_NOT_FOUND:
    case ERROR_TOKEN_NOT_FOUND:
    case ERROR_APPROVAL_NOT_FOUND:
        return 404;
    case ERROR_LIMIT_EXCEEDED:
    case ERROR_LOGIN_DELAYED:
        return 429;
    case ERROR_INTERNAL:
    case ERROR_CATALOG_FAILED:
    case ERROR_AUDIT_FAILED:
    case ERROR_SECRET_UNREADABLE:
        return 500;
    case ERROR_NOTIFY_FAILED:
        return 502; /* who should have taken it did not */
    case ERROR_STORE_UNAVAILABLE:
        return 503;
    default:
        return 409; /* refused in this state */
    }
}

json_t *api_list(json_t *items, const struct catalog_page *page, int64_t last_number)
{
    bool full = json_array_size(items) >= page->limit && json_array_size(items) > 0;
    json_t *next = json_null();
    if (full) {
        char *text = memory_format("%lld", (long long)last_number);
        next = json_string(text);
        free(text);
    }
    return json_pack("{s:o, s:o}", "items", items, "next", next);
}
