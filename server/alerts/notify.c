#include "server/alerts/notify.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/alerts/digest.h"
#include "server/alerts/notify_internal.h"
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

struct notify *notify_create(const struct notify_options *options)
{
    struct notify *notify = memory_zalloc(sizeof *notify);
    pthread_condattr_t attributes;
    curl_global_init(CURL_GLOBAL_DEFAULT); /* before threads use it */
    notify->options = *options;
    notify->data_directory = memory_copy_text(options->data_directory);
    notify->server_id = memory_copy_text(options->server_id);
    notify->options.data_directory = notify->data_directory;
    notify->options.server_id = notify->server_id;
    pthread_mutex_init(&notify->claim_lock, NULL);
    pthread_mutex_init(&notify->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&notify->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return notify;
}

void notify_destroy(struct notify *notify)
{
    if (notify == NULL) {
        return;
    }
    pthread_cond_destroy(&notify->changed);
    pthread_mutex_destroy(&notify->lock);
    pthread_mutex_destroy(&notify->claim_lock);
    free(notify->data_directory);
    free(notify->server_id);
    free(notify);
}

/* --- the outbox
 * --------------------------------------------------------------------------------------------------- */

/* A text that is none of ours may hold anything. */
static char *dump(const json_t *data)
{
    char *text = data != NULL ? json_dumps(data, JSON_COMPACT) : NULL;
    return text != NULL ? text : memory_copy_text("{}");
}

static int put(struct notify *notify, const struct catalog_notification *to,
               const struct catalog_message *message, struct error *err)
{
    struct catalog_message own = *message;
    char id[IDENTITY_SIZE];
    bool kept;
    identity_create(id);
    own.id = id;
    own.notification_id = to->id;
    own.created_ms = clock_wall_ms();
    if (catalog_outbox_insert(notify->options.catalog, &own, &kept, err) != 0) {
        return -1;
    }
    if (!kept) {
        log_event(LOG_WARNING, "notification lost: too many wait", "to=\"%s\"", to->name);
        return catalog_notification_lost(notify->options.catalog, to->id, err);
    }
    return 0;
}

/* To all who want the event. skip: the id of one that gets none, or "". */
static int put_to_all(struct notify *notify, enum notification_events event, int severity, const char *skip,
                      const struct catalog_message *message, size_t *receivers, struct error *err)
{
    struct catalog_page page = {0};
    struct arena *arena = arena_create();
    const struct catalog_notification *items;
    size_t count;
    int result = 0;
    *receivers = 0;
    do {
        result = catalog_notification_list(notify->options.catalog, arena, &page, &items, &count, err);
        for (size_t i = 0; i < count && result == 0; i++) {
            page.after = items[i].number;
            if (!items[i].enabled || (items[i].events & event) == 0 || severity < (int)items[i].severity ||
                strcmp(items[i].id, skip) == 0) {
                continue;
            }
            (*receivers)++;
            result = message != NULL ? put(notify, &items[i], message, err) : 0;
        }
    } while (result == 0 && count == CATALOG_PAGE_MAX);
    arena_destroy(arena);
    return result;
}

json_t *alert_json(const struct catalog_alert *alert)
{
    char raised[CLOCK_TEXT_SIZE], resolved[CLOCK_TEXT_SIZE], acknowledged[CLOCK_TEXT_SIZE];
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s?}", "id", alert->id, "code",
        error_code_name(alert->code), "severity", alert_severity_name(alert->severity), "object_kind",
        alert->object_kind, "object_id", alert->object_id, "object", alert->object_name, "message",
        alert->message, "action", catalog_alert_action(alert), "raised",
        clock_format_wall(alert->raised_ms, raised), "cause", alert->cause[0] != '\0' ? alert->cause : NULL);
    if (object == NULL) {
        return json_object(); /* a name that is not UTF-8 */
    }
    json_object_set_new(object, "cause_code",
                        alert->cause_code != ERROR_NONE ? json_string(error_code_name(alert->cause_code))
                                                        : json_null());
    json_object_set_new(object, "job", alert->job_id[0] != '\0' ? json_string(alert->job_id) : json_null());
    json_object_set_new(object, "resolved",
                        alert->resolved_ms != 0 ? json_string(clock_format_wall(alert->resolved_ms, resolved))
                                                : json_null());
    bool seen = alert->acknowledged_ms != 0;
    json_object_set_new(object, "acknowledged",
                        seen ? json_string(clock_format_wall(alert->acknowledged_ms, acknowledged))
                             : json_null());
    json_object_set_new(object, "acknowledged_by", seen ? json_string(alert->acknowledged_by) : json_null());
    json_object_set_new(object, "note", alert->note[0] != '\0' ? json_string(alert->note) : json_null());
    return object;
}

/* Names may hold whatever a host says: no line of a mail begins in one. malloc'd. */
static char *one_line(const char *text)
{
    char *line = memory_copy_text(text);
    for (char *c = line; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' || *c == 0x7f ? ' ' : *c;
    }
    return line;
}

int notify_alert(struct notify *notify, const struct catalog_alert *alert, bool resolved, struct error *err)
{
    size_t receivers;
    const char *skip = alert->code == ERROR_NOTIFY_FAILED ? alert->object_id : "";
    char *subject = memory_format("Holdfast: %s%s: %s", resolved ? "resolved: " : "",
                                  alert_severity_name(alert->severity), alert->message);
    char *message_line = one_line(alert->message);
    char *cause = one_line(alert->cause);
    char *body = resolved
                     ? memory_format("%s\n\nThis is no longer so.\n\nCode: %s\n", message_line,
                                     error_code_name(alert->code))
                     : memory_format("%s\n%s%s%s\nTo do: %s\n\nCode: %s\nAlert: %s\n", message_line,
                                     cause[0] != '\0' ? "\nCause: " : "", cause, cause[0] != '\0' ? "\n" : "",
                                     catalog_alert_action(alert), error_code_name(alert->code), alert->id);
    json_t *data = alert_json(alert);
    char *text = dump(data);
    struct catalog_message message = {.event = resolved ? "alert-resolved" : "alert-raised",
                                      .subject = subject,
                                      .body = body,
                                      .html = "",
                                      .data = text};
    int result = put_to_all(notify, NOTIFY_ALERTS, (int)alert->severity, skip, &message, &receivers, err);
    json_decref(data);
    free(text);
    free(body);
    free(cause);
    free(message_line);
    free(subject);
    return result;
}

int notify_job(struct notify *notify, const struct catalog_job *job, struct error *err)
{
    size_t receivers;
    char finished[CLOCK_TEXT_SIZE];
    char *subject = memory_format("Holdfast: %s of %s %s", job_type_name(job->type), job->vm_name,
                                  job_state_name(job->state));
    char *vm = one_line(job->vm_name);
    char *host = one_line(job->host_name);
    char *why = one_line(job->error_message);
    char *body =
        memory_format("The %s of %s on %s is %s.\n%s%s%s\nJob: %s\n", job_type_name(job->type), vm, host,
                      job_state_name(job->state), why, job->error_message[0] != '\0' ? "\n" : "",
                      job->error_code != ERROR_NONE ? error_code_action(job->error_code) : "", job->id);
    json_t *data = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "id", job->id, "type",
                             job_type_name(job->type), "state", job_state_name(job->state), "vm",
                             job->vm_name, "host", job->host_name, "point", job->point_id, "error",
                             job->error_code != ERROR_NONE ? error_code_name(job->error_code) : "",
                             "finished", clock_format_wall(job->finished_ms, finished), "sent_bytes",
                             (json_int_t)job->wire_bytes, "stored_bytes", (json_int_t)job->stored_bytes);
    char *text = dump(data);
    struct catalog_message message = {
        .event = "job", .subject = subject, .body = body, .html = "", .data = text};
    int result = put_to_all(notify, NOTIFY_JOBS, ALERT_CRITICAL, "", &message, &receivers, err);
    json_decref(data);
    free(text);
    free(body);
    free(why);
    free(host);
    free(vm);
    free(subject);
    return result;
}

int notify_digest(struct notify *notify, const struct catalog_notification *to, const json_t *digest,
                  struct error *err)
{
    char *subject = digest_subject(digest);
    char *body = digest_text(digest);
    char *html = digest_html(digest);
    char *data = dump(digest);
    struct catalog_message message = {
        .event = "digest", .subject = subject, .body = body, .html = html, .data = data};
    int result = put(notify, to, &message, err);
    free(subject);
    free(body);
    free(html);
    free(data);
    return result;
}

int notify_check_jobs_wanted(struct notify *notify, struct error *err)
{
    size_t receivers;
    if (put_to_all(notify, NOTIFY_JOBS, ALERT_CRITICAL, "", NULL, &receivers, err) != 0) {
        return -1;
    }
    return receivers > 0 ? 0
                         : error_set(err, ERROR_NOTIFY_NOT_FOUND,
                                     "No notification is told of jobs, so nobody would be");
}
