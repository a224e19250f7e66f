#include "server/jobs/configure_job.h"

#include "base/clock.h"
#include "base/log.h"

int configure_job_begin(struct configure_job *job, struct catalog *catalog, const char *group_id,
                        const char *what, const char *actor, struct error *err)
{
    int64_t now_ms = clock_wall_ms();
    *job = (struct configure_job){.catalog = catalog};
    identity_create(job->id);
    job->row = (struct catalog_job){.id = job->id,
                                    .type = JOB_CONFIGURE,
                                    .state = JOB_RUNNING,
                                    .group_id = group_id,
                                    .requested_by = actor,
                                    .on_demand = true,
                                    .reason = what,
                                    .step = "configuring",
                                    .attempt = 1,
                                    .max_attempts = 1,
                                    .created_ms = now_ms,
                                    .started_ms = now_ms};
    return catalog_job_insert(catalog, &job->row, err);
}

void configure_job_note(struct configure_job *job, enum job_log_level level, enum error_code code,
                        const char *text)
{
    struct error err;
    struct catalog_job_log entry = {.time_ms = clock_wall_ms(),
                                    .level = level,
                                    .code = code == ERROR_NONE ? "" : error_code_name(code),
                                    .message = text};
    job->warned = job->warned || level == JOB_LOG_WARNING;
    if (catalog_job_log_add(job->catalog, job->id, &entry, &err) != 0) {
        log_error("a job's log can't be written", &err);
    }
}

int configure_job_end(struct configure_job *job, const char *group_id, int result, const struct error *err)
{
    struct error ignored;
    job->row.group_id = group_id;
    job->row.step = "";
    job->row.finished_ms = clock_wall_ms();
    job->row.state = job->warned ? JOB_COMPLETED_WITH_WARNINGS : JOB_COMPLETED;
    if (result != 0) {
        job->row.state = JOB_FAILED;
        job->row.error_code = err->code;
        job->row.error_message = err->message;
        job->row.error_cause = err->cause;
    }
    if (catalog_job_update(job->catalog, &job->row, &ignored) != 0) {
        log_error("the end of a job can't be stored", &ignored);
    }
    log_event(LOG_INFO, "job ended", "job=%s type=%s state=%s", job->id, job_type_name(job->row.type),
              job_state_name(job->row.state));
    return result;
}
