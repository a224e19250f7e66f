/*
 * What reports, metrics and forecasts read from the catalog, and the daily samples that they need. As the
 * rest of the catalog: thread-safe, blocking, CATALOG_FAILED. Lists that are paged go by the VM's number, or
 * the day.
 */
#ifndef HOLDFAST_SERVER_CATALOG_REPORT_H
#define HOLDFAST_SERVER_CATALOG_REPORT_H

#include "server/catalog/catalog.h"

enum { CATALOG_DAY_MS = 24 * 3600 * 1000 };

struct catalog_store_sample {
    int64_t day; /* since 1970, UTC */
    int64_t time_ms;
    uint64_t stored_bytes;
    uint64_t chunk_bytes; /* of distinct chunks, before compression */
    uint64_t free_bytes;
    uint64_t total_bytes;
    uint64_t points;
};

/* The day's sample of the store, and one of every VM with points. One that is there is replaced. */
int catalog_sample_put(struct catalog *catalog, const struct catalog_store_sample *sample, struct error *err);
/* Samples of days before these. */
int catalog_sample_prune(struct catalog *catalog, int64_t store_day, int64_t vm_day, struct error *err);
/* Oldest first, days from first to last, after the day page->after. */
int catalog_store_sample_list(struct catalog *catalog, struct arena *arena, int64_t first, int64_t last,
                              const struct catalog_page *page, const struct catalog_store_sample **samples,
                              size_t *count, struct error *err);

struct catalog_vm_growth {
    int64_t number; /* of the VM */
    const char *vm_id;
    const char *vm_name;
    const char *host_name;
    const char *group_name; /* "" */
    int64_t first_day;
    int64_t last_day;
    uint64_t first_size; /* of the newest point then */
    uint64_t last_size;
    uint64_t first_stored; /* what the points of then had added */
    uint64_t last_stored;
    uint64_t points; /* on the last day */
};
/* user_id: the VMs of the groups that he is scoped to; NULL: all. */
int catalog_vm_growth_list(struct catalog *catalog, struct arena *arena, const char *user_id, int64_t first,
                           int64_t last, const struct catalog_page *page,
                           const struct catalog_vm_growth **vms, size_t *count, struct error *err);

struct catalog_vm_report_row {
    int64_t number;
    const char *id;
    const char *name;
    const char *host_name;
    bool present;
    const char *group_name; /* "": in none */
    const char *policy_id;  /* "" */
    bool stopped;           /* the group */
    int64_t protected_ms;   /* since when by its group: it joined, or the group was resumed */
    int64_t last_point_ms;  /* of the newest that restores from the store; 0 */
    uint64_t points;
    /* of jobs created in the time asked for */
    uint64_t completed;
    uint64_t warned;
    uint64_t failed;
    uint64_t cancelled;
    uint64_t sent_bytes;
    uint64_t stored_bytes;
    /* the newest backup that ended, at any time */
    const char *last_state; /* "" */
    const char *last_code;
    int64_t last_finished_ms;
    /* of jobs in the time asked for that made a point */
    int64_t longest_gap_ms;
    int64_t longest_gap_end_ms;
    int64_t last_made_ms;
};
/* VMs that are there, protected, or have points; with their jobs created in [since, until). */
int catalog_vm_report_list(struct catalog *catalog, struct arena *arena, const char *user_id,
                           int64_t since_ms, int64_t until_ms, const struct catalog_page *page,
                           const struct catalog_vm_report_row **rows, size_t *count, struct error *err);

struct catalog_job_total {
    const char *type;
    const char *state;
    uint64_t count;
    uint64_t duration_ms; /* of those that ended */
    uint64_t done_bytes;
    uint64_t sent_bytes;
    uint64_t stored_bytes;
};
int catalog_job_totals(struct catalog *catalog, struct arena *arena, const struct catalog_job_total **totals,
                       size_t *count, struct error *err);

/* *time_ms: of the oldest recovery point; 0: there is none. user_id: of VMs of this user's groups; NULL: of
 * all. */
int catalog_point_oldest(struct catalog *catalog, const char *user_id, int64_t *time_ms, struct error *err);

#endif
