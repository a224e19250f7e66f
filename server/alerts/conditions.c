#include "server/alerts/conditions.h"

#include "server/catalog/catalog_notifications.h"
#include <string.h>

void conditions_add(struct conditions *conditions, const struct catalog_alert *alert)
{
    struct arena *arena = conditions->arena;
    conditions->items = arena_grow(arena, conditions->items, conditions->count, sizeof *conditions->items);
    struct catalog_alert *copy = &conditions->items[conditions->count++];
    *copy = *alert;
    copy->object_kind = arena_text(arena, alert->object_kind);
    copy->object_id = arena_text(arena, alert->object_id);
    copy->object_name = arena_text(arena, alert->object_name);
    copy->message = arena_text(arena, alert->message);
    copy->cause = arena_text(arena, alert->cause != NULL ? alert->cause : "");
    copy->job_id = arena_text(arena, alert->job_id != NULL ? alert->job_id : "");
}

/* --- the store
 * --------------------------------------------------------------------------------------------------- */

static void judge_room(const struct capacity_status *room, struct conditions *conditions)
{
    bool full = room->state == CAPACITY_FULL;
    if (room->state == CAPACITY_OK) {
        return;
    }
    struct catalog_alert alert = {.code = full ? ERROR_STORE_FULL : ERROR_STORE_SPACE_LOW,
                                  .severity = full ? ALERT_CRITICAL : ALERT_WARNING,
                                  .object_kind = "store",
                                  .object_id = "store",
                                  .object_name = "store",
                                  .message = arena_format(conditions->arena, "The store is %s: %s",
                                                          full ? "full" : "nearly full", room->reason)};
    conditions_add(conditions, &alert);
}

static int judge_store_job(const struct conditions_options *options, enum job_type type,
                           struct conditions *conditions, struct error *err)
{
    const char *job_id;
    struct catalog_job_outcome outcome;
    if (catalog_job_last_of_store(options->catalog, conditions->arena, type, &job_id, err) != 0) {
        return -1;
    }
    if (job_id[0] == '\0') {
        return 0;
    }
    if (catalog_job_outcome(options->catalog, conditions->arena, job_id, &outcome, err) != 0) {
        return err->code == ERROR_JOB_NOT_FOUND ? 0 : -1;
    }
    if (outcome.state == JOB_FAILED) {
        struct catalog_alert alert = {.code = ERROR_STORE_JOB_FAILED,
                                      .severity = ALERT_WARNING,
                                      .object_kind = "store",
                                      .object_id = job_type_name(type),
                                      .object_name = "store",
                                      .message = arena_format(conditions->arena,
                                                              "The last job of kind %s of the store failed",
                                                              job_type_name(type)),
                                      .cause_code = outcome.error_code,
                                      .cause = outcome.error_message,
                                      .job_id = job_id};
        conditions_add(conditions, &alert);
    }
    return 0;
}

int conditions_of_store(const struct conditions_options *options, struct conditions *conditions,
                        struct error *err)
{
    if (options->room != NULL) {
        judge_room(options->room, conditions);
    }
    if (options->room != NULL && options->room->store.damaged_chunks > 0) {
        struct catalog_alert alert = {
            .code = ERROR_CHUNK_DAMAGED,
            .severity = ALERT_CRITICAL,
            .object_kind = "store",
            .object_id = "store",
            .object_name = "store",
            .message = arena_format(conditions->arena, "%llu chunks of the store are damaged",
                                    (unsigned long long)options->room->store.damaged_chunks)};
        conditions_add(conditions, &alert);
    }
    return judge_store_job(options, JOB_VERIFY, conditions, err) != 0 ||
                   judge_store_job(options, JOB_REBUILD, conditions, err) != 0 ||
                   judge_store_job(options, JOB_COLLECT, conditions, err) != 0
               ? -1
               : 0;
}

/* --- who is told
 * ------------------------------------------------------------------------------------------------- */

int conditions_of_notifications(const struct conditions_options *options, struct conditions *conditions,
                                struct error *err)
{
    enum { FAILURES_MIN = 3 };
    struct catalog_page page = {0};
    const struct catalog_notification *items;
    size_t count;
    do {
        if (catalog_notification_list(options->catalog, conditions->arena, &page, &items, &count, err) != 0) {
            return -1;
        }
        for (size_t i = 0; i < count; i++) {
            page.after = items[i].number;
            if (!items[i].enabled || (items[i].failures < FAILURES_MIN && items[i].lost == 0)) {
                continue;
            }
            const char *lost = items[i].lost > 0
                                   ? arena_format(conditions->arena, "; %llu messages were given up",
                                                  (unsigned long long)items[i].lost)
                                   : "";
            struct catalog_alert alert = {.code = ERROR_NOTIFY_FAILED,
                                          .severity = ALERT_WARNING,
                                          .object_kind = "notification",
                                          .object_id = items[i].id,
                                          .object_name = items[i].name,
                                          .message = arena_format(conditions->arena,
                                                                  "Notifications to %s are not delivered%s",
                                                                  items[i].name, lost),
                                          .cause = items[i].last_error};
            conditions_add(conditions, &alert);
        }
    } while (count == CATALOG_PAGE_MAX);
    return 0;
}

static int conditions_of_changes(const struct conditions_options *options, struct conditions *conditions,
                                 struct error *err)
{
    const struct catalog_anomaly *anomalies;
    size_t count;
    if (catalog_anomaly_list(options->catalog, conditions->arena, &anomalies, &count, err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        struct catalog_alert alert = {
            .code = ERROR_CHANGE_ANOMALY,
            .severity = ALERT_CRITICAL,
            .object_kind = "vm",
            .object_id = anomalies[i].vm_id,
            .object_name = anomalies[i].vm_name,
            .message = arena_format(
                conditions->arena, "%s changed in an unusual way with recovery point %.8s%s%.8s",
                anomalies[i].vm_name, anomalies[i].point_id,
                anomalies[i].last_good[0] != '\0' ? "; the last good one is " : "", anomalies[i].last_good),
            .cause = anomalies[i].description};
        conditions_add(conditions, &alert);
    }
    return 0;
}

int conditions_find(const struct conditions_options *options, struct conditions *conditions,
                    struct error *err)
{
    if (options->data_directory != NULL) {
        conditions_of_certificates(options, conditions);
    }
    return conditions_of_vms(options, conditions, err) != 0 ||
                   conditions_of_hosts(options, conditions, err) != 0 ||
                   conditions_of_groups(options, conditions, err) != 0 ||
                   conditions_of_store(options, conditions, err) != 0 ||
                   conditions_of_changes(options, conditions, err) != 0 ||
                   conditions_of_notifications(options, conditions, err) != 0
               ? -1
               : 0;
}
