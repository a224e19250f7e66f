/* Alerts, and the digest. */
#include "server/api/api_internal.h"

#include "base/clock.h"
#include "server/access/guard.h"
#include "server/alerts/alerts.h"
#include "server/alerts/digest.h"

#include <stdlib.h>
#include <string.h>

enum { NOTE_MAX = 500 };

int api_alert_list(struct api_call *call, struct error *err)
{
    struct catalog_alert_filter filter = {.severity = -1, .user_id = access_scope_user(call)};
    struct catalog_page page;
    const struct catalog_alert *alerts;
    enum alert_severity severity = ALERT_INFORMATION;
    size_t count;
    const char *all = api_query(call, "all");
    const char *name = api_query(call, "severity");
    if (name != NULL && alert_severity_parse(name, &severity) != 0) {
        return error_set(err, ERROR_REQUEST_INVALID,
                         "There is no severity %.40s: critical, warning or information", name);
    }
    if (all != NULL && strcmp(all, "true") != 0 && strcmp(all, "false") != 0) {
        return error_set(err, ERROR_REQUEST_INVALID, "all must be true or false");
    }
    filter.resolved = all != NULL && strcmp(all, "true") == 0;
    filter.severity = name != NULL ? (int)severity : -1;
    if (api_page(call, &page, err) != 0 || catalog_alert_list(server_catalog(call->server), call->arena,
                                                              &filter, &page, &alerts, &count, err) != 0) {
        return -1;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(items, alert_json(&alerts[i]));
    }
    call->reply = api_list(items, &page, count > 0 ? alerts[count - 1].number : 0);
    return 0;
}

int api_alert_show(struct api_call *call, struct error *err)
{
    const struct catalog_alert *alert =
        catalog_alert_find(server_catalog(call->server), call->arena, call->parameters[0], err);
    call->reply = alert != NULL ? alert_json(alert) : NULL;
    return alert != NULL ? 0 : -1;
}

int api_alert_acknowledge(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"note", NULL};
    const char *note = "";
    if (api_alert_show(call, err) != 0) {
        return -1;
    }
    json_decref(call->reply);
    call->reply = NULL;
    if (api_check_fields(call->body, fields, err) != 0 ||
        api_text_field(call->body, "note", &note, err) != 0) {
        return -1;
    }
    if (strlen(note) > NOTE_MAX) {
        return error_set(err, ERROR_REQUEST_INVALID, "A note has %d bytes at most", NOTE_MAX);
    }
    return alerts_acknowledge(server_alerts(call->server), call->parameters[0], call->actor, note, err) != 0
               ? -1
               : api_alert_show(call, err);
}

/* As the daily one, but now, and sent to nobody. */
int api_digest(struct api_call *call, struct error *err)
{
    struct store_status status;
    struct error ignored; /* the digest is told without it */
    bool known = store_status_read(server_store(call->server), &status, &ignored) == 0;
    json_t *digest =
        digest_make(server_catalog(call->server), server_id(call->server), known ? &status : NULL,
                    alerts_rpo_grace_ms(server_alerts(call->server)), clock_wall_ms(), err);
    if (digest == NULL) {
        return -1;
    }
    char *subject = digest_subject(digest);
    char *text = digest_text(digest);
    char *html = digest_html(digest);
    call->reply =
        json_pack("{s:s, s:s, s:s, s:o}", "subject", subject, "text", text, "html", html, "data", digest);
    free(subject);
    free(text);
    free(html);
    return 0;
}

int api_status_alerts(struct api_call *call, json_t *status, struct error *err)
{
    struct catalog_alert_counts counts;
    if (catalog_alert_count(server_catalog(call->server), access_scope_user(call), &counts, err) != 0) {
        return -1;
    }
    const uint64_t *open = counts.open;
    const uint64_t *seen = counts.acknowledged;
    json_object_set_new(
        status, "alerts",
        json_pack("{s:I, s:I, s:I, s:I}", "critical", (json_int_t)open[ALERT_CRITICAL], "warning",
                  (json_int_t)open[ALERT_WARNING], "information", (json_int_t)open[ALERT_INFORMATION],
                  "acknowledged",
                  (json_int_t)(seen[ALERT_CRITICAL] + seen[ALERT_WARNING] + seen[ALERT_INFORMATION])));
    return 0;
}
