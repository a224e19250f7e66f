#include "server/alerts/alerts.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/alerts/conditions.h"
#include "server/alerts/digest.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_S = 60, PAUSE_MS = 1000, MINUTE_MS = 60000, SECOND_MS = 1000 };

static const int64_t kept_ms = (int64_t)366 * 24 * 3600 * 1000;

struct alerts {
    struct catalog *catalog;
    struct capacity *capacity;
    char *data_directory;
    char *server_id;
    struct conditions_options limits; /* what the configuration says; the rest is set for each look */
    struct notify *notify;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards the two below; nothing is locked inside */
    pthread_cond_t changed;
    bool awake;
    bool stopping;
};

/* --- making it
 * --------------------------------------------------------------------------------------------------- */

static void on_delivery(void *cookie)
{
    alerts_wake(cookie);
}

static int read_config(struct alerts *alerts, const struct config *config, struct error *err)
{
    enum { DAY_MINUTES = 24 * 60, WEEK_MINUTES = 7 * DAY_MINUTES, HOUR_S = 3600 };
    int64_t away, grace, timeout, retry, give_up;
    if (config_integer(config, "alert-host-minutes", 0, WEEK_MINUTES, &away, err) != 0 ||
        config_integer(config, "alert-late-minutes", 0, WEEK_MINUTES, &grace, err) != 0 ||
        config_integer(config, "notify-timeout-seconds", 1, HOUR_S, &timeout, err) != 0 ||
        config_integer(config, "notify-retry-seconds", 1, HOUR_S, &retry, err) != 0 ||
        config_integer(config, "notify-give-up-minutes", 0, WEEK_MINUTES, &give_up, err) != 0) {
        return -1;
    }
    alerts->limits = (struct conditions_options){.catalog = alerts->catalog,
                                                 .data_directory = alerts->data_directory,
                                                 .started_ms = clock_wall_ms(),
                                                 .host_away_ms = away * MINUTE_MS,
                                                 .rpo_grace_ms = grace * MINUTE_MS};
    struct notify_options options = {.catalog = alerts->catalog,
                                     .data_directory = alerts->data_directory,
                                     .server_id = alerts->server_id,
                                     .timeout_ms = (unsigned)(timeout * SECOND_MS),
                                     .retry_ms = (unsigned)(retry * SECOND_MS),
                                     .give_up_ms = give_up * MINUTE_MS,
                                     .failing = on_delivery,
                                     .cookie = alerts};
    alerts->notify = notify_create(&options);
    return 0;
}

struct alerts *alerts_create(struct catalog *catalog, struct capacity *capacity, const struct config *config,
                             const char *data_directory, const char *server_id, struct error *err)
{
    struct alerts *alerts = memory_zalloc(sizeof *alerts);
    pthread_condattr_t attributes;
    alerts->catalog = catalog;
    alerts->capacity = capacity;
    alerts->data_directory = memory_copy_text(data_directory);
    alerts->server_id = memory_copy_text(server_id);
    pthread_mutex_init(&alerts->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&alerts->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (read_config(alerts, config, err) != 0) {
        alerts_destroy(alerts);
        return NULL;
    }
    return alerts;
}

void alerts_destroy(struct alerts *alerts)
{
    if (alerts == NULL) {
        return;
    }
    notify_destroy(alerts->notify);
    pthread_cond_destroy(&alerts->changed);
    pthread_mutex_destroy(&alerts->lock);
    free(alerts->data_directory);
    free(alerts->server_id);
    free(alerts);
}

void alerts_wake(struct alerts *alerts)
{
    pthread_mutex_lock(&alerts->lock);
    alerts->awake = true;
    pthread_cond_signal(&alerts->changed);
    pthread_mutex_unlock(&alerts->lock);
}

struct notify *alerts_notify(struct alerts *alerts)
{
    return alerts->notify;
}

int64_t alerts_rpo_grace_ms(const struct alerts *alerts)
{
    return alerts->limits.rpo_grace_ms;
}

/* --- one look
 * ---------------------------------------------------------------------------------------------------- */

static int look_at_conditions(struct alerts *alerts, const struct capacity_status *room, int64_t now_ms,
                              struct error *err)
{
    struct conditions_options options = alerts->limits;
    struct conditions conditions = {.arena = arena_create()};
    options.now_ms = now_ms;
    options.room = room;
    int result = conditions_find(&options, &conditions, err) != 0 ||
                         alerts_apply(alerts->catalog, alerts->notify, &conditions, now_ms, err) != 0
                     ? -1
                     : 0;
    arena_destroy(conditions.arena);
    return result;
}

static int look_at_job(struct alerts *alerts, struct arena *arena, const char *job_id, struct error *err)
{
    const struct catalog_job *job = catalog_job_find(alerts->catalog, arena, job_id, err);
    if (job == NULL || catalog_begin(alerts->catalog, err) != 0) {
        return -1;
    }
    bool done = notify_job(alerts->notify, job, err) == 0 &&
                catalog_job_notification_delete(alerts->catalog, job_id, err) == 0;
    return catalog_end(alerts->catalog, done ? 0 : -1, err);
}

static int look_at_jobs(struct alerts *alerts, struct error *err)
{
    struct arena *arena = arena_create();
    const char *const *ids;
    size_t count;
    int result = catalog_job_notification_ended(alerts->catalog, arena, &ids, &count, err);
    for (size_t i = 0; i < count && result == 0; i++) {
        result = look_at_job(alerts, arena, ids[i], err);
    }
    arena_destroy(arena);
    return result;
}

static int send_digest(struct alerts *alerts, const struct catalog_notification *to,
                       const struct store_status *store, int64_t now_ms, struct error *err)
{
    json_t *digest =
        digest_make(alerts->catalog, alerts->server_id, store, alerts->limits.rpo_grace_ms, now_ms, err);
    if (digest == NULL) {
        return -1;
    }
    int result = catalog_begin(alerts->catalog, err);
    if (result == 0) {
        bool done = notify_digest(alerts->notify, to, digest, err) == 0 &&
                    catalog_notification_set_digest(alerts->catalog, to->id, now_ms, err) == 0;
        result = catalog_end(alerts->catalog, done ? 0 : -1, err);
    }
    json_decref(digest);
    return result;
}

static int look_at_digest(struct alerts *alerts, const struct catalog_notification *to,
                          const struct store_status *store, int64_t now_ms, struct error *err)
{
    int64_t next_ms;
    int64_t last_ms = to->digest_ms > 0 ? to->digest_ms : to->created_ms;
    if (!to->enabled || (to->events & NOTIFY_DIGEST) == 0) {
        return 0;
    }
    if (last_ms > now_ms) { /* the clock was set back */
        return catalog_notification_set_digest(alerts->catalog, to->id, now_ms, err);
    }
    if (digest_next(to->digest_time, to->digest_zone, last_ms, &next_ms, err) != 0) {
        return -1;
    }
    return next_ms <= now_ms ? send_digest(alerts, to, store, now_ms, err) : 0;
}

static int look_at_digests(struct alerts *alerts, const struct store_status *store, int64_t now_ms,
                           struct error *err)
{
    struct arena *arena = arena_create();
    struct catalog_page page = {0};
    const struct catalog_notification *items;
    size_t count;
    int result;
    do {
        result = catalog_notification_list(alerts->catalog, arena, &page, &items, &count, err);
        for (size_t i = 0; i < count && result == 0; i++) {
            page.after = items[i].number;
            if (look_at_digest(alerts, &items[i], store, now_ms, err) != 0) {
                log_error("digest not made", err); /* the others are */
            }
        }
    } while (result == 0 && count == CATALOG_PAGE_MAX);
    arena_destroy(arena);
    return result;
}

static void look(struct alerts *alerts)
{
    struct error err;
    struct capacity_status status;
    const struct capacity_status *room = &status;
    int64_t now_ms = clock_wall_ms();
    if (capacity_read(alerts->capacity, &status, &err) != 0) {
        log_error("the store's status is not known", &err);
        room = NULL;
    }
    if (anomalies_judge(alerts->catalog, now_ms, &err) != 0) {
        log_error("changes not judged", &err);
    }
    if (look_at_conditions(alerts, room, now_ms, &err) != 0) {
        log_error("alerts not brought in line", &err);
    }
    if (look_at_jobs(alerts, &err) != 0 ||
        look_at_digests(alerts, room != NULL ? &room->store : NULL, now_ms, &err) != 0) {
        log_error("notifications not made", &err);
    }
    if (catalog_alert_prune(alerts->catalog, now_ms - kept_ms, &err) != 0) {
        log_error("old alerts not forgotten", &err);
    }
    notify_wake(alerts->notify);
}

/* --- the thread
 * -------------------------------------------------------------------------------------------------- */

static bool wait_for_more(struct alerts *alerts)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    struct timespec soon = {.tv_sec = until.tv_sec + PAUSE_MS / SECOND_MS, .tv_nsec = until.tv_nsec};
    until.tv_sec += LOOK_S;
    pthread_mutex_lock(&alerts->lock);
    while (!alerts->stopping && pthread_cond_timedwait(&alerts->changed, &alerts->lock, &soon) == 0) {
    }
    while (!alerts->stopping && !alerts->awake &&
           pthread_cond_timedwait(&alerts->changed, &alerts->lock, &until) == 0) {
    }
    alerts->awake = false;
    bool go_on = !alerts->stopping;
    pthread_mutex_unlock(&alerts->lock);
    return go_on;
}

static void *alerts_thread(void *cookie)
{
    do {
        look(cookie);
    } while (wait_for_more(cookie));
    return NULL;
}

int alerts_start(struct alerts *alerts, struct error *err)
{
    if (notify_start(alerts->notify, err) != 0) {
        return -1;
    }
    int failure = pthread_create(&alerts->thread, NULL, alerts_thread, alerts);
    if (failure != 0) {
        return error_set_errno(err, ERROR_INTERNAL, failure, "The thread of alerts can't be made");
    }
    alerts->started = true;
    return 0;
}

void alerts_stop(struct alerts *alerts)
{
    if (alerts == NULL) {
        return;
    }
    if (alerts->started) {
        pthread_mutex_lock(&alerts->lock);
        alerts->stopping = true;
        pthread_cond_signal(&alerts->changed);
        pthread_mutex_unlock(&alerts->lock);
        pthread_join(alerts->thread, NULL);
        alerts->started = false;
    }
    notify_stop(alerts->notify);
}

/* --- operators
 * --------------------------------------------------------------------------------------------------- */

int alerts_acknowledge(struct alerts *alerts, const char *reference, const char *actor, const char *note,
                       struct error *err)
{
    struct catalog *catalog = alerts->catalog;
    struct arena *arena = arena_create();
    int64_t now_ms = clock_wall_ms();
    const struct catalog_alert *alert = catalog_alert_find(catalog, arena, reference, err);
    int result = alert != NULL ? catalog_begin(catalog, err) : -1;
    if (result == 0) {
        bool anomaly = alert->code == ERROR_CHANGE_ANOMALY && alert->resolved_ms == 0;
        bool done = catalog_alert_acknowledge(catalog, alert->id, now_ms, actor, note, err) == 0 &&
                    (!anomaly || catalog_anomaly_acknowledge(catalog, alert->object_id, now_ms, err) == 0);
        result = catalog_end(catalog, done ? 0 : -1, err);
    }
    arena_destroy(arena);
    if (result == 0) {
        alerts_wake(alerts);
    }
    return result;
}
