/* Which job is next: places on the server and on hosts, VMs and the store that only one job at a time may
 * change. */
#include "server/jobs/jobs_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/catalog/catalog_schedules.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASS_STEP_MS = 30 * 60 * 1000 };

/* One look at the queue. */
struct round {
    struct job **running;
    size_t running_count;
    struct job **waiting; /* that may begin now as far as their own time goes */
    size_t waiting_count;
};

/* Operators come first, then priorities; and whoever waits rises by one class for each half hour that it
 * waits, so that nobody waits for ever: a job of low priority goes before what comes an hour and a half
 * later. */
void job_set_turn(struct job *job)
{
    const struct catalog_job *row = &job->row;
    struct error err;
    enum policy_priority priority = PRIORITY_NORMAL;
    bool asked = row->on_demand && strcmp(row->requested_by, "schedule") != 0;
    if (!asked && row->group_id[0] != '\0' &&
        catalog_group_priority(job->jobs->options.catalog, row->group_id, &priority, &err) != 0) {
        log_error("priority not read, taken as normal", &err);
    }
    bool later = row->attempt == 1 && row->next_attempt_ms > row->created_ms;
    int64_t class = asked ? 0 : 1 + (int64_t)priority;
    job->turn_ms = (later ? row->next_attempt_ms : row->created_ms) + class * CLASS_STEP_MS;
}

unsigned jobs_count_running_on(const struct jobs *jobs, const char *host_id)
{
    unsigned count = 0;
    for (const struct job *job = jobs->first; job != NULL; job = job->next) {
        count += job_runs(job) && strcmp(job->row.host_id, host_id) == 0;
    }
    return count;
}

/* Stored with the next tick, all in one transaction: a night's jobs are many. */
__attribute__((format(printf, 2, 3))) static void say_waiting(struct job *job, const char *format, ...)
{
    char before[JOBS_STEP_MAX];
    char text[JOBS_STEP_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    memcpy(before, job->step_text, sizeof before);
    job_step(job, "waiting: %s", text);
    job->unsaved = job->unsaved || strcmp(before, job->step_text) != 0;
}

/* Many VMs of one host take turns: it has its guests to serve. */
static bool host_is_busy(struct job *job, const struct round *round)
{
    unsigned count = 0;
    for (size_t i = 0; i < round->running_count && job->row.host_id[0] != '\0'; i++) {
        count += strcmp(round->running[i]->row.host_id, job->row.host_id) == 0;
    }
    if (count < job->jobs->options.max_running_host) {
        return false;
    }
    say_waiting(job, "host %s runs as many jobs as it may", job->row.host_name);
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

bool job_is_due(const struct job *job, int64_t wall_ms)
{
    int64_t left_ms = job->row.next_attempt_ms - wall_ms;
    bool set_back = job->row.attempt > 1 && left_ms > JOBS_RETRY_MAX_MS; /* the clock was */
    return job->stage == STAGE_QUEUED && (left_ms <= 0 || set_back);
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
            say_waiting(job, "host %s is drained", job->row.host_name);
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

static bool has_rival_running(const struct job *candidate, const struct round *round)
{
    for (size_t i = 0; i < round->running_count; i++) {
        if (jobs_exclude(round->running[i], candidate)) {
            return true;
        }
    }
    return false;
}

/* The host that is known is asked first: looking for where the VM is now costs more. */
static void start_if_possible(struct job *job, struct round *round, int64_t now_ms)
{
    if (has_rival_running(job, round) || host_is_busy(job, round)) {
        return;
    }
    refresh_host(job);
    if (host_is_there(job, now_ms) && !host_is_busy(job, round)) {
        start_job(job);
        if (job_runs(job)) {
            round->running[round->running_count++] = job;
        }
    }
}

static int compare_turns(const void *a, const void *b)
{
    const struct job *const *first = a;
    const struct job *const *second = b;
    if ((*first)->turn_ms == (*second)->turn_ms) {
        return ((*first)->sequence > (*second)->sequence) - ((*first)->sequence < (*second)->sequence);
    }
    return ((*first)->turn_ms > (*second)->turn_ms) - ((*first)->turn_ms < (*second)->turn_ms);
}

static void round_begin(struct round *round, const struct jobs *jobs)
{
    int64_t wall_ms = clock_wall_ms();
    *round = (struct round){.running = memory_array(jobs->count + 1, sizeof(struct job *)),
                            .waiting = memory_array(jobs->count + 1, sizeof(struct job *))};
    for (struct job *job = jobs->first; job != NULL; job = job->next) {
        if (job_runs(job)) {
            round->running[round->running_count++] = job;
        } else if (job_is_due(job, wall_ms)) {
            round->waiting[round->waiting_count++] = job;
        }
    }
}

void jobs_start_ready(struct jobs *jobs)
{
    struct round round;
    int64_t now_ms = clock_monotonic_ms();
    round_begin(&round, jobs);
    qsort(round.waiting, round.waiting_count, sizeof *round.waiting, compare_turns);
    size_t next = 0;
    while (next < round.waiting_count && round.running_count < jobs->options.max_running && !jobs->stopping) {
        start_if_possible(round.waiting[next++], &round, now_ms);
    }
    for (; next < round.waiting_count && !jobs->stopping; next++) {
        say_waiting(round.waiting[next], "the server runs as many jobs as it may");
    }
    free(round.waiting);
    free(round.running);
}
