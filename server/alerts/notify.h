/*
 * Telling people: messages are put into an outbox in the catalog, and NOTIFY_WORKERS threads deliver them. At
 * least once (a server that dies behind a delivery sends it again, with the same id), in order for each
 * receiver and one at a time, tried again with growing pauses, given up after a time. A receiver that hangs
 * holds up others only when NOTIFY_WORKERS hang, and then by the timeout at most, and jobs not at all. An
 * outbox holds CATALOG_OUTBOX_MAX messages of a receiver; more are lost, and counted.
 *
 * Thread-safe. The functions that put messages into the outbox may stand between catalog_begin and
 * catalog_commit.
 */
#ifndef HOLDFAST_SERVER_ALERTS_NOTIFY_H
#define HOLDFAST_SERVER_ALERTS_NOTIFY_H

#include "server/catalog/catalog_notifications.h"
#include <jansson.h>

struct notify;

enum { NOTIFY_WORKERS = 8 };

struct notify_options {
    struct catalog *catalog;
    const char *data_directory;
    const char *server_id;
    unsigned timeout_ms;           /* of one delivery */
    unsigned retry_ms;             /* before the second try; doubled for each after it, to an hour */
    int64_t give_up_ms;            /* a message is tried for so long */
    void (*failing)(void *cookie); /* a delivery failed, or the first works again; any thread; NULL */
    void *cookie;
};

struct notify *notify_create(const struct notify_options *options);
int notify_start(struct notify *notify, struct error *err);
/* Gives up what is being delivered; the next start tries it again. Also when notify_start failed. Blocks
 * shortly. */
void notify_stop(struct notify *notify);
void notify_destroy(struct notify *notify); /* NULL is fine */
/* There is something new. Never blocks. */
void notify_wake(struct notify *notify);

/* To everybody who wants alerts of this severity; not to the receiver that the alert is about. */
int notify_alert(struct notify *notify, const struct catalog_alert *alert, bool resolved, struct error *err);
/* A job that ended, to everybody who wants jobs. */
int notify_job(struct notify *notify, const struct catalog_job *job, struct error *err);
/* The digest (server/alerts/digest.h), to one. */
int notify_digest(struct notify *notify, const struct catalog_notification *to, const json_t *digest,
                  struct error *err);
/* Does anybody want them? NOTIFY_NOT_FOUND when nobody does. */
int notify_check_jobs_wanted(struct notify *notify, struct error *err);

/* A message now, beside the outbox: tells what is wrong. Blocks for the timeout. NOTIFY_FAILED. */
int notify_test(struct notify *notify, const struct catalog_notification *to, struct error *err);

json_t *alert_json(const struct catalog_alert *alert);

#endif
