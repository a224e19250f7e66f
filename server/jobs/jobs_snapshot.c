/* The snapshot that a backup leaves on its host. */
#include "server/jobs/jobs_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/catalog/catalog_snapshots.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *disks_text(const Holdfast__BackupBeginReply *begun, uint64_t *size)
{
    json_t *disks = json_array();
    *size = 0;
    for (size_t i = 0; i < begun->n_disks; i++) {
        const Holdfast__BackupDisk *disk = begun->disks[i];
        json_array_append_new(disks, json_pack("{s:s, s:s, s:I}", "name", disk->name, "format", disk->format,
                                               "size", (json_int_t)disk->size));
        *size += disk->size;
    }
    char *text = json_dumps(disks, JSON_COMPACT);
    json_decref(disks);
    return text;
}

static void put_snapshot(struct job *job)
{
    const Holdfast__BackupBeginReply *begun = job->begun;
    struct error err;
    uint64_t size = 0;
    char *disks = disks_text(begun, &size);
    const struct catalog_snapshot snapshot = {.point_id = job->next_point,
                                              .vm_uuid = job->vm_uuid,
                                              .vm_name = job->row.vm_name,
                                              .kind = job->vm_kind,
                                              .job_id = job->row.id,
                                              .consistency = begun->consistency,
                                              .time_ms = begun->instant_ms,
                                              .until_ms = begun->snapshot_until_ms,
                                              .size = size,
                                              .disks = disks};
    if (catalog_snapshot_put(job->jobs->options.catalog, job->row.host_id, &snapshot, &err) != 0) {
        log_error("snapshot on a host not listed", &err); /* the host reports it, too */
    }
    free(disks);
}

void job_note_snapshot(struct job *job)
{
    const Holdfast__BackupBeginReply *begun = job->begun;
    char until[CLOCK_TEXT_SIZE];
    const char *text = NULL;
    if (job->snapshot_days == 0) {
        return;
    }
    if (begun->snapshot_until_ms > 0) {
        put_snapshot(job);
        char stood[64] = "";
        if (begun->paused_us > 0) {
            snprintf(stood, sizeof stood, "; for it the guest stood still for %u.%03u ms",
                     begun->paused_us / 1000, begun->paused_us % 1000);
        }
        job_log(job, JOB_LOG_INFORMATION, ERROR_NONE, "The snapshot stays on %s until %s%s",
                job->row.host_name, clock_format_wall(begun->snapshot_until_ms, until), stood);
    } else if (begun->snapshot_reason[0] != '\0') {
        enum error_code code = job_reason_parse(begun->snapshot_reason, &text);
        job_log(job, JOB_LOG_INFORMATION, code == ERROR_NONE ? ERROR_SNAPSHOT_NOT_KEPT : code,
                "No snapshot stays on %s: %.400s", job->row.host_name, text);
    }
}

bool job_kept_on_host(struct job *job)
{
    const struct jobs_options *options = &job->jobs->options;
    const char *point_id = NULL;
    int64_t until_ms = 0;
    char until[CLOCK_TEXT_SIZE];
    struct error err;
    if (!options->ports->agent_connected(options->ports->self, job->row.host_id)) {
        return false; /* nobody knows whether it is there */
    }
    if (catalog_snapshot_of_job(options->catalog, job->arena, job->row.id, job->row.host_id, &point_id,
                                &until_ms, &err) != 0) {
        log_error("snapshots of a job not read", &err);
        return false;
    }
    if (point_id == NULL || until_ms <= clock_wall_ms()) {
        return false;
    }
    job_text(job, &job->row.point_id, point_id);
    job_log(job, JOB_LOG_WARNING, ERROR_RP_ON_HOST_ONLY,
            "The snapshot of this instant, recovery point %s, stays on %s until %s and restores from there",
            point_id, job->row.host_name, clock_format_wall(until_ms, until));
    return true;
}

void job_forget_snapshot(struct job *job)
{
    struct error err;
    if (job->next_point[0] != '\0' &&
        catalog_snapshot_set_unwanted(job->jobs->options.catalog, job->next_point, &err) != 0) {
        log_error("a snapshot that is not wanted stays listed", &err);
    }
}
