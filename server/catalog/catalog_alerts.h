/*
 * Alerts and what they are judged by, in the catalog (server/catalog/catalog.h says what holds for all of it:
 * threads, blocking, arenas, pages, errors).
 */
#ifndef HOLDFAST_SERVER_CATALOG_ALERTS_H
#define HOLDFAST_SERVER_CATALOG_ALERTS_H

#include "server/catalog/catalog.h"

enum alert_severity { ALERT_INFORMATION, ALERT_WARNING, ALERT_CRITICAL, ALERT_SEVERITY_COUNT };
const char *alert_severity_name(enum alert_severity severity);             /* "information", ... */
int alert_severity_parse(const char *name, enum alert_severity *severity); /* -1 for an unknown name */

/* What is wrong with what. One alert is open for a code and an object at most. */
struct catalog_alert {
    int64_t number;
    const char *id;
    enum error_code code;
    enum alert_severity severity;
    const char *object_kind; /* "vm", "host", "store", "server", "notification" */
    const char *object_id;
    const char *object_name;
    const char *message;
    enum error_code cause_code; /* ERROR_NONE: the code itself says what to do */
    const char *cause;          /* "" */
    const char *job_id;         /* that showed it; "" */
    int64_t raised_ms;
    int64_t resolved_ms; /* 0: open */
    int64_t acknowledged_ms;
    const char *acknowledged_by;
    const char *note;
};

/* The step that is recommended: of the cause where it has a code. */
const char *catalog_alert_action(const struct catalog_alert *alert);

/* Open, not acknowledged. */
int catalog_alert_insert(struct catalog *catalog, const struct catalog_alert *alert, struct error *err);
/* Severity, name, message, cause, job; by id. */
int catalog_alert_update(struct catalog *catalog, const struct catalog_alert *alert, struct error *err);
int catalog_alert_resolve(struct catalog *catalog, const char *id, int64_t now_ms, struct error *err);
/* Also one that is resolved; a second one replaces the first. */
int catalog_alert_acknowledge(struct catalog *catalog, const char *id, int64_t now_ms, const char *actor,
                              const char *note, struct error *err);
/* Those that were resolved before. */
int catalog_alert_prune(struct catalog *catalog, int64_t before_ms, struct error *err);
/* By id, or the beginning of one, at least 8 characters, that only one has. NULL with ALERT_NOT_FOUND. */
const struct catalog_alert *catalog_alert_find(struct catalog *catalog, struct arena *arena,
                                               const char *reference, struct error *err);
struct catalog_alert_filter {
    bool resolved;       /* these, too */
    int severity;        /* enum alert_severity, or -1 */
    const char *user_id; /* of VMs, hosts and groups that he is scoped to; NULL: all */
};
/* Newest first. */
int catalog_alert_list(struct catalog *catalog, struct arena *arena,
                       const struct catalog_alert_filter *filter, const struct catalog_page *page,
                       const struct catalog_alert **alerts, size_t *count, struct error *err);
struct catalog_alert_counts {
    uint64_t open[ALERT_SEVERITY_COUNT];         /* acknowledged or not */
    uint64_t acknowledged[ALERT_SEVERITY_COUNT]; /* of them */
};
/* user_id: as in the filter. */
int catalog_alert_count(struct catalog *catalog, const char *user_id, struct catalog_alert_counts *counts,
                        struct error *err);

/* --- what alerts are judged by */

/* A VM, its group, and its last jobs that ended other than cancelled or skipped. */
struct catalog_vm_standing {
    int64_t number;
    const char *id;
    const char *name;
    const char *host_name;
    const char *power;
    bool present;
    bool moved_away;
    int64_t vanished_ms;
    const char *group_id; /* "" in none */
    bool stopped;         /* the group is */
    const char *policy_id;
    int64_t protected_ms;    /* since when by its group: it joined, or the group was resumed */
    int64_t last_point_ms;   /* of the newest that restores from the store; 0: none */
    const char *backup_job;  /* id, "" */
    const char *restore_job; /* id, ""; only one that ended after restores_since_ms */
};
int catalog_vm_standing_list(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                             int64_t restores_since_ms, const struct catalog_vm_standing **vms, size_t *count,
                             struct error *err);

struct catalog_job_outcome {
    enum job_state state;
    enum error_code error_code;
    const char *error_message;
    const char *error_cause;
};
/* JOB_NOT_FOUND */
int catalog_job_outcome(struct catalog *catalog, struct arena *arena, const char *job_id,
                        struct catalog_job_outcome *outcome, struct error *err);
/* The newest job of this type that belongs to no VM and ended other than cancelled; *job_id "" for none. */
int catalog_job_last_of_store(struct catalog *catalog, struct arena *arena, enum job_type type,
                              const char **job_id, struct error *err);
/* The log's entries that have a code; the first 200. Their time is not given. */
int catalog_job_codes(struct catalog *catalog, struct arena *arena, const char *job_id,
                      const struct catalog_job_log **entries, size_t *count, struct error *err);

/* --- changes of VMs */

struct catalog_change {
    int64_t number; /* of the recovery point */
    const char *point_id;
    const char *vm_id;
    const char *vm_name;
    const char *mode;
    int64_t time_ms;
    uint64_t size;          /* of all disks */
    uint64_t stored_bytes;  /* that the store grew by */
    uint64_t changed_bytes; /* plain, that it was sent */
    bool suspicious;        /* an open anomaly (of the history only) */
};
/* The next points behind this number, 100 at most, oldest first. */
int catalog_change_unjudged(struct catalog *catalog, struct arena *arena, int64_t after,
                            const struct catalog_change **changes, size_t *count, struct error *err);
/* The points of the VM before this time, newest first. */
int catalog_change_history(struct catalog *catalog, struct arena *arena, const char *vm_id, int64_t before_ms,
                           unsigned limit, const struct catalog_change **changes, size_t *count,
                           struct error *err);

struct catalog_anomaly {
    const char *vm_id;
    const char *vm_name;
    const char *point_id;
    const char *last_good; /* "" when there is none */
    const char *description;
};
/* A point that is known already is nothing new. */
int catalog_anomaly_insert(struct catalog *catalog, const struct catalog_anomaly *anomaly, int64_t now_ms,
                           struct error *err);
/* The oldest of each VM that is not acknowledged. */
int catalog_anomaly_list(struct catalog *catalog, struct arena *arena,
                         const struct catalog_anomaly **anomalies, size_t *count, struct error *err);
/* All of the VM. */
int catalog_anomaly_acknowledge(struct catalog *catalog, const char *vm_id, int64_t now_ms,
                                struct error *err);
/* *holds: the point is the last good one before an anomaly that is not acknowledged. */
int catalog_anomaly_is_last_good(struct catalog *catalog, const char *point_id, bool *holds,
                                 struct error *err);
int catalog_anomaly_is_suspicious(struct catalog *catalog, const char *point_id, bool *suspicious,
                                  struct error *err);

#endif
