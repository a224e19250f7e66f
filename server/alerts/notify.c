#include "server/alerts/notify.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/alerts/delivery.h"
#include "server/alerts/digest.h"
#include "server/alerts/notify_secret.h"
#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_MS = 60000, RETRY_MAX_MS = 3600 * 1000, RETRY_DOUBLINGS_MAX = 12 };

struct notify {
    struct notify_options options; /* texts are copies */
    char *data_directory;
    char *server_id;
    pthread_t thread;
    bool started;
    atomic_bool stopping;
    pthread_mutex_t lock; /* guards `awake`; nothing is locked inside */
    pthread_cond_t changed;
    bool awake; /* there may be something new */
};

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
    free(notify->data_directory);
    free(notify->server_id);
    free(notify);
}

void notify_wake(struct notify *notify)
{
    pthread_mutex_lock(&notify->lock);
    notify->awake = true;
    pthread_cond_signal(&notify->changed);
    pthread_mutex_unlock(&notify->lock);
}

/* --- delivering
 * --------------------------------------------------------------------------------------------------- */

static int deliver(struct notify *notify, const struct catalog_notification *to,
                   const struct catalog_message *message, struct error *err)
{
    char *secret = NULL;
    if (notify_secret_open(notify->data_directory, to->id, to->secret, &secret, err) != 0) {
        return -1;
    }
    struct delivery delivery = {.to = to,
                                .secret = secret,
                                .message = message,
                                .server_id = notify->server_id,
                                .timeout_ms = notify->options.timeout_ms,
                                .stop = &notify->stopping};
    int result = delivery_send(&delivery, err);
    notify_secret_free(secret);
    return result;
}

static int64_t next_attempt(const struct notify *notify, const struct catalog_message *message,
                            int64_t now_ms)
{
    unsigned doublings = message->attempts < RETRY_DOUBLINGS_MAX ? message->attempts : RETRY_DOUBLINGS_MAX;
    int64_t delay_ms = (int64_t)notify->options.retry_ms << doublings;
    bool over = now_ms - message->created_ms >= notify->options.give_up_ms;
    return over ? 0 : now_ms + (delay_ms < RETRY_MAX_MS ? delay_ms : RETRY_MAX_MS);
}

static int deliver_due(struct notify *notify, struct arena *arena, const struct catalog_message *message,
                       struct error *err)
{
    struct catalog *catalog = notify->options.catalog;
    struct error why;
    const struct catalog_notification *to =
        catalog_notification_find(catalog, arena, message->notification_id, err);
    if (to == NULL) {
        return err->code == ERROR_NOTIFY_NOT_FOUND ? 0 : -1; /* deleted meanwhile, with its messages */
    }
    int result = to->enabled ? deliver(notify, to, message, &why)
                             : error_set(&why, ERROR_NOTIFY_FAILED, "%s is disabled", to->name);
    int64_t now_ms = clock_wall_ms();
    if (result == 0) {
        log_event(LOG_INFO, "notification delivered", "to=\"%s\" event=%s id=%s", to->name, message->event,
                  message->id);
        result = catalog_outbox_delivered(catalog, message, now_ms, err);
    } else if (atomic_load(&notify->stopping)) {
        return 0;
    } else {
        int64_t next_ms = to->enabled ? next_attempt(notify, message, now_ms) : 0;
        log_event(LOG_WARNING, "notification not delivered", "to=\"%s\" id=%s try=%u cause=\"%s\"%s",
                  to->name, message->id, message->attempts + 1, why.cause,
                  next_ms == 0 ? " given_up=yes" : "");
        result = catalog_outbox_failed(catalog, message, now_ms, next_ms,
                                       why.cause[0] != '\0' ? why.cause : why.message, err);
    }
    if (notify->options.failing != NULL) {
        notify->options.failing(notify->options.cookie);
    }
    return result;
}

/* One message. Gives how long there is nothing to do, 0 for more at once. */
static unsigned work(struct notify *notify)
{
    struct error err;
    struct arena *arena = arena_create();
    const struct catalog_message *message;
    int64_t next_ms;
    int64_t wait_ms = LOOK_MS;
    int result =
        catalog_outbox_due(notify->options.catalog, arena, clock_wall_ms(), &message, &next_ms, &err);
    if (result == 0 && message != NULL) {
        result = deliver_due(notify, arena, message, &err);
        wait_ms = 0;
    } else if (result == 0 && next_ms > 0) {
        int64_t left_ms = next_ms - clock_wall_ms();
        wait_ms = left_ms < 1 ? 1 : left_ms < LOOK_MS ? left_ms : LOOK_MS;
    }
    if (result != 0) {
        log_error("notifications not worked off", &err);
        wait_ms = LOOK_MS;
    }
    arena_destroy(arena);
    return (unsigned)wait_ms;
}

static void wait_for_more(struct notify *notify, unsigned wait_ms)
{
    enum { SECOND_MS = 1000, MS_NS = 1000000, SECOND_NS = 1000000000 };
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ms / SECOND_MS);
    until.tv_nsec += (long)(wait_ms % SECOND_MS) * MS_NS;
    if (until.tv_nsec >= SECOND_NS) {
        until.tv_sec++;
        until.tv_nsec -= SECOND_NS;
    }
    pthread_mutex_lock(&notify->lock);
    while (wait_ms > 0 && !notify->awake &&
           pthread_cond_timedwait(&notify->changed, &notify->lock, &until) == 0) {
    }
    notify->awake = false;
    pthread_mutex_unlock(&notify->lock);
}

static void *notify_thread(void *cookie)
{
    struct notify *notify = cookie;
    while (!atomic_load(&notify->stopping)) {
        wait_for_more(notify, work(notify));
    }
    return NULL;
}

int notify_start(struct notify *notify, struct error *err)
{
    int failure = pthread_create(&notify->thread, NULL, notify_thread, notify);
    if (failure != 0) {
        return error_set_errno(err, ERROR_INTERNAL, failure, "The thread of notifications can't be made");
    }
    notify->started = true;
    return 0;
}

void notify_stop(struct notify *notify)
{
    if (notify == NULL || !notify->started) {
        return;
    }
    atomic_store(&notify->stopping, true);
    notify_wake(notify);
    pthread_join(notify->thread, NULL);
    notify->started = false;
}

int notify_test(struct notify *notify, const struct catalog_notification *to, struct error *err)
{
    char id[IDENTITY_SIZE];
    identity_create(id);
    struct catalog_message message = {
        .id = id,
        .notification_id = to->id,
        .event = "test",
        .subject = "Holdfast: a test",
        .body = "This is a test message. Whoever reads it gets this server's notifications.\n",
        .html = "",
        .data = "{}",
        .created_ms = clock_wall_ms()};
    return deliver(notify, to, &message, err);
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
