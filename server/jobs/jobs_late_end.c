/* Backups that are committed while their agent is away: it is told when it is back. */
#include "server/jobs/jobs_internal.h"

#include "base/log.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

void job_remember_late_end(struct job *job)
{
    struct job_late_end *late = memory_zalloc(sizeof *late);
    strncpy(late->job_id, job->row.id, sizeof late->job_id - 1);
    strncpy(late->host_id, job->row.host_id, sizeof late->host_id - 1);
    strncpy(late->vm_id, job->row.vm_id, sizeof late->vm_id - 1);
    late->next = job->jobs->late_ends;
    job->jobs->late_ends = late;
}

static void late_end_done(void *cookie, const ProtobufCMessage *reply, const struct error *failure)
{
    char *job_id = cookie;
    (void)reply;
    if (failure != NULL) {
        log_job_error(job_id, "backup not ended on its host",
                      failure); /* the next one of this VM cleans up */
    }
    free(job_id);
}

void job_send_late_end(struct jobs *jobs, const struct job_late_end *late)
{
    struct error err;
    struct arena *arena = arena_create();
    const struct catalog_tracking *tracking = NULL;
    size_t count = 0;
    const struct catalog_vm *vm = catalog_vm_find(jobs->options.catalog, arena, late->vm_id, &err);
    Holdfast__BackupEndRequest request = HOLDFAST__BACKUP_END_REQUEST__INIT;
    if (vm != NULL &&
        catalog_tracking_list(jobs->options.catalog, arena, late->vm_id, &tracking, &count, &err) == 0 &&
        job_known_tracking(jobs->options.catalog, arena, late->vm_id, &request.known_tracking,
                           &request.n_known_tracking, &err) == 0) {
        request.job = (char *)(uintptr_t)late->job_id;
        request.vm_uuid = (char *)(uintptr_t)vm->uuid;
        request.kind = (char *)(uintptr_t)vm->kind;
        request.committed = true;
        request.tracking = (char *)(uintptr_t)(count == 0 ? "" : tracking[0].name);
        jobs->options.ports->agent_call(jobs->options.ports->self, late->host_id, AGENT_BACKUP_END,
                                        &request.base, JOBS_END_DEADLINE_MS, late_end_done,
                                        memory_copy_text(late->job_id));
    }
    arena_destroy(arena);
}
