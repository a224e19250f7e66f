#include "agent/providers/image_internal.h"
#include "agent/providers/image_registry.h"
#include "agent/providers/image_snapshots.h"
#include "agent/providers/job_journal.h"
#include "agent/providers/provider_reply.h"
#include "agent/providers/restore_files.h"
#include "agent/providers/restore_plan.h"
#include "agent/providers/restore_snapshot.h"
#include "base/memory.h"
#include "disk/disk_device.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct provider_restore {
    struct restore_files *files;
    char *uuid;
    char *name;
    const char *const *sources; /* only while it begins; NULL: disks are written */
    size_t count;
};

static const json_t *configured_disk(const json_t *configuration, const char *name)
{
    const json_t *disks = json_object_get(configuration, "disks");
    for (size_t i = 0; i < json_array_size(disks); i++) {
        const json_t *disk = json_array_get(disks, i);
        if (strcmp(job_journal_text(disk, "name"), name) == 0)
            return disk;
    }
    return NULL;
}

/* Where the disk is now, if the source is still registered here, or where it was. NULL when nobody knows. */
static const char *original_path(const json_t *configuration, const struct image_source *source,
                                 const char *disk)
{
    for (size_t i = 0; source && i < source->disk_count; i++) {
        if (strcmp(source->disks[i].name, disk) == 0)
            return source->disks[i].path;
    }
    const json_t *configured = configured_disk(configuration, disk);
    const char *path = configured ? job_journal_text(configured, "path") : "";
    return path[0] ? path : NULL;
}

/* NULL when the source is no longer registered. */
static const char *registered_format(const struct image_source *source, const char *disk)
{
    for (size_t i = 0; source && i < source->disk_count; i++) {
        if (strcmp(source->disks[i].name, disk) == 0)
            return source->disks[i].format;
    }
    return NULL;
}

/* format: of the new disk, which a block device makes raw. */
static int plan_disk(struct provider_restore *restore, size_t index, const char *path, const char *format,
                     const Holdfast__RestoreDisk *disk, bool replace, struct error *err)
{
    int result = restore_files_plan(restore->files, path, format, disk->size, replace, err);
    return result == 0 && restore->sources
               ? restore_files_copy_from(restore->files, restore->sources[index], disk->format, err)
               : result;
}

static int plan_original(struct provider_restore *restore, const Holdfast__RestoreRequest *request,
                         const json_t *configuration, const struct image_source *source, struct error *err)
{
    for (size_t i = 0; i < request->n_disks; i++) {
        const Holdfast__RestoreDisk *disk = request->disks[i];
        const char *path = original_path(configuration, source, disk->name);
        if (!path)
            return error_set(err, ERROR_DISK_NOT_FOUND, "Where the disk %s of %s was is not known.",
                             disk->name, request->vm_name);
        const char *format = registered_format(source, disk->name);
        if (format && strcmp(format, disk->format) != 0)
            return error_set(err, ERROR_REQUEST_INVALID, "The disk %s of %s is registered as %s, not as %s.",
                             disk->name, request->vm_name, format, disk->format);
        if (plan_disk(restore, i, path, disk->format, disk, true, err) != 0)
            return -1;
    }
    return 0;
}

/* The "directory" that was asked for is a block device: it takes the one disk there is, whatever its format
 * was. */
static int plan_device(struct provider_restore *restore, const Holdfast__RestoreRequest *request,
                       struct error *err)
{
    if (request->n_disks != 1)
        return error_set(err, ERROR_REQUEST_INVALID, "%s is a block device; %s has %zu disks, not one.",
                         request->directory, request->vm_name, request->n_disks);
    return plan_disk(restore, 0, request->directory, "raw", request->disks[0], true, err);
}

static int plan_alternate(struct provider_restore *restore, const Holdfast__RestoreRequest *request,
                          const json_t *configuration, const struct image_source *source, struct error *err)
{
    if (disk_device_is(request->directory))
        return plan_device(restore, request, err);
    const char *first =
        request->n_disks ? original_path(configuration, source, request->disks[0]->name) : NULL;
    char directory[PATH_MAX];
    if (restore_plan_directory(request, first, NULL, directory, err) != 0)
        return -1;
    for (size_t i = 0; i < request->n_disks; i++) {
        const Holdfast__RestoreDisk *disk = request->disks[i];
        char *path = restore_plan_path(directory, restore->name, disk);
        int result = plan_disk(restore, i, path, disk->format, disk, false, err);
        free(path);
        if (result != 0)
            return -1;
    }
    return 0;
}

static struct provider_restore *begin_copy(void *self, const Holdfast__RestoreRequest *request,
                                           const char *const *sources, struct error *err)
{
    struct image_provider *provider = self;
    if (restore_plan_check(request, err) != 0)
        return NULL;
    struct image_registry registry;
    if (image_registry_load(provider->data_directory, &registry, err) != 0)
        return NULL;
    const struct image_source *source = image_registry_find(&registry, request->vm_uuid);
    json_t *configuration = json_loads(request->configuration, 0, NULL);
    struct provider_restore *restore = memory_zalloc(sizeof *restore);
    restore->uuid = memory_copy_text(request->vm_uuid);
    restore->name = memory_copy_text(restore_plan_name(request));
    restore->count = request->n_disks;
    restore->sources = sources;
    restore->files = restore_files_create(provider->data_directory, image_kind, request->job);
    int result = request->to_original ? plan_original(restore, request, configuration, source, err)
                                      : plan_alternate(restore, request, configuration, source, err);
    if (result == 0)
        result = restore_files_check_use(restore->files, err);
    if (result == 0)
        result = restore_files_make(restore->files, err);
    json_decref(configuration);
    image_registry_release(&registry);
    restore->sources = NULL;
    if (result != 0) {
        image_restore_abort(restore);
        return NULL;
    }
    return restore;
}

struct provider_restore *image_restore_begin(void *self, const Holdfast__RestoreRequest *request,
                                             struct error *err)
{
    const struct image_provider *provider = self;
    return restore_snapshot_begin(provider->snapshots, begin_copy, self, request, err);
}

struct disk_writer *image_restore_disk(struct provider_restore *restore, size_t disk)
{
    return restore_files_writer(restore->files, disk);
}

static void restore_free(struct provider_restore *restore)
{
    free(restore->uuid);
    free(restore->name);
    free(restore);
}

int image_restore_commit(struct provider_restore *restore, Holdfast__RestoreReply *reply, struct error *err)
{
    if (restore_files_finish(restore->files, err) != 0 || restore_files_place(restore->files, err) != 0) {
        image_restore_abort(restore);
        return -1;
    }
    provider_set_text(&reply->vm_uuid, restore->uuid);
    provider_set_text(&reply->vm_name, restore->name);
    for (size_t i = 0; i < restore->count; i++)
        provider_add_path(reply, restore_files_path(restore->files, i));
    restore_files_keep(restore->files);
    restore_free(restore);
    return 0;
}

void image_restore_abort(struct provider_restore *restore)
{
    if (!restore)
        return;
    restore_files_undo(restore->files);
    restore_free(restore);
}

int image_recover(void *self, Holdfast__UnfinishedJob ***unfinished, size_t *count, struct error *err)
{
    (void)err;
    struct image_provider *provider = self;
    *unfinished = NULL; /* there is nothing to decide about a backup of images */
    *count = 0;
    restore_files_recover_all(provider->data_directory, image_kind);
    snapshot_journal_recover(&image_snapshot_maker, provider->data_directory);
    return 0;
}
