/* How all of it stands, in numbers: for status, digest and dashboard. As server/catalog/catalog.h says. */
#ifndef HOLDFAST_SERVER_CATALOG_STANDING_H
#define HOLDFAST_SERVER_CATALOG_STANDING_H

#include "server/catalog/catalog_alerts.h"

struct catalog_standing {
    uint64_t vms_protected; /* in a group, with a recovery point */
    uint64_t vms_waiting;   /* in a group, without one */
    uint64_t vms_unprotected;
    uint64_t vms_failing; /* their last backup failed */
    uint64_t rpo_met;     /* of the VMs whose policy asks for points */
    uint64_t rpo_missed;
    uint64_t jobs[JOB_STATE_COUNT]; /* created since then */
    struct catalog_alert_counts alerts;
};

/* Failing and missed are those that have an open alert. */
int catalog_standing_read(struct catalog *catalog, int64_t jobs_since_ms, struct catalog_standing *standing,
                          struct error *err);

#endif
