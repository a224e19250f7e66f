/*
 * The provider of simulated hosts, in the place of kvm and image. Its VMs have one computed disk each, and
 * change tracking that is never lost: a tracking point's name ends with the epoch that it was begun in. The
 * host's numbers come from its configuration.
 */
#include "agent/providers/provider_reply.h"
#include "agent/snapshots/host_snapshots.h"
#include "base/clock.h"
#include "base/memory.h"
#include "simulated_host.h"
#include "synthetic_disk.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct config_key simulated_config_keys[] = {
    {"first-vm", "0", "number of the first VM"},
    {"vms", "0", "how many"},
    HOST_SNAPSHOTS_CONFIG_KEYS,
    {NULL, NULL, NULL},
};

struct synthetic_provider {
    unsigned first;
    unsigned count;
};

struct provider_backup {
    unsigned vm;
    unsigned epoch;
    int changed_since;
};

static void *synthetic_provider_open(const struct provider_context *context, provider_changed changed,
                                     void *cookie, struct error *err)
{
    struct synthetic_provider *provider = memory_alloc(sizeof *provider);
    int64_t first;
    int64_t count;
    (void)changed;
    (void)cookie;
    if (config_integer(context->config, "first-vm", 0, INT32_MAX, &first, err) != 0 ||
        config_integer(context->config, "vms", 0, INT32_MAX, &count, err) != 0) {
        free(provider);
        return NULL;
    }
    *provider = (struct synthetic_provider){(unsigned)first, (unsigned)count};
    return provider;
}

static int discover(void *self, Holdfast__DiscoverReply *reply, struct error *err)
{
    const struct synthetic_provider *provider = self;
    (void)err;
    for (unsigned vm = provider->first; vm < provider->first + provider->count; vm++) {
        simulated_describe_vm(vm, provider_add_vm(reply));
    }
    return 0;
}

void simulated_describe_vm(unsigned number, Holdfast__Vm *vm)
{
    Holdfast__Disk *disk = provider_add_disk(vm);
    provider_set_format(&vm->uuid, "00000000-0000-4000-8000-%012u", number);
    provider_set_format(&vm->name, "vm-%04u", number);
    provider_set_text(&vm->kind, "synthetic");
    provider_set_text(&vm->power, "running");
    provider_set_text(&vm->guest_agent, "answers");
    provider_set_text(&vm->tracking, "ready");
    provider_set_text(&disk->name, "vda");
    provider_set_text(&disk->path, "computed");
    provider_set_text(&disk->format, "raw");
    disk->size = (uint64_t)SYNTHETIC_CHUNKS * SYNTHETIC_CHUNK;
    disk->supported = 1;
}

static struct provider_backup *backup_begin(void *self, const Holdfast__BackupBeginRequest *request,
                                            const atomic_bool *cancelled, Holdfast__BackupBeginReply *reply,
                                            struct error *err)
{
    const struct synthetic_provider *provider = self;
    unsigned vm;
    (void)cancelled;
    if (sscanf(request->vm_uuid, "00000000-0000-4000-8000-%u", &vm) != 1 || vm < provider->first ||
        vm >= provider->first + provider->count) {
        error_set(err, ERROR_VM_NOT_FOUND, "There is no VM %s here", request->vm_uuid);
        return NULL;
    }
    struct provider_backup *backup = memory_alloc(sizeof *backup);
    const char *base = strrchr(request->base_tracking, '-');
    int64_t now_ms = clock_wall_ms();
    *backup = (struct provider_backup){.vm = vm, .epoch = synthetic_epoch(now_ms), .changed_since = -1};
    if (base != NULL && !request->ignore_tracking && request->n_base_disks == 1) {
        backup->changed_since = atoi(base + 1);
    }
    Holdfast__BackupDisk *disk = provider_add_backup_disk(reply);
    provider_set_text(&disk->name, "vda");
    provider_set_text(&disk->format, "raw");
    disk->size = (uint64_t)SYNTHETIC_CHUNKS * SYNTHETIC_CHUNK;
    disk->incremental = backup->changed_since >= 0;
    provider_set_text(&reply->consistency, "filesystem");
    provider_set_format(&reply->tracking, "holdfast-%.8s-%u", request->job, backup->epoch);
    provider_set_format(&reply->vm_name, "vm-%04u", vm);
    provider_set_text(&reply->configuration, "<domain/>");
    reply->instant_ms = now_ms;
    return backup;
}

static struct disk_reader *backup_open_disk(struct provider_backup *backup, size_t disk, struct error *err)
{
    (void)disk;
    (void)err;
    return synthetic_open(backup->vm, backup->epoch, backup->changed_since);
}

static void backup_locate_disk(const struct provider_backup *backup, size_t disk,
                               struct provider_disk_source *source)
{
    (void)backup;
    (void)disk;
    *source = (struct provider_disk_source){.still = true};
}

static int backup_end(void *self, struct provider_backup *backup, const Holdfast__BackupEndRequest *request,
                      struct error *err)
{
    (void)self;
    (void)request;
    (void)err;
    free(backup);
    return 0;
}

static int recover(void *self, Holdfast__UnfinishedJob ***unfinished, size_t *count, struct error *err)
{
    (void)self;
    (void)err;
    *unfinished = NULL;
    *count = 0;
    return 0;
}

static struct provider_restore *restore_begin(void *self, const Holdfast__RestoreRequest *request,
                                              struct error *err)
{
    (void)self;
    (void)request;
    error_set(err, ERROR_RESTORE_HOST_KIND, "Simulated hosts restore nothing");
    return NULL;
}

static const struct provider synthetic = {
    .kind = "synthetic",
    .open = synthetic_provider_open,
    .close = free,
    .discover = discover,
    .backup_begin = backup_begin,
    .backup_open_disk = backup_open_disk,
    .backup_locate_disk = backup_locate_disk,
    .backup_end = backup_end,
    .recover = recover,
    .restore_begin = restore_begin,
};

const struct provider *const provider_list[] = {&synthetic, NULL};
