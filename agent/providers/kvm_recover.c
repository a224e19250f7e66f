#include "agent/providers/job_journal.h"
#include "agent/providers/kvm_backup.h"
#include "agent/providers/provider_reply.h"
#include "agent/providers/restore_files.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

int kvm_journal_write(const struct provider_backup *backup, const char *phase, struct error *err)
{
    char name[KVM_CHECKPOINT_NAME_SIZE];
    kvm_checkpoint_name(backup->provider->server_id, backup->job, name);
    json_t *entry = job_journal_entry(backup->job, kvm_kind);
    json_object_set_new(entry, "type", json_string("backup"));
    json_object_set_new(entry, "phase", json_string(phase));
    json_object_set_new(entry, "vm_uuid", json_string(backup->uuid));
    json_object_set_new(entry, "tracking", json_string(name));
    json_object_set_new(entry, "may_stop", json_boolean(backup->may_stop));
    json_object_set_new(entry, "directory", json_string(backup->scratch.directory));
    json_object_set_new(entry, "socket", json_string(backup->scratch.socket));
    int result = job_journal_write(backup->provider->data_directory, entry, err);
    json_decref(entry);
    return result;
}

/* The guest is neither frozen nor stopped on our account. */
static void free_guest(virDomainPtr domain, const json_t *entry)
{
    int state = 0;
    int reason = 0;
    bool freezing = strcmp(job_journal_text(entry, "phase"), "freezing") == 0;
    if (freezing && json_is_true(json_object_get(entry, "may_stop")) &&
        virDomainGetState(domain, &state, &reason, 0) == 0 && state == VIR_DOMAIN_PAUSED &&
        reason == VIR_DOMAIN_PAUSED_USER && virDomainResume(domain) == 0) /* before it can be asked to thaw */
        log_event(LOG_WARNING, "guest stood still for a snapshot; it was let go on", "vm=%s",
                  job_journal_text(entry, "vm_uuid"));
    if (freezing && virDomainIsActive(domain) == 1)
        (void)virDomainFSThaw(domain, NULL, 0, 0); /* no agent, no frozen guest */
    if (kvm_backup_stop_job(domain, job_journal_text(entry, "socket")) != 0)
        log_event(LOG_WARNING, "unfinished backup job could not be ended", "job=%s",
                  job_journal_text(entry, "job"));
    if (virDomainGetState(domain, &state, &reason, 0) == 0 && state == VIR_DOMAIN_PAUSED &&
        reason == VIR_DOMAIN_PAUSED_IOERROR && virDomainResume(domain) == 0)
        log_event(LOG_WARNING, "guest stood still for want of scratch; it was resumed", "vm=%s",
                  job_journal_text(entry, "vm_uuid"));
}

/* What the former life left of a backup: a frozen guest, a job of libvirt's, a directory. False: libvirt is
 * not there to ask. */
static bool clean_backup(struct kvm_provider *provider, const json_t *entry)
{
    struct error err;
    const char *uuid = job_journal_text(entry, "vm_uuid");
    virDomainPtr domain = kvm_domain_lookup(provider, uuid, &err);
    if (!domain && err.code != ERROR_VM_NOT_FOUND) {
        log_error("unfinished backup can't be cleaned up yet", &err);
        return false;
    }
    if (domain) {
        free_guest(domain, entry);
        virDomainFree(domain);
    }
    const char *directory = job_journal_text(entry, "directory");
    if (directory[0] == '/')
        kvm_scratch_remove_directory(directory);
    log_event(LOG_INFO, "unfinished backup was cleaned up", "job=%s vm=%s", job_journal_text(entry, "job"),
              uuid);
    return true;
}

static void clean_all(struct kvm_provider *provider, const json_t *entries)
{
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        if (strcmp(job_journal_text(entry, "type"), "backup") == 0 && !clean_backup(provider, entry))
            atomic_store(&provider->recovery_waits, true);
    }
}

void kvm_recover_later(struct kvm_provider *provider)
{
    json_t *entries = job_journal_list(provider->data_directory, kvm_kind);
    clean_all(provider, entries);
    json_decref(entries);
}

static const char phase_ending[] = "ending"; /* the backup is over, libvirt's job is not */

void kvm_recover_note(struct kvm_provider *provider, const char *job)
{
    struct error err;
    json_t *entry = job_journal_read(provider->data_directory, job);
    if (!entry)
        return;
    json_object_set_new(entry, "phase", json_string(phase_ending));
    if (job_journal_write(provider->data_directory, entry, &err) != 0)
        log_error("journal of a backup could not be written", &err);
    json_decref(entry);
    atomic_store(&provider->unended, true);
    sem_post(&provider->wake);
}

static bool try_end(struct kvm_provider *provider, const json_t *entry)
{
    struct error err;
    const char *job = job_journal_text(entry, "job");
    virDomainPtr domain = kvm_domain_lookup(provider, job_journal_text(entry, "vm_uuid"), &err);
    bool ended = domain ? kvm_backup_ask_end(domain, job_journal_text(entry, "socket"))
                        : err.code == ERROR_VM_NOT_FOUND;
    if (domain)
        virDomainFree(domain);
    if (ended && job_journal_remove(provider->data_directory, job, &err) != 0) {
        log_error("journal of a backup could not be removed", &err);
        ended = false;
    }
    if (ended)
        log_event(LOG_INFO, "backup job that could not be ended has ended", "job=%s", job);
    return ended;
}

bool kvm_recover_unended(struct kvm_provider *provider)
{
    bool left = false;
    json_t *entries = job_journal_list(provider->data_directory, kvm_kind);
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        if (strcmp(job_journal_text(entry, "phase"), phase_ending) == 0 && !try_end(provider, entry))
            left = true;
    }
    json_decref(entries);
    return left;
}

static Holdfast__UnfinishedJob *unfinished_job(const json_t *entry)
{
    Holdfast__UnfinishedJob *job = memory_alloc(sizeof *job);
    holdfast__unfinished_job__init(job);
    provider_set_text(&job->job, job_journal_text(entry, "job"));
    provider_set_text(&job->vm_uuid, job_journal_text(entry, "vm_uuid"));
    provider_set_text(&job->kind, kvm_kind);
    provider_set_text(&job->tracking, job_journal_text(entry, "tracking"));
    return job;
}

/* A VM that was defined for disks that are taken back now. */
static void undefine_unfinished(struct kvm_provider *provider, const json_t *entry)
{
    struct error err;
    const char *uuid = job_journal_text(entry, "defines");
    if (uuid[0] == '\0' || strcmp(job_journal_text(entry, "phase"), "placed") == 0)
        return;
    virDomainPtr domain = kvm_domain_lookup(provider, uuid, &err);
    if (domain && virDomainIsActive(domain) == 0)
        (void)virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_KEEP_NVRAM);
    if (domain)
        virDomainFree(domain);
}

int kvm_recover(void *self, Holdfast__UnfinishedJob ***unfinished, size_t *count, struct error *err)
{
    (void)err;
    struct kvm_provider *provider = self;
    json_t *entries = job_journal_list(provider->data_directory, kvm_kind);
    *unfinished = memory_array(json_array_size(entries) + 1, sizeof(Holdfast__UnfinishedJob *));
    *count = 0;
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *entry = json_array_get(entries, i);
        undefine_unfinished(provider, entry);
        if (!restore_files_recover(provider->data_directory, entry))
            (*unfinished)[(*count)++] = unfinished_job(entry);
    }
    clean_all(provider, entries);
    json_decref(entries);
    return 0;
}
