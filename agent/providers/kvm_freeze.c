#include "agent/providers/kvm_freeze.h"
#include "agent/providers/kvm_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <libvirt/virterror.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    WATCHDOG_TRIES = 120,
    WATCHDOG_TRY_MS = 1000,
    WATCHDOG_FD = 3,
    AGENT_TIMEOUT_LEAST_S = 2,
    THAW_TRIES = 3,
};

extern char **environ;

/* In the watchdog, a fork of a process with threads: async-signal-safe calls only. */
static void watchdog_thaw(char *const *argv)
{
    for (int i = 0; i < WATCHDOG_TRIES; i++) {
        pid_t child = fork();
        if (child == 0) {
            execve(argv[0], argv, environ);
            _exit(127);
        }
        int status = -1;
        while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        if (child > 0 && status == 0)
            return;
        poll(NULL, 0, WATCHDOG_TRY_MS);
    }
}

static void watchdog_run(int pipe_end, int timeout_ms, char *const *argv)
{
    signal(SIGTERM, SIG_IGN); /* a service that stops sends it to all: this one ends when its work is done */
    signal(SIGINT, SIG_IGN);
    setsid();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDWR);
    if (pipe_end != WATCHDOG_FD)
        dup2(pipe_end, WATCHDOG_FD);
    for (int fd = 0; fd < WATCHDOG_FD && null >= 0; fd++)
        dup2(null, fd);
    syscall(SYS_close_range, WATCHDOG_FD + 1, ~0U, 0);
    struct pollfd wait = {.fd = WATCHDOG_FD, .events = POLLIN};
    char done = 0;
    int ready = poll(&wait, 1, timeout_ms);
    if (ready > 0 && read(WATCHDOG_FD, &done, 1) == 1)
        _exit(0); /* thawed in time */
    watchdog_thaw(argv);
    _exit(0);
}

/* The write end of the watchdog's pipe, or -1. */
static int watchdog_start(const char *uri, const char *virsh, const char *uuid, uint32_t timeout_ms)
{
    int ends[2];
    if (!virsh || pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    char *argv[] = {strdup(virsh),       strdup("-q"), strdup("-c"), strdup(uri),
                    strdup("domfsthaw"), strdup(uuid), NULL};
    pid_t child = fork();
    if (child == 0) {
        /* Once more, so that nobody here has to wait for it. */
        if (fork() == 0) {
            close(ends[1]);
            watchdog_run(ends[0], (int)timeout_ms, argv);
        }
        _exit(0);
    }
    for (size_t i = 0; argv[i]; i++)
        free(argv[i]);
    close(ends[0]);
    if (child < 0) {
        close(ends[1]);
        return -1;
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    return ends[1];
}

/* calm: all is well; otherwise it thaws at once. */
static void watchdog_release(struct kvm_freeze *freeze, bool calm)
{
    if (freeze->watchdog < 0)
        return;
    if (calm && write(freeze->watchdog, "t", 1) != 1)
        log_event(LOG_WARNING, "watchdog of a frozen guest could not be told", "reason=\"%s\"",
                  strerror(errno));
    close(freeze->watchdog);
    freeze->watchdog = -1;
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
        watchdog_release(freeze, true); /* somebody else's, who thaws */
        return;
    }
    const virError *reason = virGetLastError();
    bool unreachable =
        reason && (strstr(reason->message, "not configured") || strstr(reason->message, "not connected"));
    bool calm = unreachable || virDomainFSThaw(domain, NULL, 0, 0) >= 0;
    if (!calm)
        log_event(LOG_WARNING, "guest may be frozen; the watchdog goes on thawing", "vm=\"%s\"",
                  virDomainGetName(domain));
    watchdog_release(freeze, calm);
}

int kvm_freeze(virDomainPtr domain, const char *uri, const char *virsh, uint32_t timeout_ms,
               struct kvm_freeze *freeze, struct error *err)
{
    const char *name = virDomainGetName(domain); /* now: asking for it later would clear libvirt's error */
    char uuid[VIR_UUID_STRING_BUFLEN];
    *freeze = (struct kvm_freeze){.watchdog = -1};
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
    watchdog_release(freeze, count >= 0);
    (void)virDomainAgentSetResponseTimeout(domain, VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT, 0);
    return result;
}
