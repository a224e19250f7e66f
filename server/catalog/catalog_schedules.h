/*
 * Of the catalog (server/catalog/catalog.h, whose rules hold here): the versions of policies, and what the
 * queue of jobs asks.
 */
#ifndef HOLDFAST_SERVER_CATALOG_SCHEDULES_H
#define HOLDFAST_SERVER_CATALOG_SCHEDULES_H

#include "server/catalog/catalog.h"

struct statement;

/* As catalog_policy_find, as it was in a version; 0: the one in force. The name is today's. */
const struct catalog_policy *catalog_policy_version_find(struct catalog *catalog, struct arena *arena,
                                                         const char *reference, int version,
                                                         struct error *err);
/* All versions of a policy, the newest first; page->after is the version to go on before. */
int catalog_policy_version_list(struct catalog *catalog, struct arena *arena, const char *policy_id,
                                const struct catalog_page *page, const struct catalog_policy **policies,
                                size_t *count, struct error *err);
/* The priority of the group's policy; normal when there is no such group. */
int catalog_group_priority(struct catalog *catalog, const char *group_id, enum policy_priority *priority,
                           struct error *err);

/* A policy from the columns that every query of policies gives. */
void catalog_policy_read(struct statement *row, struct arena *arena, void *into);

#endif
