#include "server/catalog/catalog_standing.h"

#include "server/catalog/catalog_statement.h"

static void vm_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_standing_vm *vm = into;
    vm->number = statement_integer(row);
    vm->grouped = statement_boolean(row);
    vm->stopped = statement_boolean(row);
    vm->present = statement_boolean(row);
    vm->failed = statement_boolean(row);
    vm->policy_id = statement_text(row, arena);
    vm->protected_ms = statement_integer(row);
    vm->last_point_ms = statement_integer(row);
}

int catalog_standing_vms(struct catalog *catalog, struct arena *arena, const char *user_id,
                         const struct catalog_page *page, const struct catalog_standing_vm **vms,
                         size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_STANDING_VMS);
    statement_bind_page(statement, page);
    statement_bind_optional(statement, user_id);
    return statement_rows(statement, arena, vm_read, sizeof **vms, vms, count, err);
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

int catalog_standing_read(struct catalog *catalog, int64_t jobs_since_ms, struct catalog_standing *standing,
                          struct error *err)
{
    *standing = (struct catalog_standing){0};
    return read_jobs(catalog, jobs_since_ms, standing, err) != 0 ||
                   catalog_alert_count(catalog, NULL, &standing->alerts, err) != 0
               ? -1
               : 0;
}
