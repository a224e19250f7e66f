/*
 * Alerts: a thread looks at everything once a minute, and soon after anything happened that may matter (at
 * most once a second). What is wrong and was not gets an alert, what is no longer wrong is resolved, and who
 * wants to know is told (server/alerts/notify.h). Nothing that works waits for it. It also judges the changes
 * of new recovery points (server/alerts/anomaly.h), sends the daily digest, and forgets alerts that were
 * resolved a year ago.
 *
 * Thread-safe.
 */
#ifndef HOLDFAST_SERVER_ALERTS_ALERTS_H
#define HOLDFAST_SERVER_ALERTS_ALERTS_H

#include "base/config.h"
#include "server/alerts/notify.h"
#include "server/capacity/capacity.h"

struct alerts;

/* config: of the server (server/server.h); its keys notify-* and alert-* are read here. CONFIG_INVALID. All
 * are borrowed until alerts_destroy. */
struct alerts *alerts_create(struct catalog *catalog, struct capacity *capacity, const struct config *config,
                             const char *data_directory, const char *server_id, struct error *err);
int alerts_start(struct alerts *alerts, struct error *err);
void alerts_stop(struct alerts *alerts);    /* blocks shortly; NULL is fine */
void alerts_destroy(struct alerts *alerts); /* NULL is fine */

/* Something happened: a job ended, a host came or went. Never blocks. */
void alerts_wake(struct alerts *alerts);
struct notify *alerts_notify(struct alerts *alerts);
int64_t alerts_rpo_grace_ms(const struct alerts *alerts); /* alert-late-minutes */

/* An operator has seen it; note may be "". The recovery point that an anomaly held is free then, and the
 * anomaly counts as ordinary. ALERT_NOT_FOUND. Blocks. */
int alerts_acknowledge(struct alerts *alerts, const char *reference, const char *actor, const char *note,
                       struct error *err);

/* Bring the alerts in line with what holds: pure catalog work, for the thread and for tests. notify NULL:
 * nobody is told. Blocks. */
struct conditions;
int alerts_apply(struct catalog *catalog, struct notify *notify, const struct conditions *conditions,
                 int64_t now_ms, struct error *err);
/* Judge the recovery points that were not judged yet. Blocks. */
int anomalies_judge(struct catalog *catalog, int64_t now_ms, struct error *err);

#endif
