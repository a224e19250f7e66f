/* Jobs of the store: verify, rebuild, collect. They run on the pool from end to end. */
#include "server/jobs/jobs_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

struct store_work {
    struct job_work work;
    struct verify_report report;
    uint64_t missing_chunks;
    bool point_damaged;
    uint64_t imported;
    struct collect_report collected;
};

static bool watch(void *cookie, const struct maintenance_progress *progress)
{
    struct job *job = cookie;
    atomic_store(&job->work_done, progress->done);
    atomic_store(&job->work_total, progress->total);
    return atomic_load(&job->stop_work);
}

static bool report_names(const struct verify_report *report, const char *point_id)
{
    for (size_t i = 0; i < report->damaged_point_count; i++) {
        if (strcmp(report->damaged_points[i], point_id) == 0) {
            return true;
        }
    }
    return false;
}

/* A point whose record is gone is in no report of what the store has. */
static bool has_record(struct job *job, const char *point_id)
{
    const struct job_ports *ports = job->jobs->options.ports;
    struct error err;
    struct point *point = ports->point_read(ports->self, point_id, &err);
    bool has = point != NULL || (err.code != ERROR_RP_NOT_FOUND && err.code != ERROR_RP_DAMAGED);
    point_destroy(point);
    return has;
}

/* On the pool: the catalog learns which points are whole. Points that were committed meanwhile are not
 * judged. */
static int note_points(struct job *job, const struct verify_report *report, int64_t before_ms,
                       struct error *err)
{
    struct catalog *catalog = job->jobs->options.catalog;
    bool part = strcmp(job->row.mode, "part") == 0; /* says nothing about what it did not read */
    struct catalog_page page = {0};
    for (;;) {
        struct arena *arena = arena_create();
        const struct catalog_point *points = NULL;
        size_t count = 0;
        int result = catalog_point_list(catalog, arena, NULL, &page, &points, &count, err);
        bool *damaged = arena_alloc(arena, (count + 1) * sizeof *damaged);
        for (size_t i = 0; i < count && result == 0; i++) {
            damaged[i] = report_names(report, points[i].id) || !has_record(job, points[i].id);
        }
        if (result == 0 && count > 0) {
            result = catalog_begin(catalog, err);
        }
        for (size_t i = 0; i < count && result == 0; i++) {
            if (damaged[i] || (!part && points[i].committed_ms < before_ms)) {
                result = catalog_point_set_verified(catalog, points[i].id, damaged[i], err);
            }
            page.after = points[i].number;
            if (result != 0) {
                catalog_roll_back(catalog);
            }
        }
        if (result == 0 && count > 0) {
            result = catalog_commit(catalog, err);
        }
        arena_destroy(arena);
        if (result != 0 || count < CATALOG_PAGE_MAX) {
            return result;
        }
    }
}

static void verify_run(struct job_work *work)
{
    struct store_work *verify = (struct store_work *)(void *)work;
    struct job *job = work->job;
    const struct job_ports *ports = job->jobs->options.ports;
    int64_t began_ms = clock_wall_ms();
    log_set_job(job->row.id);
    bool part = strcmp(job->row.mode, "part") == 0;
    work->result = ports->store_verify(ports->self, part ? job->jobs->options.verify_days : 0, watch, job,
                                       &verify->report, &work->err);
    if (work->result == 0) {
        work->result = note_points(job, &verify->report, began_ms, &work->err);
    }
    log_set_job(NULL);
}

static void verify_finish(struct job *job, struct job_work *work)
{
    struct store_work *verify = (struct store_work *)(void *)work;
    const struct verify_report *report = &verify->report;
    if (work->result != 0) {
        job_fail(job, &work->err);
    } else {
        job_log(job, JOB_LOG_INFORMATION, ERROR_NONE, "%llu chunks in %llu containers read, %llu bytes",
                (unsigned long long)report->chunks, (unsigned long long)report->containers,
                (unsigned long long)report->bytes_read);
    }
    if (work->result == 0 && (report->damaged_chunks > 0 || report->damaged_point_count > 0)) {
        job->row.error_code = ERROR_CHUNK_DAMAGED;
        const char *points = "";
        for (size_t i = 0; i < report->damaged_point_count && i < 10; i++) {
            points =
                arena_format(job->arena, "%s%s%s", points, i == 0 ? "" : ", ", report->damaged_points[i]);
        }
        job->row.error_message = arena_format(
            job->arena, "%llu chunks of the store are damaged; %zu recovery points are affected%s%s",
            (unsigned long long)report->damaged_chunks, report->damaged_point_count,
            points[0] == '\0' ? "" : ": ", points);
        job_log(job, JOB_LOG_WARNING, ERROR_CHUNK_DAMAGED, "%s", job->row.error_message);
        for (size_t i = 0; i < report->damaged_point_count; i++) {
            job_log(job, JOB_LOG_WARNING, ERROR_RP_DAMAGED, "Recovery point %s is damaged",
                    report->damaged_points[i]);
        }
    }
    verify_report_clear(&verify->report);
    free(work);
    job_end_attempt(job);
}

static void check_run(struct job_work *work)
{
    struct store_work *check = (struct store_work *)(void *)work;
    struct job *job = work->job;
    const struct job_ports *ports = job->jobs->options.ports;
    log_set_job(job->row.id);
    int whole = ports->store_check_point(ports->self, job->row.point_id, &check->missing_chunks, &work->err);
    work->result = whole < 0 ? -1 : 0;
    if (whole >= 0) {
        work->result =
            catalog_point_set_verified(job->jobs->options.catalog, job->row.point_id, whole == 0, &work->err);
        check->point_damaged = whole == 0;
    }
    log_set_job(NULL);
}

static void check_finish(struct job *job, struct job_work *work)
{
    struct store_work *check = (struct store_work *)(void *)work;
    if (work->result != 0) {
        job_fail(job, &work->err);
    } else if (check->point_damaged) {
        job->row.error_code = ERROR_RP_DAMAGED;
        job->row.error_message =
            arena_format(job->arena, "Recovery point %s of %s is damaged: %llu chunks are missing",
                         job->row.point_id, job->row.vm_name, (unsigned long long)check->missing_chunks);
        job_log(job, JOB_LOG_WARNING, ERROR_RP_DAMAGED, "%s", job->row.error_message);
    } else {
        job_log(job, JOB_LOG_INFORMATION, ERROR_NONE, "Recovery point %s is whole", job->row.point_id);
    }
    free(work);
    job_end_attempt(job);
}

static void rebuild_run(struct job_work *work)
{
    struct store_work *rebuild = (struct store_work *)(void *)work;
    struct job *job = work->job;
    const struct job_ports *ports = job->jobs->options.ports;
    log_set_job(job->row.id);
    work->result = ports->store_rebuild(ports->self, watch, job, &rebuild->imported, &work->err);
    log_set_job(NULL);
}

static void rebuild_finish(struct job *job, struct job_work *work)
{
    struct store_work *rebuild = (struct store_work *)(void *)work;
    if (work->result != 0) {
        job_fail(job, &work->err);
    } else {
        job_log(job, JOB_LOG_INFORMATION, ERROR_NONE,
                "The index is rebuilt; %llu recovery points were added to the list",
                (unsigned long long)rebuild->imported);
    }
    free(work);
    job_end_attempt(job);
}

static void collect_run(struct job_work *work)
{
    struct store_work *collect = (struct store_work *)(void *)work;
    struct job *job = work->job;
    const struct job_ports *ports = job->jobs->options.ports;
    log_set_job(job->row.id);
    work->result = ports->store_collect(ports->self, strcmp(job->row.mode, "dry-run") == 0, watch, job,
                                        &collect->collected, &work->err);
    log_set_job(NULL);
}

static void collect_finish(struct job *job, struct job_work *work)
{
    enum { MIB_SHIFT = 20 };
    const struct collect_report *report = &((struct store_work *)(void *)work)->collected;
    if (work->result != 0) {
        job_fail(job, &work->err);
    } else {
        bool dry_run = strcmp(job->row.mode, "dry-run") == 0;
        job_log(job, JOB_LOG_INFORMATION, ERROR_NONE,
                "%llu MiB %s: of %llu containers (%llu MiB, %llu MiB of it live) %llu hold nothing that is "
                "needed "
                "and %llu too little; %llu map nodes walked",
                (unsigned long long)(report->freed_bytes >> MIB_SHIFT), dry_run ? "could be freed" : "freed",
                (unsigned long long)report->containers, (unsigned long long)(report->bytes >> MIB_SHIFT),
                (unsigned long long)(report->live_bytes >> MIB_SHIFT), (unsigned long long)report->deleted,
                (unsigned long long)report->rewritten, (unsigned long long)report->nodes);
    }
    free(work);
    job_end_attempt(job);
}

static void choose_work(const struct job *job, struct job_work *work)
{
    bool one_point = job->row.type == JOB_VERIFY && job->row.point_id[0] != '\0';
    switch (job->row.type) {
    case JOB_COLLECT:
        work->run = collect_run;
        work->finish = collect_finish;
        break;
    case JOB_REBUILD:
        work->run = rebuild_run;
        work->finish = rebuild_finish;
        break;
    default:
        work->run = one_point ? check_run : verify_run;
        work->finish = one_point ? check_finish : verify_finish;
        break;
    }
}

void job_start_store(struct job *job)
{
    struct error err;
    const char *doing = job->row.type == JOB_VERIFY    ? "verifying"
                        : job->row.type == JOB_COLLECT ? "collecting"
                                                       : "rebuilding";
    job->row.state = JOB_RUNNING;
    job->row.started_ms = clock_wall_ms();
    job->stage = STAGE_STORE;
    job_step(job, "%s", doing);
    if (job_save(job, &err) != 0) {
        job_fail(job, &err);
        job_end_attempt(job);
        return;
    }
    struct store_work *work = memory_zalloc(sizeof *work);
    choose_work(job, &work->work);
    job_submit(job, &work->work);
}
