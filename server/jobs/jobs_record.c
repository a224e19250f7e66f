/* A job's record: its row in the catalog, its log, the end of its attempts. */
#include "server/jobs/jobs_internal.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/utf8.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void copy_texts(struct job *job)
{
    struct catalog_job *row = &job->row;
    const char **const texts[] = {&row->id,
                                  &row->vm_id,
                                  &row->vm_name,
                                  &row->host_id,
                                  &row->host_name,
                                  &row->group_id,
                                  &row->point_id,
                                  &row->requested_by,
                                  &row->mode,
                                  &row->reason,
                                  &row->step,
                                  &row->error_message,
                                  &row->error_cause,
                                  &row->restore_name,
                                  &row->restore_directory,
                                  &row->restored_uuid,
                                  &row->restored_name,
                                  &row->restore_networks,
                                  &row->restore_pool,
                                  &row->restore_format};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        *texts[i] = *texts[i] == NULL ? "" : arena_text(job->arena, *texts[i]);
    }
}

struct job *job_add(struct jobs *jobs, const struct catalog_job *row)
{
    struct job *job = memory_zalloc(sizeof *job);
    job->jobs = jobs;
    job->arena = arena_create();
    job->row = *row;
    job->new_tracking = "";
    copy_texts(job);
    job->sequence = jobs->added++;
    job_set_turn(job);
    atomic_init(&job->pending, 0);
    struct job **link = &jobs->first;
    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = job;
    jobs->count++;
    return job;
}

void job_drop(struct job *job)
{
    struct jobs *jobs = job->jobs;
    struct job **link = &jobs->first;
    while (*link != job) {
        link = &(*link)->next;
    }
    *link = job->next;
    jobs->count--;
    arena_destroy(job->arena);
    free(job);
}

void job_text(struct job *job, const char **field, const char *text)
{
    if (strcmp(*field, text) != 0) {
        *field = arena_text(job->arena, text);
    }
}

void job_step(struct job *job, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(job->step_text, sizeof job->step_text, format, arguments);
    va_end(arguments);
    utf8_repair(job->step_text);
    job->row.step = job->step_text;
}

void job_tell(const struct job *job)
{
    const struct jobs_options *options = &job->jobs->options;
    if (options->saved != NULL) {
        options->saved(options->saved_cookie, &job->row);
    }
}

int job_save(struct job *job, struct error *err)
{
    job->unsaved = catalog_job_update(job->jobs->options.catalog, &job->row, err) != 0;
    if (!job->unsaved) {
        job_tell(job);
    }
    return job->unsaved ? -1 : 0;
}

void job_save_soon(struct job *job)
{
    struct error err;
    if (job_save(job, &err) != 0) {
        log_job_error(job->row.id, "job not saved", &err);
    }
}

void job_log(struct job *job, enum job_log_level level, enum error_code code, const char *format, ...)
{
    static const enum log_level levels[] = {LOG_INFO, LOG_WARNING, LOG_ERROR};
    char message[2 * ERROR_TEXT_MAX];
    struct error err;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    utf8_repair(message);
    struct catalog_job_log entry = {.time_ms = clock_wall_ms(),
                                    .level = level,
                                    .code = code == ERROR_NONE ? "" : error_code_name(code),
                                    .message = message};
    if (level == JOB_LOG_WARNING) {
        job->warnings++;
    }
    log_event(levels[level], "job", "job=%s type=%s vm=\"%s\" code=%s message=\"%s\"", job->row.id,
              job_type_name(job->row.type), job->row.vm_name, entry.code, message);
    if (catalog_job_log_add(job->jobs->options.catalog, job->row.id, &entry, &err) != 0) {
        log_job_error(job->row.id, "job log not stored", &err);
    }
}

enum error_code job_reason_parse(const char *reason, const char **text)
{
    char name[64];
    const char *colon = strchr(reason, ':');
    *text = reason;
    if (colon == NULL || (size_t)(colon - reason) >= sizeof name) {
        return ERROR_NONE;
    }
    memcpy(name, reason, (size_t)(colon - reason));
    name[colon - reason] = '\0';
    enum error_code code = error_code_from_name(name);
    if (code != ERROR_NONE) {
        *text = colon + 1 + strspn(colon + 1, " ");
    }
    return code;
}

void job_fail(struct job *job, const struct error *err)
{
    if (!job->failed) {
        job->failed = true;
        job->failure = *err;
    }
}

bool job_is_transient(enum error_code code)
{
    switch (code) {
    case ERROR_JOB_LOST_AGENT:
    case ERROR_JOB_SERVER_RESTART:
    case ERROR_CONNECTION_LOST:
    case ERROR_PROTOCOL_TIMEOUT:
    case ERROR_TRANSFER_TIMEOUT:
    case ERROR_SNAPSHOT_FAILED:
    case ERROR_SNAPSHOT_TIMEOUT:
    case ERROR_GUEST_PAUSED:
    case ERROR_DISK_CHANGED:
    case ERROR_VM_IN_TRANSITION:
    case ERROR_VM_MOVED_AWAY: /* its new host may report it in a moment */
    case ERROR_AGENT_BUSY:
    case ERROR_JOB_CONFLICT: /* on the host: another tool's backup, or another server's, which ends */
    case ERROR_STORE_UNAVAILABLE:
        return true;
    default:
        return false;
    }
}

void job_become_final(struct job *job, enum job_state state)
{
    struct catalog_job *row = &job->row;
    row->state = state;
    row->rate = 0;
    row->next_attempt_ms = 0;
    row->finished_ms = clock_wall_ms();
    job_step(job, "%s", "");
    job->stage = STAGE_FINAL;
    job_save_soon(job);
    log_event(LOG_INFO, "job ended", "job=%s type=%s vm=\"%s\" state=%s", row->id, job_type_name(row->type),
              row->vm_name, job_state_name(state));
    if (job->jobs->options.ended != NULL) {
        job->jobs->options.ended(job->jobs->options.ended_cookie);
    }
}

static void store_failure(struct job *job)
{
    job->row.error_code = job->failure.code;
    job_text(job, &job->row.error_message, job->failure.message);
    job_text(job, &job->row.error_cause, job->failure.cause);
}

int64_t job_retry_delay_ms(unsigned first_ms, unsigned attempt, const char *job_id)
{
    enum { DOUBLINGS_MAX = 22, SPREAD_PART = 4 };
    unsigned doublings = attempt > 0 ? attempt - 1 : 0;
    int64_t delay_ms = (int64_t)first_ms << (doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX);
    delay_ms = delay_ms < JOBS_RETRY_MAX_MS ? delay_ms : JOBS_RETRY_MAX_MS;
    return delay_ms + digest_crc32c(0, job_id, strlen(job_id)) % (delay_ms / SPREAD_PART + 1);
}

/* Its turn comes again, after a while. */
static void job_retry(struct job *job)
{
    struct jobs *jobs = job->jobs;
    struct catalog_job *row = &job->row;
    int64_t delay_ms = job_retry_delay_ms(jobs->options.retry_delay_ms, row->attempt, row->id);
    row->attempt++;
    row->state = JOB_QUEUED;
    row->snapshot_state = JOB_PHASE_NONE;
    row->transfer_state = JOB_PHASE_NONE;
    row->rate = 0;
    row->next_attempt_ms = clock_wall_ms() + delay_ms;
    job_text(job, &row->point_id, "");
    job_step(job, "waiting for try %u of %u", row->attempt, row->max_attempts);
    job->stage = STAGE_QUEUED;
    job->failed = false;
    job->wait_until_ms = 0;
    job_save_soon(job);
}

static bool job_may_retry(const struct job *job)
{
    bool backup = job->row.type == JOB_BACKUP || job->row.type == JOB_CHECK;
    bool without_parent = job->forget_parent &&
                          (job->failure.code == ERROR_CHUNK_DAMAGED ||
                           job->failure.code == ERROR_RP_DAMAGED || job->failure.code == ERROR_RP_NOT_FOUND);
    return backup && !job->cancelling && job->row.attempt < job->row.max_attempts &&
           (job_is_transient(job->failure.code) || without_parent);
}

void job_end_attempt(struct job *job)
{
    struct catalog_job *row = &job->row;
    if (!job->failed) {
        bool phases = row->type == JOB_BACKUP || row->type == JOB_CHECK;
        enum job_state state =
            phases ? job_outcome(row->snapshot_state, row->transfer_state, false, job->warnings > 0)
            : job->warnings > 0 ? JOB_COMPLETED_WITH_WARNINGS
                                : JOB_COMPLETED;
        if (row->error_code != ERROR_NONE && row->type != JOB_VERIFY) {
            row->error_code = ERROR_NONE; /* a former attempt's; the log has it */
            row->error_message = "";
            row->error_cause = "";
        }
        job_become_final(job, state);
        return;
    }
    if (job->jobs->stopping && job->failure.code == ERROR_JOB_SERVER_RESTART) {
        job->stage = STAGE_FINAL; /* the row stays as it is: the next start takes it up */
        return;
    }
    store_failure(job);
    if (job->cancelling && job->failure.code == ERROR_JOB_CANCELLED) {
        job_log(job, JOB_LOG_INFORMATION, ERROR_JOB_CANCELLED, "The job was cancelled");
        job_forget_snapshot(job);
        job_become_final(job, JOB_CANCELLED);
        return;
    }
    bool again = job_may_retry(job);
    job_log(job, again ? JOB_LOG_INFORMATION : JOB_LOG_ERROR, job->failure.code,
            "Try %u of %u failed: %s%s%s%s", row->attempt, row->max_attempts, job->failure.message,
            job->failure.cause[0] == '\0' ? "" : " (", job->failure.cause,
            job->failure.cause[0] == '\0' ? "" : ")");
    if (again) {
        job_retry(job);
    } else {
        bool kept = row->snapshot_state == JOB_PHASE_COMPLETED && job_is_backup(job) && job_kept_on_host(job);
        job_become_final(job, kept ? job_outcome(row->snapshot_state, row->transfer_state, true, true)
                                   : JOB_FAILED);
    }
}

void job_session_open(struct job *job, job_stream_arrived arrived)
{
    const struct job_ports *ports = job->jobs->options.ports;
    identity_random(job->session, sizeof job->session);
    job->session_open = true;
    ports->session_open(ports->self, job->session, job->row.host_id, arrived, job);
}

void job_session_close(struct job *job)
{
    const struct job_ports *ports = job->jobs->options.ports;
    if (job->session_open) {
        job->session_open = false;
        ports->session_close(ports->self, job->session);
    }
}
