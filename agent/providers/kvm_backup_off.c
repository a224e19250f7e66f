/*
 * A VM that is off: its files are read, and what the bitmaps in them say. A bitmap that is added to a file
 * records what QEMU writes once the VM runs again; libvirt learns of it then (kvm_checkpoint_describe).
 */
#include "agent/providers/kvm_backup.h"
#include "agent/providers/provider_reply.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "disk/disk_image.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int note_written(struct kvm_source *source, struct error *err)
{
    struct stat info;
    if (stat(source->path, &info) != 0)
        return error_set_errno(err, ERROR_DISK_READ_FAILED, errno, "The disk %s can't be opened.",
                               source->path);
    source->written = info.st_mtim;
    return 0;
}

/* A VM that is off: the bitmap in the file, if QEMU ended well, tells what was written since. */
static void plan_off_disk(struct provider_backup *backup, struct kvm_source *source)
{
    struct disk_image image;
    struct error err;
    if (source->reason)
        return;
    const char *why = "The record of changes is missing.";
    if (disk_image_inspect(source->path, source->format, &image, &err) == 0) {
        const struct disk_image_bitmap *bitmap = disk_image_bitmap(&image, backup->base);
        source->incremental = bitmap && !bitmap->in_use;
        if (bitmap && bitmap->in_use)
            why = "The record of changes is broken, since the VM did not end well.";
        if (source->incremental && image.backing_file &&
            disk_image_bitmap_below(source->path, source->format, backup->base)) {
            source->incremental = false;
            why = "A snapshot was taken since the last recovery point; the disk has its own record only "
                  "since then.";
        }
        disk_image_release(&image);
    }
    if (!source->incremental)
        kvm_source_read_whole(source, why);
}

/* A new record begins in all disks, under a name of its own. The old one would record enough for the next
 * backup, too; but a name must stand for one recovery point only: an older copy of the file has the old
 * record as well, and nothing would tell that it was put back. */
static void begin_record(struct provider_backup *backup, virDomainPtr domain,
                         const struct kvm_domain *described, const Holdfast__BackupBeginRequest *request)
{
    const struct kvm_checkpoint_keep keep = {
        .names = request->known_tracking, .count = request->n_known_tracking, .also = request->base_tracking};
    char name[KVM_CHECKPOINT_NAME_SIZE];
    struct error err;
    kvm_checkpoint_prune_off(domain, described, backup->provider->server_id, &keep);
    kvm_checkpoint_name(backup->provider->server_id, backup->job, name);
    for (size_t i = 0; i < backup->count; i++) {
        const struct kvm_source *source = &backup->sources[i];
        if (!source->trackable)
            continue;
        if (disk_image_add_bitmap(source->path, source->format, name, &err) != 0) {
            log_error("record of changes can't begin", &err);
        } else if (!backup->tracking) {
            backup->tracking = memory_copy_text(name);
        }
    }
}

int kvm_backup_begin_off(struct provider_backup *backup, virDomainPtr domain,
                         const struct kvm_domain *described, const Holdfast__BackupBeginRequest *request,
                         Holdfast__BackupBeginReply *reply, struct error *err)
{
    if (kvm_backup_plan(backup, domain, described, request, reply, err) != 0)
        return -1;
    for (size_t i = 0; i < backup->count && backup->base; i++)
        plan_off_disk(backup, &backup->sources[i]);
    begin_record(backup, domain, described, request);
    for (size_t i = 0; i < backup->count; i++) {
        if (note_written(&backup->sources[i], err) != 0)
            return -1;
    }
    kvm_host_snapshot_prepare(backup, request, false, reply);
    kvm_host_snapshot_take(backup, domain, reply);
    reply->instant_ms = clock_wall_ms();
    provider_set_text(&reply->consistency, "crash");
    if (strcmp(request->consistency, "crash") != 0)
        provider_set_text(&reply->consistency_reason,
                          "QUIESCE_NO_AGENT: The VM is off; its guest can't be asked.");
    if (backup->tracking)
        provider_set_text(&reply->tracking, backup->tracking);
    return 0;
}

/* A VM that was off must have stayed off. */
int kvm_backup_check_off(struct provider_backup *backup, struct error *err)
{
    int state = 0;
    virDomainPtr domain = kvm_domain_lookup(backup->provider, backup->uuid, err);
    if (!domain)
        return -1;
    bool active = virDomainGetState(domain, &state, NULL, 0) != 0 || strcmp(kvm_power(state, 0), "off") != 0;
    virDomainFree(domain);
    for (size_t i = 0; i < backup->count && !active; i++) {
        const struct kvm_source *source = &backup->sources[i];
        struct stat info;
        active = stat(source->path, &info) != 0 || info.st_mtim.tv_sec != source->written.tv_sec ||
                 info.st_mtim.tv_nsec != source->written.tv_nsec;
    }
    if (active)
        return error_set(err, ERROR_VM_IN_TRANSITION, "The VM %s was started while its disks were read.",
                         backup->name);
    return 0;
}
