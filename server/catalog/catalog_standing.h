/* How all of it stands: for status, digest and dashboard. As server/catalog/catalog.h says. */
#ifndef HOLDFAST_SERVER_CATALOG_STANDING_H
#define HOLDFAST_SERVER_CATALOG_STANDING_H

#include "server/catalog/catalog_alerts.h"

struct catalog_standing {
    uint64_t jobs[JOB_STATE_COUNT]; /* created since then */
    struct catalog_alert_counts alerts;
};
int catalog_standing_read(struct catalog *catalog, int64_t jobs_since_ms, struct catalog_standing *standing,
                          struct error *err);

/* What a VM is judged by (server/protection/standing.h). */
struct catalog_standing_vm {
    int64_t number;
    bool grouped;
    bool stopped; /* the group is */
    bool present;
    bool failed; /* the last backup that ended and was neither cancelled nor skipped */
    const char *policy_id;
    int64_t protected_ms;  /* since when by its group: it joined, or the group was resumed */
    int64_t last_point_ms; /* of the newest that restores from the store; 0: none */
};
/* user_id: only VMs that are in groups of this user; or NULL. */
int catalog_standing_vms(struct catalog *catalog, struct arena *arena, const char *user_id,
                         const struct catalog_page *page, const struct catalog_standing_vm **vms,
                         size_t *count, struct error *err);

#endif
