#include "server/catalog/catalog_standing.h"

#include "server/catalog/catalog_statement.h"

struct vm_counts {
    uint64_t with_points;
    uint64_t without;
    uint64_t unprotected;
    uint64_t scheduled;
};

static void counts_read(struct statement *row, struct arena *arena, void *into)
{
    struct vm_counts *counts = into;
    (void)arena;
    counts->with_points = statement_size(row);
    counts->without = statement_size(row);
    counts->unprotected = statement_size(row);
    counts->scheduled = statement_size(row);
}

static int read_jobs(struct catalog *catalog, int64_t since_ms, struct catalog_standing *standing,
                     struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_STANDING_JOBS);
    struct arena *arena = arena_create();
    int more;
    statement_bind_integer(statement, since_ms);
    while ((more = statement_next(statement, err)) > 0) {
        enum job_state state = JOB_QUEUED;
        job_state_parse(statement_text(statement, arena), &state);
        standing->jobs[state] += statement_size(statement);
    }
    statement_close(statement);
    arena_destroy(arena);
    return more;
}

static int count_code(struct catalog *catalog, enum error_code code, uint64_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_STANDING_ALERTS);
    statement_bind_text(statement, error_code_name(code));
    return statement_first_size(statement, count, err);
}

int catalog_standing_read(struct catalog *catalog, int64_t jobs_since_ms, struct catalog_standing *standing,
                          struct error *err)
{
    struct vm_counts vms = {0};
    *standing = (struct catalog_standing){0};
    if (statement_first(statement_open(catalog, SQL_STANDING_VMS), NULL, counts_read, &vms, err) < 0 ||
        read_jobs(catalog, jobs_since_ms, standing, err) != 0 ||
        count_code(catalog, ERROR_BACKUP_FAILED, &standing->vms_failing, err) != 0 ||
        count_code(catalog, ERROR_RPO_MISSED, &standing->rpo_missed, err) != 0 ||
        catalog_alert_count(catalog, &standing->alerts, err) != 0) {
        return -1;
    }
    standing->vms_protected = vms.with_points;
    standing->vms_waiting = vms.without;
    standing->vms_unprotected = vms.unprotected;
    standing->rpo_met = vms.scheduled > standing->rpo_missed ? vms.scheduled - standing->rpo_missed : 0;
    return 0;
}
