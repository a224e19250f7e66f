#include "agent/providers/kvm_pause.h"
#include "agent/providers/kvm_watchdog.h"
#include "base/clock.h"
#include "base/log.h"
#include <libvirt/virterror.h>
#include <stdio.h>
#include <string.h>

enum { WATCHDOG_TRIES = 120, RESUME_TRIES = 3 };

static void note_held(struct kvm_provider *provider, const char *uuid, bool held)
{
    pthread_mutex_lock(&provider->paused_lock);
    for (size_t i = 0; i < KVM_PAUSED_MAX; i++) {
        if (strcmp(provider->paused[i], held ? "" : uuid) == 0) {
            snprintf(provider->paused[i], sizeof provider->paused[i], "%s", held ? uuid : "");
            break;
        }
    }
    pthread_mutex_unlock(&provider->paused_lock);
}

bool kvm_pause_holds(struct kvm_provider *provider, const char *uuid)
{
    bool found = false;
    pthread_mutex_lock(&provider->paused_lock);
    for (size_t i = 0; i < KVM_PAUSED_MAX && !found; i++)
        found = strcmp(provider->paused[i], uuid) == 0;
    pthread_mutex_unlock(&provider->paused_lock);
    return found;
}

int kvm_pause_prepare(struct kvm_provider *provider, const char *uuid, unsigned limit_ms,
                      struct kvm_pause *pause, struct error *err)
{
    /* Only what stands still by a user's word: a guest that ran on, or was stopped for another reason, is
     * left alone. Without a connection nobody can tell: that is tried again. */
    static const char script[] =
        "s=$(\"$0\" -q -c \"$1\" domstate --reason \"$2\") || exit 1\n"
        "case $s in 'paused (user)'*) exec \"$0\" -q -c \"$1\" resume \"$2\" ;; esac";
    *pause = (struct kvm_pause){.provider = provider, .watchdog = KVM_WATCHDOG_NONE};
    snprintf(pause->uuid, sizeof pause->uuid, "%s", uuid);
    const char *const argv[] = {"/usr/bin/env",  "LC_ALL=C",    "/bin/sh",   "-c", script,
                                provider->virsh, provider->uri, pause->uuid, NULL};
    if (provider->virsh)
        pause->watchdog = kvm_watchdog_start_idle(argv, WATCHDOG_TRIES, (int)limit_ms);
    return pause->watchdog != KVM_WATCHDOG_NONE
               ? 0
               : error_set(err, ERROR_SNAPSHOT_NOT_KEPT,
                           "Nobody would let the guest go on if the agent were killed: there is no virsh.");
}

static bool stands_still(virDomainPtr domain)
{
    int state = VIR_DOMAIN_NOSTATE;
    int reason = 0;
    return virDomainGetState(domain, &state, &reason, 0) == 0 && state == VIR_DOMAIN_PAUSED &&
           reason == VIR_DOMAIN_PAUSED_USER;
}

int kvm_pause_begin(struct kvm_pause *pause, virDomainPtr domain, struct error *err)
{
    int state = VIR_DOMAIN_NOSTATE;
    if (virDomainGetState(domain, &state, NULL, 0) != 0 || state != VIR_DOMAIN_RUNNING)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "The VM does not run as usual (state %d).", state);
    if (kvm_watchdog_arm(pause->watchdog) != 0)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "The watchdog of the guest has gone.");
    note_held(pause->provider, pause->uuid, true);
    pause->since_us = clock_monotonic_us();
    pause->paused = true;
    if (virDomainSuspend(domain) != 0)
        kvm_error(err, ERROR_SNAPSHOT_NOT_KEPT, "The guest could not be stood still.");
    else if (kvm_watchdog_arm(pause->watchdog) == 0) /* again: libvirt may have taken its time */
        return 0;
    else
        error_set(err, ERROR_SNAPSHOT_NOT_KEPT,
                  "The watchdog of the guest ended before the guest stood still.");
    struct error ignored;
    (void)kvm_pause_end(pause, domain, &ignored); /* it may have come to pass all the same */
    return -1;
}

int kvm_pause_end(struct kvm_pause *pause, virDomainPtr domain, struct error *err)
{
    if (!pause->paused)
        return 0;
    pause->paused = false;
    bool still = stands_still(domain);
    bool resumed = false;
    for (int i = 0; i < RESUME_TRIES && still && !resumed; i++)
        resumed = virDomainResume(domain) == 0;
    pause->paused_us = (uint32_t)(clock_monotonic_us() - pause->since_us);
    note_held(pause->provider, pause->uuid, false);
    if (resumed)
        return 0;
    if (still && stands_still(domain)) {
        log_event(LOG_ERROR, "guest could not be let go on; the watchdog goes on trying",
                  "vm=%s reason=\"%s\"", pause->uuid, virGetLastErrorMessage());
        kvm_watchdog_release(&pause->watchdog, false);
    }
    return error_set(err, ERROR_SNAPSHOT_TIMEOUT,
                     "The guest went on by somebody else's word before it should.");
}

void kvm_pause_release(struct kvm_pause *pause)
{
    kvm_watchdog_release(&pause->watchdog, true);
}
