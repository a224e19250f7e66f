#include "server/catalog/catalog_alerts.h"

#include "server/catalog/catalog_statement.h"
#include <string.h>

static const char *const severity_names[] = {
    [ALERT_INFORMATION] = "information", [ALERT_WARNING] = "warning", [ALERT_CRITICAL] = "critical"};

const char *alert_severity_name(enum alert_severity severity)
{
    return severity_names[severity];
}

int alert_severity_parse(const char *name, enum alert_severity *severity)
{
    for (int i = 0; i < ALERT_SEVERITY_COUNT; i++) {
        if (strcmp(name, severity_names[i]) == 0) {
            *severity = (enum alert_severity)i;
            return 0;
        }
    }
    return -1;
}

const char *catalog_alert_action(const struct catalog_alert *alert)
{
    return error_code_action(alert->cause_code != ERROR_NONE ? alert->cause_code : alert->code);
}

static const char *cause_name(const struct catalog_alert *alert)
{
    return alert->cause_code != ERROR_NONE ? error_code_name(alert->cause_code) : "";
}

int catalog_alert_insert(struct catalog *catalog, const struct catalog_alert *alert, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ALERT_INSERT);
    statement_bind_text(statement, alert->id);
    statement_bind_text(statement, error_code_name(alert->code));
    statement_bind_text(statement, alert_severity_name(alert->severity));
    statement_bind_text(statement, alert->object_kind);
    statement_bind_text(statement, alert->object_id);
    statement_bind_text(statement, alert->object_name);
    statement_bind_text(statement, alert->message);
    statement_bind_text(statement, cause_name(alert));
    statement_bind_text(statement, alert->cause);
    statement_bind_text(statement, alert->job_id);
    statement_bind_integer(statement, alert->raised_ms);
    return statement_execute(statement, err);
}

int catalog_alert_update(struct catalog *catalog, const struct catalog_alert *alert, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ALERT_UPDATE);
    statement_bind_text(statement, alert->id);
    statement_bind_text(statement, alert_severity_name(alert->severity));
    statement_bind_text(statement, alert->object_name);
    statement_bind_text(statement, alert->message);
    statement_bind_text(statement, cause_name(alert));
    statement_bind_text(statement, alert->cause);
    statement_bind_text(statement, alert->job_id);
    return statement_execute(statement, err);
}

/* A text and a time. */
static int run_at(struct catalog *catalog, enum sql_query query, const char *text, int64_t ms,
                  struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_text(statement, text);
    statement_bind_integer(statement, ms);
    return statement_execute(statement, err);
}

int catalog_alert_resolve(struct catalog *catalog, const char *id, int64_t now_ms, struct error *err)
{
    return run_at(catalog, SQL_ALERT_RESOLVE, id, now_ms, err);
}

int catalog_alert_acknowledge(struct catalog *catalog, const char *id, int64_t now_ms, const char *actor,
                              const char *note, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ALERT_ACKNOWLEDGE);
    statement_bind_text(statement, id);
    statement_bind_integer(statement, now_ms);
    statement_bind_text(statement, actor);
    statement_bind_text(statement, note);
    return statement_execute(statement, err);
}

int catalog_alert_prune(struct catalog *catalog, int64_t before_ms, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ALERT_PRUNE);
    statement_bind_integer(statement, before_ms);
    return statement_execute(statement, err);
}

static void alert_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_alert *alert = into;
    alert->number = statement_integer(row);
    alert->id = statement_text(row, arena);
    alert->code = error_code_from_name(statement_text(row, arena));
    alert_severity_parse(statement_text(row, arena), &alert->severity);
    alert->object_kind = statement_text(row, arena);
    alert->object_id = statement_text(row, arena);
    alert->object_name = statement_text(row, arena);
    alert->message = statement_text(row, arena);
    alert->cause_code = error_code_from_name(statement_text(row, arena));
    alert->cause = statement_text(row, arena);
    alert->job_id = statement_text(row, arena);
    alert->raised_ms = statement_integer(row);
    alert->resolved_ms = statement_integer(row);
    alert->acknowledged_ms = statement_integer(row);
    alert->acknowledged_by = statement_text(row, arena);
    alert->note = statement_text(row, arena);
}

const struct catalog_alert *catalog_alert_find(struct catalog *catalog, struct arena *arena,
                                               const char *reference, struct error *err)
{
    struct catalog_alert *alert = arena_alloc(arena, sizeof *alert);
    int found = 0;
    if (strlen(reference) >= STATEMENT_PREFIX_MIN) {
        struct statement *statement = statement_open(catalog, SQL_ALERT_FIND);
        statement_bind_text(statement, reference);
        found = statement_only(statement, arena, alert_read, alert, err);
    }
    if (found == 0) {
        error_set(err, ERROR_ALERT_NOT_FOUND, "There is no alert %.64s", reference);
    }
    return found > 0 ? alert : NULL;
}

int catalog_alert_list(struct catalog *catalog, struct arena *arena,
                       const struct catalog_alert_filter *filter, const struct catalog_page *page,
                       const struct catalog_alert **alerts, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ALERT_LIST);
    statement_bind_page(statement, page);
    statement_bind_integer(statement, filter->resolved);
    statement_bind_optional(
        statement, filter->severity < 0 ? NULL : alert_severity_name((enum alert_severity)filter->severity));
    statement_bind_optional(statement, filter->user_id);
    return statement_rows(statement, arena, alert_read, sizeof **alerts, alerts, count, err);
}

int catalog_alert_count(struct catalog *catalog, const char *user_id, struct catalog_alert_counts *counts,
                        struct error *err)
{
    struct arena *arena = arena_create();
    struct statement *statement = statement_open(catalog, SQL_ALERT_COUNT);
    int more;
    *counts = (struct catalog_alert_counts){0};
    statement_bind_optional(statement, user_id);
    while ((more = statement_next(statement, err)) > 0) {
        enum alert_severity severity = ALERT_INFORMATION;
        alert_severity_parse(statement_text(statement, arena), &severity);
        bool acknowledged = statement_boolean(statement);
        uint64_t number = statement_size(statement);
        counts->open[severity] += number;
        counts->acknowledged[severity] += acknowledged ? number : 0;
    }
    statement_close(statement);
    arena_destroy(arena);
    return more;
}

/* --- what alerts are judged by
 * ----------------------------------------------------------------------------------- */

static void standing_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_vm_standing *vm = into;
    vm->number = statement_integer(row);
    vm->id = statement_text(row, arena);
    vm->name = statement_text(row, arena);
    vm->host_name = statement_text(row, arena);
    vm->power = statement_text(row, arena);
    vm->present = statement_boolean(row);
    vm->moved_away = statement_boolean(row);
    vm->vanished_ms = statement_integer(row);
    vm->group_id = statement_text(row, arena);
    vm->stopped = statement_boolean(row);
    vm->policy_id = statement_text(row, arena);
    vm->protected_ms = statement_integer(row);
    vm->last_point_ms = statement_integer(row);
    vm->backup_job = statement_text(row, arena);
    vm->restore_job = statement_text(row, arena);
}

int catalog_vm_standing_list(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                             int64_t restores_since_ms, const struct catalog_vm_standing **vms, size_t *count,
                             struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ALERT_VMS);
    statement_bind_page(statement, page);
    statement_bind_integer(statement, restores_since_ms);
    return statement_rows(statement, arena, standing_read, sizeof **vms, vms, count, err);
}

static void outcome_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_job_outcome *outcome = into;
    job_state_parse(statement_text(row, arena), &outcome->state);
    outcome->error_code = error_code_from_name(statement_text(row, arena));
    outcome->error_message = statement_text(row, arena);
    outcome->error_cause = statement_text(row, arena);
}

int catalog_job_outcome(struct catalog *catalog, struct arena *arena, const char *job_id,
                        struct catalog_job_outcome *outcome, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ALERT_JOB);
    statement_bind_text(statement, job_id);
    *outcome = (struct catalog_job_outcome){0};
    int found = statement_first(statement, arena, outcome_read, outcome, err);
    if (found == 0) {
        error_set(err, ERROR_JOB_NOT_FOUND, "There is no job %s", job_id);
    }
    return found > 0 ? 0 : -1;
}

int catalog_job_last_of_store(struct catalog *catalog, struct arena *arena, enum job_type type,
                              const char **job_id, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ALERT_STORE_JOB);
    statement_bind_text(statement, job_type_name(type));
    int result = statement_first_text(statement, arena, job_id, err);
    *job_id = *job_id == NULL ? "" : *job_id;
    return result;
}

static void job_log_read(struct statement *statement, struct arena *arena, void *into)
{
    struct catalog_job_log *entry = into;
    job_log_level_parse(statement_text(statement, arena), &entry->level);
    entry->code = statement_text(statement, arena);
    entry->message = statement_text(statement, arena);
}

int catalog_job_codes(struct catalog *catalog, struct arena *arena, const char *job_id,
                      const struct catalog_job_log **entries, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_ALERT_JOB_LOG);
    statement_bind_text(statement, job_id);
    return statement_rows(statement, arena, job_log_read, sizeof **entries, entries, count, err);
}
