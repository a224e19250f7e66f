#include "agent/providers/image_snapshots.h"
#include "agent/providers/image_internal.h"
#include "agent/providers/job_journal.h"
#include "agent/providers/lvm.h"
#include "agent/providers/snapshot_journal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "disk/disk_device.h"
#include <stdlib.h>
#include <string.h>

enum { CHECK_EVERY_MS = 1000 };

struct image_snapshots {
    struct snapshot_journal *journal;
    struct lvm_volume *volumes; /* snapshots that were made */
    size_t count;
    pthread_mutex_t lock; /* guards checked_ms, and lets one ask at a time */
    int64_t checked_ms;
};

static int remove_snapshot(const json_t *snapshot, struct error *err)
{
    return lvm_snapshot_remove(job_journal_text(snapshot, "group"), job_journal_text(snapshot, "name"),
                               job_journal_text(snapshot, "origin"), err);
}

const struct snapshot_maker image_snapshot_maker = {.kind = image_kind, .remove = remove_snapshot};

struct image_snapshots *image_snapshots_create(const char *data_directory, const char *job,
                                               const char *vm_uuid)
{
    struct image_snapshots *snapshots = memory_zalloc(sizeof *snapshots);
    snapshots->journal = snapshot_journal_create(&image_snapshot_maker, data_directory, job, vm_uuid);
    pthread_mutex_init(&snapshots->lock, NULL);
    return snapshots;
}

static void add_volume(struct image_snapshots *snapshots, const struct lvm_volume *volume)
{
    snapshots->volumes = memory_resize(snapshots->volumes, snapshots->count + 1, sizeof *snapshots->volumes);
    snapshots->volumes[snapshots->count++] = *volume;
}

static int make_snapshot(struct image_snapshots *snapshots, const struct lvm_volume *volume, char **path,
                         struct error *err)
{
    struct lvm_volume snapshot;
    char *name = snapshot_journal_name(snapshots->journal, "holdfast-");
    int result = snapshot_journal_add(
        snapshots->journal,
        json_pack("{s:s, s:s, s:s}", "group", volume->group, "name", name, "origin", volume->name), err);
    if (result == 0)
        result = lvm_snapshot_create(volume, name, &snapshot, err);
    free(name);
    if (result != 0)
        return -1;
    add_volume(snapshots, &snapshot);
    *path = lvm_snapshot_node(&snapshot, err);
    return *path ? 1 : -1;
}

int image_snapshots_add(struct image_snapshots *snapshots, const char *device, char **path, struct error *why,
                        struct error *err)
{
    struct lvm_volume volume;
    *path = NULL;
    error_clear(why);
    int found = lvm_find_device(disk_device_number(device), &volume, why);
    if (found < 0) {
        error_wrap(why, ERROR_SNAPSHOT_FAILED, "LVM does not say whether %s is one of its volumes.", device);
        return 0;
    }
    if (found == 0 || lvm_check_snapshot(&volume, why) != 0)
        return 0;
    return make_snapshot(snapshots, &volume, path, err);
}

int image_snapshots_watch(struct image_snapshots *snapshots, const char *device, struct error *err)
{
    struct lvm_volume volume;
    if (lvm_find_device(disk_device_number(device), &volume, err) <= 0)
        return error_set(err, ERROR_SNAPSHOT_FAILED, "LVM does not tell of the snapshot %s.", device);
    add_volume(snapshots, &volume);
    return 0;
}

/* That LVM does not answer now says nothing of the snapshot: one that is lost can't be read any more. */
static int check_one(const struct lvm_volume *snapshot, struct error *err)
{
    if (lvm_snapshot_check(snapshot, err) == 0)
        return 0;
    if (err->code != ERROR_TOOL_FAILED)
        return -1;
    log_error("LVM does not tell the state of a snapshot", err);
    return 0;
}

int image_snapshots_check(struct image_snapshots *snapshots, struct error *err)
{
    int result = 0;
    if (snapshots->count == 0)
        return 0;
    pthread_mutex_lock(&snapshots->lock);
    int64_t now = clock_monotonic_ms();
    if (now - snapshots->checked_ms >= CHECK_EVERY_MS) {
        for (size_t i = 0; i < snapshots->count && result == 0; i++)
            result = check_one(&snapshots->volumes[i], err);
        if (result == 0) /* a failure is told to everybody who asks */
            snapshots->checked_ms = clock_monotonic_ms();
    }
    pthread_mutex_unlock(&snapshots->lock);
    return result;
}

int image_snapshots_end(struct image_snapshots *snapshots, struct error *err)
{
    int result = snapshot_journal_end(snapshots->journal, err);
    pthread_mutex_destroy(&snapshots->lock);
    free(snapshots->volumes);
    free(snapshots);
    return result;
}
