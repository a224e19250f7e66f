#include "agent/providers/kvm_backup.h"
#include "agent/providers/kvm_firmware.h"
#include "agent/providers/provider_reply.h"
#include "base/log.h"
#include "base/memory.h"
#include "disk/disk_image.h"
#include <stdlib.h>
#include <string.h>

static void warn_unsupported(const struct kvm_domain *described, const struct kvm_disk *disk,
                             Holdfast__BackupBeginReply *reply)
{
    struct error err;
    error_set(&err, ERROR_DISK_UNSUPPORTED, "The disk %s of %s is not in the backup: %s.", disk->target,
              described->name, disk->problem);
    provider_add_warning(&reply->warnings, &reply->n_warnings, &err);
}

static int take_disk(struct provider_backup *backup, virDomainPtr domain, const struct kvm_disk *disk,
                     struct error *err)
{
    uint64_t size = 0;
    uint64_t allocated = 0;
    if (kvm_disk_size(domain, disk, &size, &allocated) != 0)
        return kvm_error(err, ERROR_DISK_READ_FAILED, "The disk %s of %s can't be opened.", disk->target,
                         backup->name);
    backup->sources[backup->count++] = (struct kvm_source){
        .target = memory_copy_text(disk->target),
        .path = memory_copy_text(disk->path),
        .format = memory_copy_text(disk->format),
        .size = size,
        .allocated = disk->block ? size : allocated,
        .trackable = disk_image_keeps_bitmaps(disk->path, disk->format),
    };
    return 0;
}

void kvm_source_read_whole(struct kvm_source *source, const char *why)
{
    source->incremental = false;
    free(source->reason);
    source->reason = memory_format("TRACKING_LOST: %s", why);
}

/* Why the disk can't be incremental by what the request says; NULL: it can. */
static const char *find_obstacle(const struct kvm_source *source, const Holdfast__BackupBeginRequest *request)
{
    const Holdfast__BaseDisk *base = provider_base_disk(request, source->target);
    if (!source->trackable)
        return "The format of the disk can't keep a record of changes.";
    if (!base)
        return "The disk was added since the last recovery point.";
    if (base->size != source->size)
        return "The disk was resized since the last recovery point.";
    return NULL;
}

/* A running VM: QEMU knows which bitmaps are whole. */
static void plan_tracking(struct provider_backup *backup, virDomainPtr domain,
                          const struct kvm_domain *described)
{
    bool made = false;
    char *xml = kvm_checkpoint_describe(domain, described, backup->base, &made);
    for (size_t i = 0; i < backup->count; i++) {
        struct kvm_source *source = &backup->sources[i];
        if (source->reason)
            continue;
        int64_t dirty = xml ? kvm_checkpoint_dirty(xml, source->target) : -1;
        source->incremental = dirty >= 0;
        source->dirty = dirty >= 0 ? (uint64_t)dirty : 0;
        if (dirty < 0)
            kvm_source_read_whole(source, "The record of changes is missing or broken.");
    }
    free(xml);
    if (made) {
        const struct kvm_checkpoint_keep keep = {.also = backup->base};
        kvm_checkpoint_prune_orphans(domain, described, backup->provider->server_id, &keep);
    }
}

int kvm_backup_plan(struct provider_backup *backup, virDomainPtr domain, const struct kvm_domain *described,
                    const Holdfast__BackupBeginRequest *request, Holdfast__BackupBeginReply *reply,
                    struct error *err)
{
    backup->sources = memory_array(described->disk_count + 1, sizeof *backup->sources);
    for (size_t i = 0; i < described->disk_count; i++) {
        const struct kvm_disk *disk = &described->disks[i];
        if (provider_disk_excluded(request, disk->target))
            continue;
        if (disk->problem)
            warn_unsupported(described, disk, reply);
        else if (take_disk(backup, domain, disk, err) != 0)
            return -1;
    }
    if (backup->count == 0)
        return error_set(err, ERROR_DISK_UNSUPPORTED, "%s has no disk that can be backed up.", backup->name);
    if (!backup->base)
        return 0;
    for (size_t i = 0; i < backup->count; i++) {
        const char *obstacle = find_obstacle(&backup->sources[i], request);
        if (obstacle)
            kvm_source_read_whole(&backup->sources[i], obstacle);
    }
    if (backup->running)
        plan_tracking(backup, domain, described);
    return 0;
}

/* What is defined is what comes back, unless it has other disks than what runs. With its firmware. */
char *kvm_backup_configuration(virDomainPtr domain, const struct kvm_domain *described,
                               Holdfast__BackupBeginReply *reply, struct error *err)
{
    char *xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
    struct kvm_domain defined;
    bool same = false;
    if (xml && kvm_domain_parse(xml, &defined, err) == 0) {
        same = defined.disk_count == described->disk_count;
        for (size_t i = 0; i < described->disk_count && same; i++)
            same = kvm_domain_disk(&defined, described->disks[i].target) != NULL;
        kvm_domain_release(&defined);
    }
    if (!same) {
        free(xml);
        xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_SECURE);
    }
    if (!xml) {
        kvm_error(err, ERROR_SNAPSHOT_FAILED, "The configuration of %s could not be read.", described->name);
        return NULL;
    }
    char *missing = NULL;
    char *whole = kvm_firmware_attach(xml, &missing);
    if (missing) {
        struct error warning;
        error_set(&warning, ERROR_FILE_FAILED, "The recovery point of %s is without %s.", described->name,
                  missing);
        provider_add_warning(&reply->warnings, &reply->n_warnings, &warning);
    }
    free(missing);
    free(xml);
    return whole;
}
