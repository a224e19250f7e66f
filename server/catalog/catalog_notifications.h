/*
 * Who is told, and what is on its way to them, in the catalog (server/catalog/catalog.h says what holds for
 * all of it).
 */
#ifndef HOLDFAST_SERVER_CATALOG_NOTIFICATIONS_H
#define HOLDFAST_SERVER_CATALOG_NOTIFICATIONS_H

#include "server/catalog/catalog_alerts.h"

enum notification_kind { NOTIFICATION_MAIL, NOTIFICATION_WEBHOOK };
const char *notification_kind_name(enum notification_kind kind); /* "mail", "webhook" */

enum notification_events {
    NOTIFY_ALERTS = 1 << 0, /* raised and resolved */
    NOTIFY_JOBS = 1 << 1,   /* those that ask for it */
    NOTIFY_DIGEST = 1 << 2, /* once a day */
};

struct catalog_notification {
    int64_t number;
    const char *id;
    const char *name;
    enum notification_kind kind;
    bool enabled;
    enum alert_severity severity; /* alerts below it are not told */
    unsigned events;              /* bits of enum notification_events */
    const char *digest_time;      /* "07:00" */
    const char *digest_zone;
    const char *server;     /* mail: "HOST:PORT"; webhook: "https://..." */
    const char *security;   /* mail: "starttls", "tls"; webhook: "" */
    const char *user;       /* mail; "": without authentication */
    const char *sender;     /* mail: an address */
    const char *recipients; /* mail: addresses, commas between */
    const char
        *authorities;   /* PEM of those that may have signed the server's certificate; "": the system's */
    const char *secret; /* sealed (server/sealed_secret.h); "" for none */
    int64_t created_ms;
    int64_t digest_ms;    /* of the last digest */
    int64_t delivered_ms; /* of the last message; 0 */
    uint64_t failures;    /* tries since then */
    int64_t failing_since_ms;
    uint64_t lost; /* messages given up since then */
    const char *last_error;
    uint64_t waiting; /* messages */
};

/* NAME_TAKEN. What it has delivered is not set. */
int catalog_notification_insert(struct catalog *catalog, const struct catalog_notification *notification,
                                struct error *err);
/* What people choose; by id. NOTIFY_NOT_FOUND, NAME_TAKEN. */
int catalog_notification_update(struct catalog *catalog, const struct catalog_notification *notification,
                                struct error *err);
/* With what waits for it. NOTIFY_NOT_FOUND. */
int catalog_notification_delete(struct catalog *catalog, const char *id, struct error *err);
/* By id or name. NULL with NOTIFY_NOT_FOUND. */
const struct catalog_notification *catalog_notification_find(struct catalog *catalog, struct arena *arena,
                                                             const char *reference, struct error *err);
int catalog_notification_list(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                              const struct catalog_notification **items, size_t *count, struct error *err);
int catalog_notification_set_digest(struct catalog *catalog, const char *id, int64_t ms, struct error *err);

struct catalog_message {
    int64_t number;
    const char *id;
    const char *notification_id;
    const char *event; /* "alert-raised", "alert-resolved", "job", "digest", "test" */
    const char *subject;
    const char *body;
    const char *html; /* "" */
    const char *data; /* JSON */
    int64_t created_ms;
    unsigned attempts;
};

/* *kept is false when too many wait already (CATALOG_OUTBOX_MAX): then nothing is stored. */
enum { CATALOG_OUTBOX_MAX = 1000 };
int catalog_outbox_insert(struct catalog *catalog, const struct catalog_message *message, bool *kept,
                          struct error *err);
/* The message whose turn it is: of each receiver but those that are busy (ids) the oldest, and not before its
 * next try. NULL when there is none; *next_ms is then when there will be one, 0 for never. */
int catalog_outbox_due(struct catalog *catalog, struct arena *arena, int64_t now_ms, const char *const *busy,
                       size_t busy_count, const struct catalog_message **message, int64_t *next_ms,
                       struct error *err);
int catalog_outbox_delivered(struct catalog *catalog, const struct catalog_message *message, int64_t now_ms,
                             struct error *err);
/* next_attempt_ms 0: it is given up. */
int catalog_outbox_failed(struct catalog *catalog, const struct catalog_message *message, int64_t now_ms,
                          int64_t next_attempt_ms, const char *why, struct error *err);
/* A message that could not even be stored. */
int catalog_notification_lost(struct catalog *catalog, const char *id, struct error *err);

/* --- jobs of whose end somebody wants to know */
int catalog_job_notification_insert(struct catalog *catalog, const char *job_id, struct error *err);
int catalog_job_notification_delete(struct catalog *catalog, const char *job_id, struct error *err);
/* Those that have ended, 100 at most. */
int catalog_job_notification_ended(struct catalog *catalog, struct arena *arena, const char *const **job_ids,
                                   size_t *count, struct error *err);

#endif
