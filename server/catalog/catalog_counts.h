/*
 * How many of what the catalog lists, by state: counted by SQLite, without reading the rows.
 */
#ifndef HOLDFAST_SERVER_CATALOG_COUNTS_H
#define HOLDFAST_SERVER_CATALOG_COUNTS_H

#include "server/catalog/catalog.h"

enum { CATALOG_HOST_STATES = 4 };

/* All block shortly and are thread-safe; CATALOG_FAILED. The arrays are indexed by state. user_id: what this
 * user's groups have; NULL: all. */
int catalog_count_hosts(struct catalog *catalog, const char *user_id, int64_t counts[CATALOG_HOST_STATES],
                        struct error *err);
/* Those that were created since. */
int catalog_count_jobs(struct catalog *catalog, const char *user_id, int64_t since_ms,
                       int64_t counts[JOB_STATE_COUNT], struct error *err);

#endif
