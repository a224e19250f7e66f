#include "agent/providers/kvm_internal.h"
#include "agent/providers/kvm_pause.h"
#include "agent/providers/provider_reply.h"
#include "base/log.h"
#include "disk/disk_image.h"
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

const char *kvm_power(int state, int reason)
{
    switch (state) {
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
        return "running";
    case VIR_DOMAIN_PAUSED:
        if (reason == VIR_DOMAIN_PAUSED_STARTING_UP || reason == VIR_DOMAIN_PAUSED_MIGRATION ||
            reason == VIR_DOMAIN_PAUSED_SAVE || reason == VIR_DOMAIN_PAUSED_SHUTTING_DOWN ||
            reason == VIR_DOMAIN_PAUSED_POSTCOPY)
            return "transition";
        return "paused";
    case VIR_DOMAIN_PMSUSPENDED:
        return "paused";
    case VIR_DOMAIN_SHUTOFF:
    case VIR_DOMAIN_CRASHED:
        return "off";
    default:
        return "transition";
    }
}

bool kvm_domain_moved_away(virDomainPtr domain)
{
    int state = 0;
    int reason = 0;
    return virDomainGetState(domain, &state, &reason, 0) == 0 && state == VIR_DOMAIN_SHUTOFF &&
           reason == VIR_DOMAIN_SHUTOFF_MIGRATED;
}

int kvm_domain_read(virDomainPtr domain, struct kvm_domain *out, struct error *err)
{
    const char *name = virDomainGetName(domain);
    char *xml = virDomainGetXMLDesc(domain, 0);
    if (!xml)
        return kvm_error(err, ERROR_DISCOVERY_FAILED, "The VM %s could not be described.", name);
    int result = kvm_domain_parse(xml, out, err);
    free(xml);
    return result;
}

int kvm_disk_size(virDomainPtr domain, const struct kvm_disk *disk, uint64_t *size, uint64_t *allocated)
{
    virDomainBlockInfo info;
    if (virDomainGetBlockInfo(domain, disk->target, &info, 0) == 0) {
        *size = info.capacity;
        *allocated = info.allocation < info.capacity ? info.allocation : info.capacity;
        return 0;
    }
    struct disk_image image;
    struct error err;
    if (!disk->path || disk_image_inspect(disk->path, disk->format, &image, &err) != 0)
        return -1;
    *size = image.size;
    *allocated = image.allocated < image.size ? image.allocated : image.size;
    disk_image_release(&image);
    return 0;
}

static const char *agent_text(enum kvm_agent agent, bool running)
{
    if (agent == KVM_AGENT_NONE)
        return "none";
    return agent == KVM_AGENT_CONNECTED && running ? "answers" : "silent";
}

static void describe_disk(virDomainPtr domain, const struct kvm_disk *source, Holdfast__Vm *vm)
{
    Holdfast__Disk *disk = provider_add_disk(vm);
    provider_set_text(&disk->name, source->target);
    provider_set_text(&disk->path, source->path);
    provider_set_text(&disk->format, source->format);
    uint64_t allocated = 0;
    disk->supported = source->problem == NULL;
    if (source->problem)
        provider_set_format(&disk->reason, "DISK_UNSUPPORTED: The disk %s can't be backed up: %s.",
                            source->target, source->problem);
    else if (kvm_disk_size(domain, source, &disk->size, &allocated) != 0) {
        disk->supported = 0;
        provider_set_format(&disk->reason, "DISK_READ_FAILED: The disk %s can't be opened: %s.",
                            source->target, virGetLastErrorMessage());
    }
}

/* "ready" needs a checkpoint; whose it is, is found out when it is used. */
static const char *tracking_text(virDomainPtr domain, const struct kvm_domain *described)
{
    bool possible = false;
    for (size_t i = 0; i < described->disk_count; i++)
        possible |= strcmp(described->disks[i].format, "qcow2") == 0 && !described->disks[i].problem;
    if (!possible)
        return "none";
    return virDomainListAllCheckpoints(domain, NULL, 0) > 0 ? "ready" : "possible";
}

/* A moment's standstill for a snapshot is not worth telling: nobody paused the VM. */
static const char *told_power(struct kvm_provider *provider, virDomainPtr domain, bool *known)
{
    char uuid[VIR_UUID_STRING_BUFLEN] = "";
    int state = 0;
    int reason = 0;
    (void)virDomainGetUUIDString(domain, uuid);
    bool held = kvm_pause_holds(provider, uuid);
    *known = virDomainGetState(domain, &state, &reason, 0) == 0;
    held = held || kvm_pause_holds(provider, uuid);
    return held && state == VIR_DOMAIN_PAUSED ? "running" : kvm_power(state, reason);
}

static int describe(struct kvm_provider *provider, virDomainPtr domain, Holdfast__DiscoverReply *reply,
                    struct error *err)
{
    const char *name = virDomainGetName(domain);
    struct kvm_domain described = {0};
    bool known = false;
    virDomainInfo info;
    const char *power = told_power(provider, domain, &known);
    if (!known || virDomainGetInfo(domain, &info) != 0)
        return kvm_error(err, ERROR_DISCOVERY_FAILED, "The VM %s could not be described.", name);
    if (kvm_domain_moved_away(domain)) {
        char uuid[VIR_UUID_STRING_BUFLEN];
        if (virDomainGetUUIDString(domain, uuid) == 0)
            kvm_moved_note(provider, uuid);
        return 0;
    }
    if (kvm_domain_read(domain, &described, err) != 0)
        return -1;
    Holdfast__Vm *vm = provider_add_vm(reply);
    provider_set_text(&vm->uuid, described.uuid);
    provider_set_text(&vm->name, described.name);
    provider_set_text(&vm->kind, kvm_kind);
    provider_set_text(&vm->power, power);
    provider_set_text(&vm->guest_agent, agent_text(described.agent, strcmp(power, "running") == 0));
    provider_set_text(&vm->tracking, tracking_text(domain, &described));
    vm->memory_mib = (uint32_t)(info.maxMem / 1024);
    vm->cpus = info.nrVirtCpu;
    if (virDomainIsActive(domain) == 1) /* it came back, whether or not its event did */
        kvm_moved_forget(provider, described.uuid);
    for (size_t i = 0; i < described.disk_count; i++)
        describe_disk(domain, &described.disks[i], vm);
    kvm_domain_release(&described);
    return 0;
}

int kvm_discover(void *self, Holdfast__DiscoverReply *reply, struct error *err)
{
    virConnectPtr connection = kvm_connection_get(self, err);
    if (!connection)
        return -1;
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(connection, &domains, 0);
    if (count < 0)
        kvm_error(err, ERROR_DISCOVERY_FAILED, "libvirt could not list its VMs.");
    for (int i = 0; i < count; i++) {
        struct error one; /* a VM that goes away in between is no failure */
        if (describe(self, domains[i], reply, &one) != 0)
            log_error("VM left out of the discovery", &one);
        virDomainFree(domains[i]);
    }
    free(domains);
    virConnectClose(connection);
    if (count >= 0)
        kvm_moved_list(self, reply);
    return count < 0 ? -1 : 0;
}
