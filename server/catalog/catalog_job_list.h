/* The catalog's part that lists jobs by any filter, and forgets old ones (catalog_job_list itself:
 * catalog.h). */
#ifndef HOLDFAST_SERVER_CATALOG_JOB_LIST_H
#define HOLDFAST_SERVER_CATALOG_JOB_LIST_H

#include "server/catalog/catalog.h"

enum { CATALOG_JOB_LOG_MAX = 2000 }; /* entries of one job */

/* 1 with the job, 0 when there is none of that number, -1. */
int catalog_job_get(struct catalog *catalog, struct arena *arena, int64_t number, struct catalog_job *job,
                    struct error *err);

/* Removes jobs that were created and had ended before, with their logs: at most `most` of them, the oldest
 * first. *any tells whether there were some: then more may be left. */
int catalog_job_prune(struct catalog *catalog, int64_t before_ms, unsigned most, bool *any,
                      struct error *err);

#endif
