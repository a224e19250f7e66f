/*
 * The snapshot that stays on the host, of a VM that is backed up: taken while the file systems are frozen,
 * just before the instant of the backup. What a frozen guest writes between the two (swap, at most) is the
 * only difference.
 *
 * QEMU holds tables of a qcow2 file back, and what a guest without an agent writes is not held up by anybody.
 * So the vCPUs are stopped for the moment: stopping makes QEMU write everything, and a file that nobody
 * writes can be shared. A guest that is paused already has been through that; a VM that is off has nothing to
 * write. Nor is a guest stopped for one raw disk on a logical volume: LVM takes all of it at one instant,
 * with what the host still holds of it.
 */
#include "agent/providers/kvm_backup.h"
#include "agent/providers/kvm_pause.h"
#include "agent/providers/provider_reply.h"
#include "agent/snapshots/snapshot_make.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

enum { WATCHDOG_MORE_MS = 2000 }; /* for libvirt to stop the guest and to let it go on */

struct kvm_host_snapshot {
    struct snapshot_make *make;
    struct kvm_pause pause;
    bool runs;   /* the guest */
    bool pauses; /* it is stopped for the instant */
    bool taken;
};

static void say_why(Holdfast__BackupBeginReply *reply, const struct error *why)
{
    char *text = provider_reason(why);
    provider_set_text(&reply->snapshot_reason, text);
    free(text);
    log_error("no snapshot stays on this host", why);
}

static struct snapshot_make *prepare(struct provider_backup *backup,
                                     const Holdfast__BackupBeginRequest *request,
                                     const Holdfast__BackupBeginReply *reply, bool live, struct error *err)
{
    struct snapshot_make_disk *disks = memory_array(backup->count, sizeof *disks);
    for (size_t i = 0; i < backup->count; i++) {
        const struct kvm_source *source = &backup->sources[i];
        disks[i] = (struct snapshot_make_disk){source->target, source->path, source->format, source->size,
                                               source->allocated};
    }
    const struct snapshot_make_wish wish = {.point = request->point,
                                            .job = backup->job,
                                            .kind = kvm_kind,
                                            .vm_uuid = backup->uuid,
                                            .vm_name = backup->name,
                                            .configuration = reply->configuration,
                                            .days = request->snapshot_days,
                                            .disks = disks,
                                            .count = backup->count,
                                            .live = live};
    struct snapshot_make *make = snapshot_make_prepare(backup->provider->snapshots, &wish, err);
    free(disks);
    return make;
}

void kvm_host_snapshot_prepare(struct provider_backup *backup, const Holdfast__BackupBeginRequest *request,
                               bool runs, Holdfast__BackupBeginReply *reply)
{
    struct error err;
    struct kvm_provider *provider = backup->provider;
    if (request->snapshot_days == 0 || !provider->snapshots)
        return;
    struct kvm_host_snapshot *snapshot = memory_zalloc(sizeof *snapshot);
    snapshot->runs = runs;
    snapshot->make = prepare(backup, request, reply, runs, &err);
    snapshot->pauses = snapshot->make && snapshot_make_stops(snapshot->make);
    unsigned limit_ms = host_snapshots_pause_ms(provider->snapshots) + WATCHDOG_MORE_MS;
    if (!snapshot->make || (snapshot->pauses && kvm_pause_prepare(provider, backup->uuid, limit_ms,
                                                                  &snapshot->pause, &err) != 0)) {
        say_why(reply, &err);
        snapshot_make_abandon(snapshot->make);
        free(snapshot);
        return;
    }
    backup->snapshot = snapshot;
}

void kvm_host_snapshot_abandon(struct provider_backup *backup)
{
    if (!backup->snapshot)
        return;
    if (backup->snapshot->pauses)
        kvm_pause_release(&backup->snapshot->pause);
    snapshot_make_abandon(backup->snapshot->make);
    free(backup->snapshot);
    backup->snapshot = NULL;
}

/* A guest that was paused by somebody must still be. */
static int take_still(struct kvm_host_snapshot *snapshot, virDomainPtr domain, struct error *err)
{
    int state = VIR_DOMAIN_NOSTATE;
    if (snapshot_make_take(snapshot->make, err) != 0)
        return -1;
    if (virDomainGetState(domain, &state, NULL, 0) != 0 || state == VIR_DOMAIN_RUNNING ||
        state == VIR_DOMAIN_BLOCKED)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "The VM went on while its disks were shared.");
    return 0;
}

static int take_running(struct kvm_host_snapshot *snapshot, virDomainPtr domain, struct error *err)
{
    struct error other;
    if (kvm_pause_begin(&snapshot->pause, domain, err) != 0)
        return -1;
    int result = snapshot_make_take(snapshot->make, err);
    if (kvm_pause_end(&snapshot->pause, domain, &other) != 0 && result == 0) {
        *err = other;
        result = -1;
    }
    return result;
}

void kvm_host_snapshot_take(struct provider_backup *backup, virDomainPtr domain,
                            Holdfast__BackupBeginReply *reply)
{
    struct error err;
    struct kvm_host_snapshot *snapshot = backup->snapshot;
    if (!snapshot)
        return;
    int result = 0;
    if (!snapshot->runs)
        result = take_still(snapshot, domain, &err);
    else if (snapshot->pauses)
        result = take_running(snapshot, domain, &err);
    else
        result = snapshot_make_take(snapshot->make, &err);
    if (snapshot->pauses)
        reply->paused_us = snapshot->pause.paused_us;
    snapshot->taken = result == 0;
    if (result != 0) {
        say_why(reply, &err);
        kvm_host_snapshot_abandon(backup);
    }
}

void kvm_host_snapshot_keep(struct provider_backup *backup, Holdfast__BackupBeginReply *reply)
{
    struct error err;
    struct kvm_host_snapshot *snapshot = backup->snapshot;
    if (!snapshot || !snapshot->taken) {
        kvm_host_snapshot_abandon(backup);
        return;
    }
    if (snapshot_make_keep(snapshot->make, reply->consistency, reply->instant_ms, &reply->snapshot_until_ms,
                           &err) != 0)
        say_why(reply, &err);
    snapshot->make = NULL; /* keep has freed it */
    kvm_host_snapshot_abandon(backup);
}
