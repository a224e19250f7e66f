#include "agent/providers/kvm_freeze.h"
#include "agent/providers/kvm_internal.h"
#include "agent/providers/kvm_watchdog.h"
#include "base/clock.h"
#include "base/log.h"
#include <libvirt/virterror.h>
#include <string.h>

enum {
    WATCHDOG_TRIES = 120,
    AGENT_TIMEOUT_LEAST_S = 2,
    THAW_TRIES = 2,
};

static int watchdog_start(const char *uri, const char *virsh, const char *uuid, uint32_t timeout_ms)
{
    const char *const argv[] = {virsh, "-q", "-c", uri, "domfsthaw", uuid, NULL};
    return virsh ? kvm_watchdog_start(argv, WATCHDOG_TRIES, (int)timeout_ms) : KVM_WATCHDOG_NONE;
}

static int explain(const char *name, struct error *err)
{
    const virError *reason = virGetLastError();
    const char *text = reason && reason->message ? reason->message : "";
    int code = reason ? reason->code : 0;
    if (strstr(text, "frozen"))
        return kvm_error(err, ERROR_QUIESCE_FROZEN_ALREADY, "File systems of %s were already frozen.", name);
    if (strstr(text, "hook"))
        return kvm_error(err, ERROR_QUIESCE_HOOK_FAILED, "A freeze hook in %s failed.", name);
    if (code == VIR_ERR_AGENT_UNRESPONSIVE || code == VIR_ERR_AGENT_UNSYNCED ||
        strstr(text, "not configured") || strstr(text, "not connected") || strstr(text, "not responding"))
        return kvm_error(err, ERROR_QUIESCE_NO_AGENT, "%s has no guest agent that answers.", name);
    return kvm_error(err, ERROR_QUIESCE_MOUNT_FAILED, "The file systems of %s could not be frozen.", name);
}

/* After a failed request to freeze: a late agent may have frozen all the same. */
static void thaw_in_doubt(virDomainPtr domain, struct kvm_freeze *freeze, enum error_code why)
{
    if (why == ERROR_QUIESCE_FROZEN_ALREADY) {
        kvm_watchdog_release(&freeze->watchdog, true); /* somebody else's, who thaws */
        return;
    }
    const virError *reason = virGetLastError();
    bool unreachable =
        reason && (strstr(reason->message, "not configured") || strstr(reason->message, "not connected"));
    bool calm = unreachable || virDomainFSThaw(domain, NULL, 0, 0) >= 0;
    if (!calm)
        log_event(LOG_WARNING, "guest may be frozen; the watchdog goes on thawing", "vm=\"%s\"",
                  virDomainGetName(domain));
    kvm_watchdog_release(&freeze->watchdog, calm);
}

int kvm_freeze(virDomainPtr domain, const char *uri, const char *virsh, uint32_t timeout_ms,
               struct kvm_freeze *freeze, struct error *err)
{
    const char *name = virDomainGetName(domain); /* now: asking for it later would clear libvirt's error */
    char uuid[VIR_UUID_STRING_BUFLEN];
    *freeze = (struct kvm_freeze){.watchdog = KVM_WATCHDOG_NONE};
    if (virDomainGetUUIDString(domain, uuid) != 0)
        return kvm_error(err, ERROR_QUIESCE_NO_AGENT, "The VM has no UUID.");
    if (timeout_ms == 0)
        timeout_ms = KVM_FREEZE_TIMEOUT_DEFAULT_MS;
    int agent_timeout =
        (int)(timeout_ms / 2000); /* half of it to freeze, so that there is time for the snapshot */
    if (agent_timeout < AGENT_TIMEOUT_LEAST_S)
        agent_timeout = AGENT_TIMEOUT_LEAST_S;
    (void)virDomainAgentSetResponseTimeout(domain, agent_timeout, 0); /* without it libvirt's own holds */
    freeze->watchdog = watchdog_start(uri, virsh, uuid, timeout_ms);
    if (freeze->watchdog == KVM_WATCHDOG_NONE) {
        error_set(err, ERROR_QUIESCE_MOUNT_FAILED, "The file systems of %s were not frozen.", name);
        return error_set_cause(err, "nobody would thaw them if the agent were killed: %s",
                               virsh ? "the watchdog did not start" : "there is no virsh");
    }
    freeze->since_us = clock_monotonic_us();
    int count = virDomainFSFreeze(domain, NULL, 0, 0);
    if (count < 0) {
        explain(name, err);
        thaw_in_doubt(domain, freeze, err->code);
        (void)virDomainAgentSetResponseTimeout(domain, VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT, 0);
        return -1;
    }
    freeze->frozen = true;
    freeze->file_systems = count;
    return 0;
}

int kvm_thaw(virDomainPtr domain, struct kvm_freeze *freeze, struct error *err)
{
    if (!freeze->frozen)
        return 0;
    freeze->frozen = false;
    const char *name = virDomainGetName(domain);
    int count = -1;
    for (int i = 0; i < THAW_TRIES && count < 0; i++)
        count = virDomainFSThaw(domain, NULL, 0, 0);
    freeze->frozen_ms = (uint32_t)((clock_monotonic_us() - freeze->since_us + 999) / 1000);
    int result = 0;
    if (count < 0)
        result = kvm_error(err, ERROR_THAW_FAILED, "The file systems of %s could not be thawed.", name);
    else if (count == 0 && freeze->file_systems > 0)
        result = error_set(err, ERROR_SNAPSHOT_TIMEOUT,
                           "The file systems of %s were thawed by somebody else during the snapshot.", name);
    kvm_watchdog_release(&freeze->watchdog, count >= 0);
    (void)virDomainAgentSetResponseTimeout(domain, VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT, 0);
    return result;
}
