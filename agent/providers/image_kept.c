#include "agent/providers/image_kept.h"
#include "agent/providers/provider_reply.h"
#include "agent/snapshots/snapshot_make.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "disk/disk_device.h"
#include "disk/disk_image.h"
#include <stdlib.h>
#include <string.h>

struct kept_disk {
    const struct image_disk *disk; /* of the registry, while it is made */
    char *path;                    /* of the snapshot */
    uint64_t size;
    uint64_t allocated;
    bool device;
    bool frozen;
};

struct image_kept {
    struct host_snapshots *snapshots;
    struct host_snapshot *held;
    char *job;
    struct kept_disk *disks;
    size_t count;
};

static int measure(struct kept_disk *kept, struct error *err)
{
    struct disk_image image;
    if (disk_image_inspect(kept->disk->path, kept->disk->format, &image, err) != 0)
        return -1;
    kept->size = image.size;
    kept->allocated = image.allocated;
    disk_image_release(&image);
    return 0;
}

static int check_use(const struct kept_disk *kept, struct error *err)
{
    const struct image_disk *disk = kept->disk;
    if (kept->device || !disk_image_in_use(disk->path))
        return 0;
    return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "%s is in use by a running VM.", disk->path);
}

/* What file systems hold comes to the device; those on the volume itself are frozen by LVM. */
static int settle(struct kept_disk *kept, struct error *err)
{
    struct disk_device_use use;
    if (!kept->device)
        return check_use(kept, err);
    if (disk_device_use(kept->disk->path, &use, err) != 0)
        return -1;
    disk_device_flush(kept->disk->path, &use);
    for (size_t i = 0; i < use.count; i++)
        kept->frozen = kept->frozen || (use.mounts[i].direct && use.mounts[i].writable);
    disk_device_use_release(&use);
    return 0;
}

static char *describe(const struct image_source *source)
{
    Holdfast__BackupBeginReply *described = memory_alloc(sizeof *described);
    holdfast__backup_begin_reply__init(described);
    image_describe(source, described);
    char *text = memory_copy_text(described->configuration);
    holdfast__backup_begin_reply__free_unpacked(described, NULL);
    return text;
}

static struct snapshot_make *prepare(const struct image_kept *kept, const struct image_source *source,
                                     const Holdfast__BackupBeginRequest *request, struct error *err)
{
    struct snapshot_make_disk *disks = memory_array(kept->count + 1, sizeof *disks);
    char *configuration = describe(source);
    for (size_t i = 0; i < kept->count; i++) {
        const struct kept_disk *disk = &kept->disks[i];
        disks[i] = (struct snapshot_make_disk){disk->disk->name, disk->disk->path, disk->disk->format,
                                               disk->size, disk->allocated};
    }
    const struct snapshot_make_wish wish = {.point = request->point,
                                            .job = request->job,
                                            .kind = image_kind,
                                            .vm_uuid = source->uuid,
                                            .vm_name = source->name,
                                            .configuration = configuration,
                                            .days = request->snapshot_days,
                                            .disks = disks,
                                            .count = kept->count};
    struct snapshot_make *make = snapshot_make_prepare(kept->snapshots, &wish, err);
    free(configuration);
    free(disks);
    return make;
}

static int take(struct image_kept *kept, struct snapshot_make *make, struct error *err)
{
    for (size_t i = 0; i < kept->count; i++) {
        if (settle(&kept->disks[i], err) != 0)
            return -1;
    }
    if (snapshot_make_take(make, err) != 0)
        return -1;
    for (size_t i = 0; i < kept->count; i++) {
        kept->disks[i].path = snapshot_make_locate(make, i, err);
        if (!kept->disks[i].path || check_use(&kept->disks[i], err) != 0)
            return -1;
    }
    return 0;
}

static const char *consistency_of(const struct image_kept *kept)
{
    bool frozen = true;
    for (size_t i = 0; i < kept->count; i++)
        frozen = frozen && kept->disks[i].frozen;
    return frozen ? "filesystem" : "crash";
}

static int make_all(struct image_kept *kept, const struct image_source *source,
                    const Holdfast__BackupBeginRequest *request, Holdfast__BackupBeginReply *reply,
                    struct error *err)
{
    json_t *record = NULL;
    int64_t until_ms = 0;
    struct snapshot_make *make = prepare(kept, source, request, err);
    if (!make)
        return -1;
    if (take(kept, make, err) != 0) {
        snapshot_make_abandon(make);
        return -1;
    }
    int64_t instant_ms = clock_wall_ms();
    if (snapshot_make_keep(make, consistency_of(kept), instant_ms, &until_ms, err) != 0)
        return -1;
    kept->held = host_snapshots_take(kept->snapshots, request->point, &record, err);
    if (!kept->held)
        return -1;
    json_decref(record);
    reply->instant_ms = instant_ms;
    reply->snapshot_until_ms = until_ms;
    return 0;
}

static int find_disks(struct image_kept *kept, const struct image_source *source,
                      const Holdfast__BackupBeginRequest *request, struct error *err)
{
    kept->disks = memory_array(source->disk_count + 1, sizeof *kept->disks);
    for (size_t i = 0; i < source->disk_count; i++) {
        const struct image_disk *disk = &source->disks[i];
        if (provider_disk_excluded(request, disk->name))
            continue;
        struct kept_disk *out = &kept->disks[kept->count++];
        out->disk = disk;
        out->device = disk_device_is(disk->path);
        if (measure(out, err) != 0)
            return -1;
    }
    return kept->count > 0 ? 0 : error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "Every disk is excluded.");
}

struct image_kept *image_kept_make(struct image_provider *provider, const struct image_source *source,
                                   const Holdfast__BackupBeginRequest *request,
                                   Holdfast__BackupBeginReply *reply)
{
    struct error err;
    if (request->snapshot_days == 0 || !provider->snapshots)
        return NULL;
    struct image_kept *kept = memory_zalloc(sizeof *kept);
    kept->snapshots = provider->snapshots;
    kept->job = memory_copy_text(request->job);
    if (find_disks(kept, source, request, &err) == 0 && make_all(kept, source, request, reply, &err) == 0)
        return kept;
    char *text = provider_reason(&err);
    provider_set_text(&reply->snapshot_reason, text);
    free(text);
    log_error("no snapshot stays on this host", &err);
    image_kept_release(kept, false);
    return NULL;
}

struct image_kept_disk image_kept_disk(const struct image_kept *kept, size_t disk)
{
    const struct kept_disk *found = &kept->disks[disk];
    return (struct image_kept_disk){found->path, found->device, found->frozen};
}

void image_kept_release(struct image_kept *kept, bool began)
{
    if (!kept)
        return;
    if (kept->held && !began)
        host_snapshots_drop_job(kept->snapshots, kept->job);
    if (kept->held)
        host_snapshots_give_back(kept->snapshots, kept->held);
    for (size_t i = 0; i < kept->count; i++)
        free(kept->disks[i].path);
    free(kept->disks);
    free(kept->job);
    free(kept);
}
