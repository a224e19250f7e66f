/* Which job is next: places on the server and on hosts, VMs and the store that only one job at a time may
 * change. */
#include "server/jobs_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include <string.h>

static unsigned count_running(const struct jobs *jobs)
{
    unsigned count = 0;
    for (const struct job *job = jobs->first; job != NULL; job = job->next) {
        count += job_runs(job);
    }
    return count;
}

unsigned jobs_count_running_on(const struct jobs *jobs, const char *host_id)
{
    unsigned count = 0;
    for (const struct job *job = jobs->first; job != NULL; job = job->next) {
        count += job_runs(job) && strcmp(job->row.host_id, host_id) == 0;
    }
    return count;
}

/* Said once, not each time that it is looked at. */
static void say_waiting(struct job *job, const char *what)
{
    char before[JOBS_STEP_MAX];
    memcpy(before, job->step_text, sizeof before);
    job_step(job, "waiting: host %s %s", job->row.host_name, what);
    if (strcmp(before, job->step_text) != 0) {
        job_save_soon(job);
    }
}

/* Many VMs of one host take turns: it has its guests to serve. */
static bool host_is_busy(struct job *job)
{
    const struct jobs *jobs = job->jobs;
    if (job->row.host_id[0] == '\0' ||
        jobs_count_running_on(jobs, job->row.host_id) < jobs->options.max_running_host) {
        return false;
    }
    say_waiting(job, "runs as many jobs as it may");
    return true;
}

static bool job_is_of_store(const struct job *job)
{
    return job->row.type == JOB_REBUILD || job->row.type == JOB_COLLECT ||
           (job->row.type == JOB_VERIFY && job->row.point_id[0] == '\0');
}

/* Both change or read the same VM, or the whole store. */
static bool jobs_exclude(const struct job *a, const struct job *b)
{
    bool a_store = job_is_of_store(a);
    bool b_store = job_is_of_store(b);
    bool a_vm = job_is_backup(a) || (a->row.type == JOB_RESTORE && a->row.restore_to_original);
    bool b_vm = job_is_backup(b) || (b->row.type == JOB_RESTORE && b->row.restore_to_original);
    return (a_store && b_store) || (a_vm && b_vm && strcmp(a->row.vm_id, b->row.vm_id) == 0);
}

bool job_waits_for_time(const struct job *job)
{
    return job->stage == STAGE_QUEUED && job->row.attempt == 1 && job->row.started_ms == 0 &&
           job->row.next_attempt_ms > clock_wall_ms();
}

const struct job *job_find_rival(const struct job *candidate, bool running_only)
{
    for (const struct job *job = candidate->jobs->first; job != NULL; job = job->next) {
        bool counts = running_only ? job_runs(job) : job->stage != STAGE_FINAL && !job_waits_for_time(job);
        if (job != candidate && counts && jobs_exclude(job, candidate)) {
            return job;
        }
    }
    return NULL;
}

static bool host_drains(struct job *job)
{
    struct error ignored;
    struct arena *arena = arena_create();
    const struct catalog_host *host =
        catalog_host_find(job->jobs->options.catalog, arena, job->row.host_id, &ignored);
    bool drains = host != NULL && host->draining;
    arena_destroy(arena);
    return drains;
}

/* True when its host is there and takes jobs. Fails the job when it has waited for it long enough. */
static bool host_is_there(struct job *job, int64_t now_ms)
{
    struct jobs *jobs = job->jobs;
    if (job->row.host_id[0] == '\0') {
        return true;
    }
    if (jobs->options.ports->agent_connected(jobs->options.ports->self, job->row.host_id)) {
        bool drains = host_drains(job);
        job->wait_until_ms = 0;
        if (drains) {
            say_waiting(job, "is drained");
        }
        return !drains;
    }
    if (job->wait_until_ms == 0) {
        job->wait_until_ms = now_ms + jobs->options.reconnect_wait_ms;
        job_step(job, "waiting for host %s", job->row.host_name);
        job_save_soon(job);
    } else if (now_ms >= job->wait_until_ms) {
        struct error err;
        error_set(&err, ERROR_HOST_UNREACHABLE, "Host %s is not connected", job->row.host_name);
        job->row.attempt = job->row.max_attempts;
        job_fail(job, &err);
        job_end_attempt(job);
    }
    return false;
}

/* The VM may have moved while the job waited. */
static void refresh_host(struct job *job)
{
    struct error ignored; /* the start says what is wrong */
    struct arena *arena = arena_create();
    const struct catalog_vm *vm =
        job_is_backup(job) ? catalog_vm_find(job->jobs->options.catalog, arena, job->row.vm_id, &ignored)
                           : NULL;
    if (vm != NULL) {
        job_text(job, &job->row.host_id, vm->host_id);
        job_text(job, &job->row.host_name, vm->host_name);
    }
    arena_destroy(arena);
}

static void start_job(struct job *job)
{
    log_event(LOG_INFO, "job started", "job=%s type=%s vm=\"%s\" try=%u", job->row.id,
              job_type_name(job->row.type), job->row.vm_name, job->row.attempt);
    job->rate_ms = 0;
    switch (job->row.type) {
    case JOB_BACKUP:
    case JOB_CHECK:
        job_start_backup(job);
        break;
    case JOB_RESTORE:
        job_start_restore(job);
        break;
    default:
        job_start_store(job);
        break;
    }
}

void jobs_start_ready(struct jobs *jobs)
{
    int64_t now_ms = clock_monotonic_ms();
    unsigned running = count_running(jobs);
    for (struct job *job = jobs->first; job != NULL && !jobs->stopping; job = job->next) {
        if (running >= jobs->options.max_running) {
            return;
        }
        if (job->stage != STAGE_QUEUED || job->row.next_attempt_ms > clock_wall_ms() ||
            job_find_rival(job, true) != NULL) {
            continue;
        }
        refresh_host(job);
        if (host_is_there(job, now_ms) && !host_is_busy(job)) {
            start_job(job);
            running += job_runs(job);
        }
    }
}
