/* What a backup asks of the agent, and what the agent's answer makes of it. */
#include "server/jobs/jobs_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/protection/lock_clock.h"
#include "storage/point.h"
#include <string.h>

enum { CLOCK_SKEW_TOLD_MS = 60 * 1000, DAY_MS = 86400000 };

static const uint64_t disk_size_max = (uint64_t)64 << 40;

static int plan_policy(struct job *job, const struct catalog_vm *vm, struct error *err)
{
    struct catalog *catalog = job->jobs->options.catalog;
    job->asked_consistency = "filesystem";
    job->consistency_required = false;
    job->exclude_pages = false;
    job->lock_days = 0;
    job->snapshot_days = 0;
    if (vm->group_id[0] != '\0') {
        const struct catalog_group *group = catalog_group_find(catalog, job->arena, vm->group_id, err);
        const struct catalog_policy *policy =
            group == NULL ? NULL : catalog_policy_find(catalog, job->arena, group->policy_id, err);
        if (policy == NULL) {
            return -1;
        }
        job->asked_consistency = policy->consistency;
        job->consistency_required = policy->consistency_required;
        job->exclude_pages = policy->exclude_pages;
        job->lock_days = policy->lock_days;
        job->snapshot_days = policy->snapshot_days;
    }
    bool has_guest = strcmp(vm->kind, "image") != 0 && strcmp(vm->kind, "files") != 0;
    if (!has_guest && !job->consistency_required) {
        job->asked_consistency = "crash"; /* there is no guest to ask */
    }
    return 0;
}

/* As the policy is now: nothing that changes it later changes this. */
int job_lock_point(const struct job *job, struct point *point, struct error *err)
{
    struct lock_time time;
    if (job->lock_days == 0) {
        return 0;
    }
    if (lock_clock_read(job->jobs->options.catalog, &time, err) != 0) {
        return -1;
    }
    point->locked_until_ms = time.begin_ms + (int64_t)job->lock_days * DAY_MS;
    return 0;
}

static int plan_parent(struct job *job, struct error *err)
{
    struct catalog *catalog = job->jobs->options.catalog;
    const struct catalog_point *newest = NULL;
    job->parent_id = "";
    job->parent_disks = NULL;
    job->parent_disk_count = 0;
    if (job->row.full || job->forget_parent) {
        return 0;
    }
    if (catalog_point_newest(catalog, job->arena, job->row.vm_id, &newest, err) != 0) {
        return -1;
    }
    if (newest == NULL) {
        return 0;
    }
    job->parent_id = newest->id;
    job->parent_damaged = newest->damaged;
    return catalog_point_disk_list(catalog, job->arena, newest->id, &job->parent_disks,
                                   &job->parent_disk_count, err);
}

int job_plan_backup(struct job *job, struct error *err)
{
    struct catalog *catalog = job->jobs->options.catalog;
    job->parent_id = ""; /* also when the plan fails */
    const struct catalog_vm *vm = catalog_vm_find(catalog, job->arena, job->row.vm_id, err);
    if (vm == NULL) {
        return -1;
    }
    job_text(job, &job->row.vm_name, vm->name);
    job_text(job, &job->row.host_id, vm->host_id);
    job_text(job, &job->row.host_name, vm->host_name);
    job->vm_uuid = vm->uuid;
    job->vm_kind = vm->kind;
    job->vm_off = strcmp(vm->power, "off") == 0;
    if (catalog_vm_check_present(vm, err) != 0) {
        return -1;
    }
    return plan_policy(job, vm, err) != 0 || plan_parent(job, err) != 0 ? -1 : 0;
}

int job_known_tracking(struct catalog *catalog, struct arena *arena, const char *vm_id, char ***names,
                       size_t *count, struct error *err)
{
    const struct catalog_tracking *tracking = NULL;
    if (catalog_tracking_list(catalog, arena, vm_id, &tracking, count, err) != 0) {
        return -1;
    }
    *names = arena_alloc(arena, (*count + 1) * sizeof **names);
    for (size_t i = 0; i < *count; i++) {
        (*names)[i] = (char *)(uintptr_t)tracking[i].name;
    }
    return 0;
}

/* The tracking point that was begun with the parent, if there is one. */
static int plan_tracking(struct job *job, Holdfast__BackupBeginRequest *request, struct arena *arena,
                         struct error *err)
{
    const struct catalog_tracking *tracking = NULL;
    size_t count = 0;
    if (catalog_tracking_list(job->jobs->options.catalog, arena, job->row.vm_id, &tracking, &count, err) !=
        0) {
        return -1;
    }
    for (size_t i = 0; i < count && !request->ignore_tracking; i++) {
        if (strcmp(tracking[i].point_id, job->parent_id) == 0) {
            request->base_tracking = (char *)(uintptr_t)tracking[i].name;
            request->base_tracking_metadata = (char *)(uintptr_t)tracking[i].metadata;
            request->base_left_out = (char *)(uintptr_t)tracking[i].left_out;
        }
    }
    return job_known_tracking(job->jobs->options.catalog, arena, job->row.vm_id, &request->known_tracking,
                              &request->n_known_tracking, err);
}

static void plan_base_disks(struct job *job, Holdfast__BackupBeginRequest *request, struct arena *arena)
{
    Holdfast__BaseDisk *disks = arena_alloc(arena, (job->parent_disk_count + 1) * sizeof *disks);
    request->base_disks = arena_alloc(arena, (job->parent_disk_count + 1) * sizeof *request->base_disks);
    for (size_t i = 0; i < job->parent_disk_count; i++) {
        holdfast__base_disk__init(&disks[i]);
        disks[i].name = (char *)(uintptr_t)job->parent_disks[i].name;
        disks[i].size = job->parent_disks[i].size;
        request->base_disks[i] = &disks[i];
    }
    request->n_base_disks = job->parent_disk_count;
}

void job_call_begin(struct job *job, job_answered answered)
{
    struct error err;
    struct arena *arena = arena_create();
    Holdfast__BackupBeginRequest request = HOLDFAST__BACKUP_BEGIN_REQUEST__INIT;
    request.job = (char *)(uintptr_t)job->row.id;
    request.vm_uuid = (char *)(uintptr_t)job->vm_uuid;
    request.kind = (char *)(uintptr_t)job->vm_kind;
    request.consistency = (char *)(uintptr_t)job->asked_consistency;
    request.ignore_tracking =
        job->row.full || job->row.type == JOB_CHECK || job->parent_id[0] == '\0' || job->parent_damaged;
    request.exclude_pages = job->exclude_pages;
    identity_create(job->next_point);
    request.point = job->next_point;
    request.snapshot_days = job->snapshot_days;
    plan_base_disks(job, &request, arena);
    if (plan_tracking(job, &request, arena, &err) != 0) {
        log_job_error(job->row.id, "tracking points not read; every disk is read whole", &err);
    }
    job_call(job, AGENT_BACKUP_BEGIN, &request.base, JOBS_BEGIN_DEADLINE_MS, answered);
    arena_destroy(arena);
}

/* --- the answer
 * ------------------------------------------------------------------------------------------------- */

static const struct catalog_point_disk *find_parent_disk(const struct job *job, const char *name)
{
    for (size_t i = 0; i < job->parent_disk_count; i++) {
        if (strcmp(job->parent_disks[i].name, name) == 0) {
            return &job->parent_disks[i];
        }
    }
    return NULL;
}

static int check_disk(const struct job *job, const Holdfast__BackupBeginReply *reply, size_t position,
                      struct error *err)
{
    const Holdfast__BackupDisk *disk = reply->disks[position];
    const struct catalog_point_disk *former = find_parent_disk(job, disk->name);
    bool good = disk->name[0] != '\0' && strlen(disk->name) < 256 && strlen(disk->format) < 64 &&
                disk->size > 0 && disk->size <= disk_size_max;
    for (size_t i = 0; i < position && good; i++) {
        good = strcmp(reply->disks[i]->name, disk->name) != 0;
    }
    if (disk->incremental) {
        good = good && former != NULL && former->size == disk->size;
    }
    return good ? 0
                : error_set(err, ERROR_PROTOCOL_INVALID,
                            "Host %s describes disk %.64s of %s in a way that can't be", job->row.host_name,
                            disk->name, job->row.vm_name);
}

static int check_reply(const struct job *job, const Holdfast__BackupBeginReply *reply, struct error *err)
{
    static const char *const levels[] = {"crash", "filesystem", "application"};
    bool known = false;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        known = known || strcmp(reply->consistency, levels[i]) == 0;
    }
    if (!known || reply->n_disks == 0) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "Host %s answered for %s with %s", job->row.host_name,
                         job->row.vm_name, known ? "no disk" : "an unknown consistency");
    }
    if (reply->n_disks > JOBS_DISK_MAX) {
        return error_set(err, ERROR_TOO_MANY_DISKS, "%s has %zu disks; %d are supported", job->row.vm_name,
                         reply->n_disks, JOBS_DISK_MAX);
    }
    for (size_t i = 0; i < reply->n_disks; i++) {
        if (check_disk(job, reply, i, err) != 0) {
            return -1;
        }
    }
    return 0;
}

static int consistency_rank(const char *level)
{
    return strcmp(level, "application") == 0 ? 2 : strcmp(level, "filesystem") == 0 ? 1 : 0;
}

static int take_consistency(struct job *job, const Holdfast__BackupBeginReply *reply, struct error *err)
{
    const char *text = NULL;
    enum error_code code = job_reason_parse(reply->consistency_reason, &text);
    if (consistency_rank(reply->consistency) >= consistency_rank(job->asked_consistency)) {
        if (text[0] != '\0') {
            job_log(job, JOB_LOG_INFORMATION, code, "%s", text);
        }
        return 0;
    }
    if (job->consistency_required) {
        job_log(job, JOB_LOG_ERROR, code, "%s", text);
        error_set(err, ERROR_CONSISTENCY_TOO_LOW,
                  "The policy of %s asks for %s consistency; only %s was reached", job->row.vm_name,
                  job->asked_consistency, reply->consistency);
        return error_set_cause(err, "%s", text);
    }
    /* A VM that is off has nothing to quiesce: that is as good as it gets. */
    job_log(job, job->vm_off ? JOB_LOG_INFORMATION : JOB_LOG_WARNING, code, "The point is %s-consistent: %s",
            reply->consistency, text[0] == '\0' ? "no reason was given" : text);
    return 0;
}

/* Has a disk before this one the same reason? */
static bool reason_was_told(const Holdfast__BackupBeginReply *reply, size_t disk)
{
    for (size_t i = 0; i < disk; i++) {
        if (!reply->disks[i]->incremental &&
            strcmp(reply->disks[i]->reason, reply->disks[disk]->reason) == 0) {
            return true;
        }
    }
    return false;
}

/* "vda, vdc": this disk and those behind it that have the same reason. */
static const char *disks_of_reason(struct job *job, const Holdfast__BackupBeginReply *reply, size_t disk)
{
    const char *names = reply->disks[disk]->name;
    for (size_t i = disk + 1; i < reply->n_disks; i++) {
        if (!reply->disks[i]->incremental &&
            strcmp(reply->disks[i]->reason, reply->disks[disk]->reason) == 0) {
            names = arena_format(job->arena, "%s, %s", names, reply->disks[i]->name);
        }
    }
    return names;
}

/* Why not every disk is incremental, as far as nobody asked for that: "vda, vdc: REASON; vdd: REASON". */
static const char *mode_reason(struct job *job, const Holdfast__BackupBeginReply *reply)
{
    const char *reasons = "";
    for (size_t i = 0; i < reply->n_disks; i++) {
        const char *reason = reply->disks[i]->reason;
        if (!reply->disks[i]->incremental && reason[0] != '\0' && !reason_was_told(reply, i)) {
            reasons = arena_format(job->arena, "%s%s%s: %.400s", reasons, reasons[0] == '\0' ? "" : "; ",
                                   disks_of_reason(job, reply, i), reason);
        }
    }
    return reasons;
}

static void take_mode(struct job *job, const Holdfast__BackupBeginReply *reply)
{
    struct catalog_job *row = &job->row;
    bool incremental = false;
    for (size_t i = 0; i < reply->n_disks; i++) {
        incremental = incremental || reply->disks[i]->incremental;
    }
    row->mode = incremental ? "incremental" : job->parent_id[0] == '\0' ? "full" : "check";
    row->reason = "";
    if (row->full || row->type == JOB_CHECK) {
        return;
    }
    if (job->parent_id[0] == '\0') {
        row->reason = job->forget_parent ? "CHUNK_DAMAGED: The last recovery point can't be read" : "";
    } else if (job->parent_damaged) {
        row->reason = "CHUNK_DAMAGED: The last recovery point is damaged and is healed";
    } else {
        row->reason = mode_reason(job, reply);
    }
    if (row->reason[0] != '\0') {
        bool tracking = strstr(row->reason, error_code_name(ERROR_TRACKING_LOST)) != NULL;
        job_log(job, JOB_LOG_INFORMATION, tracking ? ERROR_TRACKING_LOST : ERROR_NONE,
                "The backup is %s %s: %s", incremental ? "not incremental for some disks, otherwise" : "a",
                incremental                       ? "incremental"
                : strcmp(row->mode, "check") == 0 ? "consistency check"
                                                  : "full backup",
                row->reason);
    }
}

static ProtobufCMessage *copy_reply(struct arena *arena, const ProtobufCMessage *message)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = arena_alloc(arena, length + 1);
    protobuf_c_message_pack(message, packed);
    return protobuf_c_message_unpack(message->descriptor, NULL, length, packed);
}

/* The instant by the server's clock, by which schedules and retention go: since the job was started. */
static int64_t instant_of(struct job *job, int64_t said_ms)
{
    int64_t now_ms = clock_wall_ms();
    int64_t started_ms = job->row.started_ms < now_ms ? job->row.started_ms : now_ms;
    if (said_ms < started_ms - CLOCK_SKEW_TOLD_MS || said_ms > now_ms + CLOCK_SKEW_TOLD_MS) {
        job_log(job, JOB_LOG_INFORMATION, ERROR_NONE, "The clock of host %s is %s by more than a minute",
                job->row.host_name, said_ms < now_ms ? "slow" : "fast");
    }
    return said_ms < started_ms ? started_ms : said_ms < now_ms ? said_ms : now_ms;
}

int job_take_begun(struct job *job, const Holdfast__BackupBeginReply *reply, struct error *err)
{
    job->begun = (void *)copy_reply(job->arena, &reply->base);
    job->begun->instant_ms = instant_of(job, reply->instant_ms);
    for (size_t i = 0; i < reply->n_warnings; i++) {
        const Holdfast__Failure *warning = reply->warnings[i];
        job_log(job, JOB_LOG_WARNING, error_code_from_name(warning->code), "%s", warning->message);
    }
    if (check_reply(job, reply, err) != 0) {
        return -1;
    }
    if (reply->frozen_ms > 0) {
        job_log(job, JOB_LOG_INFORMATION, ERROR_NONE,
                "Snapshot taken, %s-consistent, file systems frozen for %u ms", reply->consistency,
                reply->frozen_ms);
    } else {
        job_log(job, JOB_LOG_INFORMATION, ERROR_NONE, "Snapshot taken, %s-consistent", reply->consistency);
    }
    if (take_consistency(job, reply, err) != 0) {
        return -1;
    }
    take_mode(job, reply);
    return 0;
}
