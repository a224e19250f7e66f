/*
 * The daily digest: how everything stands, as data and as text and HTML made of it. Blocks on the catalog.
 * Thread-safe.
 */
#ifndef HOLDFAST_SERVER_ALERTS_DIGEST_H
#define HOLDFAST_SERVER_ALERTS_DIGEST_H

#include "server/catalog/catalog_standing.h"
#include "storage/store.h"
#include <jansson.h>

/* The data (docs/openapi.yaml, Digest): VMs, jobs of the last 24 hours, store, recovery point objectives,
 * open alerts (the newest 50). store: NULL when it is not known. NULL on failure. */
json_t *digest_make(struct catalog *catalog, const char *server_id, const struct store_status *store,
                    int64_t rpo_grace_ms, int64_t now_ms, struct error *err);
/* malloc'd. HTML is a whole document, everything in it escaped. */
char *digest_subject(const json_t *digest);
char *digest_text(const json_t *digest);
char *digest_html(const json_t *digest);

/* When the next digest after `after_ms` is due: at that time of the day of the zone. SCHEDULE_INVALID. */
int digest_next(const char *time, const char *zone, int64_t after_ms, int64_t *next_ms, struct error *err);

#endif
