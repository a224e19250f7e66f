#include "server/catalog/catalog_standing.h"

#include "server/catalog/catalog_statement.h"

static int read_vms(struct catalog *catalog, struct catalog_standing *standing, uint64_t *scheduled,
                    struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_STANDING_VMS, err);
    if (statement == NULL) {
        return -1;
    }
    int found = statement_next(statement, err);
    if (found > 0) {
        standing->vms_protected = statement_size(statement);
        standing->vms_waiting = statement_size(statement);
        standing->vms_unprotected = statement_size(statement);
        *scheduled = statement_size(statement);
    }
    statement_close(statement);
    return found < 0 ? -1 : 0;
}

static int read_jobs(struct catalog *catalog, int64_t since_ms, struct catalog_standing *standing,
                     struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_STANDING_JOBS, err);
    if (statement == NULL) {
        return -1;
    }
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
    struct statement *statement = statement_open(catalog, SQL_STANDING_ALERTS, err);
    if (statement == NULL) {
        return -1;
    }
    statement_bind_text(statement, error_code_name(code));
    int found = statement_next(statement, err);
    *count = found > 0 ? statement_size(statement) : 0;
    statement_close(statement);
    return found < 0 ? -1 : 0;
}

int catalog_standing_read(struct catalog *catalog, int64_t jobs_since_ms, struct catalog_standing *standing,
                          struct error *err)
{
    uint64_t scheduled = 0;
    *standing = (struct catalog_standing){0};
    if (read_vms(catalog, standing, &scheduled, err) != 0 ||
        read_jobs(catalog, jobs_since_ms, standing, err) != 0 ||
        count_code(catalog, ERROR_BACKUP_FAILED, &standing->vms_failing, err) != 0 ||
        count_code(catalog, ERROR_RPO_MISSED, &standing->rpo_missed, err) != 0 ||
        catalog_alert_count(catalog, NULL, &standing->alerts, err) != 0) {
        return -1;
    }
    standing->rpo_met = scheduled > standing->rpo_missed ? scheduled - standing->rpo_missed : 0;
    return 0;
}
