/* Policies and protection groups. */
#include "server/catalog/catalog.h"

#include "base/clock.h"
#include "server/catalog/catalog_schedules.h"
#include "server/catalog/catalog_statement.h"
#include <string.h>

void catalog_policy_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_policy *policy = into;
    policy->number = statement_integer(row);
    policy->id = statement_text(row, arena);
    policy->name = statement_text(row, arena);
    policy->version = (int)statement_integer(row);
    policy->enabled = statement_boolean(row);
    schedule_kind_parse(statement_text(row, arena), &policy->schedule);
    policy->interval_minutes = statement_unsigned(row);
    policy->daily_times = statement_text(row, arena);
    policy->days = statement_unsigned(row);
    policy->time_zone = statement_text(row, arena);
    policy->spread_minutes = statement_unsigned(row);
    policy->keep_days = statement_unsigned(row);
    policy->keep_latest = statement_unsigned(row);
    policy->keep_daily = statement_unsigned(row);
    policy->keep_weekly = statement_unsigned(row);
    policy->keep_monthly = statement_unsigned(row);
    policy->keep_yearly = statement_unsigned(row);
    policy->snapshot_days = statement_unsigned(row);
    policy->consistency = statement_text(row, arena);
    policy->consistency_required = statement_boolean(row);
    policy->exclude_pages = statement_boolean(row);
    policy->hour_minute = statement_unsigned(row);
    policy_priority_parse(statement_text(row, arena), &policy->priority);
    policy->schedule_changed_ms = statement_integer(row);
    policy->changed_by = statement_text(row, arena);
    policy->lock_days = statement_unsigned(row);
    policy->created_ms = statement_integer(row);
    policy->changed_ms = statement_integer(row);
    policy->group_count = statement_size(row);
}

static int policy_write_version(struct catalog *catalog, const struct catalog_policy *policy,
                                struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POLICY_VERSION_INSERT);
    statement_bind_text(statement, policy->id);
    statement_bind_integer(statement, clock_wall_ms());
    statement_bind_integer(statement, policy->enabled);
    statement_bind_text(statement, schedule_kind_name(policy->schedule));
    statement_bind_integer(statement, policy->interval_minutes);
    statement_bind_text(statement, policy->daily_times);
    statement_bind_integer(statement, policy->days);
    statement_bind_text(statement, policy->time_zone);
    statement_bind_integer(statement, policy->spread_minutes);
    statement_bind_integer(statement, policy->keep_days);
    statement_bind_integer(statement, policy->keep_latest);
    statement_bind_integer(statement, policy->keep_daily);
    statement_bind_integer(statement, policy->keep_weekly);
    statement_bind_integer(statement, policy->keep_monthly);
    statement_bind_integer(statement, policy->keep_yearly);
    statement_bind_integer(statement, policy->snapshot_days);
    statement_bind_text(statement, policy->consistency);
    statement_bind_integer(statement, policy->consistency_required);
    statement_bind_integer(statement, policy->exclude_pages);
    statement_bind_integer(statement, policy->hour_minute);
    statement_bind_text(statement, policy_priority_name(policy->priority));
    statement_bind_integer(statement, policy->schedule_changed_ms);
    statement_bind_text(statement, policy->changed_by);
    statement_bind_integer(statement, policy->lock_days);
    return statement_execute(statement, err);
}

/* The row of the policy itself, before its version. */
static int policy_write(struct catalog *catalog, enum sql_query query, const struct catalog_policy *policy,
                        struct error *err)
{
    struct statement *statement = statement_open(catalog, query);
    statement_bind_text(statement, policy->id);
    statement_bind_text(statement, policy->name);
    statement_bind_integer(statement, query == SQL_POLICY_INSERT ? clock_wall_ms() : policy->version);
    switch (statement_run(statement, err)) {
    case STATEMENT_DONE:
        return 0;
    case STATEMENT_NOTHING:
        return error_set(err, ERROR_POLICY_CHANGED, "Policy %s is not at version %d any more", policy->name,
                         policy->version);
    case STATEMENT_TAKEN:
        return error_set(err, ERROR_NAME_TAKEN, "There is a policy called %s already", policy->name);
    default:
        return -1;
    }
}

static int policy_store(struct catalog *catalog, enum sql_query query, const struct catalog_policy *policy,
                        struct error *err)
{
    if (catalog_begin(catalog, err) != 0) {
        return -1;
    }
    bool done =
        policy_write(catalog, query, policy, err) == 0 && policy_write_version(catalog, policy, err) == 0;
    return catalog_end(catalog, done ? 0 : -1, err);
}

int catalog_policy_insert(struct catalog *catalog, const struct catalog_policy *policy, struct error *err)
{
    return policy_store(catalog, SQL_POLICY_INSERT, policy, err);
}

int catalog_policy_update(struct catalog *catalog, const struct catalog_policy *policy, struct error *err)
{
    return policy_store(catalog, SQL_POLICY_UPDATE, policy, err);
}

int catalog_policy_delete(struct catalog *catalog, const char *id, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POLICY_DELETE);
    statement_bind_text(statement, id);
    switch (statement_run(statement, err)) {
    case STATEMENT_DONE:
        return 0;
    case STATEMENT_NOTHING:
        return error_set(err, ERROR_POLICY_NOT_FOUND, "There is no policy %s", id);
    case STATEMENT_DANGLING:
        return error_set(err, ERROR_POLICY_IN_USE, "The policy is used by a protection group");
    default:
        return -1;
    }
}

const struct catalog_policy *catalog_policy_find(struct catalog *catalog, struct arena *arena,
                                                 const char *reference, struct error *err)
{
    return catalog_policy_version_find(catalog, arena, reference, 0, err);
}

const struct catalog_policy *catalog_policy_version_find(struct catalog *catalog, struct arena *arena,
                                                         const char *reference, int version,
                                                         struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POLICY_FIND);
    struct catalog_policy *policy = arena_alloc(arena, sizeof *policy);
    statement_bind_text(statement, reference);
    statement_bind_integer(statement, version);
    int found = statement_first(statement, arena, catalog_policy_read, policy, err);
    if (found == 0 && version == 0) {
        error_set(err, ERROR_POLICY_NOT_FOUND, "There is no policy %s", reference);
    } else if (found == 0) {
        error_set(err, ERROR_POLICY_NOT_FOUND, "There is no policy %s that has a version %d", reference,
                  version);
    }
    return found > 0 ? policy : NULL;
}

int catalog_policy_list(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                        const struct catalog_policy **policies, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POLICY_LIST);
    statement_bind_page(statement, page);
    return statement_rows(statement, arena, catalog_policy_read, sizeof **policies, policies, count, err);
}

static void group_read(struct statement *row, struct arena *arena, void *into)
{
    struct catalog_group *group = into;
    group->number = statement_integer(row);
    group->id = statement_text(row, arena);
    group->name = statement_text(row, arena);
    group->policy_id = statement_text(row, arena);
    group->policy_name = statement_text(row, arena);
    group->stopped = statement_boolean(row);
    group->created_ms = statement_integer(row);
    group->scheduled_ms = statement_integer(row);
    group->vm_count = statement_size(row);
}

static int group_result(enum statement_outcome outcome, const struct catalog_group *group, struct error *err)
{
    switch (outcome) {
    case STATEMENT_DONE:
        return 0;
    case STATEMENT_NOTHING:
        return error_set(err, ERROR_GROUP_NOT_FOUND, "There is no protection group %s", group->id);
    case STATEMENT_TAKEN:
        return error_set(err, ERROR_NAME_TAKEN, "There is a protection group called %s already",
                         group->name != NULL ? group->name : group->id);
    case STATEMENT_DANGLING:
        return error_set(err, ERROR_POLICY_NOT_FOUND, "There is no policy %s",
                         group->policy_id != NULL ? group->policy_id : "");
    default:
        return -1;
    }
}

int catalog_group_insert(struct catalog *catalog, const struct catalog_group *group, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_GROUP_INSERT);
    statement_bind_text(statement, group->id);
    statement_bind_text(statement, group->name);
    statement_bind_text(statement, group->policy_id);
    statement_bind_integer(statement, group->stopped);
    statement_bind_integer(statement, clock_wall_ms());
    statement_bind_integer(statement, group->scheduled_ms);
    return group_result(statement_run(statement, err), group, err);
}

int catalog_group_update(struct catalog *catalog, const struct catalog_group *group, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_GROUP_UPDATE);
    statement_bind_text(statement, group->id);
    statement_bind_text(statement, group->name);
    statement_bind_text(statement, group->policy_id);
    statement_bind_integer(statement, group->stopped);
    statement_bind_integer(statement, clock_wall_ms());
    return group_result(statement_run(statement, err), group, err);
}

int catalog_group_set_scheduled(struct catalog *catalog, const char *id, int64_t scheduled_ms,
                                struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_GROUP_SET_SCHEDULED);
    statement_bind_text(statement, id);
    statement_bind_integer(statement, scheduled_ms);
    return statement_execute(statement, err);
}

int catalog_group_delete(struct catalog *catalog, const char *id, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_GROUP_DELETE);
    statement_bind_text(statement, id);
    return group_result(statement_run(statement, err), &(struct catalog_group){.id = id}, err);
}

const struct catalog_group *catalog_group_find(struct catalog *catalog, struct arena *arena,
                                               const char *reference, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_GROUP_FIND);
    struct catalog_group *group = arena_alloc(arena, sizeof *group);
    statement_bind_text(statement, reference);
    int found = statement_first(statement, arena, group_read, group, err);
    if (found == 0) {
        error_set(err, ERROR_GROUP_NOT_FOUND, "There is no protection group %s", reference);
    }
    return found > 0 ? group : NULL;
}

int catalog_group_list(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                       const struct catalog_group **groups, size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_GROUP_LIST);
    statement_bind_page(statement, page);
    return statement_rows(statement, arena, group_read, sizeof **groups, groups, count, err);
}

/* The VM is in a group: say in which, unless it is this one. */
static int group_explain_taken(struct catalog *catalog, const char *group_id, const char *vm_id,
                               struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_GROUP_OF_VM);
    struct arena *arena = arena_create();
    int result = -1;
    statement_bind_text(statement, vm_id);
    if (statement_next(statement, err) > 0) {
        result = strcmp(statement_text(statement, arena), group_id) == 0 ? 0 : -1;
        const char *group_name = statement_text(statement, arena);
        error_set(err, ERROR_VM_ALREADY_PROTECTED, "%s is already in the protection group %s",
                  statement_text(statement, arena), group_name);
    }
    statement_close(statement);
    arena_destroy(arena);
    return result;
}

int catalog_group_add(struct catalog *catalog, const char *group_id, const char *vm_id, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_GROUP_ADD);
    statement_bind_text(statement, group_id);
    statement_bind_text(statement, vm_id);
    statement_bind_integer(statement, clock_wall_ms());
    switch (statement_run(statement, err)) {
    case STATEMENT_DONE:
        return 0;
    case STATEMENT_TAKEN:
        return group_explain_taken(catalog, group_id, vm_id, err);
    case STATEMENT_DANGLING:
        return error_set(err, ERROR_VM_NOT_FOUND, "There is no such VM or protection group");
    default:
        return -1;
    }
}

int catalog_group_remove(struct catalog *catalog, const char *group_id, const char *vm_id, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_GROUP_REMOVE);
    statement_bind_text(statement, group_id);
    statement_bind_text(statement, vm_id);
    switch (statement_run(statement, err)) {
    case STATEMENT_DONE:
        return 0;
    case STATEMENT_NOTHING:
        return error_set(err, ERROR_VM_NOT_PROTECTED, "The VM is not in this protection group");
    default:
        return -1;
    }
}
