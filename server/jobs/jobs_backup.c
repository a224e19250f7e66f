/*
 * Backups and consistency checks: snapshot on the host, transfer into the store, end on the host.
 *
 *   queued -> (clean) -> snapshot -> prepare -> transfer -> end -> final, or queued again
 *
 * Whatever fails goes through `end`, so that the agent gives its frozen view up.
 */
#include "server/jobs/jobs_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/catalog/point_import.h"
#include <stdlib.h>
#include <string.h>

static void begin_snapshot(struct job *job);
static void end_on_host(struct job *job);

/* The connection went while the job used it. */
static void name_lost_agent(struct job *job, struct error *err)
{
    if (err->code == ERROR_CONNECTION_LOST || err->code == ERROR_HOST_UNREACHABLE) {
        struct error reason = *err;
        error_set(err, ERROR_JOB_LOST_AGENT, "The agent on %s went away during the backup of %s",
                  job->row.host_name, job->row.vm_name);
        error_set_cause(err, "%s", reason.message);
    }
}

static void fail_with(struct job *job, const struct error *failure)
{
    struct error err = *failure;
    name_lost_agent(job, &err);
    job_fail(job, &err);
}

void job_clear_backup(struct job *job)
{
    if (job->begun != NULL) {
        holdfast__backup_begin_reply__free_unpacked(job->begun, NULL);
        job->begun = NULL;
    }
    point_destroy(job->parent);
    job->parent = NULL;
    job->seed[0] = '\0';
}

/* --- end
 * ----------------------------------------------------------------------------------------------------------
 */

static void call_end(struct job *job, bool committed, const char *tracking, job_answered answered)
{
    struct error err;
    struct arena *arena = arena_create();
    Holdfast__BackupEndRequest request = HOLDFAST__BACKUP_END_REQUEST__INIT;
    request.job = (char *)(uintptr_t)job->row.id;
    request.vm_uuid = (char *)(uintptr_t)job->vm_uuid;
    request.kind = (char *)(uintptr_t)job->vm_kind;
    request.committed = committed;
    request.drop_snapshot = !committed && (job->cancelling || job->row.snapshot_state == JOB_PHASE_FAILED);
    request.tracking = (char *)(uintptr_t)tracking;
    if (job_known_tracking(job->jobs->options.catalog, arena, job->row.vm_id, &request.known_tracking,
                           &request.n_known_tracking, &err) != 0) {
        log_job_error(job->row.id, "tracking points not read", &err);
        request.committed = true; /* drop nothing: the next backup cleans up */
    }
    /* A tracking point that was there before this job (a VM that is off) is not the job's to drop. */
    for (size_t i = 0; i < request.n_known_tracking && !request.committed; i++) {
        if (strcmp(request.known_tracking[i], tracking) == 0) {
            request.tracking = (char *)(uintptr_t) "";
        }
    }
    job_call(job, AGENT_BACKUP_END, &request.base, JOBS_END_DEADLINE_MS, answered);
    arena_destroy(arena);
}

static void attempt_over(struct job *job)
{
    if (job->failed && job->parent_id[0] != '\0' &&
        (job->failure.code == ERROR_CHUNK_DAMAGED || job->failure.code == ERROR_RP_DAMAGED ||
         job->failure.code == ERROR_RP_NOT_FOUND)) {
        job->forget_parent = true;
    }
    job_clear_backup(job);
    job_end_attempt(job);
}

static void on_ended(struct job *job, const ProtobufCMessage *reply, const struct error *failure)
{
    (void)reply;
    job->needs_end = failure != NULL;
    if (failure != NULL && job->committed) {
        job_log(job, JOB_LOG_INFORMATION, failure->code,
                "The host could not be told that the backup is complete: %s", failure->message);
        job_remember_late_end(job);
    } else if (failure != NULL) {
        log_job_error(job->row.id, "backup not ended on its host", failure);
    }
    attempt_over(job);
}

static void end_on_host(struct job *job)
{
    job_session_close(job);
    job->give_up_ms = 0;
    job->stage = STAGE_END;
    job_step(job, "%s", job->committed ? "finishing" : "giving up");
    job_save_soon(job);
    call_end(job, job->committed, job->new_tracking, on_ended);
}

/* --- transfer
 * ------------------------------------------------------------------------------------------------------- */

/* Both the receiver and the agent have said how it went. */
static void transfer_settled(struct job *job)
{
    struct catalog_job *row = &job->row;
    if (job->receive_open || job->call_open) {
        return;
    }
    row->transfer_finished_ms = clock_wall_ms();
    row->transfer_state = job->committed ? JOB_PHASE_COMPLETED : JOB_PHASE_FAILED;
    end_on_host(job);
}

struct receive_destroy_work {
    struct job_work work;
    struct backup_receive *receive;
};

static void receive_destroy_run(struct job_work *work)
{
    work->job->jobs->options.ports->receive_destroy(((struct receive_destroy_work *)(void *)work)->receive);
}

static void receive_destroy_finish(struct job *job, struct job_work *work)
{
    (void)job;
    free(work);
}

/* Joins the receiver's threads: not for this thread. */
static void destroy_receive(struct job *job)
{
    struct receive_destroy_work *destroy = memory_zalloc(sizeof *destroy);
    job_session_close(job);
    destroy->receive = job->receive;
    destroy->work.run = receive_destroy_run;
    destroy->work.finish = receive_destroy_finish;
    job->receive = NULL;
    job_submit(job, &destroy->work);
}

struct received_event {
    struct job_event event;
    struct job *job;
    bool committed;
    struct transfer_progress progress;
    struct error failure;
};

static void received_handle(struct jobs *jobs, struct job_event *event)
{
    struct received_event *received = (struct received_event *)(void *)event;
    struct job *job = received->job;
    struct catalog_job *row = &job->row;
    atomic_fetch_sub(&job->pending, 1);
    job->receive_open = false;
    row->wire_bytes = received->progress.wire_bytes;
    row->stored_bytes = received->progress.stored_bytes;
    row->done_bytes = received->committed ? row->total_bytes : received->progress.done_bytes;
    row->rate = 0;
    if (received->committed) {
        job->committed = true;
        job->failed = false; /* the agent may have failed behind the commit: the point is there */
        job_log(job, JOB_LOG_INFORMATION, ERROR_NONE,
                "Recovery point %s is complete: %llu bytes sent, %llu stored", row->point_id,
                (unsigned long long)row->wire_bytes, (unsigned long long)row->stored_bytes);
    } else if (job->call_open && received->failure.code == ERROR_CONNECTION_LOST) {
        job->lost_data = received->failure; /* the agent may know better why */
        job->has_lost_data = true;
    } else {
        fail_with(job, &received->failure);
    }
    destroy_receive(job);
    if (job->call_open) {
        job->give_up_ms = clock_monotonic_ms() + JOBS_PATIENCE_MS;
    }
    transfer_settled(job);
    free(received);
    (void)jobs;
}

/* The point is durable in the store: now in the catalog, before the agent is told. */
static int commit_to_catalog(struct job *job, const struct point *point, struct error *err)
{
    struct catalog *catalog = job->jobs->options.catalog;
    struct arena *arena = arena_create();
    struct catalog_point row;
    struct catalog_point_disk *disks = point_row_from_store(arena, point, &row);
    row.job_id = job->row.id;
    row.reason = job->row.reason;
    int result = catalog_begin(catalog, err);
    if (result == 0) {
        result = catalog_point_insert(catalog, &row, disks, point->disk_count, err);
        if (result == 0 && job->begun->tracking[0] != '\0') {
            struct catalog_tracking tracking = {.name = job->begun->tracking,
                                                .metadata = job->begun->tracking_metadata,
                                                .point_id = point->id,
                                                .left_out = job->begun->left_out};
            result = catalog_tracking_add(catalog, job->row.vm_id, &tracking, err);
        }
        if (result == 0) {
            result = catalog_tracking_trim(catalog, job->row.vm_id, err);
        }
        result = catalog_end(catalog, result, err);
    }
    arena_destroy(arena);
    return result;
}

/* On a thread of the receiver. What it reads of the job does not change during the transfer. */
static void on_received(void *cookie, struct point *point, const struct error *failure)
{
    struct job *job = cookie;
    struct received_event *received = memory_zalloc(sizeof *received);
    received->event.handle = received_handle;
    received->job = job;
    if (point != NULL && commit_to_catalog(job, point, &received->failure) == 0) {
        received->committed = true;
    } else if (point != NULL) {
        /* It is in the store, and listed when the catalog works again and the server starts. */
        log_job_error(job->row.id, "recovery point not listed", &received->failure);
    } else {
        received->failure = *failure;
    }
    job->jobs->options.ports->receive_progress(job->receive, &received->progress);
    point_destroy(point);
    jobs_post(job->jobs, &received->event);
}

/* What the agent says about the transfer. */
static void log_notes(struct job *job, const Holdfast__BackupTransferReply *reply)
{
    for (size_t i = 0; i < reply->n_notes && i < JOBS_NOTES_MAX; i++) {
        job_log(job, JOB_LOG_INFORMATION, ERROR_NONE, "%.200s", reply->notes[i]);
    }
    for (size_t i = 0; i < reply->n_warnings && i < JOBS_NOTES_MAX; i++) {
        const Holdfast__Failure *warning = reply->warnings[i];
        job_log(job, JOB_LOG_WARNING, error_code_from_name(warning->code), "%s", warning->message);
    }
}

static void on_transferred(struct job *job, const ProtobufCMessage *reply, const struct error *failure)
{
    job->give_up_ms = 0;
    if (failure == NULL) {
        log_notes(job, (const void *)reply);
    }
    if (failure != NULL) {
        if (!job->committed) {
            fail_with(job, failure);
        }
        if (job->receive_open) {
            job->jobs->options.ports->receive_abort(job->receive,
                                                    &job->failure); /* too late is fine: it commits */
        }
    } else if (job->has_lost_data) {
        fail_with(job, &job->lost_data);
    } else if (job->receive_open) {
        job->give_up_ms = clock_monotonic_ms() + JOBS_PATIENCE_MS;
    }
    transfer_settled(job);
}

/* On an event loop; job->receive stays until the session is closed. */
static void on_stream(void *cookie, struct stream *stream)
{
    struct job *job = cookie;
    job->jobs->options.ports->receive_add(job->receive, stream);
}

static void begin_transfer(struct job *job)
{
    struct jobs *jobs = job->jobs;
    struct error err;
    job->stage = STAGE_TRANSFER;
    job->row.transfer_state = JOB_PHASE_RUNNING;
    job->row.transfer_started_ms = clock_wall_ms();
    job_step(job, "transferring");
    job->receive_open = true;
    job->has_lost_data = false;
    atomic_fetch_add(&job->pending, 1); /* of `done` */
    if (job_save(job, &err) != 0) {
        job_fail(job, &err);
    }
    if (job->failed) {
        jobs->options.ports->receive_abort(job->receive, &job->failure);
        return;
    }
    job_session_open(job, on_stream);
    Holdfast__BackupTransferRequest request = HOLDFAST__BACKUP_TRANSFER_REQUEST__INIT;
    request.job = (char *)(uintptr_t)job->row.id;
    request.session = (ProtobufCBinaryData){.len = sizeof job->session, .data = job->session};
    request.connections = jobs->options.connections;
    request.chunk_size = jobs->options.ports->store_chunk_size(jobs->options.ports->self);
    job_call(job, AGENT_BACKUP_TRANSFER, &request.base, -1, on_transferred);
}

/* --- prepare: on the pool, since it reads the store
 * ------------------------------------------------------------------ */

static struct point *make_point(const struct job *job)
{
    const Holdfast__BackupBeginReply *begun = job->begun;
    struct point *point = point_create();
    strncpy(point->id, job->row.point_id, sizeof point->id - 1);
    strncpy(point->datasource, job->row.vm_id, sizeof point->datasource - 1);
    strncpy(point->parent, job->parent_id, sizeof point->parent - 1);
    point->vm_name = memory_copy_text(job->row.vm_name);
    point->vm_uuid = memory_copy_text(job->vm_uuid);
    point->host_id = memory_copy_text(job->row.host_id);
    point->host_name = memory_copy_text(job->row.host_name);
    point->kind = memory_copy_text(job->vm_kind);
    point->mode = memory_copy_text(job->seed[0] != '\0' ? "check" : job->row.mode);
    point->consistency = memory_copy_text(begun->consistency);
    point->consistency_reason =
        begun->consistency_reason[0] == '\0' ? NULL : memory_copy_text(begun->consistency_reason);
    point->configuration = begun->configuration[0] == '\0' ? NULL : memory_copy_text(begun->configuration);
    point->tracking = begun->tracking[0] == '\0' ? NULL : memory_copy_text(begun->tracking);
    point->time_ms = begun->instant_ms;
    point->retain_until_ms = job->row.retain_until_ms;
    return point;
}

static int create_receive(struct job *job, struct error *err)
{
    const struct jobs_options *options = &job->jobs->options;
    const Holdfast__BackupBeginReply *begun = job->begun;
    struct point *point = make_point(job);
    if (job_lock_point(job, point, err) != 0) {
        point_destroy(point);
        return -1;
    }
    struct backup_receive_disk *disks = memory_array(begun->n_disks, sizeof *disks);
    for (size_t i = 0; i < begun->n_disks; i++) {
        disks[i] = (struct backup_receive_disk){.name = begun->disks[i]->name,
                                                .format = begun->disks[i]->format,
                                                .size = begun->disks[i]->size,
                                                .incremental = begun->disks[i]->incremental,
                                                .expected_bytes = begun->disks[i]->expected_bytes};
    }
    struct backup_receive_options receive = {.job = job->row.id,
                                             .point = point,
                                             .parent = job->parent,
                                             .disks = disks,
                                             .disk_count = begun->n_disks,
                                             .connections = options->connections,
                                             .idle_timeout_ms = options->idle_timeout_ms,
                                             .done = on_received,
                                             .cookie = job};
    job->receive = options->ports->receive_create(options->ports->self, job->row.host_id, job->row.bandwidth,
                                                  &receive, err);
    free(disks);
    return job->receive == NULL ? -1 : 0;
}

static void prepare_run(struct job_work *work)
{
    struct job *job = work->job;
    const struct job_ports *ports = job->jobs->options.ports;
    if (job->parent_id[0] != '\0') {
        job->parent = ports->point_read(ports->self, job->parent_id, &work->err);
        if (job->parent == NULL) {
            work->result = -1;
            return;
        }
    } else if (!job->row.full) {
        struct error err;
        if (ports->seed_find(ports->self, job->row.vm_id, job->seed, &err) < 0) {
            log_job_error(job->row.id, "a seed is not known", &err); /* then it saves nothing */
        }
    }
    work->result = create_receive(job, &work->err);
}

/* What is full for the host is compared with what the operator gave. */
static void tell_seed(struct job *job)
{
    if (job->seed[0] != '\0') {
        job->row.mode = "check";
        job->row.reason =
            arena_format(job->arena, "The first copy was seeded from recovery point %s", job->seed);
        job_log(job, JOB_LOG_INFORMATION, ERROR_NONE, "The backup is a consistency check: %s",
                job->row.reason);
    }
}

static void prepare_finish(struct job *job, struct job_work *work)
{
    if (work->result != 0) {
        fail_with(job, &work->err);
        job->row.transfer_state = JOB_PHASE_FAILED;
        end_on_host(job);
    } else {
        tell_seed(job);
        begin_transfer(job);
    }
    free(work);
}

/* --- snapshot
 * ---------------------------------------------------------------------------------------------------------
 */

static void on_begun(struct job *job, const ProtobufCMessage *message, const struct error *failure)
{
    const Holdfast__BackupBeginReply *reply = (const void *)message;
    struct catalog_job *row = &job->row;
    struct error err;
    row->snapshot_finished_ms = clock_wall_ms();
    if (failure != NULL) {
        fail_with(job, failure);
        row->snapshot_state = JOB_PHASE_FAILED;
        end_on_host(job); /* it may have begun nevertheless, if only the answer was lost */
        return;
    }
    job->new_tracking = arena_text(job->arena, reply->tracking);
    if (job_take_begun(job, reply, &err) != 0) {
        job_fail(job, &err);
        row->snapshot_state = JOB_PHASE_FAILED;
        end_on_host(job);
        return;
    }
    job_text(job, &row->point_id, job->next_point);
    row->snapshot_state = JOB_PHASE_COMPLETED;
    job_note_snapshot(job);
    row->total_bytes = 0;
    for (size_t i = 0; i < job->begun->n_disks; i++) {
        row->total_bytes += job->begun->disks[i]->expected_bytes;
    }
    job->stage = STAGE_PREPARE;
    if (job->failed || job_save(job, &err) != 0) { /* cancelled meanwhile, or the catalog fails */
        if (!job->failed) {
            job_fail(job, &err);
        }
        end_on_host(job);
        return;
    }
    struct job_work *work = memory_zalloc(sizeof *work);
    work->run = prepare_run;
    work->finish = prepare_finish;
    job_submit(job, work);
}

static void begin_snapshot(struct job *job)
{
    struct catalog_job *row = &job->row;
    struct error err;
    row->snapshot_state = JOB_PHASE_RUNNING;
    row->snapshot_started_ms = clock_wall_ms();
    job_step(job, "taking the snapshot");
    job->stage = STAGE_SNAPSHOT;
    if (!job->failed && job_save(job, &err) != 0) {
        job_fail(job, &err);
    }
    if (job->failed) {
        row->snapshot_state = JOB_PHASE_FAILED;
        attempt_over(job);
        return;
    }
    job->needs_end = true;
    job_call_begin(job, on_begun);
}

static void on_cleaned(struct job *job, const ProtobufCMessage *reply, const struct error *failure)
{
    (void)reply;
    if (failure != NULL) {
        log_job_error(job->row.id, "a former try was not ended on its host", failure);
    }
    job->needs_end = false;
    begin_snapshot(job);
}

void job_start_backup(struct job *job)
{
    struct catalog_job *row = &job->row;
    struct error err;
    row->state = JOB_RUNNING;
    row->next_attempt_ms = 0;
    if (row->started_ms == 0) {
        row->started_ms = clock_wall_ms();
    }
    row->done_bytes = 0;
    row->wire_bytes = 0;
    job->warnings = 0;
    job->committed = false;
    const char *former_tracking = job->new_tracking;
    job->new_tracking = "";
    const struct job_ports *ports = job->jobs->options.ports;
    if (ports->store_check_room(ports->self, &err) != 0 || job_plan_backup(job, &err) != 0) {
        job_fail(job, &err);
        attempt_over(job);
    } else if (job->needs_end) {
        job->stage = STAGE_CLEAN;
        job_step(job, "cleaning up after the last try");
        job_save_soon(job);
        call_end(job, false, former_tracking, on_cleaned);
    } else {
        begin_snapshot(job);
    }
}

/* --- cancel and time
 * ------------------------------------------------------------------------------------------------------ */

void job_cancel_backup(struct job *job, const struct error *why, bool *late)
{
    *late = false;
    switch (job->stage) {
    case STAGE_END:
        *late = job->committed;
        break;
    case STAGE_TRANSFER:
        *late = job->committed ||
                (job->receive_open && !job->jobs->options.ports->receive_abort(job->receive, why));
        break;
    default:
        break;
    }
    if (!*late) {
        job_fail(job, why);
        if (job->call_open && (job->stage == STAGE_SNAPSHOT || job->stage == STAGE_TRANSFER)) {
            job_call_cancel(job);
        }
        job->give_up_ms = clock_monotonic_ms() + 2 * JOBS_PATIENCE_MS;
    }
}

void job_tick_backup(struct job *job, int64_t now_ms)
{
    struct catalog_job *row = &job->row;
    if (job->stage == STAGE_TRANSFER && job->receive_open) {
        struct transfer_progress progress = {0};
        job->jobs->options.ports->receive_progress(job->receive, &progress);
        row->done_bytes = progress.done_bytes;
        row->total_bytes = progress.total_bytes;
        row->wire_bytes = progress.wire_bytes;
        row->stored_bytes = progress.stored_bytes;
    }
    if (job->give_up_ms == 0 || now_ms < job->give_up_ms) {
        return;
    }
    job->give_up_ms = 0;
    struct error err;
    error_set(&err, ERROR_PROTOCOL_TIMEOUT, "The agent on %s did not answer for the backup of %s",
              row->host_name, row->vm_name);
    if (job->stage == STAGE_SNAPSHOT && job->call_open) {
        job_forget_call(job); /* cancelled, and the agent does not say so */
        row->snapshot_state = JOB_PHASE_FAILED;
        end_on_host(job);
    } else if (job->stage == STAGE_TRANSFER && job->receive_open && !job->call_open) {
        /* The agent says that all is sent, and nothing says so here. */
        job_fail(job, &err);
        job->jobs->options.ports->receive_abort(job->receive, &err);
    } else if (job->stage == STAGE_TRANSFER && job->call_open && !job->receive_open) {
        if (!job->committed) {
            fail_with(job, job->has_lost_data ? &job->lost_data : &err);
        }
        job_call_cancel(job);
        job_forget_call(job);
        transfer_settled(job);
    }
}
