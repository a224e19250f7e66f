/* How jobs come to be: requests are checked against the catalog and the other jobs, then stored and queued.
 */
#include "server/jobs/jobs.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/catalog/catalog_deletion.h"
#include "server/catalog/catalog_snapshots.h"
#include "server/jobs/jobs_internal.h"
#include <string.h>

/* A request, on its way to the engine's thread: the row is complete but for what only the engine knows. */
struct start_question {
    struct catalog_job row;
    char id[IDENTITY_SIZE];
    struct error *err;
    int result;
};

static void start_question_init(struct start_question *question, enum job_type type, const char *requested_by,
                                struct error *err)
{
    memset(question, 0, sizeof *question);
    identity_create(question->id);
    question->err = err;
    question->row = (struct catalog_job){.id = question->id,
                                         .type = type,
                                         .state = JOB_QUEUED,
                                         .requested_by = requested_by,
                                         .attempt = 1,
                                         .created_ms = clock_wall_ms()};
}

/* The schedule's turn came while the former job of the VM is not over: no point is made, the next one carries
 * all. */
static int skip(struct job *job, const struct job *other, struct error *err)
{
    job->row.snapshot_state = JOB_PHASE_SKIPPED;
    job->row.transfer_state = JOB_PHASE_SKIPPED;
    job->row.started_ms = clock_wall_ms();
    job->row.reason = arena_format(job->arena, "An earlier job (%s) of %s is not finished", other->row.id,
                                   job->row.vm_name);
    int result = catalog_job_insert(job->jobs->options.catalog, &job->row, err);
    if (result == 0) {
        job_log(job, JOB_LOG_INFORMATION, ERROR_JOB_CONFLICT, "Skipped: %s", job->row.reason);
        job_become_final(job, JOB_COMPLETED);
    }
    return result;
}

static int start(struct jobs *jobs, struct start_question *question)
{
    struct catalog_job *row = &question->row;
    struct error *err = question->err;
    if (jobs->stopping) {
        return error_set(err, ERROR_LIMIT_EXCEEDED, "The server is about to stop");
    }
    if (jobs->count >= JOBS_OPEN_MAX) {
        return error_set(err, ERROR_LIMIT_EXCEEDED, "%u jobs are not finished yet", jobs->count);
    }
    row->max_attempts = row->type == JOB_BACKUP || row->type == JOB_CHECK ? jobs->options.max_attempts : 1;
    struct job *job = job_add(jobs, row);
    const struct job *other = job_waits_for_time(job) ? NULL : job_find_rival(job, false);
    if (other != NULL && row->on_demand) {
        job_drop(job);
        return error_set(err, ERROR_JOB_CONFLICT, "Another job (%s, %s) of %s is not finished", other->row.id,
                         job_type_name(other->row.type), row->vm_name == NULL ? "the store" : row->vm_name);
    }
    if (other != NULL) {
        int result = skip(job, other, err);
        job->stage = STAGE_FINAL;
        return result;
    }
    if (catalog_job_insert(jobs->options.catalog, &job->row, err) != 0) {
        job_drop(job);
        return -1;
    }
    job_tell(job);
    return 0;
}

static void start_on_engine(struct jobs *jobs, void *cookie)
{
    struct start_question *question = cookie;
    question->result = start(jobs, question);
}

static int ask_start(struct jobs *jobs, struct start_question *question, char job_id[IDENTITY_SIZE])
{
    jobs_ask(jobs, start_on_engine, question);
    if (question->result == 0) {
        memcpy(job_id, question->id, IDENTITY_SIZE);
    }
    return question->result;
}

static int check_connected(struct jobs *jobs, const struct catalog_host *host, struct error *err)
{
    char since[CLOCK_TEXT_SIZE];
    if (jobs->options.ports->agent_connected(jobs->options.ports->self, host->id)) {
        return host->draining
                   ? error_set(err, ERROR_HOST_DRAINED, "Host %s is drained: no job starts there", host->name)
                   : 0;
    }
    if (host->state == HOST_RETIRED) {
        return error_set(err, ERROR_HOST_UNREACHABLE, "Host %s is retired", host->name);
    }
    return error_set(err, ERROR_HOST_UNREACHABLE, "Host %s has not been connected since %s", host->name,
                     host->last_seen_ms == 0 ? "it was enrolled"
                                             : clock_format_wall(host->last_seen_ms, since));
}

static int start_backup(struct jobs *jobs, const struct jobs_backup_request *request, struct arena *arena,
                        char job_id[IDENTITY_SIZE], struct error *err)
{
    struct start_question question;
    const struct catalog_vm *vm = catalog_vm_find(jobs->options.catalog, arena, request->vm_id, err);
    const struct catalog_host *host =
        vm == NULL ? NULL : catalog_host_find(jobs->options.catalog, arena, vm->host_id, err);
    if (host == NULL) {
        return -1;
    }
    bool now = request->start_ms <= clock_wall_ms();
    if (request->on_demand && now && check_connected(jobs, host, err) != 0) {
        return -1;
    }
    if (request->on_demand && now &&
        jobs->options.ports->store_check_room(jobs->options.ports->self, err) != 0) {
        return -1;
    }
    if (request->on_demand && catalog_vm_check_present(vm, err) != 0) {
        return -1;
    }
    start_question_init(&question, request->type, request->requested_by, err);
    question.row.vm_id = vm->id;
    question.row.vm_name = vm->name;
    question.row.host_id = vm->host_id;
    question.row.host_name = vm->host_name;
    question.row.group_id = request->group_id;
    question.row.on_demand = request->on_demand;
    question.row.full = request->full && request->type == JOB_BACKUP;
    question.row.retain_until_ms = request->retain_until_ms;
    question.row.bandwidth = request->bandwidth;
    if (!now) {
        char start[CLOCK_TEXT_SIZE];
        question.row.next_attempt_ms = request->start_ms;
        question.row.step =
            arena_format(arena, "waiting until %s", clock_format_wall(request->start_ms, start));
    }
    return ask_start(jobs, &question, job_id);
}

int jobs_start_backup(struct jobs *jobs, const struct jobs_backup_request *request,
                      char job_id[IDENTITY_SIZE], struct error *err)
{
    struct arena *arena = arena_create();
    int result = start_backup(jobs, request, arena, job_id, err);
    arena_destroy(arena);
    return result;
}

static bool host_has_kind(const struct catalog_host *host, const char *kind)
{
    size_t length = strlen(kind);
    for (const char *at = strstr(host->kinds, kind); at != NULL; at = strstr(at + 1, kind)) {
        bool begins = at == host->kinds || at[-1] == ' ';
        if (begins && (at[length] == ' ' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

/* To the original place: where the VM is now, or was when it was last seen. */
static const struct catalog_host *restore_host(struct jobs *jobs, const struct jobs_restore_request *request,
                                               const struct catalog_vm *vm, struct arena *arena,
                                               struct error *err)
{
    const struct catalog_host *host = catalog_host_find(
        jobs->options.catalog, arena, request->to_original ? vm->host_id : request->host_id, err);
    if (host == NULL || check_connected(jobs, host, err) != 0) {
        return NULL;
    }
    if (!host_has_kind(host, vm->kind)) {
        error_set(err, ERROR_RESTORE_HOST_KIND, "%s was backed up on a host of kind %s; %s is of kind %s",
                  vm->name, vm->kind, host->name, host->kinds[0] == '\0' ? "none" : host->kinds);
        return NULL;
    }
    return host;
}

/* Where the disks come from: what stayed on the target host, the store, or (SOURCE_EITHER) what is still
 * there then. */
static const char *restore_source(const struct jobs_restore_request *request,
                                  const struct catalog_point *point, const struct catalog_host *host,
                                  struct error *err)
{
    const struct catalog_point_snapshot *snapshot = &point->snapshot;
    bool has_format = request->format != NULL && request->format[0] != '\0';
    if (strcmp(snapshot->host_id, host->id) == 0 && !has_format) {
        return request->from_snapshot || snapshot->host_only ? RESTORE_FROM_SNAPSHOT : RESTORE_FROM_EITHER;
    }
    if (snapshot->host_only) {
        error_set(err, ERROR_RP_ON_HOST_ONLY,
                  "Recovery point %s of %s is on host %s only: it restores there, as it is", point->id,
                  point->vm_name, snapshot->host_name);
        return NULL;
    }
    if (request->from_snapshot) {
        error_set(err, ERROR_SNAPSHOT_GONE, "There is no snapshot of recovery point %s on host %s", point->id,
                  host->name);
        return NULL;
    }
    return "";
}

static int start_restore(struct jobs *jobs, const struct jobs_restore_request *request, struct arena *arena,
                         char job_id[IDENTITY_SIZE], struct error *err)
{
    struct start_question question;
    const struct catalog_point *point =
        catalog_restorable_find(jobs->options.catalog, arena, request->point_id, err);
    const struct catalog_vm *vm = point == NULL || catalog_point_check_live(point, err) != 0
                                      ? NULL
                                      : catalog_vm_find(jobs->options.catalog, arena, point->vm_id, err);
    const struct catalog_host *host = vm == NULL ? NULL : restore_host(jobs, request, vm, arena, err);
    const char *source = host == NULL ? NULL : restore_source(request, point, host, err);
    if (source == NULL) {
        return -1;
    }
    start_question_init(&question, JOB_RESTORE, request->requested_by, err);
    question.row.vm_id = vm->id;
    question.row.vm_name = point->vm_name;
    question.row.host_id = host->id;
    question.row.host_name = host->name;
    question.row.point_id = point->id;
    question.row.on_demand = true;
    question.row.mode = source;
    question.row.restore_to_original = request->to_original;
    question.row.restore_start = request->start;
    question.row.restore_stop_running = request->stop_running;
    question.row.restore_name = request->name;
    question.row.restore_directory = request->directory;
    question.row.restore_networks = request->networks;
    question.row.restore_pool = request->pool;
    question.row.restore_format = request->format;
    question.row.bandwidth = request->bandwidth;
    return ask_start(jobs, &question, job_id);
}

int jobs_start_restore(struct jobs *jobs, const struct jobs_restore_request *request,
                       char job_id[IDENTITY_SIZE], struct error *err)
{
    struct arena *arena = arena_create();
    int result = start_restore(jobs, request, arena, job_id, err);
    arena_destroy(arena);
    return result;
}

int jobs_start_verify(struct jobs *jobs, const char *point_id, const char *requested_by,
                      char job_id[IDENTITY_SIZE], struct error *err)
{
    struct start_question question;
    struct arena *arena = arena_create();
    int result = 0;
    start_question_init(&question, JOB_VERIFY, requested_by, err);
    question.row.on_demand = true;
    if (point_id != NULL && point_id[0] != '\0') {
        const struct catalog_point *point = catalog_point_find(jobs->options.catalog, arena, point_id, err);
        if (point == NULL) {
            result = -1;
        } else {
            question.row.point_id = point->id;
            question.row.vm_id = point->vm_id;
            question.row.vm_name = point->vm_name;
        }
    }
    if (result == 0) {
        result = ask_start(jobs, &question, job_id);
    }
    arena_destroy(arena);
    return result;
}

int jobs_start_rebuild(struct jobs *jobs, const char *requested_by, char job_id[IDENTITY_SIZE],
                       struct error *err)
{
    struct start_question question;
    start_question_init(&question, JOB_REBUILD, requested_by, err);
    question.row.on_demand = true;
    return ask_start(jobs, &question, job_id);
}

int jobs_start_collect(struct jobs *jobs, bool dry_run, const char *requested_by, char job_id[IDENTITY_SIZE],
                       struct error *err)
{
    struct start_question question;
    start_question_init(&question, JOB_COLLECT, requested_by, err);
    question.row.on_demand = true;
    question.row.mode = dry_run ? "dry-run" : "";
    return ask_start(jobs, &question, job_id);
}

int jobs_start_verify_part(struct jobs *jobs, const char *requested_by, char job_id[IDENTITY_SIZE],
                           struct error *err)
{
    struct start_question question;
    start_question_init(&question, JOB_VERIFY, requested_by, err);
    question.row.on_demand = true;
    question.row.mode = "part";
    return ask_start(jobs, &question, job_id);
}
