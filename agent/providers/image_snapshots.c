#include "agent/providers/image_snapshots.h"
#include "agent/providers/image_internal.h"
#include "agent/providers/job_journal.h"
#include "agent/providers/lvm.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "disk/disk_device.h"
#include <stdlib.h>
#include <string.h>

enum { CHECK_EVERY_MS = 1000 };

struct image_snapshots {
    char *data_directory;
    char *job;
    json_t *entry;              /* of the journal */
    struct lvm_volume *volumes; /* snapshots that were made */
    size_t count;
    pthread_mutex_t lock; /* guards checked_ms, and lets one ask at a time */
    int64_t checked_ms;
};

struct image_snapshots *image_snapshots_create(const char *data_directory, const char *job,
                                               const char *vm_uuid)
{
    struct image_snapshots *snapshots = memory_zalloc(sizeof *snapshots);
    snapshots->data_directory = memory_copy_text(data_directory);
    snapshots->job = memory_copy_text(job);
    snapshots->entry = job_journal_entry(job, image_kind);
    json_object_set_new(snapshots->entry, "type", json_string("backup"));
    json_object_set_new(snapshots->entry, "vm_uuid", json_string(vm_uuid));
    json_object_set_new(snapshots->entry, "snapshots", json_array());
    pthread_mutex_init(&snapshots->lock, NULL);
    return snapshots;
}

static int note_snapshot(struct image_snapshots *snapshots, const struct lvm_volume *volume, const char *name,
                         struct error *err)
{
    json_array_append_new(
        json_object_get(snapshots->entry, "snapshots"),
        json_pack("{s:s, s:s, s:s}", "group", volume->group, "name", name, "origin", volume->name));
    return job_journal_write(snapshots->data_directory, snapshots->entry, err);
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
    char *name = memory_format("holdfast-%s-%zu", snapshots->job, snapshots->count);
    int result = note_snapshot(snapshots, volume, name, err);
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

static int remove_all(const char *data_directory, const json_t *entry, struct error *err)
{
    const json_t *list = json_object_get(entry, "snapshots");
    int result = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *snapshot = json_array_get(list, i);
        if (lvm_snapshot_remove(job_journal_text(snapshot, "group"), job_journal_text(snapshot, "name"),
                                job_journal_text(snapshot, "origin"), err) != 0)
            result = -1;
    }
    return result == 0 ? job_journal_remove(data_directory, job_journal_text(entry, "job"), err) : -1;
}

int image_snapshots_end(struct image_snapshots *snapshots, struct error *err)
{
    int result = 0;
    if (json_array_size(json_object_get(snapshots->entry, "snapshots")) > 0)
        result = remove_all(snapshots->data_directory, snapshots->entry, err);
    pthread_mutex_destroy(&snapshots->lock);
    json_decref(snapshots->entry);
    free(snapshots->volumes);
    free(snapshots->data_directory);
    free(snapshots->job);
    free(snapshots);
    return result;
}

bool image_snapshots_recover(const char *data_directory, const json_t *entry)
{
    struct error err;
    if (strcmp(job_journal_text(entry, "type"), "backup") != 0)
        return false;
    if (remove_all(data_directory, entry, &err) != 0)
        log_error("snapshots of an unfinished backup could not be removed", &err);
    else
        log_event(LOG_INFO, "unfinished backup was cleaned up", "job=%s vm=%s",
                  job_journal_text(entry, "job"), job_journal_text(entry, "vm_uuid"));
    return true;
}

void image_snapshots_clean(const char *data_directory, const char *vm_uuid)
{
    json_t *entries = job_journal_list(data_directory, image_kind);
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        if (strcmp(job_journal_text(entry, "vm_uuid"), vm_uuid) == 0)
            (void)image_snapshots_recover(data_directory, entry);
    }
    json_decref(entries);
}
