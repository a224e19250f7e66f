#include "agent/providers/image_internal.h"
#include "agent/providers/image_registry.h"
#include "agent/providers/provider_reply.h"
#include "base/clock.h"
#include "base/memory.h"
#include "disk/disk_device.h"
#include "disk/disk_image.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct backup_disk {
    char *path;
    char *format;
    uint64_t size;
};

struct provider_backup {
    char *name; /* of the datasource, for messages */
    struct backup_disk *disks;
    size_t count;
};

static void backup_free(struct provider_backup *backup)
{
    for (size_t i = 0; i < backup->count; i++) {
        free(backup->disks[i].path);
        free(backup->disks[i].format);
    }
    free(backup->disks);
    free(backup->name);
    free(backup);
}

static int check_use(const struct image_disk *disk, Holdfast__BackupBeginReply *reply, struct error *err)
{
    if (!disk_image_in_use(disk->path, disk->format))
        return 0;
    error_set(err, ERROR_SNAPSHOT_FAILED,
              "%s is in use by a running VM; its blocks may change while they are read.", disk->path);
    if (strcmp(disk->format, "raw") != 0)
        return -1; /* even its tables change: what is read would be no disk at all */
    provider_add_warning(&reply->warnings, &reply->n_warnings, err);
    return 0;
}

/* A block device that is not frozen: as much of what its file systems hold as can be on it, and a warning
 * when it goes on changing. */
static int prepare_device(const char *path, Holdfast__BackupBeginReply *reply, struct error *err)
{
    struct disk_device_use use;
    if (disk_device_use(path, &use, err) != 0)
        return -1;
    const struct disk_mount *mount = disk_device_writer(&use);
    disk_device_flush(path, &use);
    struct error warning = {0};
    if (mount)
        error_set(&warning, ERROR_SNAPSHOT_FAILED,
                  "%s is mounted on %s: its blocks may change while they are read. A logical volume of LVM "
                  "would give a point in time.",
                  path, mount->point);
    else if (use.held && use.count == 0)
        error_set(&warning, ERROR_SNAPSHOT_FAILED,
                  "%s is in use on this host (a mount that is not seen from here, swap, RAID or the like): "
                  "its blocks may change while they are read.",
                  path);
    if (warning.code != ERROR_NONE)
        provider_add_warning(&reply->warnings, &reply->n_warnings, &warning);
    disk_device_use_release(&use);
    return 0;
}

static int add_disk(struct provider_backup *backup, const struct image_disk *disk,
                    Holdfast__BackupBeginReply *reply, struct error *err)
{
    struct disk_image image;
    if (disk_device_is(disk->path) && prepare_device(disk->path, reply, err) != 0)
        return -1;
    if (check_use(disk, reply, err) != 0 || disk_image_inspect(disk->path, disk->format, &image, err) != 0)
        return -1;
    struct backup_disk *kept = &backup->disks[backup->count++];
    *kept = (struct backup_disk){memory_copy_text(disk->path), memory_copy_text(disk->format), image.size};
    Holdfast__BackupDisk *answer = provider_add_backup_disk(reply);
    provider_set_text(&answer->name, disk->name);
    provider_set_text(&answer->format, disk->format);
    answer->size = image.size;
    answer->expected_bytes = image.allocated < image.size ? image.allocated : image.size;
    disk_image_release(&image);
    return 0;
}

/* What a restore needs to know of the source. */
static void describe(const struct image_source *source, Holdfast__BackupBeginReply *reply)
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
    provider_set_text(&reply->consistency, "crash");
}

static struct provider_backup *begin(const struct image_source *source,
                                     const Holdfast__BackupBeginRequest *request,
                                     const atomic_bool *cancelled, Holdfast__BackupBeginReply *reply,
                                     struct error *err)
{
    struct provider_backup *backup = memory_zalloc(sizeof *backup);
    backup->name = memory_copy_text(source->name);
    backup->disks = memory_array(source->disk_count, sizeof *backup->disks);
    describe(source, reply);
    if (strcmp(request->consistency, "crash") != 0)
        provider_set_format(&reply->consistency_reason,
                            "QUIESCE_NO_AGENT: An image has no guest that could be asked.");
    for (size_t i = 0; i < source->disk_count; i++) {
        if (provider_disk_excluded(request, source->disks[i].name))
            continue;
        if (atomic_load(cancelled))
            error_set(err, ERROR_JOB_CANCELLED, "The backup of %s was cancelled.", source->name);
        else if (add_disk(backup, &source->disks[i], reply, err) == 0)
            continue;
        backup_free(backup);
        return NULL;
    }
    if (backup->count == 0) {
        error_set(err, ERROR_REQUEST_INVALID, "Every disk of %s is excluded.", source->name);
        backup_free(backup);
        return NULL;
    }
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
        backup = begin(source, request, cancelled, reply, err);
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
    return 0;
}

int image_backup_end(void *self, struct provider_backup *backup, const Holdfast__BackupEndRequest *request,
                     struct error *err)
{
    (void)self, (void)request, (void)err;
    if (backup)
        backup_free(backup);
    return 0;
}
