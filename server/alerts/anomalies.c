/* Judging what changed in each new recovery point. */
#include "server/alerts/alerts.h"

#include "base/log.h"
#include "server/alerts/anomaly.h"
#include <stdlib.h>
#include <string.h>

/* A full backup sends everything: that says nothing about what changed. */
static bool is_comparable(const struct catalog_change *change)
{
    return strcmp(change->mode, "full") != 0;
}

static struct change_sample sample_of(const struct catalog_change *change,
                                      const struct catalog_change *before)
{
    return (struct change_sample){.interval_ms = change->time_ms - before->time_ms,
                                  .changed_bytes = change->changed_bytes,
                                  .stored_bytes = change->stored_bytes};
}

static int note(struct catalog *catalog, struct arena *arena, const struct catalog_change *change,
                const char *last_good, const struct anomaly_verdict *verdict, int64_t now_ms,
                struct error *err)
{
    enum { MIB_SHIFT = 20 };
    struct catalog_anomaly anomaly = {
        .vm_id = change->vm_id,
        .vm_name = change->vm_name,
        .point_id = change->point_id,
        .last_good = last_good,
        .description = arena_format(
            arena,
            "%llu MiB changed, at a rate of %llu MiB a day (usual: %llu), and %u %% of it could not be "
            "compressed (usual: %u %%), as when files are encrypted",
            (unsigned long long)(change->changed_bytes >> MIB_SHIFT),
            (unsigned long long)(verdict->changed_per_day >> MIB_SHIFT),
            (unsigned long long)(verdict->usual_changed_per_day >> MIB_SHIFT), verdict->percent,
            verdict->usual_percent)};
    log_event(LOG_WARNING, "unusual change", "vm=\"%s\" point=%s description=\"%s\"", change->vm_name,
              change->point_id, anomaly.description);
    return catalog_anomaly_insert(catalog, &anomaly, now_ms, err);
}

static int judge(struct catalog *catalog, const struct catalog_change *change, int64_t now_ms,
                 struct error *err)
{
    struct change_sample history[ANOMALY_HISTORY_MAX];
    struct anomaly_verdict verdict;
    struct arena *arena = arena_create();
    const struct catalog_change *before;
    size_t before_count;
    size_t count = 0;
    int result = catalog_change_history(catalog, arena, change->vm_id, change->time_ms,
                                        ANOMALY_HISTORY_MAX + 1, &before, &before_count, err);
    if (result == 0 && before_count > 0) {
        for (size_t i = 0; i + 1 < before_count; i++) {
            if (is_comparable(&before[i]) && !before[i].suspicious) {
                history[count++] = sample_of(&before[i], &before[i + 1]);
            }
        }
        struct change_sample newest = sample_of(change, &before[0]);
        anomaly_judge(history, count, &newest, change->size, &verdict);
        if (verdict.suspicious) {
            result = note(catalog, arena, change, before[0].point_id, &verdict, now_ms, err);
        }
    }
    arena_destroy(arena);
    return result;
}

static int judge_from(struct catalog *catalog, int64_t *judged, size_t *count, int64_t now_ms,
                      struct error *err)
{
    struct arena *arena = arena_create();
    const struct catalog_change *changes;
    int result = catalog_change_unjudged(catalog, arena, *judged, &changes, count, err);
    for (size_t i = 0; i < *count && result == 0; i++) {
        result = is_comparable(&changes[i]) ? judge(catalog, &changes[i], now_ms, err) : 0;
        *judged = changes[i].number;
    }
    if (result == 0 && *count > 0) {
        result = catalog_setting_set(catalog, "anomaly_judged",
                                     arena_format(arena, "%lld", (long long)*judged), err);
    }
    arena_destroy(arena);
    return result;
}

int anomalies_judge(struct catalog *catalog, int64_t now_ms, struct error *err)
{
    struct arena *arena = arena_create();
    const char *text = NULL;
    size_t count = 1;
    int result = catalog_setting_get(catalog, arena, "anomaly_judged", &text, err);
    int64_t judged = result == 0 && text != NULL ? strtoll(text, NULL, 10) : 0;
    while (result == 0 && count > 0) {
        result = judge_from(catalog, &judged, &count, now_ms, err);
    }
    arena_destroy(arena);
    return result;
}
