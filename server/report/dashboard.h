/* The state of the whole in a few numbers, for /v1/status. */
#ifndef HOLDFAST_SERVER_REPORT_DASHBOARD_H
#define HOLDFAST_SERVER_REPORT_DASHBOARD_H

#include "server/server.h"
#include <jansson.h>

/* Adds to the object: vms {protected, ...}, rpo {met, missed, waiting, none}, oldest_point, capacity.
 * user_id: VMs of this user's groups only, and no capacity (null); or NULL. */
int dashboard_add(struct server *server, const char *user_id, json_t *status, struct error *err);
/* {"state", "reason", "used_percent", "growth_bytes_per_day", "full", ...}, as in the API. */
json_t *dashboard_capacity_json(const struct capacity_status *status);

#endif
