#include "server/catalog/catalog_schedules.h"

#include "server/catalog/catalog_statement.h"

int catalog_policy_version_list(struct catalog *catalog, struct arena *arena, const char *policy_id,
                                const struct catalog_page *page, const struct catalog_policy **policies,
                                size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POLICY_VERSION_LIST);
    statement_bind_text(statement, policy_id);
    statement_bind_page(statement, page);
    return statement_rows(statement, arena, catalog_policy_read, sizeof **policies, policies, count, err);
}

static void priority_read(struct statement *row, struct arena *arena, void *into)
{
    policy_priority_parse(statement_text(row, arena), into);
}

int catalog_group_priority(struct catalog *catalog, const char *group_id, enum policy_priority *priority,
                           struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_GROUP_PRIORITY);
    struct arena *arena = arena_create();
    *priority = PRIORITY_NORMAL;
    statement_bind_text(statement, group_id);
    int found = statement_first(statement, arena, priority_read, priority, err);
    arena_destroy(arena);
    return found < 0 ? -1 : 0;
}
