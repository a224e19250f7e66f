#include "agent/agent_jobs.h"

#include "agent/agent_jobs_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

/* --- the table of jobs
 * -------------------------------------------------------------------------------------- */

struct open_provider *jobs_find_provider(struct agent_jobs *jobs, const char *kind, struct error *err)
{
    for (size_t i = 0; i < jobs->provider_count; i++) {
        if (strcmp(jobs->providers[i].provider->kind, kind) == 0) {
            return &jobs->providers[i];
        }
    }
    error_set(err, ERROR_RESTORE_HOST_KIND, "This host can't do that for VMs of kind %s", kind);
    return NULL;
}

static struct agent_job *find_locked(struct agent_jobs *jobs, const char *id)
{
    for (struct agent_job *job = jobs->first; job != NULL; job = job->next) {
        if (strcmp(job->id, id) == 0) {
            return job;
        }
    }
    return NULL;
}

struct agent_job *jobs_add(struct agent_jobs *jobs, const char *id, struct open_provider *provider,
                           const char *vm_uuid, struct error *err)
{
    struct agent_job *job = NULL;
    pthread_mutex_lock(&jobs->lock);
    if (jobs->ending || find_locked(jobs, id) != NULL) {
        error_set(err, jobs->ending ? ERROR_JOB_LOST_AGENT : ERROR_JOB_CONFLICT,
                  jobs->ending ? "The agent is stopping" : "Job %s runs here already", id);
    } else {
        job = memory_zalloc(sizeof *job);
        job->id = memory_copy_text(id);
        job->provider = provider;
        job->vm_uuid = memory_copy_text(vm_uuid);
        job->busy = true;
        job->next = jobs->first;
        jobs->first = job;
    }
    pthread_mutex_unlock(&jobs->lock);
    return job;
}

struct agent_job *jobs_take(struct agent_jobs *jobs, const char *id)
{
    pthread_mutex_lock(&jobs->lock);
    struct agent_job *job = find_locked(jobs, id);
    while (job != NULL && job->busy) {
        pthread_cond_wait(&jobs->changed, &jobs->lock);
        job = find_locked(jobs, id);
    }
    if (job != NULL) {
        job->busy = true;
    }
    pthread_mutex_unlock(&jobs->lock);
    return job;
}

static void job_free(struct agent_job *job)
{
    if (job->begun != NULL) {
        holdfast__backup_begin_reply__free_unpacked(job->begun, NULL);
    }
    for (size_t i = 0; i < job->known_count; i++) {
        free(job->known_tracking[i]);
    }
    free(job->known_tracking);
    backup_pages_destroy(job->pages);
    backup_pages_destroy(job->base_pages);
    free(job->id);
    free(job->vm_uuid);
    free(job);
}

void jobs_remove(struct agent_jobs *jobs, struct agent_job *job)
{
    pthread_mutex_lock(&jobs->lock);
    for (struct agent_job **link = &jobs->first; *link != NULL; link = &(*link)->next) {
        if (*link == job) {
            *link = job->next;
            break;
        }
    }
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
    job_free(job);
}

void jobs_put(struct agent_jobs *jobs, struct agent_job *job)
{
    pthread_mutex_lock(&jobs->lock);
    bool lost = job->lost;
    if (!lost) {
        job->busy = false;
        pthread_cond_broadcast(&jobs->changed);
    }
    pthread_mutex_unlock(&jobs->lock);
    if (lost) {
        jobs_give_up_backup(job);
        jobs_remove(jobs, job);
    }
}

struct lost_work {
    struct agent_jobs *jobs;
    struct agent_job *job;
};

static void end_lost(void *cookie)
{
    struct lost_work *work = cookie;
    jobs_put(work->jobs, work->job);
    free(work);
}

void agent_jobs_server_lost(struct agent_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    for (struct agent_job *job = jobs->first; job != NULL; job = job->next) {
        bool idle = !job->busy;
        job->lost = true;
        atomic_store(&job->cancelled, true);
        if (idle) {
            struct lost_work *work = memory_alloc(sizeof *work);
            *work = (struct lost_work){.jobs = jobs, .job = job};
            job->busy = pool_try_submit(jobs->pool, end_lost, work);
            if (!job->busy) {
                free(work);
            }
        }
    }
    pthread_mutex_unlock(&jobs->lock);
}

/* --- serving
 * ------------------------------------------------------------------------------------------------ */

struct call {
    struct agent_jobs *jobs;
    struct rpc_request *request;
    const ProtobufCMessage *message;
};

/* False when there is no room; the request has failed then. */
static bool hand_over(struct agent_jobs *jobs, struct rpc_request *request, const ProtobufCMessage *message,
                      pool_work work)
{
    struct call *call = memory_alloc(sizeof *call);
    *call = (struct call){.jobs = jobs, .request = request, .message = message};
    if (pool_try_submit(jobs->pool, work, call)) {
        return true;
    }
    struct error err;
    free(call);
    error_set(&err, ERROR_AGENT_BUSY, "This host works on %d calls already", JOBS_THREADS + JOBS_QUEUE);
    rpc_fail(request, &err);
    return false;
}

/* What a provider had listed before it failed does not count. */
static void add_silent(Holdfast__DiscoverReply *reply, size_t vms_before, const char *kind,
                       const struct error *why)
{
    while (reply->n_vms > vms_before) {
        holdfast__vm__free_unpacked(reply->vms[--reply->n_vms], NULL);
    }
    Holdfast__SilentKind *silent = memory_alloc(sizeof *silent);
    holdfast__silent_kind__init(silent);
    silent->kind = memory_copy_text(kind);
    silent->reason = why->cause[0] != '\0' ? memory_format("%s (%s)", why->message, why->cause)
                                           : memory_copy_text(why->message);
    reply->silent = memory_resize(reply->silent, reply->n_silent + 1, sizeof *reply->silent);
    reply->silent[reply->n_silent++] = silent;
}

Holdfast__DiscoverReply *agent_jobs_discover(struct agent_jobs *jobs)
{
    Holdfast__DiscoverReply *reply = memory_alloc(sizeof *reply);
    holdfast__discover_reply__init(reply);
    reply->number = atomic_fetch_add(&jobs->lists, 1) + 1;
    int64_t begun_ms = clock_monotonic_ms();
    for (size_t i = 0; i < jobs->provider_count; i++) {
        struct open_provider *open = &jobs->providers[i];
        struct error err;
        size_t vms_before = reply->n_vms;
        if (open->provider->discover(open->self, reply, &err) != 0) {
            add_silent(reply, vms_before, open->provider->kind, &err);
        }
    }
    host_snapshots_list(jobs->snapshots, &reply->snapshots, &reply->n_snapshots);
    log_event(LOG_DEBUG, "VMs listed", "vms=%zu ms=%lld", reply->n_vms,
              (long long)(clock_monotonic_ms() - begun_ms));
    return reply;
}

void agent_jobs_limit_snapshots(struct agent_jobs *jobs, Holdfast__SnapshotLimit *const *limits, size_t count)
{
    host_snapshots_limit(jobs->snapshots, limits, count);
}

static void end_discovery(struct agent_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->discovering = false;
    pthread_mutex_unlock(&jobs->lock);
}

static void discover_work(void *cookie)
{
    struct call *call = cookie;
    struct agent_jobs *jobs = call->jobs;
    const Holdfast__DiscoverRequest *asked = (const void *)call->message;
    agent_jobs_limit_snapshots(jobs, asked->snapshot_limits, asked->n_snapshot_limits);
    Holdfast__DiscoverReply *reply = agent_jobs_discover(jobs);
    end_discovery(jobs);
    rpc_reply(call->request, &reply->base);
    holdfast__discover_reply__free_unpacked(reply, NULL);
    free(call);
}

static void serve_discover(void *cookie, struct rpc_request *request, const ProtobufCMessage *message)
{
    struct agent_jobs *jobs = cookie;
    pthread_mutex_lock(&jobs->lock);
    bool running = jobs->discovering;
    jobs->discovering = true;
    pthread_mutex_unlock(&jobs->lock);
    if (running) {
        struct error err;
        error_set(&err, ERROR_DISCOVERY_RUNNING, "A discovery of this host is already running");
        rpc_fail(request, &err);
        return;
    }
    if (!hand_over(jobs, request, message, discover_work)) {
        end_discovery(jobs);
    }
}

#define SERVE(name, type)                                                                                    \
    static void name##_work(void *cookie)                                                                    \
    {                                                                                                        \
        struct call *call = cookie;                                                                          \
        const Holdfast__##type *message = (const void *)call->message;                                       \
        log_set_job(message->job);                                                                           \
        jobs_serve_##name(call->jobs, call->request, message);                                               \
        log_set_job(NULL);                                                                                   \
        free(call);                                                                                          \
    }                                                                                                        \
    static void serve_##name(void *cookie, struct rpc_request *request, const ProtobufCMessage *message)     \
    {                                                                                                        \
        hand_over(cookie, request, message, name##_work);                                                    \
    }

SERVE(begin, BackupBeginRequest)
SERVE(transfer, BackupTransferRequest)
SERVE(end, BackupEndRequest)
SERVE(restore, RestoreRequest)

static void serve_cancel(void *cookie, struct rpc_request *request, const ProtobufCMessage *message)
{
    struct agent_jobs *jobs = cookie;
    const Holdfast__CancelRequest *cancel = (const void *)message;
    Holdfast__Empty empty = HOLDFAST__EMPTY__INIT;
    pthread_mutex_lock(&jobs->lock);
    struct agent_job *job = find_locked(jobs, cancel->job);
    if (job != NULL) {
        atomic_store(&job->cancelled, true);
    }
    pthread_mutex_unlock(&jobs->lock);
    rpc_reply(request, &empty.base);
}

const rpc_serve agent_jobs_methods[] = {serve_discover, serve_begin,   serve_transfer,
                                        serve_end,      serve_restore, serve_cancel};

/* --- jobs of an earlier life
 * -------------------------------------------------------------------------------- */

static void recover(struct agent_jobs *jobs, struct open_provider *open)
{
    struct error err;
    if (open->provider->recover(open->self, &open->unfinished, &open->unfinished_count, &err) != 0) {
        log_error("cleaning up after an earlier run failed", &err);
        open->unfinished_count = 0;
    }
    size_t count = jobs->unfinished_count + open->unfinished_count;
    jobs->unfinished = memory_resize(jobs->unfinished, count, sizeof *jobs->unfinished);
    for (size_t i = 0; i < open->unfinished_count; i++) {
        log_event(LOG_WARNING, "a backup of an earlier run was found and ended", "unfinished_job=%s vm=%s",
                  open->unfinished[i]->job, open->unfinished[i]->vm_uuid);
        jobs->unfinished[jobs->unfinished_count++] = open->unfinished[i];
    }
}

Holdfast__UnfinishedJob **agent_jobs_unfinished(struct agent_jobs *jobs, size_t *count)
{
    *count = jobs->unfinished_count;
    return jobs->unfinished;
}

static void resolve_one(struct agent_jobs *jobs, const Holdfast__UnfinishedJob *job, bool committed)
{
    struct error err;
    struct open_provider *open = jobs_find_provider(jobs, job->kind, &err);
    Holdfast__BackupEndRequest request = HOLDFAST__BACKUP_END_REQUEST__INIT;
    request.job = job->job;
    request.vm_uuid = job->vm_uuid;
    request.kind = job->kind;
    request.tracking = job->tracking;
    request.committed = committed;
    if (open == NULL || open->provider->backup_end(open->self, NULL, &request, &err) != 0) {
        log_error("an unfinished backup could not be ended", &err);
    }
}

void agent_jobs_resolve(struct agent_jobs *jobs, char **committed, size_t count)
{
    for (size_t i = 0; i < jobs->unfinished_count; i++) {
        bool known = false;
        for (size_t j = 0; j < count; j++) {
            known = known || strcmp(committed[j], jobs->unfinished[i]->job) == 0;
        }
        resolve_one(jobs, jobs->unfinished[i], known);
    }
    jobs->unfinished_count = 0;
}

/* --- beginning and end
 * -------------------------------------------------------------------------------------- */

struct agent_jobs *agent_jobs_create(const struct agent_jobs_options *options,
                                     const struct provider_context *context, provider_changed changed,
                                     void *cookie, struct error *err)
{
    struct agent_jobs *jobs = memory_zalloc(sizeof *jobs);
    jobs->options = *options;
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->changed, NULL);
    jobs->pool = pool_create("jobs", JOBS_THREADS, JOBS_QUEUE, err);
    if (jobs->pool == NULL) {
        agent_jobs_destroy(jobs);
        return NULL;
    }
    jobs->snapshots = host_snapshots_create(context->data_directory, context->config, changed, cookie, err);
    if (jobs->snapshots == NULL) {
        agent_jobs_destroy(jobs);
        return NULL;
    }
    struct provider_context own = *context;
    own.snapshots = jobs->snapshots;
    for (size_t i = 0; provider_list[i] != NULL && jobs->provider_count < JOBS_PROVIDERS_MAX; i++) {
        struct open_provider *open = &jobs->providers[jobs->provider_count];
        open->provider = provider_list[i];
        open->self = open->provider->open(&own, changed, cookie, err);
        if (open->self == NULL) {
            log_event(LOG_WARNING, "a provider does not work here", "kind=%s reason=\"%s\" cause=\"%s\"",
                      open->provider->kind, err->message, err->cause);
            continue;
        }
        jobs->kinds[jobs->provider_count++] = open->provider->kind;
        recover(jobs, open);
    }
    return jobs;
}

const char *const *agent_jobs_kinds(struct agent_jobs *jobs, size_t *count)
{
    *count = jobs->provider_count;
    return jobs->kinds;
}

static void await_empty(struct agent_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->ending = true;
    pthread_mutex_unlock(&jobs->lock);
    agent_jobs_server_lost(jobs);
    pthread_mutex_lock(&jobs->lock);
    while (jobs->first != NULL) {
        pthread_cond_wait(&jobs->changed, &jobs->lock);
    }
    pthread_mutex_unlock(&jobs->lock);
}

static void free_unfinished(struct open_provider *open)
{
    for (size_t i = 0; i < open->unfinished_count; i++) {
        holdfast__unfinished_job__free_unpacked(open->unfinished[i], NULL);
    }
    free(open->unfinished);
}

void agent_jobs_destroy(struct agent_jobs *jobs)
{
    if (jobs == NULL) {
        return;
    }
    if (jobs->pool != NULL) {
        await_empty(jobs);
        pool_destroy(jobs->pool);
    }
    for (size_t i = 0; i < jobs->provider_count; i++) {
        free_unfinished(&jobs->providers[i]);
        jobs->providers[i].provider->close(jobs->providers[i].self);
    }
    host_snapshots_destroy(jobs->snapshots);
    free(jobs->unfinished);
    pthread_cond_destroy(&jobs->changed);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}
