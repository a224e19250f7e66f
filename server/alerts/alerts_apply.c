#include "server/alerts/alerts.h"

#include "base/log.h"
#include "server/alerts/conditions.h"
#include <stdlib.h>
#include <string.h>

/* In order of code and object: what alerts and conditions are matched by. */
static int compare(const void *a, const void *b)
{
    const struct catalog_alert *x = a;
    const struct catalog_alert *y = b;
    int order = (x->code > y->code) - (x->code < y->code);
    order = order != 0 ? order : strcmp(x->object_kind, y->object_kind);
    return order != 0 ? order : strcmp(x->object_id, y->object_id);
}

static int read_open(struct catalog *catalog, struct arena *arena, struct catalog_alert **open, size_t *count,
                     struct error *err)
{
    struct catalog_alert_filter filter = {.severity = -1};
    struct catalog_page page = {0};
    const struct catalog_alert *alerts;
    size_t got;
    *open = NULL;
    *count = 0;
    do {
        if (catalog_alert_list(catalog, arena, &filter, &page, &alerts, &got, err) != 0) {
            return -1;
        }
        for (size_t i = 0; i < got; i++) {
            *open = arena_grow(arena, *open, *count, sizeof **open);
            (*open)[(*count)++] = alerts[i];
            page.after = alerts[i].number;
        }
    } while (got == CATALOG_PAGE_MAX);
    return 0;
}

static int raise_alert(struct catalog *catalog, struct notify *notify, const struct catalog_alert *condition,
                       int64_t now_ms, struct error *err)
{
    char id[IDENTITY_SIZE];
    struct catalog_alert alert = *condition;
    identity_create(id);
    alert.id = id;
    alert.raised_ms = now_ms;
    alert.acknowledged_by = "";
    alert.note = "";
    log_event(alert.severity == ALERT_INFORMATION ? LOG_INFO : LOG_WARNING, "alert raised",
              "id=%s code=%s severity=%s object=\"%s\" message=\"%s\"", id, error_code_name(alert.code),
              alert_severity_name(alert.severity), alert.object_name, alert.message);
    return catalog_alert_insert(catalog, &alert, err) != 0 ||
                   (notify != NULL && notify_alert(notify, &alert, false, err) != 0)
               ? -1
               : 0;
}

static int resolve_alert(struct catalog *catalog, struct notify *notify, const struct catalog_alert *open,
                         int64_t now_ms, struct error *err)
{
    struct catalog_alert alert = *open;
    alert.resolved_ms = now_ms;
    log_event(LOG_INFO, "alert resolved", "id=%s code=%s object=\"%s\"", alert.id,
              error_code_name(alert.code), alert.object_name);
    return catalog_alert_resolve(catalog, alert.id, now_ms, err) != 0 ||
                   (notify != NULL && notify_alert(notify, &alert, true, err) != 0)
               ? -1
               : 0;
}

static bool says_the_same(const struct catalog_alert *a, const struct catalog_alert *b)
{
    return a->severity == b->severity && a->cause_code == b->cause_code &&
           strcmp(a->message, b->message) == 0 && strcmp(a->cause, b->cause) == 0 &&
           strcmp(a->object_name, b->object_name) == 0 && strcmp(a->job_id, b->job_id) == 0;
}

static int update_alert(struct catalog *catalog, const struct catalog_alert *open,
                        const struct catalog_alert *condition, struct error *err)
{
    struct catalog_alert alert = *condition;
    alert.id = open->id;
    return says_the_same(open, condition) ? 0 : catalog_alert_update(catalog, &alert, err);
}

/* Both in order. */
static int merge(struct catalog *catalog, struct notify *notify, const struct catalog_alert *open,
                 size_t open_count, const struct conditions *conditions, int64_t now_ms, struct error *err)
{
    size_t i = 0;
    size_t k = 0;
    int result = 0;
    while (result == 0 && (i < open_count || k < conditions->count)) {
        int order = i == open_count          ? 1
                    : k == conditions->count ? -1
                                             : compare(&open[i], &conditions->items[k]);
        if (order < 0) {
            result = resolve_alert(catalog, notify, &open[i++], now_ms, err);
        } else if (order > 0) {
            result = raise_alert(catalog, notify, &conditions->items[k++], now_ms, err);
        } else {
            result = update_alert(catalog, &open[i++], &conditions->items[k++], err);
        }
        while (k > 0 && k < conditions->count &&
               compare(&conditions->items[k], &conditions->items[k - 1]) == 0) {
            k++; /* said twice */
        }
    }
    return result;
}

int alerts_apply(struct catalog *catalog, struct notify *notify, const struct conditions *conditions,
                 int64_t now_ms, struct error *err)
{
    struct catalog_alert *open;
    size_t count;
    if (conditions->count > 0) {
        qsort(conditions->items, conditions->count, sizeof *conditions->items, compare);
    }
    if (catalog_begin(catalog, err) != 0) {
        return -1;
    }
    int result = read_open(catalog, conditions->arena, &open, &count, err);
    if (result == 0 && count > 0) {
        qsort(open, count, sizeof *open, compare);
    }
    if (result == 0) {
        result = merge(catalog, notify, open, count, conditions, now_ms, err);
    }
    return catalog_end(catalog, result, err);
}
