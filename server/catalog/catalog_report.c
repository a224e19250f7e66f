#include "server/catalog/catalog_report.h"

#include "server/catalog/catalog_statement.h"

static int run_with_day(struct catalog *catalog, enum sql_query query, int64_t day, struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_integer(statement, day);
    return statement_execute(statement, err);
}

static int put_store_sample(struct catalog *catalog, const struct catalog_store_sample *sample,
                            struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_STORE_SAMPLE_PUT);
    statement_bind_integer(statement, sample->day);
    statement_bind_integer(statement, sample->time_ms);
    statement_bind_size(statement, sample->stored_bytes);
    statement_bind_size(statement, sample->chunk_bytes);
    statement_bind_size(statement, sample->free_bytes);
    statement_bind_size(statement, sample->total_bytes);
    statement_bind_size(statement, sample->points);
    return statement_execute(statement, err);
}

int catalog_sample_put(struct catalog *catalog, const struct catalog_store_sample *sample, struct error *err)
{
    if (catalog_begin(catalog, err) != 0) {
        return -1;
    }
    bool done = put_store_sample(catalog, sample, err) == 0 &&
                run_with_day(catalog, SQL_VM_SAMPLES_PUT, sample->day, err) == 0;
    return catalog_end(catalog, done ? 0 : -1, err);
}

int catalog_sample_prune(struct catalog *catalog, int64_t store_day, int64_t vm_day, struct error *err)
{
    return run_with_day(catalog, SQL_STORE_SAMPLES_PRUNE, store_day, err) != 0 ||
                   run_with_day(catalog, SQL_VM_SAMPLES_PRUNE, vm_day, err) != 0
               ? -1
               : 0;
}

/* A page of a query whose parameters are: after, from, to, limit. */
static struct statement *open_span(struct catalog *catalog, enum sql_query query, int64_t from, int64_t to,
                                   const struct catalog_page *page)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_integer(statement, catalog_page_after(page));
    statement_bind_integer(statement, from);
    statement_bind_integer(statement, to);
    statement_bind_integer(statement, catalog_page_limit(page));
    return statement;
}

/* Of what this user is scoped to; NULL: all. */
static struct statement *scoped(struct statement *statement, const char *user_id)
{
    statement_bind_optional(statement, user_id);
    return statement;
}

static void read_sample(struct statement *statement, struct arena *arena, void *cookie)
{
    struct catalog_store_sample *sample = cookie;
    (void)arena;
    sample->day = statement_integer(statement);
    sample->time_ms = statement_integer(statement);
    sample->stored_bytes = statement_size(statement);
    sample->chunk_bytes = statement_size(statement);
    sample->free_bytes = statement_size(statement);
    sample->total_bytes = statement_size(statement);
    sample->points = statement_size(statement);
}

int catalog_store_sample_list(struct catalog *catalog, struct arena *arena, int64_t first, int64_t last,
                              const struct catalog_page *page, const struct catalog_store_sample **samples,
                              size_t *count, struct error *err)
{
    return statement_rows(open_span(catalog, SQL_STORE_SAMPLE_LIST, first, last, page), arena, read_sample,
                          sizeof **samples, samples, count, err);
}

static void read_growth(struct statement *statement, struct arena *arena, void *cookie)
{
    struct catalog_vm_growth *vm = cookie;
    vm->number = statement_integer(statement);
    vm->vm_id = statement_text(statement, arena);
    vm->vm_name = statement_text(statement, arena);
    vm->host_name = statement_text(statement, arena);
    vm->group_name = statement_text(statement, arena);
    vm->first_day = statement_integer(statement);
    vm->last_day = statement_integer(statement);
    vm->first_size = statement_size(statement);
    vm->last_size = statement_size(statement);
    vm->first_stored = statement_size(statement);
    vm->last_stored = statement_size(statement);
    vm->points = statement_size(statement);
}

int catalog_vm_growth_list(struct catalog *catalog, struct arena *arena, const char *user_id, int64_t first,
                           int64_t last, const struct catalog_page *page,
                           const struct catalog_vm_growth **vms, size_t *count, struct error *err)
{
    return statement_rows(scoped(open_span(catalog, SQL_VM_GROWTH_LIST, first, last, page), user_id), arena,
                          read_growth, sizeof **vms, vms, count, err);
}

static void read_vm(struct statement *statement, struct arena *arena, void *cookie)
{
    struct catalog_vm_report_row *row = cookie;
    row->number = statement_integer(statement);
    row->id = statement_text(statement, arena);
    row->name = statement_text(statement, arena);
    row->host_name = statement_text(statement, arena);
    row->present = statement_boolean(statement);
    row->group_name = statement_text(statement, arena);
    row->policy_id = statement_text(statement, arena);
    row->stopped = statement_boolean(statement);
    row->protected_ms = statement_integer(statement);
    row->last_point_ms = statement_integer(statement);
    row->points = statement_size(statement);
    row->completed = statement_size(statement);
    row->warned = statement_size(statement);
    row->failed = statement_size(statement);
    row->cancelled = statement_size(statement);
    row->sent_bytes = statement_size(statement);
    row->stored_bytes = statement_size(statement);
    row->last_state = statement_text(statement, arena);
    row->last_code = statement_text(statement, arena);
    row->last_finished_ms = statement_integer(statement);
    row->longest_gap_ms = statement_integer(statement);
    row->longest_gap_end_ms = statement_integer(statement);
    row->last_made_ms = statement_integer(statement);
}

int catalog_vm_report_list(struct catalog *catalog, struct arena *arena, const char *user_id,
                           int64_t since_ms, int64_t until_ms, const struct catalog_page *page,
                           const struct catalog_vm_report_row **rows, size_t *count, struct error *err)
{
    return statement_rows(scoped(open_span(catalog, SQL_REPORT_VM_LIST, since_ms, until_ms, page), user_id),
                          arena, read_vm, sizeof **rows, rows, count, err);
}

static void read_job_total(struct statement *statement, struct arena *arena, void *cookie)
{
    struct catalog_job_total *total = cookie;
    total->type = statement_text(statement, arena);
    total->state = statement_text(statement, arena);
    total->count = statement_size(statement);
    total->duration_ms = statement_size(statement);
    total->done_bytes = statement_size(statement);
    total->sent_bytes = statement_size(statement);
    total->stored_bytes = statement_size(statement);
}

int catalog_job_totals(struct catalog *catalog, struct arena *arena, const struct catalog_job_total **totals,
                       size_t *count, struct error *err)
{
    return statement_rows(statement_open(catalog, SQL_REPORT_JOB_LIST), arena, read_job_total,
                          sizeof **totals, totals, count, err);
}

int catalog_point_oldest(struct catalog *catalog, const char *user_id, int64_t *time_ms, struct error *err)
{
    struct statement *statement =
        statement_open(catalog, user_id == NULL ? SQL_REPORT_OLDEST_POINT : SQL_REPORT_OLDEST_POINT_OF_USER);
    statement_bind_reference(statement, user_id);
    return statement_first_integer(statement, time_ms, err);
}
