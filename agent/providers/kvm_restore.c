#include "agent/providers/kvm_domain_edit.h"
#include "agent/providers/kvm_firmware.h"
#include "agent/providers/kvm_internal.h"
#include "agent/providers/kvm_restore_target.h"
#include "agent/providers/provider_reply.h"
#include "agent/providers/restore_files.h"
#include "agent/providers/restore_plan.h"
#include "agent/providers/restore_snapshot.h"
#include "base/identity.h"
#include "base/log.h"
#include "base/memory.h"
#include <libvirt/virterror.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char default_directory[] = "/var/lib/libvirt/images";

struct provider_restore {
    struct kvm_provider *provider;
    struct restore_files *files;
    char *configuration; /* of the original, without: */
    struct kvm_firmware firmware;
    size_t firmware_planned;           /* the first of its files, that have a place */
    struct kvm_edit_network *networks; /* to exchange; texts are owned */
    size_t network_count;
    char *missing_network; /* that the VM is going to be connected to; NULL: none */
    char *pool;            /* "": none */
    char *name;            /* of what is made */
    char *uuid;            /* of what is made */
    char *new_uuid;        /* the same, if it is a new identity; otherwise NULL */
    char *directory;       /* NULL: the original place */
    char **targets;
    char **formats;
    const char *const *sources; /* only while it begins; NULL: disks are written */
    size_t count;
    bool start;
    bool stop_running;
    /* What must be undone: */
    char *old_definition; /* of the domain that was there; NULL: there was none */
    bool stopped;         /* it was running and was stopped for this */
    bool defined;
};

static void restore_free(struct provider_restore *restore)
{
    for (size_t i = 0; i < restore->count; i++) {
        free(restore->targets[i]);
        free(restore->formats[i]);
    }
    for (size_t i = 0; i < restore->network_count; i++) {
        free((char *)(uintptr_t)restore->networks[i].from);
        free((char *)(uintptr_t)restore->networks[i].to);
    }
    free(restore->networks);
    free(restore->missing_network);
    free(restore->pool);
    kvm_firmware_release(&restore->firmware);
    free(restore->targets);
    free(restore->formats);
    free(restore->configuration);
    free(restore->name);
    free(restore->uuid);
    free(restore->new_uuid);
    free(restore->directory);
    free(restore->old_definition);
    free(restore);
}

static struct provider_restore *restore_create(struct kvm_provider *provider,
                                               const Holdfast__RestoreRequest *request)
{
    struct provider_restore *restore = memory_zalloc(sizeof *restore);
    restore->provider = provider;
    restore->configuration = kvm_firmware_detach(request->configuration, &restore->firmware);
    restore->pool = memory_copy_text(request->pool);
    restore->networks = memory_array(request->n_networks, sizeof *restore->networks);
    for (size_t i = 0; i < request->n_networks; i++) {
        restore->networks[i].from = memory_copy_text(request->networks[i]->from);
        restore->networks[i].to = memory_copy_text(request->networks[i]->to);
    }
    restore->network_count = request->n_networks;
    restore->uuid = memory_copy_text(request->vm_uuid);
    restore->name = memory_copy_text(restore_plan_name(request));
    restore->start = request->start;
    restore->stop_running = request->stop_running;
    restore->targets = memory_array(request->n_disks, sizeof *restore->targets);
    restore->formats = memory_array(request->n_disks, sizeof *restore->formats);
    for (size_t i = 0; i < request->n_disks; i++) {
        restore->targets[i] = memory_copy_text(request->disks[i]->name);
        restore->formats[i] = memory_copy_text(request->disks[i]->format);
    }
    restore->count = request->n_disks;
    restore->files = restore_files_create(provider->data_directory, kvm_kind, request->job);
    return restore;
}

static const char *disk_path(const struct kvm_domain *domain, const char *target)
{
    const struct kvm_disk *disk = domain ? kvm_domain_disk(domain, target) : NULL;
    return disk ? disk->path : NULL;
}

static bool is_off(virDomainPtr domain)
{
    int state = VIR_DOMAIN_NOSTATE;
    int reason = 0;
    return virDomainGetState(domain, &state, &reason, 0) == 0 && strcmp(kvm_power(state, reason), "off") == 0;
}

static int stop_domain(struct provider_restore *restore, virDomainPtr domain, struct error *err)
{
    const char *name = virDomainGetName(domain); /* now: asking for it later would clear libvirt's error */
    if (is_off(domain))
        return 0;
    if (!restore->stop_running)
        return error_set(err, ERROR_RESTORE_VM_RUNNING, "The VM %s is running on this host.", name);
    if (virDomainDestroy(domain) != 0 && !is_off(domain))
        return kvm_error(err, ERROR_RESTORE_FAILED, "The VM %s could not be stopped.", name);
    restore->stopped = true;
    return 0;
}

static bool is_block_device(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISBLK(info.st_mode);
}

static int plan_disk(struct provider_restore *restore, size_t index, const char *path,
                     const Holdfast__RestoreDisk *disk, bool replace, struct error *err)
{
    int result = restore_files_plan(restore->files, path, disk->format, disk->size, replace, err);
    return result == 0 && restore->sources
               ? restore_files_copy_from(restore->files, restore->sources[index], disk->format, err)
               : result;
}

/* domain: what is there now under that UUID, or NULL. */
static int plan_original(struct provider_restore *restore, const Holdfast__RestoreRequest *request,
                         virDomainPtr domain, const struct kvm_domain *original, struct error *err)
{
    struct kvm_domain present = {0};
    if (domain && !restore->stop_running && !is_off(domain))
        return error_set(err, ERROR_RESTORE_VM_RUNNING, "The VM %s is running on this host.",
                         virDomainGetName(domain));
    if (domain && kvm_domain_read(domain, &present, err) != 0)
        return -1;
    int result = 0;
    for (size_t i = 0; i < request->n_disks && result == 0; i++) {
        const Holdfast__RestoreDisk *disk = request->disks[i];
        const char *path = disk_path(&present, disk->name);
        if (!path)
            path = disk_path(original, disk->name);
        if (!path)
            result = error_set(err, ERROR_DISK_NOT_FOUND, "Where the disk %s of %s was is not known.",
                               disk->name, request->vm_name);
        else
            result = plan_disk(restore, i, path, disk, true, err);
        if (result == 0 && domain && is_block_device(path)) /* it is written in place */
            result = stop_domain(restore, domain, err);
    }
    if (result == 0 && (!domain || is_off(domain))) /* otherwise it is stopped before they are exchanged */
        result = restore_files_check_use(restore->files, err);
    if (domain) { /* it may have been renamed since */
        free(restore->name);
        restore->name = memory_copy_text(present.name);
        kvm_domain_release(&present);
    }
    return result;
}

/* A directory or pool that was named, or the original's; sets restore->directory. */
static int find_directory(struct provider_restore *restore, const Holdfast__RestoreRequest *request,
                          virConnectPtr connection, const struct kvm_domain *original, struct error *err)
{
    char directory[PATH_MAX];
    const char *first = disk_path(original, request->disks[0]->name);
    if (restore->pool[0]) {
        restore->directory = kvm_pool_directory(connection, restore->pool, err);
    } else if (restore_plan_directory(request, first, default_directory, directory, err) == 0) {
        restore->directory = memory_copy_text(directory);
    }
    return restore->directory ? 0 : -1;
}

static int plan_alternate(struct provider_restore *restore, const Holdfast__RestoreRequest *request,
                          virConnectPtr connection, bool uuid_exists, const struct kvm_domain *original,
                          struct error *err)
{
    if (find_directory(restore, request, connection, original, err) != 0 ||
        kvm_networks_check(connection, request, &restore->missing_network, err) != 0)
        return -1;
    if (uuid_exists || strcmp(restore->name, request->vm_name) != 0) {
        char fresh[IDENTITY_SIZE];
        identity_create(fresh);
        restore->new_uuid = memory_copy_text(fresh);
        free(restore->uuid);
        restore->uuid = memory_copy_text(fresh);
    }
    for (size_t i = 0; i < request->n_disks; i++) {
        char *path = restore_plan_path(restore->directory, restore->name, request->disks[i]);
        int result = plan_disk(restore, i, path, request->disks[i], false, err);
        free(path);
        if (result != 0)
            return -1;
    }
    return 0;
}

static int check_name(virConnectPtr connection, const char *name, const char *uuid, struct error *err)
{
    char other[VIR_UUID_STRING_BUFLEN] = "";
    virDomainPtr named = virDomainLookupByName(connection, name);
    if (!named)
        return 0;
    bool same = uuid && virDomainGetUUIDString(named, other) == 0 && strcmp(other, uuid) == 0;
    virDomainFree(named);
    return same ? 0 : error_set(err, ERROR_RESTORE_NAME_TAKEN, "A VM called %s exists on this host.", name);
}

static char *new_definition(const struct provider_restore *restore, struct error *err)
{
    struct kvm_edit_disk *disks = memory_array(restore->count, sizeof *disks);
    for (size_t i = 0; i < restore->count; i++) {
        const char *path = restore_files_path(restore->files, i);
        disks[i] =
            (struct kvm_edit_disk){restore->targets[i], path, restore->formats[i], is_block_device(path)};
    }
    char *nvram = kvm_firmware_has_nvram(&restore->firmware) && restore->directory
                      ? memory_format("%s/%s_VARS.fd", restore->directory, restore->name)
                      : NULL;
    const struct kvm_edit edit = {.name = restore->name,
                                  .uuid = restore->new_uuid,
                                  .directory = restore->directory,
                                  .disks = disks,
                                  .disk_count = restore->count,
                                  .networks = restore->networks,
                                  .network_count = restore->network_count,
                                  .nvram = nvram};
    char *xml = kvm_domain_edit(restore->configuration, &edit, err);
    free(disks);
    free(nvram);
    return xml;
}

/* Firmware takes the way of the disks, behind them: put in place with them, or not at all. */
static int plan_firmware(struct provider_restore *restore, struct error *err)
{
    if (restore->firmware.count == 0)
        return 0;
    char *xml = new_definition(restore, err);
    int result = xml ? 0 : -1;
    size_t planned = 0;
    for (size_t i = 0; i < restore->firmware.count && result == 0; i++) {
        struct kvm_firmware_file file = restore->firmware.files[i];
        char *path = kvm_firmware_place(xml, &file, err);
        if (path) {
            bool own = strcmp(file.name, "nvram") != 0 || !restore->directory; /* nobody else's */
            result = restore_files_plan(restore->files, path, "raw", file.length, own, err);
            restore->firmware.files[i] = restore->firmware.files[planned];
            restore->firmware.files[planned++] = file;
        } else if (err->code != ERROR_NONE) {
            result = -1;
        }
        free(path);
    }
    restore->firmware_planned = planned;
    free(xml);
    return result;
}

static int write_firmware(struct provider_restore *restore, struct error *err)
{
    for (size_t i = 0; i < restore->firmware_planned; i++) {
        const struct kvm_firmware_file *file = &restore->firmware.files[i];
        if (disk_writer_write(restore_files_writer(restore->files, restore->count + i), 0, file->bytes,
                              file->length, err) != 0)
            return -1;
    }
    return 0;
}

static int plan(struct provider_restore *restore, const Holdfast__RestoreRequest *request,
                virConnectPtr connection, struct error *err)
{
    struct kvm_domain original;
    if (kvm_domain_parse(request->configuration, &original, err) != 0)
        return error_wrap(err, ERROR_RESTORE_HOST_KIND,
                          "The configuration of %s is not that of a libvirt domain.", request->vm_name);
    virDomainPtr domain = virDomainLookupByUUIDString(connection, request->vm_uuid);
    int result = check_name(connection, restore->name, request->to_original ? request->vm_uuid : NULL, err);
    if (result == 0)
        result = request->to_original
                     ? plan_original(restore, request, domain, &original, err)
                     : plan_alternate(restore, request, connection, domain != NULL, &original, err);
    if (result == 0)
        result = plan_firmware(restore, err);
    if (domain)
        virDomainFree(domain);
    kvm_domain_release(&original);
    return result;
}

static struct provider_restore *begin_copy(void *self, const Holdfast__RestoreRequest *request,
                                           const char *const *sources, struct error *err)
{
    struct kvm_provider *provider = self;
    if (restore_plan_check(request, err) != 0)
        return NULL;
    virConnectPtr connection = kvm_connection_get(provider, err);
    if (!connection)
        return NULL;
    struct provider_restore *restore = restore_create(provider, request);
    restore->sources = sources;
    if (plan(restore, request, connection, err) != 0 || restore_files_make(restore->files, err) != 0) {
        kvm_restore_abort(restore);
        restore = NULL;
    }
    if (restore)
        restore->sources = NULL;
    virConnectClose(connection);
    return restore;
}

struct provider_restore *kvm_restore_begin(void *self, const Holdfast__RestoreRequest *request,
                                           struct error *err)
{
    const struct kvm_provider *provider = self;
    return restore_snapshot_begin(provider->snapshots, begin_copy, self, request, err);
}

struct disk_writer *kvm_restore_disk(struct provider_restore *restore, size_t disk)
{
    return restore_files_writer(restore->files, disk);
}

/* The disks of the domain are about to be exchanged: it stands still, and nothing is kept that belongs to the
 * old ones. */
static int retire_domain(struct provider_restore *restore, virDomainPtr domain, struct error *err)
{
    restore->old_definition = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
    if (!restore->old_definition)
        return kvm_error(err, ERROR_RESTORE_FAILED, "The definition of %s could not be saved.",
                         restore->name);
    if (stop_domain(restore, domain, err) != 0)
        return -1;
    if (virDomainHasManagedSaveImage(domain, 0) == 1 && virDomainManagedSaveRemove(domain, 0) != 0)
        return kvm_error(err, ERROR_RESTORE_FAILED,
                         "The saved memory of %s, which does not fit its restored disks, could "
                         "not be removed.",
                         restore->name);
    virDomainCheckpointPtr *list = NULL;
    int count = virDomainListAllCheckpoints(domain, &list, 0);
    for (int i = 0; i < count; i++) { /* their bitmaps go with the old disks */
        if (virDomainCheckpointDelete(list[i], VIR_DOMAIN_CHECKPOINT_DELETE_METADATA_ONLY) != 0)
            log_event(LOG_WARNING, "record of a tracking point could not be removed",
                      "vm=\"%s\" reason=\"%s\"", restore->name, virGetLastErrorMessage());
        virDomainCheckpointFree(list[i]);
    }
    free(list);
    return 0;
}

static int define_and_start(struct provider_restore *restore, virConnectPtr connection, const char *xml,
                            struct error *err)
{
    virDomainPtr domain = virDomainDefineXMLFlags(connection, xml, 0);
    if (!domain)
        return kvm_error(err, ERROR_RESTORE_FAILED, "The VM %s could not be defined.", restore->name);
    restore->defined = true;
    int result = restore_files_settle(restore->files, err);
    if (result == 0 && restore->start && virDomainCreate(domain) != 0)
        result =
            kvm_error(err, ERROR_RESTORE_FAILED, "The restored VM %s could not be started.", restore->name);
    virDomainFree(domain);
    return result;
}

static int commit(struct provider_restore *restore, virConnectPtr connection, struct error *err)
{
    char *xml = new_definition(restore, err);
    if (!xml)
        return -1;
    int result = write_firmware(restore, err) == 0 ? restore_files_finish(restore->files, err) : -1;
    virDomainPtr domain = NULL;
    if (result == 0 && !restore->directory)
        domain = virDomainLookupByUUIDString(connection, restore->uuid);
    if (result == 0)
        result = domain ? retire_domain(restore, domain, err)
                        : restore_files_note_vm(restore->files, restore->uuid, err);
    if (result == 0)
        result = restore_files_place(restore->files, err);
    if (result == 0)
        result = define_and_start(restore, connection, xml, err);
    if (domain)
        virDomainFree(domain);
    free(xml);
    return result;
}

/* As it was before: disks, definition, power. */
static void roll_back(struct provider_restore *restore)
{
    struct error err;
    virConnectPtr connection =
        restore->defined || restore->stopped ? kvm_connection_get(restore->provider, &err) : NULL;
    virDomainPtr domain = connection ? virDomainLookupByUUIDString(connection, restore->uuid) : NULL;
    if (domain && restore->defined && !is_off(domain))
        (void)virDomainDestroy(domain);
    restore_files_undo(restore->files);
    if (domain && restore->defined && !restore->old_definition)
        (void)virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA |
                                                 VIR_DOMAIN_UNDEFINE_KEEP_NVRAM);
    if (connection && restore->defined && restore->old_definition) {
        virDomainPtr old = virDomainDefineXMLFlags(connection, restore->old_definition, 0);
        if (old)
            virDomainFree(old);
        else
            log_event(LOG_ERROR, "old definition could not be put back", "vm=\"%s\" reason=\"%s\"",
                      restore->name, virGetLastErrorMessage());
    }
    if (domain && restore->stopped && virDomainCreate(domain) != 0)
        log_event(LOG_ERROR, "VM could not be started again", "vm=\"%s\" reason=\"%s\"", restore->name,
                  virGetLastErrorMessage());
    if (domain)
        virDomainFree(domain);
    if (connection)
        virConnectClose(connection);
}

int kvm_restore_commit(struct provider_restore *restore, Holdfast__RestoreReply *reply, struct error *err)
{
    virConnectPtr connection = kvm_connection_get(restore->provider, err);
    int result = connection ? commit(restore, connection, err) : -1;
    if (result == 0)
        kvm_pool_refresh(connection, restore->pool);
    if (connection)
        virConnectClose(connection);
    if (result != 0) {
        kvm_restore_abort(restore);
        return -1;
    }
    provider_set_text(&reply->vm_uuid, restore->uuid);
    provider_set_text(&reply->vm_name, restore->name);
    for (size_t i = 0; i < restore->count; i++)
        provider_add_path(reply, restore_files_path(restore->files, i));
    if (restore->missing_network) {
        struct error warning;
        error_set(&warning, ERROR_RESTORE_TARGET_MISSING,
                  "%s is connected to the network %s, which this host does not have.", restore->name,
                  restore->missing_network);
        provider_add_warning(&reply->warnings, &reply->n_warnings, &warning);
    }
    restore_files_keep(restore->files);
    restore_free(restore);
    return 0;
}

void kvm_restore_abort(struct provider_restore *restore)
{
    if (!restore)
        return;
    roll_back(restore);
    restore_free(restore);
}
