/* The threads that deliver what is in the outbox. */
#include "base/clock.h"
#include "base/log.h"
#include "server/alerts/delivery.h"
#include "server/alerts/notify_internal.h"
#include "server/sealed_secret.h"
#include <stdio.h>

enum { LOOK_MS = 60000, RETRY_MAX_MS = 3600 * 1000, RETRY_DOUBLINGS_MAX = 12 };

/* One waiting worker looks; when it finds something, it calls the next. */
void notify_wake(struct notify *notify)
{
    pthread_mutex_lock(&notify->lock);
    notify->changes++;
    pthread_cond_signal(&notify->changed);
    pthread_mutex_unlock(&notify->lock);
}

static int deliver(struct notify *notify, const struct catalog_notification *to,
                   const struct catalog_message *message, struct error *err)
{
    char *secret = NULL;
    if (sealed_secret_open(notify->data_directory, SEALED_NOTIFICATION, to->id, to->secret, &secret, err) !=
        0) {
        return -1;
    }
    struct delivery delivery = {.to = to,
                                .secret = secret,
                                .message = message,
                                .server_id = notify->server_id,
                                .timeout_ms = notify->options.timeout_ms,
                                .stop = &notify->stopping};
    int result = delivery_send(&delivery, err);
    sealed_secret_free(secret);
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

/* Which receivers other workers deliver to. Under the claim lock. */
static size_t list_busy(const struct notify *notify, const char *busy[NOTIFY_WORKERS])
{
    size_t count = 0;
    for (size_t i = 0; i < NOTIFY_WORKERS; i++) {
        if (notify->workers[i].receiver[0] != '\0') {
            busy[count++] = notify->workers[i].receiver;
        }
    }
    return count;
}

/* A message of a receiver that no other worker delivers to: from now on this one does. NULL when there is
 * none; *next_ms is as catalog_outbox_due has it. */
static int claim(struct notify_worker *worker, struct arena *arena, const struct catalog_message **message,
                 int64_t *next_ms, struct error *err)
{
    struct notify *notify = worker->notify;
    const char *busy[NOTIFY_WORKERS];
    pthread_mutex_lock(&notify->claim_lock);
    size_t count = list_busy(notify, busy);
    int result = catalog_outbox_due(notify->options.catalog, arena, clock_wall_ms(), busy, count, message,
                                    next_ms, err);
    if (result == 0 && *message != NULL) {
        snprintf(worker->receiver, sizeof worker->receiver, "%s", (*message)->notification_id);
    }
    pthread_mutex_unlock(&notify->claim_lock);
    return result;
}

static void release(struct notify_worker *worker)
{
    pthread_mutex_lock(&worker->notify->claim_lock);
    worker->receiver[0] = '\0';
    pthread_mutex_unlock(&worker->notify->claim_lock);
}

/* One message. Gives how long there is nothing to do, 0 for more at once. */
static unsigned work(struct notify_worker *worker)
{
    struct error err;
    struct arena *arena = arena_create();
    const struct catalog_message *message = NULL;
    int64_t next_ms = 0;
    int64_t wait_ms = LOOK_MS;
    int result = claim(worker, arena, &message, &next_ms, &err);
    if (result == 0 && message != NULL) {
        notify_wake(worker->notify); /* there may be one for somebody else */
        result = deliver_due(worker->notify, arena, message, &err);
        release(worker);
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

/* Until there may be more than when there were `seen` changes. */
static void wait_for_more(struct notify *notify, uint64_t seen, unsigned wait_ms)
{
    struct timespec until = clock_deadline(wait_ms);
    pthread_mutex_lock(&notify->lock);
    while (wait_ms > 0 && notify->changes == seen && !atomic_load(&notify->stopping) &&
           pthread_cond_timedwait(&notify->changed, &notify->lock, &until) == 0) {
    }
    pthread_mutex_unlock(&notify->lock);
}

static uint64_t changes_seen(struct notify *notify)
{
    pthread_mutex_lock(&notify->lock);
    uint64_t seen = notify->changes;
    pthread_mutex_unlock(&notify->lock);
    return seen;
}

static void *notify_thread(void *cookie)
{
    struct notify_worker *worker = cookie;
    while (!atomic_load(&worker->notify->stopping)) {
        uint64_t seen = changes_seen(worker->notify);
        wait_for_more(worker->notify, seen, work(worker));
    }
    return NULL;
}

int notify_start(struct notify *notify, struct error *err)
{
    for (notify->started = 0; notify->started < NOTIFY_WORKERS; notify->started++) {
        struct notify_worker *worker = &notify->workers[notify->started];
        worker->notify = notify;
        int failure = pthread_create(&worker->thread, NULL, notify_thread, worker);
        if (failure != 0) {
            return error_set_errno(err, ERROR_INTERNAL, failure,
                                   "The threads of notifications can't be made");
        }
    }
    return 0;
}

void notify_stop(struct notify *notify)
{
    if (notify == NULL || notify->started == 0) {
        return;
    }
    pthread_mutex_lock(&notify->lock);
    atomic_store(&notify->stopping, true);
    pthread_cond_broadcast(&notify->changed);
    pthread_mutex_unlock(&notify->lock);
    while (notify->started > 0) {
        pthread_join(notify->workers[--notify->started].thread, NULL);
    }
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
