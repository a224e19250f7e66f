/*
 * Standing a guest still for an instant: its vCPUs stop, and QEMU writes what it holds back, data and the
 * tables of its image formats (vm_stop in QEMU drains and flushes every disk). While it lasts a process of
 * its own watches over it: when this one dies, or takes too long, that one lets the guest go on (with virsh).
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_KVM_PAUSE_H
#define HOLDFAST_AGENT_PROVIDERS_KVM_PAUSE_H

#include "agent/providers/kvm_internal.h"

struct kvm_pause {
    struct kvm_provider *provider;
    char uuid[VIR_UUID_STRING_BUFLEN];
    int watchdog; /* kvm_watchdog.h */
    bool paused;
    int64_t since_us;   /* monotonic */
    uint32_t paused_us; /* once it goes on */
};

/* What takes time is done before: the watchdog, whose time begins with kvm_pause_begin and lasts limit_ms.
 * SNAPSHOT_NOT_KEPT without a watchdog: then the guest must not be stopped. */
int kvm_pause_prepare(struct kvm_provider *provider, const char *uuid, unsigned limit_ms,
                      struct kvm_pause *pause, struct error *err);
/* Stop a guest that runs. SNAPSHOT_NOT_KEPT: it does not run, or can't be stopped; it goes on in any case. */
int kvm_pause_begin(struct kvm_pause *pause, virDomainPtr domain, struct error *err);
/* Let it go on; when libvirt fails the watchdog tries on. SNAPSHOT_TIMEOUT: somebody else did so before, so
 * what was done meanwhile was not done while it stood still. Nothing when it was not stopped. */
int kvm_pause_end(struct kvm_pause *pause, virDomainPtr domain, struct error *err);
/* The watchdog is not needed any more. */
void kvm_pause_release(struct kvm_pause *pause);

/* Does the VM stand still because of this agent, for a moment? */
bool kvm_pause_holds(struct kvm_provider *provider, const char *uuid);

#endif
