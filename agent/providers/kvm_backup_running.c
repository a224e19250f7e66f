#include "agent/providers/kvm_backup.h"
#include "agent/providers/kvm_freeze.h"
#include "agent/providers/kvm_hooks.h"
#include "agent/providers/kvm_watchdog.h"
#include "agent/providers/provider_reply.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum {
    STOP_TIMEOUT_MS = 90000, /* a guest that is reset meanwhile takes its time; the server waits 120 s */
    STOP_STEP_MS = 10,
    JOB_WATCHDOG_TRIES = 60,
    BOOTING_CPU_MS = 60000, /* a guest that had less processor time may still be booting */
    BOOT_WAIT_MS = 60000,
    BOOT_STEP_MS = 250,
};

static bool job_serves_on(virDomainPtr domain, const char *socket)
{
    char *xml = virDomainBackupGetXMLDesc(domain, 0);
    bool ours = xml && strstr(xml, socket);
    free(xml);
    return ours;
}

int kvm_backup_stop_job(virDomainPtr domain, const char *socket)
{
    int64_t deadline = clock_monotonic_ms() + STOP_TIMEOUT_MS;
    if (!job_serves_on(domain, socket))
        return 0;
    while (virDomainAbortJob(domain) != 0) {
        if (!job_serves_on(domain, socket))
            return 0;
        if (clock_monotonic_ms() > deadline)
            return -1;
        poll(NULL, 0, STOP_STEP_MS);
    }
    while (job_serves_on(domain, socket)) { /* QEMU ends its block jobs one by one */
        if (clock_monotonic_ms() > deadline)
            return -1;
        poll(NULL, 0, STOP_STEP_MS);
    }
    return 0;
}

bool kvm_backup_ask_end(virDomainPtr domain, const char *socket)
{
    return !job_serves_on(domain, socket) ||
           (virDomainAbortJob(domain) == 0 && !job_serves_on(domain, socket));
}

/* The directory of an abandoned backup of this agent, from the description of a running job; malloc'd. NULL:
 * the job is somebody else's. */
static char *abandoned_directory(const struct kvm_provider *provider, const char *xml)
{
    const char *socket = strstr(xml, "socket='");
    socket = socket ? socket + strlen("socket='") : "";
    size_t length = strcspn(socket, "'");
    if (length < 5 || strncmp(socket + length - 4, "/nbd", 4) != 0)
        return NULL;
    char *own = provider->scratch_directory ? memory_copy_text(provider->scratch_directory)
                                            : os_path_join(provider->data_directory, "scratch");
    bool ours = strncmp(socket, own, strlen(own)) == 0 && socket[strlen(own)] == '/';
    free(own);
    return ours ? memory_format("%.*s", (int)(length - 4), socket) : NULL;
}

int kvm_backup_check_jobs(struct kvm_provider *provider, virDomainPtr domain, struct error *err)
{
    const char *name = virDomainGetName(domain); /* now: asking for it later would clear libvirt's error */
    char *xml = virDomainBackupGetXMLDesc(domain, 0);
    if (!xml)
        return 0;
    char *directory = abandoned_directory(provider, xml);
    free(xml);
    if (!directory)
        return error_set(err, ERROR_JOB_CONFLICT, "Another tool's backup of %s is running.", name);
    log_event(LOG_WARNING, "abandoned backup job is ended", "vm=\"%s\"", name);
    char *socket = os_path_join(directory, "nbd");
    int result = kvm_backup_stop_job(domain, socket);
    if (result == 0)
        kvm_scratch_remove_directory(directory);
    else
        kvm_error(err, ERROR_JOB_CONFLICT, "An abandoned backup job of %s could not be ended.", name);
    free(socket);
    free(directory);
    return result;
}

/* One request to libvirt: the disks as planned, and a new checkpoint if one is wanted. */
static int begin_job(struct provider_backup *backup, virDomainPtr domain, bool with_checkpoint,
                     struct error *err)
{
    struct kvm_backup_disk *disks = memory_array(backup->count, sizeof *disks);
    const char **tracked = memory_array(backup->count, sizeof *tracked);
    char **scratch = memory_array(backup->count, sizeof *scratch);
    size_t tracked_count = 0;
    for (size_t i = 0; i < backup->count; i++) {
        const struct kvm_source *source = &backup->sources[i];
        scratch[i] = kvm_scratch_file(&backup->scratch, source->target);
        disks[i] =
            (struct kvm_backup_disk){source->target, scratch[i], source->incremental ? backup->base : NULL};
        if (source->trackable)
            tracked[tracked_count++] = source->target;
    }
    char name[KVM_CHECKPOINT_NAME_SIZE];
    kvm_checkpoint_name(backup->provider->server_id, backup->job, name);
    bool tracks = with_checkpoint && tracked_count > 0;
    char *backup_xml = kvm_backup_xml(backup->scratch.socket, disks, backup->count);
    char *checkpoint_xml = tracks ? kvm_checkpoint_xml(name, 0, tracked, tracked_count) : NULL;
    int result = virDomainBackupBegin(domain, backup_xml, checkpoint_xml, 0);
    if (result != 0)
        result =
            kvm_error(err, ERROR_SNAPSHOT_FAILED, "The snapshot of %s could not be taken.", backup->name);
    else if (tracks)
        backup->tracking = memory_copy_text(name);
    for (size_t i = 0; i < backup->count; i++)
        free(scratch[i]);
    free(checkpoint_xml);
    free(backup_xml);
    free(scratch);
    free(tracked);
    free(disks);
    return result;
}

/* If the agent is killed, nobody watches over the scratch any more: then the job ends at once. */
static void guard_job(struct provider_backup *backup)
{
    /* Without a connection nobody can tell: that is tried again. */
    static const char script[] = "\"$0\" -q -c \"$1\" domstate \"$2\" >/dev/null || exit 1\n"
                                 "x=$(\"$0\" -q -c \"$1\" backup-dumpxml \"$2\") || exit 0\n"
                                 "case $x in *\"'$3'\"*) exec \"$0\" -q -c \"$1\" domjobabort \"$2\" ;; esac";
    const struct kvm_provider *provider = backup->provider;
    const char *const argv[] = {
        "/bin/sh", "-c", script, provider->virsh, provider->uri, backup->uuid, backup->scratch.socket, NULL};
    if (provider->virsh)
        backup->watchdog = kvm_watchdog_start(argv, JOB_WATCHDOG_TRIES, -1);
}

/* Is a failure about tracking, which the backup can do without? */
static bool about_tracking(const struct error *failure)
{
    const char *text = failure->cause;
    return strstr(text, "bitmap") || strstr(text, "Bitmap") || strstr(text, "checkpoint");
}

/* After such a failure: read everything, and let no broken remains stand in the way of a new record. */
static void forget_base(struct provider_backup *backup, virDomainPtr domain,
                        const struct kvm_domain *described, const struct error *failure)
{
    char *why = memory_format("libvirt refused the record of changes: %s.", failure->cause);
    for (size_t i = 0; i < backup->count; i++) {
        if (backup->sources[i].incremental)
            kvm_source_read_whole(&backup->sources[i], why);
    }
    free(why);
    if (backup->base && strstr(failure->cause, backup->base))
        kvm_checkpoint_delete(domain, described, backup->base);
}

/* What is tried next after a failure that is about tracking. */
enum attempt { ATTEMPT_AS_PLANNED, ATTEMPT_WHOLE, ATTEMPT_UNTRACKED, ATTEMPTS };

/* Freeze (if wanted), snapshot, thaw: once. */
static int attempt_snapshot(struct provider_backup *backup, virDomainPtr domain, enum attempt attempt,
                            bool freeze, const Holdfast__BackupBeginRequest *request,
                            Holdfast__BackupBeginReply *reply, struct error *err)
{
    struct kvm_freeze state = {.watchdog = KVM_WATCHDOG_NONE};
    struct error reason;
    const struct kvm_provider *provider = backup->provider;
    if (freeze && kvm_freeze(domain, provider->uri, provider->virsh, request->freeze_timeout_ms, &state,
                             &reason) != 0) {
        char *text = provider_reason(&reason);
        provider_set_text(&reply->consistency_reason, text);
        free(text);
    }
    bool frozen = state.frozen;
    kvm_host_snapshot_take(backup, domain, reply);
    reply->instant_ms = clock_wall_ms();
    int result = begin_job(backup, domain, attempt != ATTEMPT_UNTRACKED, err);
    int thawed = kvm_thaw(domain, &state, &reason);
    if (frozen)
        reply->frozen_ms = state.frozen_ms;
    provider_set_text(&reply->consistency, frozen ? "filesystem" : "crash");
    if (thawed != 0) {
        log_error("guest was not thawed as it should be", &reason);
        provider_add_warning(&reply->warnings, &reply->n_warnings, &reason);
        if (reason.code == ERROR_SNAPSHOT_TIMEOUT) {
            char *text = provider_reason(&reason);
            provider_set_text(&reply->consistency, "crash");
            provider_set_text(&reply->consistency_reason, text);
            free(text);
        }
    }
    return result;
}

/* libvirt takes no notice of a guest agent that comes up during a backup job, and goes on taking it for
 * silent: so a guest that boots is given the time for it. */
static void await_agent(const struct provider_backup *backup, virDomainPtr domain, enum kvm_agent agent,
                        const atomic_bool *cancelled)
{
    int64_t deadline = clock_monotonic_ms() + BOOT_WAIT_MS;
    while (agent == KVM_AGENT_SILENT && clock_monotonic_ms() < deadline && !atomic_load(cancelled)) {
        virDomainInfo info;
        struct kvm_domain now;
        struct error ignored;
        if (virDomainGetInfo(domain, &info) != 0 || info.cpuTime / 1000000 > BOOTING_CPU_MS)
            return;
        poll(NULL, 0, BOOT_STEP_MS);
        if (kvm_domain_read(domain, &now, &ignored) != 0)
            return;
        agent = now.agent;
        kvm_domain_release(&now);
    }
    if (agent == KVM_AGENT_SILENT)
        log_event(LOG_INFO, "guest agent does not come up", "vm=\"%s\"", backup->name);
}

/* The file systems were frozen, which fails when a hook does: so the hooks that are there have run. */
static void judge_hooks(int hooks, const struct error *unknown, Holdfast__BackupBeginReply *reply)
{
    if (hooks == 1) {
        provider_set_text(&reply->consistency, "application");
        return;
    }
    char *text = hooks == 0 ? memory_copy_text("CONSISTENCY_TOO_LOW: The file systems were frozen, but the "
                                               "guest has no freeze hooks for its applications.")
                            : provider_reason(unknown);
    provider_set_text(&reply->consistency_reason, text);
    free(text);
}

int kvm_backup_snapshot(struct provider_backup *backup, virDomainPtr domain,
                        const struct kvm_domain *described, const Holdfast__BackupBeginRequest *request,
                        bool paused, const atomic_bool *cancelled, Holdfast__BackupBeginReply *reply,
                        struct error *err)
{
    bool wanted = strcmp(request->consistency, "crash") != 0;
    if (wanted && paused)
        provider_set_text(&reply->consistency_reason,
                          "QUIESCE_NO_AGENT: The VM is paused; its guest can't be asked.");
    if (wanted && !paused)
        await_agent(backup, domain, described->agent, cancelled);
    bool asks_hooks = wanted && !paused && strcmp(request->consistency, "application") == 0;
    struct error hooks_reason;
    int hooks = asks_hooks ? kvm_hooks_present(domain, &hooks_reason) : 0;
    kvm_host_snapshot_prepare(backup, request, !paused, reply);
    guard_job(backup);
    for (enum attempt attempt = ATTEMPT_AS_PLANNED; attempt < ATTEMPTS; attempt++) {
        if (atomic_load(cancelled))
            return error_set(err, ERROR_JOB_CANCELLED, "The backup of %s was cancelled.", backup->name);
        if (attempt_snapshot(backup, domain, attempt, wanted && !paused, request, reply, err) == 0)
            break;
        if (attempt == ATTEMPT_UNTRACKED || !about_tracking(err))
            return -1;
        log_error("snapshot is tried again without the record of changes", err);
        forget_base(backup, domain, described, err);
    }
    if (asks_hooks && strcmp(reply->consistency, "filesystem") == 0)
        judge_hooks(hooks, &hooks_reason, reply);
    return 0;
}
