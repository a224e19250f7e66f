/* After a restart of the server: what the catalog says was under way is finished, tried again or failed. */
#include "server/jobs/jobs_internal.h"

#include "base/log.h"
#include "base/memory.h"
#include <string.h>

static unsigned count_warnings(struct job *job)
{
    struct error ignored; /* the count decides between two ways of being completed only */
    const struct catalog_job_log *entries = NULL;
    size_t count = 0;
    unsigned warnings = 0;
    if (catalog_job_log_list(job->jobs->options.catalog, job->arena, job->row.id, NULL, &entries, &count,
                             &ignored) == 0) {
        for (size_t i = 0; i < count; i++) {
            warnings += entries[i].level == JOB_LOG_WARNING;
        }
    }
    return warnings;
}

/* The server died between the commit and the end of the job. */
static int resume_committed(struct job *job, bool *committed, struct error *err)
{
    const struct catalog_point *point = NULL;
    *committed = false;
    if (job->row.point_id[0] == '\0') {
        return 0;
    }
    struct error missing;
    point = catalog_point_find(job->jobs->options.catalog, job->arena, job->row.point_id, &missing);
    if (point == NULL) {
        if (missing.code == ERROR_RP_NOT_FOUND) {
            return 0;
        }
        *err = missing;
        return -1;
    }
    *committed = true;
    job->row.transfer_state = JOB_PHASE_COMPLETED;
    job->warnings = count_warnings(job);
    job_log(job, JOB_LOG_INFORMATION, ERROR_JOB_SERVER_RESTART,
            "The server restarted when the point was complete");
    job_remember_late_end(job);
    job_end_attempt(job);
    return 0;
}

static int resume_running(struct job *job, struct error *err)
{
    bool committed = false;
    struct error why;
    if (job_is_backup(job) && resume_committed(job, &committed, err) != 0) {
        return -1;
    }
    if (committed) {
        return 0;
    }
    error_set(&why, ERROR_JOB_SERVER_RESTART, "The server restarted during the job");
    if (job_is_backup(job)) {
        job->needs_end = job->row.snapshot_state != JOB_PHASE_NONE;
        job->vm_uuid = "";
        job->vm_kind = "";
        job_fail(job, &why);
        job_end_attempt(job);
    } else if (job->row.type == JOB_RESTORE || job->row.type == JOB_CONFIGURE) {
        job_fail(job, &why);
        job_end_attempt(job);
    } else { /* reading the store again does no harm */
        job->row.state = JOB_QUEUED;
        job_log(job, JOB_LOG_INFORMATION, ERROR_JOB_SERVER_RESTART, "%s", why.message);
        job_save_soon(job);
    }
    return 0;
}

int jobs_resume(struct jobs *jobs, struct error *err)
{
    struct arena *arena = arena_create();
    const struct catalog_job *rows = NULL;
    size_t count = 0;
    int result = catalog_job_list_open(jobs->options.catalog, arena, &rows, &count, err);
    for (size_t i = 0; i < count && result == 0; i++) {
        struct job *job = job_add(jobs, &rows[i]);
        if (rows[i].state == JOB_RUNNING) {
            result = resume_running(job, err);
        }
    }
    arena_destroy(arena);
    return result;
}
