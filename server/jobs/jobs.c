#include "server/jobs/jobs.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/jobs/jobs_internal.h"
#include <stdlib.h>
#include <string.h>

enum {
    JOBS_POOL_THREADS = 4,
    JOBS_POOL_QUEUE = 256,
    JOBS_IDLE_MS = 60000,
    JOBS_RATE_WEIGHT = 4, /* of the past seconds against the newest */
};

bool job_is_backup(const struct job *job)
{
    return job->row.type == JOB_BACKUP || job->row.type == JOB_CHECK;
}

bool job_runs(const struct job *job)
{
    return job->stage != STAGE_QUEUED && job->stage != STAGE_FINAL;
}

static void drop_finished_jobs(struct jobs *jobs)
{
    struct job *next = NULL;
    for (struct job *job = jobs->first; job != NULL; job = next) {
        next = job->next;
        if (job->stage == STAGE_FINAL && atomic_load(&job->pending) == 0 && (!job->unsaved || jobs->ending)) {
            job_drop(job);
        }
    }
}

/* --- time
 * ---------------------------------------------------------------------------------------------------------
 */

static void update_rate(struct job *job, int64_t now_ms)
{
    struct catalog_job *row = &job->row;
    if (job->rate_ms != 0 && now_ms > job->rate_ms && row->done_bytes >= job->rate_done) {
        uint64_t newest = (row->done_bytes - job->rate_done) * 1000 / (uint64_t)(now_ms - job->rate_ms);
        row->rate =
            row->rate == 0 ? newest : (row->rate * JOBS_RATE_WEIGHT + newest) / (JOBS_RATE_WEIGHT + 1);
    }
    job->rate_ms = now_ms;
    job->rate_done = row->done_bytes;
}

static void tick_job(struct job *job, int64_t now_ms)
{
    switch (job->row.type) {
    case JOB_BACKUP:
    case JOB_CHECK:
        job_tick_backup(job, now_ms);
        break;
    case JOB_RESTORE:
        job_tick_restore(job, now_ms);
        break;
    default:
        job->row.done_bytes = atomic_load(&job->work_done);
        job->row.total_bytes = atomic_load(&job->work_total);
        break;
    }
}

/* Every second: progress of what runs, in one transaction, and what the catalog refused before. */
static void tick(struct jobs *jobs, int64_t now_ms)
{
    struct error err;
    bool any = false;
    for (struct job *job = jobs->first; job != NULL; job = job->next) {
        if (job_runs(job)) {
            tick_job(job, now_ms);
        }
        any = any || job_runs(job) || job->unsaved;
    }
    if (!any || catalog_begin(jobs->options.catalog, &err) != 0) {
        return;
    }
    for (struct job *job = jobs->first; job != NULL; job = job->next) {
        if (job_runs(job)) {
            update_rate(job, now_ms);
        }
        if (job_runs(job) || job->unsaved) {
            job_save_soon(job);
        }
    }
    if (catalog_commit(jobs->options.catalog, &err) != 0) {
        log_error("progress not stored", &err);
    }
}

/* How long to sleep when nothing happens. */
static unsigned sleep_ms(const struct jobs *jobs)
{
    int64_t wait = JOBS_IDLE_MS;
    int64_t now = clock_wall_ms();
    for (const struct job *job = jobs->first; job != NULL; job = job->next) {
        int64_t until = JOBS_TICK_MS;
        if (job->stage == STAGE_QUEUED && !job_is_due(job, now)) {
            until = job->row.next_attempt_ms - now;
        }
        wait = until < wait ? until : wait;
    }
    return wait < 1 ? 1 : (unsigned)wait;
}

static void *jobs_thread(void *cookie)
{
    struct jobs *jobs = cookie;
    while (!(jobs->ending && jobs->first == NULL)) {
        struct job_event *event = jobs_take_event(jobs, sleep_ms(jobs));
        if (event != NULL) {
            event->handle(jobs, event);
        }
        int64_t now_ms = clock_monotonic_ms();
        if (now_ms - jobs->ticked_ms >= JOBS_TICK_MS) {
            jobs->ticked_ms = now_ms;
            tick(jobs, now_ms);
        }
        jobs_start_ready(jobs);
        drop_finished_jobs(jobs);
    }
    return NULL;
}

/* --- life
 * ----------------------------------------------------------------------------------------------------------------
 */

static void set_defaults(struct jobs_options *options)
{
    static const struct jobs_options defaults = {.max_attempts = 3,
                                                 .retry_delay_ms = 10000,
                                                 .reconnect_wait_ms = 600000,
                                                 .idle_timeout_ms = 120000,
                                                 .connections = 2,
                                                 .max_running = 16,
                                                 .max_running_host = 4,
                                                 .verify_days = 30};
    options->max_attempts = options->max_attempts == 0 ? defaults.max_attempts : options->max_attempts;
    options->retry_delay_ms =
        options->retry_delay_ms == 0 ? defaults.retry_delay_ms : options->retry_delay_ms;
    options->reconnect_wait_ms =
        options->reconnect_wait_ms == 0 ? defaults.reconnect_wait_ms : options->reconnect_wait_ms;
    options->idle_timeout_ms =
        options->idle_timeout_ms == 0 ? defaults.idle_timeout_ms : options->idle_timeout_ms;
    options->connections = options->connections == 0 ? defaults.connections : options->connections;
    options->max_running = options->max_running == 0 ? defaults.max_running : options->max_running;
    options->max_running_host =
        options->max_running_host == 0 ? defaults.max_running_host : options->max_running_host;
    options->verify_days = options->verify_days == 0 ? defaults.verify_days : options->verify_days;
}

static void jobs_free(struct jobs *jobs)
{
    while (jobs->first != NULL) {
        job_drop(jobs->first);
    }
    while (jobs->late_ends != NULL) {
        struct job_late_end *next = jobs->late_ends->next;
        free(jobs->late_ends);
        jobs->late_ends = next;
    }
    if (jobs->pool != NULL) {
        pool_destroy(jobs->pool);
    }
    pthread_cond_destroy(&jobs->changed);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}

struct jobs *jobs_create(const struct jobs_options *options, struct error *err)
{
    struct jobs *jobs = memory_zalloc(sizeof *jobs);
    jobs->options = *options;
    set_defaults(&jobs->options);
    jobs->last_event = &jobs->events;
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&jobs->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    jobs->pool = pool_create("jobs-work", JOBS_POOL_THREADS, JOBS_POOL_QUEUE, err);
    if (jobs->pool == NULL || jobs_resume(jobs, err) != 0) {
        jobs_free(jobs);
        return NULL;
    }
    if (pthread_create(&jobs->thread, NULL, jobs_thread, jobs) != 0) {
        error_set(err, ERROR_LIMIT_EXCEEDED, "The job engine could not be started");
        jobs_free(jobs);
        return NULL;
    }
    pthread_setname_np(jobs->thread, "jobs");
    return jobs;
}

/* Ask a running job to stop. Returns false when it is too late for that. */
static bool stop_job(struct job *job, const struct error *why)
{
    bool late = false;
    switch (job->row.type) {
    case JOB_BACKUP:
    case JOB_CHECK:
        job_cancel_backup(job, why, &late);
        break;
    case JOB_RESTORE:
        job_cancel_restore(job, why, &late);
        break;
    default:
        job_fail(job, why);
        atomic_store(&job->stop_work, true);
        break;
    }
    return !late;
}

static void stop_on_engine(struct jobs *jobs, void *cookie)
{
    (void)cookie;
    struct error why;
    error_set(&why, ERROR_JOB_SERVER_RESTART, "The server is stopped");
    jobs->stopping = true;
    for (struct job *job = jobs->first; job != NULL; job = job->next) {
        if (job->stage == STAGE_QUEUED) {
            job->stage = STAGE_FINAL; /* in memory: the row waits for the next start */
        } else if (job->stage != STAGE_FINAL) {
            stop_job(job, &why);
        }
    }
}

static void count_on_engine(struct jobs *jobs, void *cookie)
{
    unsigned *count = cookie;
    *count = jobs->count;
}

void jobs_stop(struct jobs *jobs)
{
    jobs_ask(jobs, stop_on_engine, NULL);
    int64_t until = clock_monotonic_ms() + JOBS_STOP_MS;
    unsigned left = 0;
    do {
        jobs_ask(jobs, count_on_engine, &left);
        if (left > 0) {
            nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
        }
    } while (left > 0 && clock_monotonic_ms() < until);
}

static void end_on_engine(struct jobs *jobs, void *cookie)
{
    (void)cookie;
    jobs->ending = true;
}

void jobs_destroy(struct jobs *jobs)
{
    if (jobs == NULL) {
        return;
    }
    jobs_ask(jobs, stop_on_engine, NULL);
    jobs_ask(jobs, end_on_engine, NULL);
    pthread_join(jobs->thread, NULL);
    jobs_free(jobs);
}

/* --- cancel, questions, events
 * --------------------------------------------------------------------------------------------- */

struct cancel_question {
    const char *job_id;
    struct error *err;
    int result;
};

static struct job *find_job(struct jobs *jobs, const char *id)
{
    struct job *job = jobs->first;
    while (job != NULL && strcmp(job->row.id, id) != 0) {
        job = job->next;
    }
    return job;
}

static int refuse_cancel(struct jobs *jobs, const char *id, struct error *err)
{
    struct arena *arena = arena_create();
    const struct catalog_job *row = catalog_job_find(jobs->options.catalog, arena, id, err);
    if (row != NULL) {
        error_set(err, ERROR_JOB_NOT_RUNNING, "Job %s is not running (%s)", id, job_state_name(row->state));
    }
    arena_destroy(arena);
    return -1;
}

static int cancel_job(struct job *job, struct error *err)
{
    struct error why;
    if (job->row.type == JOB_REBUILD && job->stage != STAGE_QUEUED) {
        return error_set(err, ERROR_JOB_NOT_CANCELLABLE,
                         "Job %s can't be cancelled: it rebuilds the store's index", job->row.id);
    }
    error_set(&why, ERROR_JOB_CANCELLED, "The job was cancelled");
    if (job->stage == STAGE_QUEUED) {
        job->cancelling = true;
        job_fail(job, &why);
        job_end_attempt(job);
        return 0;
    }
    if (!stop_job(job, &why)) {
        return error_set(err, ERROR_JOB_NOT_CANCELLABLE, "Job %s is about to finish", job->row.id);
    }
    job->cancelling = true;
    if (job->stage != STAGE_FINAL) {
        job_step(job, "cancelling");
        job_save_soon(job);
    }
    return 0;
}

static void cancel_on_engine(struct jobs *jobs, void *cookie)
{
    struct cancel_question *question = cookie;
    struct job *job = find_job(jobs, question->job_id);
    question->result = job == NULL || job->stage == STAGE_FINAL
                           ? refuse_cancel(jobs, question->job_id, question->err)
                           : cancel_job(job, question->err);
}

int jobs_cancel(struct jobs *jobs, const char *job_id, struct error *err)
{
    struct cancel_question question = {.job_id = job_id, .err = err};
    jobs_ask(jobs, cancel_on_engine, &question);
    return question.result;
}

struct use_question {
    const char *id;
    unsigned count;
};

static void point_on_engine(struct jobs *jobs, void *cookie)
{
    struct use_question *question = cookie;
    for (struct job *job = jobs->first; job != NULL; job = job->next) {
        bool reads = (job->row.type == JOB_RESTORE || job->row.type == JOB_VERIFY) &&
                     strcmp(job->row.point_id, question->id) == 0;
        bool stands_on = job_is_backup(job) && job_runs(job) && job->parent_id != NULL &&
                         strcmp(job->parent_id, question->id) == 0;
        question->count += job->stage != STAGE_FINAL && (reads || stands_on);
    }
}

bool jobs_use_point(struct jobs *jobs, const char *point_id)
{
    struct use_question question = {.id = point_id};
    jobs_ask(jobs, point_on_engine, &question);
    return question.count > 0;
}

static void vm_on_engine(struct jobs *jobs, void *cookie)
{
    struct use_question *question = cookie;
    for (struct job *job = jobs->first; job != NULL; job = job->next) {
        bool uses = job_is_backup(job) || (job->row.type == JOB_RESTORE && job->row.restore_to_original);
        question->count += uses && job_runs(job) && strcmp(job->row.vm_id, question->id) == 0;
    }
}

bool jobs_use_vm(struct jobs *jobs, const char *vm_id)
{
    struct use_question question = {.id = vm_id};
    jobs_ask(jobs, vm_on_engine, &question);
    return question.count > 0;
}

static void host_on_engine(struct jobs *jobs, void *cookie)
{
    struct use_question *question = cookie;
    for (struct job *job = jobs->first; job != NULL; job = job->next) {
        question->count += job->stage != STAGE_FINAL && !job_waits_for_time(job) &&
                           strcmp(job->row.host_id, question->id) == 0;
    }
}

static void running_on_engine(struct jobs *jobs, void *cookie)
{
    struct use_question *question = cookie;
    question->count = jobs_count_running_on(jobs, question->id);
}

unsigned jobs_running_on(struct jobs *jobs, const char *host_id)
{
    struct use_question question = {.id = host_id};
    jobs_ask(jobs, running_on_engine, &question);
    return question.count;
}

unsigned jobs_of_host(struct jobs *jobs, const char *host_id)
{
    struct use_question question = {.id = host_id};
    jobs_ask(jobs, host_on_engine, &question);
    return question.count;
}

struct host_event {
    struct job_event event;
    char host_id[IDENTITY_SIZE];
    char job_id[IDENTITY_SIZE];
    char step[JOBS_STEP_MAX];
};

static void connected_handle(struct jobs *jobs, struct job_event *event)
{
    struct host_event *connected = (struct host_event *)(void *)event;
    for (struct job_late_end **link = &jobs->late_ends; *link != NULL;) {
        struct job_late_end *late = *link;
        if (strcmp(late->host_id, connected->host_id) == 0 && !jobs->stopping) {
            job_send_late_end(jobs, late);
            *link = late->next;
            free(late);
        } else {
            link = &late->next;
        }
    }
    free(connected); /* jobs that waited for it start behind every event */
}

static void progress_handle(struct jobs *jobs, struct job_event *event)
{
    struct host_event *progress = (struct host_event *)(void *)event;
    struct job *job = find_job(jobs, progress->job_id);
    if (job != NULL && strcmp(job->row.host_id, progress->host_id) == 0 && !job->cancelling &&
        (job->stage == STAGE_TRANSFER || job->stage == STAGE_RESTORE)) {
        job_step(job, "%s", progress->step); /* stored with the next tick */
    }
    free(progress);
}

static struct host_event *host_event(const char *host_id, void (*handle)(struct jobs *, struct job_event *))
{
    struct host_event *event = memory_zalloc(sizeof *event);
    event->event.handle = handle;
    strncpy(event->host_id, host_id, sizeof event->host_id - 1);
    return event;
}

void jobs_host_connected(struct jobs *jobs, const char *host_id)
{
    jobs_post(jobs, &host_event(host_id, connected_handle)->event);
}

void jobs_host_progress(struct jobs *jobs, const char *host_id, const char *job_id, const char *step)
{
    struct host_event *event = host_event(host_id, progress_handle);
    strncpy(event->job_id, job_id, sizeof event->job_id - 1);
    strncpy(event->step, step, sizeof event->step - 1);
    jobs_post(jobs, &event->event);
}
