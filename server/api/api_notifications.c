/* Who is told of alerts, jobs and the day. Passwords and shared secrets go in and never come out. */
#include "server/api/api_internal.h"

#include "base/clock.h"
#include "server/alerts/alerts.h"
#include "server/alerts/delivery.h"
#include "server/alerts/digest.h"
#include "server/protection/protection.h"
#include "server/sealed_secret.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

enum { AUTHORITIES_MAX = 64 * 1024, USER_MAX = 254 };

static const struct {
    const char *name;
    enum notification_events bit;
} event_names[] = {{"alerts", NOTIFY_ALERTS}, {"jobs", NOTIFY_JOBS}, {"digest", NOTIFY_DIGEST}};

enum { EVENT_COUNT = sizeof event_names / sizeof *event_names };

/* --- answers
 * ----------------------------------------------------------------------------------------------------- */

static json_t *split_recipients(const char *recipients)
{
    json_t *items = json_array();
    while (*recipients != '\0') {
        size_t length = strcspn(recipients, ",");
        json_array_append_new(items, json_stringn(recipients, length));
        recipients += length;
        recipients += *recipients == ',';
    }
    return items;
}

static json_t *notification_json(const struct catalog_notification *item)
{
    bool mail = item->kind == NOTIFICATION_MAIL;
    json_t *events = json_array();
    for (size_t i = 0; i < EVENT_COUNT; i++) {
        if ((item->events & event_names[i].bit) != 0) {
            json_array_append_new(events, json_string(event_names[i].name));
        }
    }
    json_t *object = json_pack("{s:s, s:s, s:s, s:b, s:s, s:o, s:s, s:s, s:o, s:o, s:b, s:b}", "id", item->id,
                               "name", item->name, "kind", notification_kind_name(item->kind), "enabled",
                               item->enabled, "severity", alert_severity_name(item->severity), "events",
                               events, "digest_time", item->digest_time, "digest_timezone", item->digest_zone,
                               "server", api_text_or_null(mail ? item->server : ""), "url",
                               api_text_or_null(mail ? "" : item->server), "has_secret",
                               item->secret[0] != '\0', "has_authorities", item->authorities[0] != '\0');
    json_object_set_new(object, "security", api_text_or_null(item->security));
    json_object_set_new(object, "user", api_text_or_null(item->user));
    json_object_set_new(object, "from", api_text_or_null(item->sender));
    json_object_set_new(object, "to", split_recipients(item->recipients));
    json_object_set_new(object, "waiting", json_integer((json_int_t)item->waiting));
    json_object_set_new(object, "delivered", api_time(item->delivered_ms));
    json_object_set_new(object, "failures", json_integer((json_int_t)item->failures));
    json_object_set_new(object, "failing_since", api_time(item->failing_since_ms));
    json_object_set_new(object, "lost", json_integer((json_int_t)item->lost));
    json_object_set_new(object, "last_error", api_text_or_null(item->last_error));
    return object;
}

int api_notification_list(struct api_call *call, struct error *err)
{
    struct catalog_page page;
    const struct catalog_notification *items;
    size_t count;
    if (api_page(call, &page, err) != 0 ||
        catalog_notification_list(server_catalog(call->server), call->arena, &page, &items, &count, err) !=
            0) {
        return -1;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, notification_json(&items[i]));
    }
    call->reply = api_list(list, &page, count > 0 ? items[count - 1].number : 0);
    return 0;
}

static const struct catalog_notification *find(struct api_call *call, const char *reference,
                                               struct error *err)
{
    return catalog_notification_find(server_catalog(call->server), call->arena, reference, err);
}

int api_notification_show(struct api_call *call, struct error *err)
{
    const struct catalog_notification *item = find(call, call->parameters[0], err);
    call->reply = item != NULL ? notification_json(item) : NULL;
    return item != NULL ? 0 : -1;
}

/* --- requests
 * ---------------------------------------------------------------------------------------------------- */

static int read_events(const json_t *body, unsigned *events, struct error *err)
{
    json_t *list = json_object_get(body, "events");
    size_t index;
    json_t *item;
    if (list == NULL || json_is_null(list)) {
        return 0;
    }
    *events = 0;
    json_array_foreach (list, index, item) {
        const char *name = json_string_value(item);
        size_t k = 0;
        while (k < EVENT_COUNT && (name == NULL || strcmp(name, event_names[k].name) != 0)) {
            k++;
        }
        *events |= k < EVENT_COUNT ? event_names[k].bit : 0;
        if (k == EVENT_COUNT) {
            return error_set(err, ERROR_REQUEST_INVALID, "Events are alerts, jobs and digest");
        }
    }
    return *events != 0
               ? 0
               : error_set(err, ERROR_REQUEST_INVALID, "Name one event at least: alerts, jobs, digest");
}

static int read_recipients(struct api_call *call, const char **recipients, struct error *err)
{
    json_t *list = json_object_get(call->body, "to");
    size_t index;
    json_t *item;
    const char *text = NULL;
    if (list == NULL || json_is_null(list)) {
        return 0;
    }
    json_array_foreach (list, index, item) {
        if (!json_is_string(item)) {
            return error_set(err, ERROR_REQUEST_INVALID, "to must be a list of addresses");
        }
        text = text != NULL ? arena_format(call->arena, "%s,%s", text, json_string_value(item))
                            : arena_text(call->arena, json_string_value(item));
    }
    *recipients = text != NULL ? text : "";
    return 0;
}

static int check_authorities(const char *pem, struct error *err)
{
    size_t length = strlen(pem);
    if (length == 0) {
        return 0;
    }
    BIO *bio = length <= AUTHORITIES_MAX ? BIO_new_mem_buf(pem, (int)length) : NULL;
    X509 *certificate = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    bool valid = certificate != NULL;
    X509_free(certificate);
    BIO_free(bio);
    return valid ? 0
                 : error_set(err, ERROR_REQUEST_INVALID,
                             "authorities are certificates in PEM, %d bytes at most", AUTHORITIES_MAX);
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            return true;
        }
    }
    return false;
}

/* What belongs to the other kind is refused: it would be taken for granted and ignored. */
static int read_place(struct api_call *call, struct catalog_notification *item, struct error *err)
{
    static const char *const of_mail[] = {"server", "security", "user", "from", "to", NULL};
    const json_t *body = call->body;
    if (item->kind == NOTIFICATION_WEBHOOK) {
        for (const char *const *name = of_mail; *name != NULL; name++) {
            if (json_object_get(body, *name) != NULL) {
                return error_set(err, ERROR_REQUEST_INVALID, "A webhook has no %s", *name);
            }
        }
        return api_text_field(body, "url", &item->server, err);
    }
    if (json_object_get(body, "url") != NULL) {
        return error_set(err, ERROR_REQUEST_INVALID, "A mail has no url");
    }
    return api_text_field(body, "server", &item->server, err) != 0 ||
                   api_text_field(body, "security", &item->security, err) != 0 ||
                   api_text_field(body, "user", &item->user, err) != 0 ||
                   api_text_field(body, "from", &item->sender, err) != 0 ||
                   read_recipients(call, &item->recipients, err) != 0
               ? -1
               : 0;
}

static int check(const struct catalog_notification *item, struct error *err)
{
    int64_t ignored;
    if (protection_check_name(item->name, err) != 0 || delivery_check(item, err) != 0 ||
        check_authorities(item->authorities, err) != 0 ||
        digest_next(item->digest_time, item->digest_zone, clock_wall_ms(), &ignored, err) != 0) {
        return -1;
    }
    return strlen(item->user) > USER_MAX || has_control(item->user)
               ? error_set(err, ERROR_REQUEST_INVALID, "This can't be a user's name")
               : 0;
}

/* The request over what is there. The stored secret goes to the stored server only: whoever may change the
 * server must not be able to have it sent elsewhere. */
static int read_request(struct api_call *call, struct catalog_notification *item, struct error *err)
{
    const json_t *body = call->body;
    const char *severity = alert_severity_name(item->severity);
    const char *secret = NULL;
    const char *server = item->server;
    const char *authorities = item->authorities;
    if (api_text_field(body, "name", &item->name, err) != 0 ||
        api_boolean_field(body, "enabled", &item->enabled, err) != 0 ||
        api_text_field(body, "severity", &severity, err) != 0 || read_events(body, &item->events, err) != 0 ||
        api_text_field(body, "digest_time", &item->digest_time, err) != 0 ||
        api_text_field(body, "digest_timezone", &item->digest_zone, err) != 0 ||
        api_text_field(body, "authorities", &item->authorities, err) != 0 ||
        api_text_field(body, "secret", &secret, err) != 0 || read_place(call, item, err) != 0 ||
        check(item, err) != 0) {
        return -1;
    }
    if (alert_severity_parse(severity, &item->severity) != 0) {
        return error_set(err, ERROR_REQUEST_INVALID,
                         "There is no severity %.40s: critical, warning or information", severity);
    }
    bool elsewhere = strcmp(server, item->server) != 0 || strcmp(authorities, item->authorities) != 0;
    if (item->secret[0] != '\0' && secret == NULL && elsewhere) {
        return error_set(err, ERROR_REQUEST_INVALID,
                         "Give the secret anew: the stored one is not sent to another server");
    }
    if (secret != NULL) {
        char *sealed;
        if (sealed_secret_make(server_data_directory(call->server), SEALED_NOTIFICATION, item->id, secret,
                               &sealed, err) != 0) {
            return -1;
        }
        item->secret = arena_text(call->arena, sealed);
        free(sealed);
    }
    return 0;
}

int api_notification_create(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"name",        "kind", "enabled", "severity", "events",
                                         "digest_time", "to",   "server",  "security", "digest_timezone",
                                         "user",        "from", "url",     "secret",   "authorities",
                                         NULL};
    char id[IDENTITY_SIZE];
    const char *kind = NULL;
    identity_create(id);
    struct catalog_notification item = {.id = id,
                                        .name = "",
                                        .enabled = true,
                                        .severity = ALERT_WARNING,
                                        .events = NOTIFY_ALERTS,
                                        .digest_time = "07:00",
                                        .digest_zone = "UTC",
                                        .server = "",
                                        .security = "",
                                        .user = "",
                                        .sender = "",
                                        .recipients = "",
                                        .authorities = "",
                                        .secret = "",
                                        .created_ms = clock_wall_ms()};
    if (api_check_fields(call->body, fields, err) != 0 ||
        api_text_field(call->body, "kind", &kind, err) != 0) {
        return -1;
    }
    if (kind == NULL || (strcmp(kind, "mail") != 0 && strcmp(kind, "webhook") != 0)) {
        return error_set(err, ERROR_REQUEST_INVALID, "kind must be mail or webhook");
    }
    item.kind = strcmp(kind, "mail") == 0 ? NOTIFICATION_MAIL : NOTIFICATION_WEBHOOK;
    item.security = item.kind == NOTIFICATION_MAIL ? "starttls" : "";
    if (read_request(call, &item, err) != 0 ||
        catalog_notification_insert(server_catalog(call->server), &item, err) != 0) {
        return -1;
    }
    call->status = 201;
    call->parameters[0] = arena_text(call->arena, id);
    return api_notification_show(call, err);
}

int api_notification_edit(struct api_call *call, struct error *err)
{
    static const char *const fields[] = {"name", "enabled", "severity",        "events",      "digest_time",
                                         "to",   "server",  "security",        "user",        "from",
                                         "url",  "secret",  "digest_timezone", "authorities", NULL};
    const struct catalog_notification *former = find(call, call->parameters[0], err);
    if (former == NULL || api_check_fields(call->body, fields, err) != 0) {
        return -1;
    }
    struct catalog_notification item = *former;
    if (read_request(call, &item, err) != 0 ||
        catalog_notification_update(server_catalog(call->server), &item, err) != 0) {
        return -1;
    }
    notify_wake(alerts_notify(server_alerts(call->server)));
    alerts_wake(server_alerts(call->server));
    call->parameters[0] = former->id;
    return api_notification_show(call, err);
}

int api_notification_delete(struct api_call *call, struct error *err)
{
    const struct catalog_notification *item = find(call, call->parameters[0], err);
    if (item == NULL || catalog_notification_delete(server_catalog(call->server), item->id, err) != 0) {
        return -1;
    }
    alerts_wake(server_alerts(call->server));
    call->reply = json_object();
    return 0;
}

int api_notification_test(struct api_call *call, struct error *err)
{
    const struct catalog_notification *item = find(call, call->parameters[0], err);
    if (item == NULL || notify_test(alerts_notify(server_alerts(call->server)), item, err) != 0) {
        return -1;
    }
    call->reply = json_object();
    return 0;
}

/* --- jobs that ask for it
 * ---------------------------------------------------------------------------------------- */

int api_check_notify(struct api_call *call, struct error *err)
{
    bool notify = false;
    if (api_boolean_field(call->body, "notify", &notify, err) != 0) {
        return -1;
    }
    return notify ? notify_check_jobs_wanted(alerts_notify(server_alerts(call->server)), err) : 0;
}

int api_notify_of_job(struct api_call *call, const char *job_id, struct error *err)
{
    if (!json_is_true(json_object_get(call->body, "notify"))) {
        return 0;
    }
    int result = catalog_job_notification_insert(server_catalog(call->server), job_id, err);
    alerts_wake(server_alerts(call->server)); /* the job may have ended already */
    return result;
}
