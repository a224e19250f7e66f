/* Snapshots that stay on hosts: what hosts report, and what they are told. */
#include "server/agents/agents_internal.h"

#include "base/log.h"
#include "server/catalog/catalog_snapshots.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { SNAPSHOTS_MAX = 100000, SNAPSHOT_DAYS_MAX = 6 };

static bool id_fits(const char *id)
{
    size_t length = strspn(id, "0123456789abcdef-");
    return length > 0 && length < IDENTITY_SIZE && id[length] == '\0';
}

static bool text_fits(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && length <= AGENTS_NAME_MAX;
}

static bool snapshot_fits(const Holdfast__HostSnapshot *snapshot)
{
    static const int64_t longest_ms = (int64_t)SNAPSHOT_DAYS_MAX * 24 * 3600 * 1000;
    bool good = id_fits(snapshot->point) && text_fits(snapshot->job) && text_fits(snapshot->vm_uuid) &&
                text_fits(snapshot->vm_name) && text_fits(snapshot->kind) &&
                text_fits(snapshot->consistency) && snapshot->instant_ms > 0 && snapshot->until_ms >= 0 &&
                snapshot->until_ms / 2 <= snapshot->instant_ms / 2 + longest_ms && snapshot->n_disks > 0 &&
                snapshot->n_disks <= AGENTS_DISKS_MAX;
    for (size_t i = 0; i < snapshot->n_disks && good; i++) {
        good = text_fits(snapshot->disks[i]->name) && text_fits(snapshot->disks[i]->format) &&
               snapshot->disks[i]->size <= INT64_MAX / AGENTS_DISKS_MAX;
    }
    return good;
}

static const char *disks_text(struct arena *arena, const Holdfast__HostSnapshot *snapshot, uint64_t *size)
{
    json_t *disks = json_array();
    *size = 0;
    for (size_t i = 0; i < snapshot->n_disks; i++) {
        const Holdfast__SnapshotDisk *disk = snapshot->disks[i];
        /* NULL for a text that is not UTF-8: json_array_append_new refuses that */
        json_array_append_new(disks, json_pack("{s:s, s:s, s:I}", "name", disk->name, "format", disk->format,
                                               "size", (json_int_t)disk->size));
        *size += disk->size;
    }
    char *text = json_dumps(disks, JSON_COMPACT);
    const char *copy = arena_text(arena, text == NULL ? "[]" : text);
    free(text);
    json_decref(disks);
    return copy;
}

int agents_store_snapshots(struct agents *agents, const char *host_id,
                           Holdfast__HostSnapshot *const *snapshots, size_t count, struct error *err)
{
    if (count > SNAPSHOTS_MAX) {
        return error_set(err, ERROR_LIMIT_EXCEEDED, "The host reports %zu snapshots; %d are supported", count,
                         SNAPSHOTS_MAX);
    }
    struct arena *arena = arena_create();
    struct catalog_snapshot *rows = arena_alloc(arena, (count + 1) * sizeof *rows);
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        const Holdfast__HostSnapshot *snapshot = snapshots[i];
        if (!snapshot_fits(snapshot)) {
            result = error_set(err, ERROR_PROTOCOL_INVALID,
                               "The host reports a snapshot that can't be, of VM %.64s", snapshot->vm_name);
            break;
        }
        rows[i] = (struct catalog_snapshot){.point_id = snapshot->point,
                                            .vm_uuid = snapshot->vm_uuid,
                                            .vm_name = snapshot->vm_name,
                                            .kind = snapshot->kind,
                                            .job_id = snapshot->job,
                                            .consistency = snapshot->consistency,
                                            .time_ms = snapshot->instant_ms,
                                            .until_ms = snapshot->until_ms};
        rows[i].disks = disks_text(arena, snapshot, &rows[i].size);
    }
    if (result == 0) {
        result = catalog_snapshot_report(agents->options.catalog, host_id, rows, count, err);
    }
    arena_destroy(arena);
    return result;
}

void agents_snapshot_limits(struct agents *agents, struct arena *arena, const char *host_id,
                            Holdfast__SnapshotLimit ***limits, size_t *count)
{
    const struct catalog_snapshot_limit *rows = NULL;
    size_t found = 0;
    struct error err;
    *count = 0;
    if (catalog_snapshot_limits(agents->options.catalog, arena, host_id, &rows, &found, &err) != 0) {
        log_error("how long snapshots stay is not known", &err);
        return;
    }
    Holdfast__SnapshotLimit *items = arena_alloc(arena, (found + 1) * sizeof *items);
    *limits = arena_alloc(arena, (found + 1) * sizeof **limits);
    for (size_t i = 0; i < found; i++) {
        holdfast__snapshot_limit__init(&items[i]);
        items[i].point = (char *)(uintptr_t)rows[i].point_id;
        items[i].until_ms = rows[i].until_ms;
        (*limits)[(*count)++] = &items[i];
    }
}
