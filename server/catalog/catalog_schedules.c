#include "server/catalog/catalog_schedules.h"

#include "server/catalog/catalog_statement.h"

int catalog_policy_version_list(struct catalog *catalog, struct arena *arena, const char *policy_id,
                                const struct catalog_page *page, const struct catalog_policy **policies,
                                size_t *count, struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_POLICY_VERSION_LIST, err);
    if (statement == NULL) {
        return -1;
    }
    statement_bind_text(statement, policy_id);
    statement_bind_integer(statement, page == NULL ? 0 : page->after);
    statement_bind_integer(statement, catalog_page_limit(page));
    struct catalog_policy *items = NULL;
    int more = 0;
    *count = 0;
    while ((more = statement_next(statement, err)) > 0) {
        items = arena_grow(arena, items, *count, sizeof *items);
        catalog_policy_read(statement, arena, &items[(*count)++]);
    }
    statement_close(statement);
    *policies = items;
    return more;
}

int catalog_group_priority(struct catalog *catalog, const char *group_id, enum policy_priority *priority,
                           struct error *err)
{
    struct statement *statement = statement_open(catalog, SQL_GROUP_PRIORITY, err);
    if (statement == NULL) {
        return -1;
    }
    struct arena *arena = arena_create();
    statement_bind_text(statement, group_id);
    int found = statement_next(statement, err);
    *priority = PRIORITY_NORMAL;
    if (found > 0) {
        policy_priority_parse(statement_text(statement, arena), priority);
    }
    statement_close(statement);
    arena_destroy(arena);
    return found < 0 ? -1 : 0;
}
