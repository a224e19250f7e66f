#include "agent/providers/image_internal.h"
#include "agent/providers/image_kept.h"
#include "agent/providers/image_registry.h"
#include "agent/providers/image_snapshots.h"
#include "agent/providers/provider_reply.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "disk/disk_device.h"
#include "disk/disk_image.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct backup_disk {
    char *path; /* that is read: the disk's, or its snapshot's */
    char *format;
    uint64_t size;
    bool still; /* a snapshot, or nobody has it in use */
    bool off;   /* no snapshot of something in use */
};

struct provider_backup {
    char *name; /* of the datasource, for messages */
    struct backup_disk *disks;
    size_t count;
    struct image_snapshots *snapshots;
    struct image_kept *kept; /* what stays on this host and is read, or NULL */
};

static int backup_free(struct provider_backup *backup, bool began, struct error *err)
{
    int result = image_snapshots_end(backup->snapshots, err);
    image_kept_release(backup->kept, began);
    for (size_t i = 0; i < backup->count; i++) {
        free(backup->disks[i].path);
        free(backup->disks[i].format);
    }
    free(backup->disks);
    free(backup->name);
    free(backup);
    return result;
}

static int check_use(const struct image_disk *disk, Holdfast__BackupBeginReply *reply, struct error *err)
{
    if (!disk_image_in_use(disk->path))
        return 0;
    error_set(err, ERROR_SNAPSHOT_FAILED,
              "%s is in use by a running VM; its blocks may change while they are read.", disk->path);
    if (strcmp(disk->format, "raw") != 0)
        return -1; /* even its tables change: what is read would be no disk at all */
    provider_add_warning(&reply->warnings, &reply->n_warnings, err);
    return 0;
}

/* What is read instead of a disk. */
struct view {
    char *path;
    bool snapshot; /* a point in time */
    bool frozen;   /* a file system on it was told of that moment */
    bool in_use;   /* without a snapshot: it may change, as was warned of */
};

/* What is read goes on changing when somebody writes to the device. */
static void warn_of_use(const char *path, const struct disk_device_use *use, bool is_volume,
                        Holdfast__BackupBeginReply *reply)
{
    const struct disk_mount *mount = disk_device_writer(use);
    struct error warning = {0};
    if (mount)
        error_set(&warning, ERROR_SNAPSHOT_FAILED,
                  "%s is mounted on %s: its blocks may change while they are read.%s", path, mount->point,
                  is_volume ? "" : " A logical volume of LVM would give a point in time.");
    else if (use->held && use->count == 0)
        error_set(&warning, ERROR_SNAPSHOT_FAILED,
                  "%s is in use on this host (a mount that is not seen from here, swap, RAID or the like): "
                  "its blocks may change while they are read.",
                  path);
    if (warning.code != ERROR_NONE)
        provider_add_warning(&reply->warnings, &reply->n_warnings, &warning);
}

static bool freezes_with_device(const struct disk_device_use *use)
{
    for (size_t i = 0; i < use->count; i++) {
        if (use->mounts[i].direct && use->mounts[i].writable)
            return true;
    }
    return false;
}

/* A snapshot of the device if there can be one, else the device itself with what its file systems hold. */
static int view_device(struct provider_backup *backup, const char *path, Holdfast__BackupBeginReply *reply,
                       struct view *view, struct error *err)
{
    struct disk_device_use use;
    struct error why;
    if (disk_device_use(path, &use, err) != 0)
        return -1;
    disk_device_flush(path, &use);
    int made = image_snapshots_add(backup->snapshots, path, &view->path, &why, err);
    view->snapshot = made > 0;
    view->frozen = made > 0 && freezes_with_device(&use);
    if (made == 0) {
        view->path = memory_copy_text(path);
        if (why.code != ERROR_NONE)
            provider_add_warning(&reply->warnings, &reply->n_warnings, &why);
        warn_of_use(path, &use, why.code != ERROR_NONE, reply);
    }
    disk_device_use_release(&use);
    return made < 0 ? -1 : 0;
}

/* Of the disk that is added next. */
static int view_kept(struct provider_backup *backup, struct view *view, struct error *err)
{
    const struct image_kept_disk kept = image_kept_disk(backup->kept, backup->count);
    *view =
        (struct view){.path = memory_copy_text(kept.path), .snapshot = kept.device, .frozen = kept.frozen};
    return kept.device ? image_snapshots_watch(backup->snapshots, kept.path, err) : 0;
}

static int view_disk(struct provider_backup *backup, const struct image_disk *disk,
                     Holdfast__BackupBeginReply *reply, struct view *view, struct error *err)
{
    if (backup->kept)
        return view_kept(backup, view, err);
    size_t warned = reply->n_warnings;
    if (disk_device_is(disk->path)) {
        if (view_device(backup, disk->path, reply, view, err) != 0)
            return -1;
    } else {
        view->path = memory_copy_text(disk->path);
    }
    bool holds_still = view->snapshot && strcmp(disk->format, "raw") == 0;
    int result = holds_still ? 0 : check_use(disk, reply, err);
    view->in_use = reply->n_warnings > warned;
    return result;
}

/* The point is as consistent as its least consistent disk. */
static void take_consistency(const struct image_disk *disk, const struct view *view, const char *wanted,
                             Holdfast__BackupBeginReply *reply)
{
    if (view->frozen)
        return;
    bool first = strcmp(reply->consistency, "crash") != 0;
    provider_set_text(&reply->consistency, "crash");
    if (!first || strcmp(wanted, "crash") == 0)
        return;
    if (disk_device_is(disk->path))
        provider_set_format(&reply->consistency_reason, "QUIESCE_NO_AGENT: %s has no file system that %s.",
                            disk->path,
                            view->snapshot ? "is mounted on this host and could be frozen"
                                           : "could be frozen: it is no logical volume with a snapshot");
    else
        provider_set_format(&reply->consistency_reason,
                            "QUIESCE_NO_AGENT: An image has no guest that could be asked.");
}

static void keep_disk(struct provider_backup *backup, const struct image_disk *disk,
                      const struct disk_image *image, const struct view *view,
                      Holdfast__BackupBeginReply *reply)
{
    struct backup_disk *kept = &backup->disks[backup->count++];
    *kept = (struct backup_disk){.path = memory_copy_text(view->path),
                                 .format = memory_copy_text(disk->format),
                                 .size = image->size,
                                 .still = view->snapshot || !view->in_use,
                                 .off = !view->snapshot && !view->in_use};
    Holdfast__BackupDisk *answer = provider_add_backup_disk(reply);
    provider_set_text(&answer->name, disk->name);
    provider_set_text(&answer->format, disk->format);
    answer->size = image->size;
    answer->expected_bytes = image->allocated < image->size ? image->allocated : image->size;
}

static int add_disk(struct provider_backup *backup, const struct image_disk *disk, const char *wanted,
                    Holdfast__BackupBeginReply *reply, struct error *err)
{
    struct disk_image image;
    struct view view = {0};
    int result = view_disk(backup, disk, reply, &view, err);
    if (result == 0)
        result = disk_image_inspect(view.path, disk->format, &image, err);
    if (result == 0) {
        keep_disk(backup, disk, &image, &view, reply);
        take_consistency(disk, &view, wanted, reply);
        disk_image_release(&image);
    }
    free(view.path);
    return result;
}

void image_describe(const struct image_source *source, Holdfast__BackupBeginReply *reply)
{
    json_t *disks = json_array();
    for (size_t i = 0; i < source->disk_count; i++) {
        const struct image_disk *disk = &source->disks[i];
        json_array_append_new(disks, json_pack("{s:s, s:s, s:s}", "name", disk->name, "path", disk->path,
                                               "format", disk->format));
    }
    json_t *root = json_pack("{s:s, s:s, s:o}", "uuid", source->uuid, "name", source->name, "disks", disks);
    char *text = json_dumps(root, JSON_COMPACT);
    provider_set_text(&reply->configuration, text);
    free(text);
    json_decref(root);
    provider_set_text(&reply->vm_name, source->name);
    provider_set_text(&reply->consistency, "filesystem"); /* until a disk is less */
}

static int add_disks(struct provider_backup *backup, const struct image_source *source,
                     const Holdfast__BackupBeginRequest *request, const atomic_bool *cancelled,
                     Holdfast__BackupBeginReply *reply, struct error *err)
{
    for (size_t i = 0; i < source->disk_count; i++) {
        if (provider_disk_excluded(request, source->disks[i].name))
            continue;
        if (atomic_load(cancelled))
            return error_set(err, ERROR_JOB_CANCELLED, "The backup of %s was cancelled.", source->name);
        if (add_disk(backup, &source->disks[i], request->consistency, reply, err) != 0)
            return -1;
    }
    if (backup->count == 0)
        return error_set(err, ERROR_REQUEST_INVALID, "Every disk of %s is excluded.", source->name);
    if (strcmp(request->consistency, "application") == 0 && strcmp(reply->consistency, "filesystem") == 0)
        provider_set_format(&reply->consistency_reason,
                            "QUIESCE_NO_AGENT: File systems were frozen; applications can't be asked.");
    return 0;
}

static struct provider_backup *begin(struct image_provider *provider, const struct image_source *source,
                                     const Holdfast__BackupBeginRequest *request,
                                     const atomic_bool *cancelled, Holdfast__BackupBeginReply *reply,
                                     struct error *err)
{
    struct provider_backup *backup = memory_zalloc(sizeof *backup);
    backup->name = memory_copy_text(source->name);
    backup->disks = memory_array(source->disk_count, sizeof *backup->disks);
    snapshot_journal_clean(&image_snapshot_maker, provider->data_directory, source->uuid);
    backup->snapshots = image_snapshots_create(provider->data_directory, request->job, source->uuid);
    image_describe(source, reply);
    backup->kept = image_kept_make(provider, source, request, reply);
    if (add_disks(backup, source, request, cancelled, reply, err) != 0) {
        struct error second;
        if (backup_free(backup, false, &second) != 0)
            log_error("snapshots of a backup that failed could not be removed", &second);
        return NULL;
    }
    if (!backup->kept)
        reply->instant_ms = clock_wall_ms();
    return backup;
}

struct provider_backup *image_backup_begin(void *self, const Holdfast__BackupBeginRequest *request,
                                           const atomic_bool *cancelled, Holdfast__BackupBeginReply *reply,
                                           struct error *err)
{
    struct image_provider *provider = self;
    struct image_registry registry;
    if (image_registry_load(provider->data_directory, &registry, err) != 0)
        return NULL;
    struct provider_backup *backup = NULL;
    const struct image_source *source = image_registry_find(&registry, request->vm_uuid);
    if (source)
        backup = begin(provider, source, request, cancelled, reply, err);
    else
        error_set(err, ERROR_VM_NOT_FOUND, "No image with the id %.40s is registered on this host.",
                  request->vm_uuid);
    image_registry_release(&registry);
    return backup;
}

static int size_changed(const struct provider_backup *backup, const struct backup_disk *disk, uint64_t size,
                        struct error *err)
{
    return error_set(err, ERROR_DISK_CHANGED,
                     "The disk %s of %s changed from %llu to %llu bytes during the backup.", disk->path,
                     backup->name, (unsigned long long)disk->size, (unsigned long long)size);
}

struct disk_reader *image_backup_open_disk(struct provider_backup *backup, size_t disk, struct error *err)
{
    const struct backup_disk *source = &backup->disks[disk];
    struct disk_reader *reader = disk_reader_open_image(source->path, source->format, NULL, err);
    if (reader && disk_reader_size(reader) != source->size) {
        size_changed(backup, source, disk_reader_size(reader), err);
        disk_reader_close(reader);
        return NULL;
    }
    return reader;
}

void image_backup_locate_disk(const struct provider_backup *backup, size_t disk,
                              struct provider_disk_source *source)
{
    const struct backup_disk *kept = &backup->disks[disk];
    *source = (struct provider_disk_source){
        .path = kept->path, .format = kept->format, .still = kept->still, .off = kept->off};
}

int image_backup_check(struct provider_backup *backup, struct error *err)
{
    for (size_t i = 0; i < backup->count; i++) {
        const struct backup_disk *disk = &backup->disks[i];
        uint64_t size = 0;
        if (disk_image_size(disk->path, disk->format, &size, err) != 0)
            return -1;
        if (size != disk->size)
            return size_changed(backup, disk, size, err);
    }
    return image_snapshots_check(backup->snapshots, err);
}

int image_backup_end(void *self, struct provider_backup *backup, const Holdfast__BackupEndRequest *request,
                     struct error *err)
{
    const struct image_provider *provider = self;
    if (backup)
        return backup_free(backup, true, err);
    snapshot_journal_clean_job(&image_snapshot_maker, provider->data_directory, request->job);
    return 0;
}
