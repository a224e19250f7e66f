#include "agent/providers/kvm_backup.h"
#include "agent/providers/job_journal.h"
#include "agent/providers/kvm_watchdog.h"
#include "agent/providers/provider_reply.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

static void backup_free(struct provider_backup *backup)
{
    kvm_host_snapshot_abandon(backup);
    for (size_t i = 0; i < backup->count; i++) {
        free(backup->sources[i].target);
        free(backup->sources[i].path);
        free(backup->sources[i].format);
        free(backup->sources[i].reason);
    }
    free(backup->sources);
    free(backup->job);
    free(backup->uuid);
    free(backup->name);
    free(backup->base);
    free(backup->tracking);
    sem_destroy(&backup->stop);
    pthread_mutex_destroy(&backup->lock);
    pthread_mutex_destroy(&backup->connecting);
    free(backup);
}

static struct provider_backup *backup_create(struct kvm_provider *provider,
                                             const Holdfast__BackupBeginRequest *request,
                                             const struct kvm_domain *described)
{
    struct provider_backup *backup = memory_zalloc(sizeof *backup);
    backup->provider = provider;
    backup->watchdog = KVM_WATCHDOG_NONE;
    backup->job = memory_copy_text(request->job);
    backup->uuid = memory_copy_text(described->uuid);
    backup->name = memory_copy_text(described->name);
    if (request->base_tracking[0] && !request->ignore_tracking &&
        kvm_checkpoint_is_ours(provider->server_id, request->base_tracking))
        backup->base = memory_copy_text(request->base_tracking);
    sem_init(&backup->stop, 0, 0);
    pthread_mutex_init(&backup->lock, NULL);
    pthread_mutex_init(&backup->connecting, NULL);
    return backup;
}

static uint64_t total_size(const struct provider_backup *backup)
{
    uint64_t total = 0;
    for (size_t i = 0; i < backup->count; i++)
        total += backup->sources[i].size;
    return total;
}

/* End the frozen view, if there is one, and remove everything that it needed. */
static int release_view(struct provider_backup *backup, virDomainPtr domain, struct error *err)
{
    int result = 0;
    kvm_backup_unwatch(backup);
    if (!backup->scratch.directory)
        return 0;
    if (domain && kvm_backup_stop_job(domain, backup->scratch.socket) != 0)
        result =
            kvm_error(err, ERROR_SNAPSHOT_FAILED, "The backup job of %s could not be ended.", backup->name);
    kvm_watchdog_release(&backup->watchdog, result == 0 && domain);
    kvm_scratch_remove(&backup->scratch);
    return result;
}

static int begin_running(struct provider_backup *backup, virDomainPtr domain,
                         const struct kvm_domain *described, const Holdfast__BackupBeginRequest *request,
                         bool paused, const atomic_bool *cancelled, Holdfast__BackupBeginReply *reply,
                         struct error *err)
{
    const struct kvm_checkpoint_keep keep = {
        .names = request->known_tracking, .count = request->n_known_tracking, .also = request->base_tracking};
    backup->running = true;
    backup->may_stop = request->snapshot_days > 0 && !paused;
    if (kvm_backup_check_jobs(backup->provider, domain, err) != 0)
        return -1;
    kvm_checkpoint_prune(domain, backup->provider->server_id, &keep);
    if (kvm_backup_plan(backup, domain, described, request, reply, err) != 0 ||
        kvm_scratch_make(backup->provider, described, backup->job, total_size(backup), &backup->scratch,
                         err) != 0 ||
        kvm_journal_write(backup, "freezing", err) != 0)
        return -1;
    if (kvm_backup_snapshot(backup, domain, described, request, paused, cancelled, reply, err) != 0 ||
        kvm_backup_watch(backup, err) != 0 || kvm_journal_write(backup, "reading", err) != 0)
        return -1;
    if (!backup->tracking)
        return 0;
    provider_set_text(&reply->tracking, backup->tracking);
    bool made = false;
    char *metadata = kvm_checkpoint_describe(domain, described, backup->tracking, &made);
    provider_set_text(&reply->tracking_metadata, metadata);
    free(metadata);
    return 0;
}

static void answer_disks(const struct provider_backup *backup, Holdfast__BackupBeginReply *reply)
{
    for (size_t i = 0; i < backup->count; i++) {
        const struct kvm_source *source = &backup->sources[i];
        Holdfast__BackupDisk *disk = provider_add_backup_disk(reply);
        provider_set_text(&disk->name, source->target);
        provider_set_text(&disk->format, source->format);
        disk->size = source->size;
        disk->incremental = source->incremental;
        provider_set_text(&disk->reason, source->reason);
        disk->expected_bytes = source->incremental && backup->running ? source->dirty : source->allocated;
    }
}

static int begin(struct provider_backup *backup, virDomainPtr domain, const struct kvm_domain *described,
                 const Holdfast__BackupBeginRequest *request, const atomic_bool *cancelled,
                 Holdfast__BackupBeginReply *reply, struct error *err)
{
    int state = 0;
    int reason = 0;
    if (virDomainGetState(domain, &state, &reason, 0) != 0)
        return kvm_error(err, ERROR_SNAPSHOT_FAILED, "The state of %s could not be read.", backup->name);
    if (kvm_domain_moved_away(domain))
        return error_set(err, ERROR_VM_MOVED_AWAY, "The VM %s was moved away from this host.", backup->name);
    const char *power = kvm_power(state, reason);
    if (strcmp(power, "transition") == 0)
        return error_set(err, ERROR_VM_IN_TRANSITION,
                         "The VM %s is neither running nor off (state %d, reason %d).", backup->name, state,
                         reason);
    char *configuration = kvm_backup_configuration(domain, described, reply, err);
    if (!configuration)
        return -1;
    provider_set_text(&reply->configuration, configuration);
    provider_set_text(&reply->vm_name, backup->name);
    free(configuration);
    int result = strcmp(power, "off") == 0
                     ? kvm_backup_begin_off(backup, domain, described, request, reply, err)
                     : begin_running(backup, domain, described, request, strcmp(power, "paused") == 0,
                                     cancelled, reply, err);
    if (result == 0) {
        answer_disks(backup, reply);
        kvm_host_snapshot_keep(backup, reply);
    }
    return result;
}

/* A backup that did not begin leaves no record of changes behind. */
static void forget_tracking(const struct provider_backup *backup, virDomainPtr domain,
                            const struct kvm_domain *described)
{
    if (backup->tracking && backup->running)
        kvm_checkpoint_delete(domain, described, backup->tracking);
    else if (backup->tracking)
        kvm_checkpoint_delete_off(described, backup->tracking);
}

struct provider_backup *kvm_backup_begin(void *self, const Holdfast__BackupBeginRequest *request,
                                         const atomic_bool *cancelled, Holdfast__BackupBeginReply *reply,
                                         struct error *err)
{
    struct kvm_provider *provider = self;
    struct kvm_domain described;
    if (!job_journal_valid_job(request->job)) {
        error_set(err, ERROR_REQUEST_INVALID, "\"%.80s\" is not the id of a job.", request->job);
        return NULL;
    }
    virDomainPtr domain = kvm_domain_lookup(provider, request->vm_uuid, err);
    if (!domain) {
        if (err->code == ERROR_VM_NOT_FOUND && kvm_moved_has(provider, request->vm_uuid))
            error_set(err, ERROR_VM_MOVED_AWAY, "The VM %.40s was moved away from this host.",
                      request->vm_uuid);
        return NULL;
    }
    struct provider_backup *backup = NULL;
    if (kvm_domain_read(domain, &described, err) == 0) {
        backup = backup_create(provider, request, &described);
        if (begin(backup, domain, &described, request, cancelled, reply, err) != 0) {
            struct error ignored;
            bool journaled = backup->scratch.directory != NULL;
            int released = release_view(backup, domain, &ignored);
            forget_tracking(backup, domain, &described);
            if (released != 0)
                kvm_recover_note(provider, backup->job);
            else if (journaled)
                (void)job_journal_remove(provider->data_directory, backup->job, &ignored);
            backup_free(backup);
            backup = NULL;
        }
        kvm_domain_release(&described);
    }
    virDomainFree(domain);
    return backup;
}

struct disk_reader *kvm_backup_open_disk(struct provider_backup *backup, size_t disk, struct error *err)
{
    const struct kvm_source *source = &backup->sources[disk];
    struct disk_reader *reader = NULL;
    if (backup->running) {
        char *uri = memory_format("nbd+unix:///%s?socket=%s", source->target, backup->scratch.socket);
        pthread_mutex_lock(&backup->connecting);
        if (kvm_backup_given_up(backup, err) == 0)
            reader = disk_reader_open_nbd(uri, source->incremental ? KVM_EXPORT_BITMAP : NULL, err);
        pthread_mutex_unlock(&backup->connecting);
        free(uri);
    } else {
        reader = disk_reader_open_image(source->path, source->format,
                                        source->incremental ? backup->base : NULL, err);
    }
    if (!reader)
        (void)kvm_backup_check(backup, err); /* the reason behind it, if there is one */
    if (reader && disk_reader_size(reader) != source->size) {
        error_set(err, ERROR_DISK_CHANGED, "The disk %s of %s changed from %llu to %llu bytes.",
                  source->target, backup->name, (unsigned long long)source->size,
                  (unsigned long long)disk_reader_size(reader));
        disk_reader_close(reader);
        reader = NULL;
    }
    return reader;
}

void kvm_backup_locate_disk(const struct provider_backup *backup, size_t disk,
                            struct provider_disk_source *out)
{
    const struct kvm_source *source = &backup->sources[disk];
    *out = (struct provider_disk_source){
        .path = source->path, .format = source->format, .still = true, .off = !backup->running};
    if (backup->running) {
        out->socket = backup->scratch.socket;
        out->export_name = source->target;
    }
}

int kvm_backup_check(struct provider_backup *backup, struct error *err)
{
    return backup->running ? kvm_backup_given_up(backup, err) : kvm_backup_check_off(backup, err);
}

/* The failed job's own tracking point goes, unless a recovery point starts from it all the same. */
static void drop_tracking(struct kvm_provider *provider, virDomainPtr domain,
                          const Holdfast__BackupEndRequest *request)
{
    char name[KVM_CHECKPOINT_NAME_SIZE];
    struct kvm_domain described;
    struct error err;
    kvm_checkpoint_name(provider->server_id, request->job, name);
    if (provider_tracking_known(request->known_tracking, request->n_known_tracking, name))
        return;
    virDomainCheckpointPtr made = virDomainCheckpointLookupByName(domain, name, 0);
    if (made && kvm_domain_read(domain, &described, &err) == 0) {
        kvm_checkpoint_delete(domain, &described, name);
        kvm_domain_release(&described);
    }
    if (made)
        virDomainCheckpointFree(made);
}

/* Which of our tracking points stay, now that the job has ended one way or the other. */
static void look_after_tracking(struct kvm_provider *provider, virDomainPtr domain,
                                const Holdfast__BackupEndRequest *request)
{
    struct kvm_domain described;
    struct error err;
    const struct kvm_checkpoint_keep keep = {.names = request->known_tracking,
                                             .count = request->n_known_tracking,
                                             .also = request->committed ? request->tracking : NULL};
    int active = virDomainIsActive(domain);
    if (active == 0 && kvm_domain_read(domain, &described, &err) == 0) {
        kvm_checkpoint_prune_off(domain, &described, provider->server_id, &keep);
        kvm_domain_release(&described);
    } else if (active == 1 && request->committed) {
        kvm_checkpoint_prune(domain, provider->server_id, &keep);
    } else if (active == 1) {
        drop_tracking(provider, domain, request);
    }
}

int kvm_backup_end(void *self, struct provider_backup *backup, const Holdfast__BackupEndRequest *request,
                   struct error *err)
{
    struct kvm_provider *provider = self;
    int result = 0;
    struct error missing;
    virDomainPtr domain = kvm_domain_lookup(provider, request->vm_uuid, &missing);
    bool away = !domain && missing.code != ERROR_VM_NOT_FOUND;
    if (backup) {
        result = release_view(backup, domain, err);
        if (result != 0 || away)
            kvm_recover_note(provider, backup->job);
        backup_free(backup);
    }
    if (result == 0 && away) { /* QEMU may go on with the job: the journal stays for when it can be asked */
        *err = missing;
        result = -1;
    }
    if (domain) {
        look_after_tracking(provider, domain, request);
        virDomainFree(domain);
    }
    if (result == 0)
        result = job_journal_remove(provider->data_directory, request->job, err);
    return result;
}
