/*
 * Freezing the file systems of a guest for the instant of the snapshot, through the guest agent. While a
 * guest is frozen a process of its own watches over it: when this one dies, or takes too long, that one thaws
 * (with virsh).
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_KVM_FREEZE_H
#define HOLDFAST_AGENT_PROVIDERS_KVM_FREEZE_H

#include "base/error.h"
#include <libvirt/libvirt.h>
#include <stdbool.h>
#include <stdint.h>

struct kvm_freeze {
    bool frozen;
    int file_systems;   /* that were frozen */
    int64_t since_us;   /* monotonic */
    int watchdog;       /* kvm_watchdog.h */
    uint32_t frozen_ms; /* once thawed */
};

enum { KVM_FREEZE_TIMEOUT_DEFAULT_MS = 20000 };

/* Freeze. On failure the guest is not frozen by us (or the watchdog goes on trying to thaw it) and err says
 * why, with a code QUIESCE_*: the backup goes on, crash-consistent. uri, virsh: for the watchdog; virsh may
 * be NULL: no guest is frozen without a watchdog. timeout_ms: from the request to freeze on, the longest that
 * the guest stays frozen. */
int kvm_freeze(virDomainPtr domain, const char *uri, const char *virsh, uint32_t timeout_ms,
               struct kvm_freeze *freeze, struct error *err);
/* Thaw what was frozen; nothing when it was not. THAW_FAILED: the watchdog goes on trying. SNAPSHOT_TIMEOUT:
 * it was thawed by somebody else before, so nobody knows whether it was still frozen at the snapshot. */
int kvm_thaw(virDomainPtr domain, struct kvm_freeze *freeze, struct error *err);

#endif
