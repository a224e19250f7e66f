#include "agent/providers/kvm_checkpoint.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "disk/disk_image.h"
#include <libvirt/virterror.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ID_PART = 8 };

/* Ids are UUIDs as a rule; whatever they are, a name takes letters and digits only. */
static void copy_part(const char *id, char out[ID_PART + 1])
{
    size_t length = 0;
    for (; *id && length < ID_PART; id++) {
        if ((*id >= '0' && *id <= '9') || (*id >= 'a' && *id <= 'z') || (*id >= 'A' && *id <= 'Z'))
            out[length++] = *id;
    }
    out[length] = '\0';
}

void kvm_checkpoint_name(const char *server_id, const char *job, char out[KVM_CHECKPOINT_NAME_SIZE])
{
    char server_part[ID_PART + 1];
    char job_part[ID_PART + 1];
    copy_part(server_id, server_part);
    copy_part(job, job_part);
    snprintf(out, KVM_CHECKPOINT_NAME_SIZE, "holdfast-%s-%s", server_part, job_part);
}

bool kvm_checkpoint_is_ours(const char *server_id, const char *name)
{
    char prefix[KVM_CHECKPOINT_NAME_SIZE];
    kvm_checkpoint_name(server_id, "", prefix);
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_kept(const struct kvm_checkpoint_keep *keep, const char *name)
{
    if (keep->also && strcmp(keep->also, name) == 0)
        return true;
    for (size_t i = 0; i < keep->count; i++) {
        if (strcmp(keep->names[i], name) == 0)
            return true;
    }
    return false;
}

/* Broken ones can't be deleted whole when a bitmap is missing altogether; then the metadata goes alone. */
static void delete_checkpoint(virDomainCheckpointPtr checkpoint)
{
    char *name = memory_copy_text(virDomainCheckpointGetName(checkpoint));
    if (virDomainCheckpointDelete(checkpoint, 0) != 0) {
        char *reason = memory_copy_text(virGetLastErrorMessage());
        bool gone = virDomainCheckpointDelete(checkpoint, VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY) == 0;
        log_event(gone ? LOG_INFO : LOG_WARNING, "tracking point could not be deleted whole",
                  "name=%s metadata=%s reason=\"%s\"", name, gone ? "deleted" : "kept", reason);
        free(reason);
    }
    free(name);
}

void kvm_checkpoint_prune(virDomainPtr domain, const char *server_id, const struct kvm_checkpoint_keep *keep)
{
    if (virDomainIsActive(domain) != 1)
        return; /* bitmaps can't be deleted now, and would be lost from sight without metadata */
    virDomainCheckpointPtr *list = NULL;
    int count = virDomainListAllCheckpoints(domain, &list, 0);
    for (int i = 0; i < count; i++) {
        const char *name = virDomainCheckpointGetName(list[i]);
        if (kvm_checkpoint_is_ours(server_id, name) && !is_kept(keep, name))
            delete_checkpoint(list[i]);
        virDomainCheckpointFree(list[i]);
    }
    free(list);
}

static bool is_tracked(const struct kvm_disk *disk)
{
    return !disk->problem && disk_image_keeps_bitmaps(disk->path, disk->format);
}

/* Metadata for bitmaps that may exist in any of the qcow2 disks. */
static virDomainCheckpointPtr redefine(virDomainPtr domain, const struct kvm_domain *described,
                                       const char *name)
{
    const char **targets = memory_array(described->disk_count + 1, sizeof *targets);
    size_t count = 0;
    for (size_t i = 0; i < described->disk_count; i++) {
        const struct kvm_disk *disk = &described->disks[i];
        if (is_tracked(disk))
            targets[count++] = disk->target;
    }
    virDomainCheckpointPtr checkpoint = NULL;
    if (count > 0) {
        char *xml = kvm_checkpoint_xml(name, clock_wall_ms() / 1000, targets, count);
        checkpoint = virDomainCheckpointCreateXML(domain, xml, VIR_DOMAIN_CHECKPOINT_CREATE_REDEFINE);
        free(xml);
    }
    free(targets);
    return checkpoint;
}

void kvm_checkpoint_delete(virDomainPtr domain, const struct kvm_domain *described, const char *name)
{
    virDomainCheckpointPtr checkpoint = virDomainCheckpointLookupByName(domain, name, 0);
    if (!checkpoint)
        checkpoint = redefine(domain, described, name);
    if (!checkpoint)
        return;
    delete_checkpoint(checkpoint);
    virDomainCheckpointFree(checkpoint);
}

void kvm_checkpoint_prune_orphans(virDomainPtr domain, const struct kvm_domain *described,
                                  const char *server_id, const struct kvm_checkpoint_keep *keep)
{
    for (size_t i = 0; i < described->disk_count; i++) {
        const struct kvm_disk *disk = &described->disks[i];
        struct disk_image image;
        struct error err;
        if (!is_tracked(disk) || disk_image_inspect(disk->path, disk->format, &image, &err) != 0)
            continue;
        for (size_t b = 0; b < image.bitmap_count; b++) {
            const char *name = image.bitmaps[b].name;
            virDomainCheckpointPtr known = virDomainCheckpointLookupByName(domain, name, 0);
            if (known)
                virDomainCheckpointFree(known);
            else if (kvm_checkpoint_is_ours(server_id, name) && !is_kept(keep, name))
                kvm_checkpoint_delete(domain, described, name);
        }
        disk_image_release(&image);
    }
}

/* --- of a domain that is off */

void kvm_checkpoint_delete_off(const struct kvm_domain *described, const char *name)
{
    struct error err;
    for (size_t i = 0; i < described->disk_count; i++) {
        const struct kvm_disk *disk = &described->disks[i];
        if (is_tracked(disk) && disk_image_remove_bitmap(disk->path, disk->format, name, &err) != 0)
            log_error("tracking point could not be deleted whole", &err);
    }
}

/* Bitmaps and metadata go one by one: what is left when something fails goes the next time. */
static void prune_image(const struct kvm_disk *disk, const char *server_id,
                        const struct kvm_checkpoint_keep *keep)
{
    struct disk_image image;
    struct error err;
    if (disk_image_inspect(disk->path, disk->format, &image, &err) != 0)
        return;
    for (size_t i = 0; i < image.bitmap_count; i++) {
        const char *name = image.bitmaps[i].name;
        if (kvm_checkpoint_is_ours(server_id, name) && !is_kept(keep, name) &&
            disk_image_remove_bitmap(disk->path, disk->format, name, &err) != 0)
            log_error("tracking point could not be deleted whole", &err);
    }
    disk_image_release(&image);
}

void kvm_checkpoint_prune_off(virDomainPtr domain, const struct kvm_domain *described, const char *server_id,
                              const struct kvm_checkpoint_keep *keep)
{
    virDomainCheckpointPtr *list = NULL;
    for (size_t i = 0; i < described->disk_count; i++) {
        if (is_tracked(&described->disks[i]))
            prune_image(&described->disks[i], server_id, keep);
    }
    int count = virDomainListAllCheckpoints(domain, &list, 0);
    for (int i = 0; i < count; i++) {
        const char *name = virDomainCheckpointGetName(list[i]);
        if (kvm_checkpoint_is_ours(server_id, name) && !is_kept(keep, name))
            virDomainCheckpointDelete(list[i], VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY);
        virDomainCheckpointFree(list[i]);
    }
    free(list);
}

char *kvm_checkpoint_describe(virDomainPtr domain, const struct kvm_domain *described, const char *name,
                              bool *made)
{
    *made = false;
    virDomainCheckpointPtr checkpoint = virDomainCheckpointLookupByName(domain, name, 0);
    if (!checkpoint) {
        checkpoint = redefine(domain, described, name);
        *made = checkpoint != NULL;
    }
    if (!checkpoint)
        return NULL;
    char *xml = virDomainCheckpointGetXMLDesc(checkpoint, VIR_DOMAIN_CHECKPOINT_XML_SIZE |
                                                              VIR_DOMAIN_CHECKPOINT_XML_NO_DOMAIN);
    virDomainCheckpointFree(checkpoint);
    return xml;
}
