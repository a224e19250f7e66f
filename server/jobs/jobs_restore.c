/*
 * Restores: the point is read and its sender made on the pool, the agent is asked, its data connections are
 * served by a thread each (lanes). A restore is not tried again by itself: what the target looks like is for
 * a person to see.
 *
 *   queued -> prepare -> restore -> final
 *
 * From a snapshot that stayed on the target host nothing is prepared and nothing sent: only the agent is
 * asked.
 */
#include "server/jobs/jobs_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

struct send_destroy_work {
    struct job_work work;
    struct restore_send *send;
    struct point *point;
};

static void send_destroy_run(struct job_work *work)
{
    struct send_destroy_work *destroy = (struct send_destroy_work *)(void *)work;
    if (destroy->send != NULL) {
        work->job->jobs->options.ports->send_destroy(destroy->send);
    }
    point_destroy(destroy->point);
}

static void send_destroy_finish(struct job *job, struct job_work *work)
{
    (void)job;
    free(work);
}

void job_clear_restore(struct job *job)
{
    struct send_destroy_work *destroy = memory_zalloc(sizeof *destroy);
    destroy->send = job->send;
    destroy->point = job->point;
    destroy->work.run = send_destroy_run;
    destroy->work.finish = send_destroy_finish;
    job->send = NULL;
    job->point = NULL;
    job->lanes_allowed = 0;
    job_submit(job, &destroy->work);
}

/* The agent has answered and no data is sent any more. */
static void restore_settled(struct job *job)
{
    struct error err;
    if (job->call_open || job->lanes_open > 0) {
        return;
    }
    job_session_close(job);
    job->give_up_ms = 0;
    job->row.transfer_state = job->failed ? JOB_PHASE_FAILED : JOB_PHASE_COMPLETED;
    job->row.transfer_finished_ms = clock_wall_ms();
    if (job->failed && job->failure.code == ERROR_CHUNK_DAMAGED &&
        catalog_point_set_verified(job->jobs->options.catalog, job->row.point_id, true, &err) != 0) {
        log_job_error(job->row.id, "damage not noted", &err);
    }
    job_clear_restore(job);
    job_end_attempt(job);
}

static void take_reply(struct job *job, const Holdfast__RestoreReply *reply)
{
    struct catalog_job *row = &job->row;
    struct error err;
    job_text(job, &row->restored_uuid, reply->vm_uuid);
    job_text(job, &row->restored_name, reply->vm_name);
    row->done_bytes = row->total_bytes;
    for (size_t i = 0; i < reply->n_warnings; i++) {
        job_log(job, JOB_LOG_WARNING, error_code_from_name(reply->warnings[i]->code), "%s",
                reply->warnings[i]->message);
    }
    for (size_t i = 0; i < reply->n_paths; i++) {
        job_log(job, JOB_LOG_INFORMATION, ERROR_NONE, "Written: %s", reply->paths[i]);
    }
    if (strcmp(row->mode, RESTORE_FROM_SNAPSHOT) == 0) {
        job_log(job, JOB_LOG_INFORMATION, ERROR_NONE,
                "%s is restored from the snapshot on %s; nothing was read from the store", reply->vm_name,
                row->host_name);
    } else {
        job_log(job, JOB_LOG_INFORMATION, ERROR_NONE, "%s is restored, %llu bytes written", reply->vm_name,
                (unsigned long long)reply->written_bytes);
    }
    if (row->restore_to_original &&
        catalog_tracking_clear(job->jobs->options.catalog, row->vm_id, &err) != 0) {
        log_job_error(job->row.id, "tracking points not forgotten",
                      &err); /* the agent finds them missing and says so */
    }
}

static void on_restored(struct job *job, const ProtobufCMessage *reply, const struct error *failure)
{
    if (failure == NULL) {
        take_reply(job, (const void *)reply);
        job->failed = false; /* a lane may have broken behind the last byte */
    } else {
        struct error err = *failure;
        if (err.code == ERROR_CONNECTION_LOST) {
            error_set(&err, ERROR_JOB_LOST_AGENT, "The agent on %s went away during the restore of %s",
                      job->row.host_name, job->row.vm_name);
            error_set_cause(&err, "%s", failure->message);
        }
        job_fail(job, &err);
    }
    if (job->lanes_open > 0) {
        struct error over;
        error_set(&over, ERROR_JOB_CANCELLED, "The restore is over");
        job->jobs->options.ports->send_abort(job->send, job->failed ? &job->failure : &over);
    }
    restore_settled(job);
}

/* --- lanes
 * ----------------------------------------------------------------------------------------------------------
 */

struct lane_event {
    struct job_event event;
    struct job *job;
    struct stream *stream; /* arrived */
    struct job_lane *lane; /* or ended */
};

static void post_lane_event(struct job *job, void (*handle)(struct jobs *jobs, struct job_event *event),
                            struct stream *stream, struct job_lane *lane)
{
    struct lane_event *event = memory_zalloc(sizeof *event);
    event->event.handle = handle;
    event->job = job;
    event->stream = stream;
    event->lane = lane;
    jobs_post(job->jobs, &event->event);
}

static void lane_ended_handle(struct jobs *jobs, struct job_event *event)
{
    (void)jobs;
    struct lane_event *ended = (struct lane_event *)(void *)event;
    struct job *job = ended->job;
    struct job_lane *lane = ended->lane;
    atomic_fetch_sub(&job->pending, 1);
    pthread_join(lane->thread, NULL);
    job->lanes_open--;
    job->lanes_done += lane->result == 0;
    /* What this side found is the better reason; that the connection ended the agent explains itself. */
    if (lane->result != 0 && lane->err.code != ERROR_CONNECTION_LOST) {
        job_fail(job, &lane->err);
    }
    if (lane->result != 0 && job->call_open) {
        job->give_up_ms = clock_monotonic_ms() + 2 * JOBS_PATIENCE_MS;
    }
    free(lane);
    free(ended);
    restore_settled(job);
}

static void *lane_thread(void *cookie)
{
    struct job_lane *lane = cookie;
    struct job *job = lane->job;
    log_set_job(job->row.id);
    lane->result = job->jobs->options.ports->send_serve(job->send, lane->stream, &lane->err);
    post_lane_event(job, lane_ended_handle, NULL, lane);
    return NULL;
}

static void arrived_handle(struct jobs *jobs, struct job_event *event)
{
    (void)jobs;
    struct lane_event *arrived = (struct lane_event *)(void *)event;
    struct job *job = arrived->job;
    struct job_lane *lane = NULL;
    if (job->stage == STAGE_RESTORE && job->send != NULL && job->lane_count < job->lanes_allowed) {
        lane = memory_zalloc(sizeof *lane);
        lane->job = job;
        lane->stream = arrived->stream;
        if (pthread_create(&lane->thread, NULL, lane_thread, lane) != 0) {
            free(lane);
            lane = NULL;
        }
    }
    if (lane != NULL) { /* the arrival's place among the pending is the lane's now */
        job->lane_count++;
        job->lanes_open++;
    } else {
        atomic_fetch_sub(&job->pending, 1);
        stream_close(arrived->stream);
    }
    free(arrived);
}

/* On an event loop. */
static void on_stream(void *cookie, struct stream *stream)
{
    struct job *job = cookie;
    atomic_fetch_add(&job->pending, 1);
    post_lane_event(job, arrived_handle, stream, NULL);
}

/* --- start
 * ------------------------------------------------------------------------------------------------------------
 */

/* "old=new,..." */
static void add_networks(Holdfast__RestoreRequest *request, const char *text, struct arena *arena)
{
    while (*text != '\0') {
        size_t from = strcspn(text, "=");
        size_t to = strcspn(text + from, ",");
        Holdfast__NetworkChange *change = arena_alloc(arena, sizeof *change);
        holdfast__network_change__init(change);
        change->from = (char *)(uintptr_t)arena_format(arena, "%.*s", (int)from, text);
        change->to =
            (char *)(uintptr_t)arena_format(arena, "%.*s", to > 0 ? (int)to - 1 : 0, text + from + 1);
        request->networks =
            arena_grow(arena, request->networks, request->n_networks, sizeof *request->networks);
        request->networks[request->n_networks++] = change;
        text += from + to;
        text += *text == ',';
    }
}

/* What of the request does not depend on where the disks come from. */
static void fill_request(struct job *job, Holdfast__RestoreRequest *request, struct arena *arena)
{
    const struct catalog_job *row = &job->row;
    struct error err;
    request->job = (char *)(uintptr_t)row->id;
    request->to_original = row->restore_to_original;
    request->new_name = (char *)(uintptr_t)row->restore_name;
    request->directory = (char *)(uintptr_t)row->restore_directory;
    request->start = row->restore_start;
    request->stop_running = row->restore_stop_running;
    request->pool = (char *)(uintptr_t)row->restore_pool;
    add_networks(request, row->restore_networks, arena);
    if (row->restore_to_original &&
        job_known_tracking(job->jobs->options.catalog, arena, row->vm_id, &request->known_tracking,
                           &request->n_known_tracking, &err) != 0) {
        log_job_error(job->row.id, "tracking points not read", &err);
    }
}

static void add_disks(struct job *job, Holdfast__RestoreRequest *request, struct arena *arena)
{
    const struct catalog_job *row = &job->row;
    const struct point *point = job->point;
    Holdfast__RestoreDisk *disks = arena_alloc(arena, (point->disk_count + 1) * sizeof *disks);
    request->disks = arena_alloc(arena, (point->disk_count + 1) * sizeof *request->disks);
    for (size_t i = 0; i < point->disk_count; i++) {
        holdfast__restore_disk__init(&disks[i]);
        disks[i].name = point->disks[i].name;
        disks[i].size = point->disks[i].size;
        disks[i].format =
            row->restore_format[0] != '\0' ? (char *)(uintptr_t)row->restore_format : point->disks[i].format;
        request->disks[i] = &disks[i];
    }
    request->n_disks = point->disk_count;
}

static void call_restore(struct job *job)
{
    const struct job_ports *ports = job->jobs->options.ports;
    const struct point *point = job->point;
    struct arena *arena = arena_create();
    Holdfast__RestoreRequest request = HOLDFAST__RESTORE_REQUEST__INIT;
    fill_request(job, &request, arena);
    add_disks(job, &request, arena);
    request.session = (ProtobufCBinaryData){.len = sizeof job->session, .data = job->session};
    request.kind = point->kind;
    request.configuration = point->configuration == NULL ? (char *)(uintptr_t) "" : point->configuration;
    request.vm_uuid = point->vm_uuid == NULL ? (char *)(uintptr_t) "" : point->vm_uuid;
    request.vm_name = point->vm_name;
    request.chunk_size = ports->store_chunk_size(ports->self);
    request.connections = job->lanes_allowed;
    job_session_open(job, on_stream);
    request.session.data = job->session;
    job_call(job, AGENT_RESTORE, &request.base, -1, on_restored);
    arena_destroy(arena);
}

static int create_send(struct job *job, struct error *err)
{
    const struct jobs_options *options = &job->jobs->options;
    size_t *positions = memory_array(job->point->disk_count + 1, sizeof *positions);
    for (size_t i = 0; i < job->point->disk_count; i++) {
        positions[i] = i;
    }
    struct restore_send_options send = {.job = job->row.id,
                                        .point = job->point,
                                        .disks = positions,
                                        .disk_count = job->point->disk_count,
                                        .connections = job->lanes_allowed,
                                        .idle_timeout_ms = options->idle_timeout_ms};
    job->send =
        options->ports->send_create(options->ports->self, job->row.host_id, job->row.bandwidth, &send, err);
    free(positions);
    return job->send == NULL ? -1 : 0;
}

static void prepare_run(struct job_work *work)
{
    struct job *job = work->job;
    const struct job_ports *ports = job->jobs->options.ports;
    job->point = ports->point_read(ports->self, job->row.point_id, &work->err);
    work->result = job->point == NULL ? -1 : create_send(job, &work->err);
}

static void prepare_finish(struct job *job, struct job_work *work)
{
    struct error err;
    if (work->result != 0) {
        job_fail(job, &work->err);
    }
    free(work);
    job->stage = STAGE_RESTORE;
    job_step(job, "restoring");
    job->row.transfer_state = JOB_PHASE_RUNNING;
    job->row.transfer_started_ms = clock_wall_ms();
    if (!job->failed && job_save(job, &err) != 0) {
        job_fail(job, &err);
    }
    if (job->failed) {
        restore_settled(job);
    } else {
        call_restore(job);
    }
}

/* How many a restore may have that begins now. */
static unsigned allow_lanes(const struct jobs *jobs)
{
    unsigned beside = 0;
    for (const struct job *job = jobs->first; job != NULL; job = job->next) {
        beside += job->lanes_allowed > 1 ? job->lanes_allowed - 1 : 0;
    }
    unsigned left = beside < JOBS_LANES_BESIDE_MAX ? JOBS_LANES_BESIDE_MAX - beside : 0;
    return left < JOBS_LANES_MAX ? 1 + left : JOBS_LANES_MAX;
}

static void read_point(struct job *job)
{
    struct error err;
    job->stage = STAGE_PREPARE;
    job_step(job, "reading the recovery point");
    if (job_save(job, &err) != 0) {
        job_fail(job, &err);
        job_end_attempt(job);
        return;
    }
    job->lanes_allowed = allow_lanes(job->jobs);
    struct job_work *work = memory_zalloc(sizeof *work);
    work->run = prepare_run;
    work->finish = prepare_finish;
    job_submit(job, work);
}

/* It is gone meanwhile: the agent has touched nothing. */
static void on_copied(struct job *job, const ProtobufCMessage *reply, const struct error *failure)
{
    bool either = strcmp(job->row.mode, RESTORE_FROM_EITHER) == 0;
    if (failure != NULL && either && failure->code == ERROR_SNAPSHOT_GONE && !job->failed) {
        job_log(job, JOB_LOG_INFORMATION, failure->code, "The disks come from the store: %s",
                failure->message);
        job->row.mode = RESTORE_FROM_STORE;
        read_point(job);
        return;
    }
    job->row.mode = RESTORE_FROM_SNAPSHOT;
    on_restored(job, reply, failure);
}

static void copy_on_host(struct job *job)
{
    struct error err;
    job->stage = STAGE_RESTORE;
    job_step(job, "copying the snapshot on %s", job->row.host_name);
    job->row.transfer_state = JOB_PHASE_RUNNING;
    job->row.transfer_started_ms = clock_wall_ms();
    if (job_save(job, &err) != 0) {
        job_fail(job, &err);
        job_end_attempt(job);
        return;
    }
    struct arena *arena = arena_create();
    Holdfast__RestoreRequest request = HOLDFAST__RESTORE_REQUEST__INIT;
    const struct catalog_vm *vm = catalog_vm_find(job->jobs->options.catalog, arena, job->row.vm_id, &err);
    if (vm == NULL) {
        job_fail(job, &err);
        job_end_attempt(job);
    } else {
        fill_request(job, &request, arena);
        request.kind = (char *)(uintptr_t)vm->kind;
        request.host_snapshot = (char *)(uintptr_t)job->row.point_id;
        job_call(job, AGENT_RESTORE, &request.base, -1, on_copied);
    }
    arena_destroy(arena);
}

void job_start_restore(struct job *job)
{
    bool from_host =
        strcmp(job->row.mode, RESTORE_FROM_SNAPSHOT) == 0 || strcmp(job->row.mode, RESTORE_FROM_EITHER) == 0;
    job->row.state = JOB_RUNNING;
    job->row.started_ms = clock_wall_ms();
    if (from_host) {
        copy_on_host(job);
    } else {
        read_point(job);
    }
}

/* --- cancel and time
 * ------------------------------------------------------------------------------------------------------ */

static bool is_sent(const struct job *job)
{
    struct transfer_progress progress = {0};
    if (job->lanes_done == 0 || job->lanes_open > 0) {
        return false;
    }
    job->jobs->options.ports->send_progress(job->send, &progress);
    return progress.done_bytes >= progress.total_bytes; /* or another lane is about to begin */
}

void job_cancel_restore(struct job *job, const struct error *why, bool *late)
{
    /* All data is there: the agent puts the VM in place now. */
    *late = job->stage == STAGE_RESTORE && (job->send == NULL || is_sent(job));
    if (*late) {
        return;
    }
    job_fail(job, why);
    if (job->stage == STAGE_RESTORE) {
        job->jobs->options.ports->send_abort(job->send, why);
        job_call_cancel(job);
        job->give_up_ms = clock_monotonic_ms() + 2 * JOBS_PATIENCE_MS;
    }
}

void job_tick_restore(struct job *job, int64_t now_ms)
{
    struct catalog_job *row = &job->row;
    if (job->stage == STAGE_RESTORE && job->send != NULL) {
        struct transfer_progress progress = {0};
        job->jobs->options.ports->send_progress(job->send, &progress);
        row->done_bytes = progress.done_bytes;
        row->total_bytes = progress.total_bytes;
        row->wire_bytes = progress.wire_bytes;
    }
    if (job->give_up_ms != 0 && now_ms >= job->give_up_ms && job->call_open) {
        struct error err;
        job->give_up_ms = 0;
        error_set(&err, ERROR_PROTOCOL_TIMEOUT, "The agent on %s did not answer for the restore of %s",
                  row->host_name, row->vm_name);
        job_fail(job, &err);
        job_call_cancel(job);
        job_forget_call(job);
        restore_settled(job);
    }
}
