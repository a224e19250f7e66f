/* What the server asks for, done with a provider. */
#include "agent/agent_jobs_internal.h"
#include "agent/backup_send.h"
#include "agent/restore_receive.h"
#include "base/log.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

static void remember_tracking(struct agent_job *job, const char *name)
{
    if (name != NULL && *name != '\0') {
        job->known_tracking =
            memory_resize(job->known_tracking, job->known_count + 1, sizeof *job->known_tracking);
        job->known_tracking[job->known_count++] = memory_copy_text(name);
    }
}

void jobs_serve_begin(struct agent_jobs *jobs, struct rpc_request *request,
                      const Holdfast__BackupBeginRequest *message)
{
    struct error err;
    if (rpc_request_cancelled(request)) { /* it had waited; nobody would end what it begins */
        error_set(&err, ERROR_CONNECTION_LOST, "The server no longer waits for job %s", message->job);
        rpc_fail(request, &err);
        return;
    }
    struct open_provider *open = jobs_find_provider(jobs, message->kind, &err);
    struct agent_job *job = open != NULL ? jobs_add(jobs, message->job, open, message->vm_uuid, &err) : NULL;
    if (job == NULL) {
        rpc_fail(request, &err);
        return;
    }
    job->begun = memory_alloc(sizeof *job->begun);
    holdfast__backup_begin_reply__init(job->begun);
    for (size_t i = 0; i < message->n_known_tracking; i++) {
        remember_tracking(job, message->known_tracking[i]);
    }
    remember_tracking(job, message->base_tracking);
    job->backup = open->provider->backup_begin(open->self, message, &job->cancelled, job->begun, &err);
    if (job->backup == NULL) {
        log_error("backup could not begin", &err);
        rpc_fail(request, &err);
        jobs_remove(jobs, job);
        return;
    }
    remember_tracking(job, job->begun->tracking);
    if (message->base_left_out[0] != '\0') {
        job->base_pages = backup_pages_recall(message->base_left_out, job->begun);
    }
    if (message->exclude_pages) {
        job->pages = backup_pages_find(open->provider, job->backup, job->begun, &job->cancelled);
    }
    log_event(LOG_INFO, "backup begun", "vm=\"%s\" consistency=%s frozen_ms=%u", job->begun->vm_name,
              job->begun->consistency, job->begun->frozen_ms);
    rpc_reply(request, &job->begun->base);
    jobs_put(jobs, job);
}

static int transfer(struct agent_jobs *jobs, struct agent_job *job,
                    const Holdfast__BackupTransferRequest *message, Holdfast__BackupTransferReply *reply,
                    struct error *err)
{
    enum { CHUNK_MIN = 65536, CHUNK_MAX = 4194304 };
    struct backup_send_result result;
    if (message->chunk_size < CHUNK_MIN || message->chunk_size > CHUNK_MAX) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "A chunk size of %u is not allowed",
                         message->chunk_size);
    }
    struct backup_send_options options = {
        .loop = jobs->options.loop,
        .target = jobs->options.target,
        .tls = jobs->options.tls,
        .session = message->session.data,
        .session_length = message->session.len,
        .connections = message->connections < jobs->options.connections ? message->connections
                                                                        : jobs->options.connections,
        .chunk_size = message->chunk_size,
        .provider = job->provider->provider,
        .backup = job->backup,
        .begun = job->begun,
        .pages = job->pages,
        .base_pages = job->base_pages,
        .cancelled = &job->cancelled,
    };
    int sent = backup_send(&options, &result, err);
    reply->read_bytes = result.read_bytes;
    reply->sent_bytes = result.sent_bytes;
    reply->notes = result.notes;
    reply->n_notes = result.note_count;
    if (options.provider->backup_warnings != NULL) {
        options.provider->backup_warnings(job->backup, &reply->warnings, &reply->n_warnings);
    }
    return sent;
}

void jobs_serve_transfer(struct agent_jobs *jobs, struct rpc_request *request,
                         const Holdfast__BackupTransferRequest *message)
{
    struct error err;
    Holdfast__BackupTransferReply reply = HOLDFAST__BACKUP_TRANSFER_REPLY__INIT;
    struct agent_job *job = jobs_take(jobs, message->job);
    if (job == NULL || job->backup == NULL) {
        error_set(&err, ERROR_JOB_NOT_FOUND, "No backup was begun for job %s", message->job);
        rpc_fail(request, &err);
    } else if (transfer(jobs, job, message, &reply, &err) != 0) {
        log_error("transfer failed", &err);
        rpc_fail(request, &err);
    } else {
        log_event(LOG_INFO, "transfer completed", "read_bytes=%llu sent_bytes=%llu",
                  (unsigned long long)reply.read_bytes, (unsigned long long)reply.sent_bytes);
        rpc_reply(request, &reply.base);
    }
    for (size_t i = 0; i < reply.n_notes; i++) {
        free(reply.notes[i]);
    }
    free(reply.notes);
    for (size_t i = 0; i < reply.n_warnings; i++) {
        holdfast__failure__free_unpacked(reply.warnings[i], NULL);
    }
    free(reply.warnings);
    if (job != NULL) {
        jobs_put(jobs, job);
    }
}

void jobs_serve_end(struct agent_jobs *jobs, struct rpc_request *request,
                    const Holdfast__BackupEndRequest *message)
{
    struct error err;
    Holdfast__Empty empty = HOLDFAST__EMPTY__INIT;
    pthread_mutex_lock(&jobs->lock);
    for (struct agent_job *job = jobs->first; job != NULL; job = job->next) {
        if (strcmp(job->id, message->job) == 0) {
            atomic_store(&job->cancelled, true); /* a transfer that still runs is over */
        }
    }
    pthread_mutex_unlock(&jobs->lock);
    struct agent_job *job = jobs_take(jobs, message->job);
    if (message->drop_snapshot) {
        host_snapshots_drop_job(jobs->snapshots, message->job);
    }
    struct open_provider *open = job != NULL ? job->provider : jobs_find_provider(jobs, message->kind, &err);
    int result = open != NULL
                     ? open->provider->backup_end(open->self, job != NULL ? job->backup : NULL, message, &err)
                     : -1;
    if (job != NULL) {
        job->backup = NULL;
        jobs_remove(jobs, job);
    }
    if (result != 0) {
        log_error("backup could not be ended", &err);
        rpc_fail(request, &err);
    } else {
        rpc_reply(request, &empty.base);
    }
}

void jobs_give_up_backup(struct agent_job *job)
{
    struct error err;
    Holdfast__BackupEndRequest request = HOLDFAST__BACKUP_END_REQUEST__INIT;
    if (job->backup == NULL) {
        return;
    }
    request.job = job->id;
    request.vm_uuid = job->vm_uuid;
    request.kind = (char *)(uintptr_t)job->provider->provider->kind;
    request.tracking = job->begun->tracking;
    request.known_tracking = job->known_tracking;
    request.n_known_tracking = job->known_count;
    request.committed = true; /* it may be: the server will say so, until then nothing is dropped */
    if (job->provider->provider->backup_end(job->provider->self, job->backup, &request, &err) != 0) {
        log_error("a backup could not be ended", &err);
    }
    log_event(LOG_WARNING, "backup given up: the server is lost", NULL);
    job->backup = NULL;
}

/* --- restore
 * ------------------------------------------------------------------------------------------------ */

static int check_restore(const Holdfast__RestoreRequest *message, struct error *err)
{
    enum { CHUNK_MIN = 65536, CHUNK_MAX = 4194304 };
    if (message->chunk_size < CHUNK_MIN || message->chunk_size > CHUNK_MAX || message->n_disks == 0) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "The request to restore is not valid");
    }
    return 0;
}

static unsigned take_connections(struct agent_jobs *jobs, const Holdfast__RestoreRequest *message)
{
    unsigned beside = restore_receive_connections(message) - 1;
    pthread_mutex_lock(&jobs->lock);
    unsigned left = JOBS_RESTORES_BESIDE - jobs->restores_beside;
    beside = beside < left ? beside : left;
    jobs->restores_beside += beside;
    pthread_mutex_unlock(&jobs->lock);
    return 1 + beside;
}

static int receive_disks(struct agent_jobs *jobs, struct restore_receive_options *options, uint64_t *written,
                         struct error *err)
{
    options->connections = take_connections(jobs, options->request);
    int result = restore_receive(options, written, err);
    pthread_mutex_lock(&jobs->lock);
    jobs->restores_beside -= options->connections - 1;
    pthread_mutex_unlock(&jobs->lock);
    return result;
}

static int restore(struct agent_jobs *jobs, struct agent_job *job, const Holdfast__RestoreRequest *message,
                   Holdfast__RestoreReply *reply, struct error *err)
{
    const struct provider *provider = job->provider->provider;
    uint64_t written = 0;
    bool from_here = message->host_snapshot[0] != '\0'; /* then the disks are complete when it has begun */
    if (!from_here && check_restore(message, err) != 0) {
        return -1;
    }
    struct provider_restore *target = provider->restore_begin(job->provider->self, message, err);
    if (target == NULL) {
        return -1;
    }
    struct restore_receive_options options = {.loop = jobs->options.loop,
                                              .target = jobs->options.target,
                                              .tls = jobs->options.tls,
                                              .request = message,
                                              .provider = provider,
                                              .restore = target,
                                              .cancelled = &job->cancelled};
    if (!from_here && receive_disks(jobs, &options, &written, err) != 0) {
        provider->restore_abort(target);
        return -1;
    }
    if (provider->restore_commit(target, reply, err) != 0) {
        return -1;
    }
    reply->written_bytes = written;
    return 0;
}

void jobs_serve_restore(struct agent_jobs *jobs, struct rpc_request *request,
                        const Holdfast__RestoreRequest *message)
{
    struct error err;
    struct open_provider *open = jobs_find_provider(jobs, message->kind, &err);
    struct agent_job *job = open != NULL ? jobs_add(jobs, message->job, open, message->vm_uuid, &err) : NULL;
    if (job == NULL) {
        rpc_fail(request, &err);
        return;
    }
    Holdfast__RestoreReply *reply = memory_alloc(sizeof *reply);
    holdfast__restore_reply__init(reply);
    if (restore(jobs, job, message, reply, &err) != 0) {
        log_error("restore failed", &err);
        rpc_fail(request, &err);
    } else {
        log_event(LOG_INFO, "restore completed", "vm=\"%s\" written_bytes=%llu", reply->vm_name,
                  (unsigned long long)reply->written_bytes);
        rpc_reply(request, &reply->base);
    }
    holdfast__restore_reply__free_unpacked(reply, NULL);
    jobs_remove(jobs, job);
}
