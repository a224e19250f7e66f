#include "server/catalog/catalog.h"

#include "server/catalog/catalog_job_list.h"
#include "server/catalog/catalog_statement.h"

static void job_read_restore(struct statement *row, struct arena *arena, struct catalog_job *job)
{
    job->restore_to_original = statement_boolean(row);
    job->restore_start = statement_boolean(row);
    job->restore_stop_running = statement_boolean(row);
    job->restore_name = statement_text(row, arena);
    job->restore_directory = statement_text(row, arena);
    job->restored_uuid = statement_text(row, arena);
    job->restored_name = statement_text(row, arena);
    job->bandwidth = statement_size(row);
    job->restore_networks = statement_text(row, arena);
    job->restore_pool = statement_text(row, arena);
    job->restore_format = statement_text(row, arena);
}

static void job_read_progress(struct statement *row, struct arena *arena, struct catalog_job *job)
{
    job->attempt = statement_unsigned(row);
    job->max_attempts = statement_unsigned(row);
    job->next_attempt_ms = statement_integer(row);
    job->error_code = error_code_from_name(statement_text(row, arena));
    job->error_message = statement_text(row, arena);
    job->error_cause = statement_text(row, arena);
    job->done_bytes = statement_size(row);
    job->total_bytes = statement_size(row);
    job->wire_bytes = statement_size(row);
    job->stored_bytes = statement_size(row);
    job->rate = statement_size(row);
    job->created_ms = statement_integer(row);
    job->started_ms = statement_integer(row);
    job->snapshot_started_ms = statement_integer(row);
    job->snapshot_finished_ms = statement_integer(row);
    job->transfer_started_ms = statement_integer(row);
    job->transfer_finished_ms = statement_integer(row);
    job->finished_ms = statement_integer(row);
}

static void job_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_job *job = into;
    job->number = statement_integer(row);
    job->id = statement_text(row, arena);
    job_type_parse(statement_text(row, arena), &job->type);
    job_state_parse(statement_text(row, arena), &job->state);
    job_phase_state_parse(statement_text(row, arena), &job->snapshot_state);
    job_phase_state_parse(statement_text(row, arena), &job->transfer_state);
    job->vm_id = statement_text(row, arena);
    job->vm_name = statement_text(row, arena);
    job->host_id = statement_text(row, arena);
    job->host_name = statement_text(row, arena);
    job->group_id = statement_text(row, arena);
    job->point_id = statement_text(row, arena);
    job->requested_by = statement_text(row, arena);
    job->on_demand = statement_boolean(row);
    job->full = statement_boolean(row);
    job->mode = statement_text(row, arena);
    job->reason = statement_text(row, arena);
    job->step = statement_text(row, arena);
    job->retain_until_ms = statement_integer(row);
    job_read_progress(row, arena, job);
    job_read_restore(row, arena, job);
}

static void job_bind_progress(struct statement *statement, const struct catalog_job *job)
{
    statement_bind_integer(statement, job->attempt);
    statement_bind_integer(statement, job->max_attempts);
    statement_bind_integer(statement, job->next_attempt_ms);
    statement_bind_text(statement, error_code_name(job->error_code));
    statement_bind_text(statement, job->error_message);
    statement_bind_text(statement, job->error_cause);
    statement_bind_size(statement, job->done_bytes);
    statement_bind_size(statement, job->total_bytes);
    statement_bind_size(statement, job->wire_bytes);
    statement_bind_size(statement, job->stored_bytes);
    statement_bind_size(statement, job->rate);
    statement_bind_integer(statement, job->created_ms);
    statement_bind_integer(statement, job->started_ms);
    statement_bind_integer(statement, job->snapshot_started_ms);
    statement_bind_integer(statement, job->snapshot_finished_ms);
    statement_bind_integer(statement, job->transfer_started_ms);
    statement_bind_integer(statement, job->transfer_finished_ms);
    statement_bind_integer(statement, job->finished_ms);
}

static int job_write(struct catalog *catalog, enum sql_query query, const struct catalog_job *job,
                     struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_text(statement, job->id);
    statement_bind_text(statement, job_type_name(job->type));
    statement_bind_text(statement, job_state_name(job->state));
    statement_bind_text(statement, job_phase_state_name(job->snapshot_state));
    statement_bind_text(statement, job_phase_state_name(job->transfer_state));
    statement_bind_reference(statement, job->vm_id);
    statement_bind_text(statement, job->vm_name);
    statement_bind_text(statement, job->host_id);
    statement_bind_text(statement, job->host_name);
    statement_bind_reference(statement, job->group_id);
    statement_bind_text(statement, job->point_id);
    statement_bind_text(statement, job->requested_by);
    statement_bind_integer(statement, job->on_demand);
    statement_bind_integer(statement, job->full);
    statement_bind_text(statement, job->mode);
    statement_bind_text(statement, job->reason);
    statement_bind_text(statement, job->step);
    statement_bind_integer(statement, job->retain_until_ms);
    job_bind_progress(statement, job);
    statement_bind_integer(statement, job->restore_to_original);
    statement_bind_integer(statement, job->restore_start);
    statement_bind_integer(statement, job->restore_stop_running);
    statement_bind_text(statement, job->restore_name);
    statement_bind_text(statement, job->restore_directory);
    statement_bind_text(statement, job->restored_uuid);
    statement_bind_text(statement, job->restored_name);
    statement_bind_size(statement, job->bandwidth);
    statement_bind_text(statement, job->restore_networks);
    statement_bind_text(statement, job->restore_pool);
    statement_bind_text(statement, job->restore_format);
    switch (statement_run(statement, err)) {
    case STATEMENT_DONE:
        return 0;
    case STATEMENT_NOTHING:
        return error_set(err, ERROR_JOB_NOT_FOUND, "There is no job %s", job->id);
    default:
        return -1;
    }
}

int catalog_job_insert(struct catalog *catalog, const struct catalog_job *job, struct error *err)
{
    return job_write(catalog, SQL_JOB_INSERT, job, err);
}

int catalog_job_update(struct catalog *catalog, const struct catalog_job *job, struct error *err)
{
    return job_write(catalog, SQL_JOB_UPDATE, job, err);
}

const struct catalog_job *catalog_job_find(struct catalog *catalog, struct arena *arena,
                                           const char *reference, struct error *err)
{
    struct catalog_job *job = arena_alloc(arena, sizeof *job);
    int found =
        statement_find(catalog, arena, SQL_JOB_BY_ID, SQL_JOB_BY_PREFIX, reference, job_read, job, err);
    if (found == 0) {
        error_set(err, ERROR_JOB_NOT_FOUND, "There is no job %s", reference);
    }
    return found > 0 ? job : NULL;
}

int catalog_job_get(struct catalog *catalog, struct arena *arena, int64_t number, struct catalog_job *job,
                    struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_JOB_BY_NUMBER);
    statement_bind_integer(statement, number);
    *job = (struct catalog_job){0};
    return statement_first(statement, arena, job_read, job, err);
}

int catalog_job_last_scheduled(struct catalog *catalog, const char *vm_id, int64_t *created_ms,
                               struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_JOB_LAST_SCHEDULED);
    statement_bind_text(statement, vm_id);
    return statement_first_integer(statement, created_ms, err);
}

int catalog_job_list_open(struct catalog *catalog, struct arena *arena, const struct catalog_job **jobs,
                          size_t *count, struct error *err)
{
    return statement_rows(statement_open(catalog, SQL_JOB_LIST_OPEN), arena, job_read, sizeof **jobs, jobs,
                          count, err);
}

int catalog_job_log_add(struct catalog *catalog, const char *job_id, const struct catalog_job_log *entry,
                        struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_JOB_LOG_ADD);
    statement_bind_text(statement, job_id);
    statement_bind_integer(statement, entry->time_ms);
    statement_bind_text(statement, job_log_level_name(entry->level));
    statement_bind_text(statement, entry->code);
    statement_bind_text(statement, entry->message);
    statement_bind_integer(statement, CATALOG_JOB_LOG_MAX);
    return statement_run(statement, err) == STATEMENT_FAILED ? -1 : 0; /* the job may be gone */
}

static void job_log_read(struct statement *statement, struct arena *arena, void *into)
{
    struct catalog_job_log *item = into;
    item->number = statement_integer(statement);
    item->time_ms = statement_integer(statement);
    job_log_level_parse(statement_text(statement, arena), &item->level);
    item->code = statement_text(statement, arena);
    item->message = statement_text(statement, arena);
}

int catalog_job_log_list(struct catalog *catalog, struct arena *arena, const char *job_id,
                         const struct catalog_page *page, const struct catalog_job_log **entries,
                         size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_JOB_LOG_LIST);
    statement_bind_text(statement, job_id);
    statement_bind_page(statement, page);
    return statement_rows(statement, arena, job_log_read, sizeof **entries, entries, count, err);
}
