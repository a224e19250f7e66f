/*
 * Looking after a store: verify and rebuild. On the caller's thread (and readers of its own), beside backups
 * and restores.
 */
#ifndef HOLDFAST_STORAGE_MAINTENANCE_H
#define HOLDFAST_STORAGE_MAINTENANCE_H

#include "storage/point.h"

struct maintenance_progress {
    const char *phase; /* "scan", "points", "mark", "sweep" */
    uint64_t done;     /* containers, or points */
    uint64_t total;
};

/* Returns true to stop: the operation then fails with JOB_CANCELLED, the store stays valid. May be called
 * from another thread than the operation's, never from two at once. */
typedef bool (*maintenance_watch)(void *cookie, const struct maintenance_progress *progress);

struct verify_report {
    uint64_t containers;
    uint64_t records;
    uint64_t chunks;
    uint64_t bytes_read;
    uint64_t damaged_chunks; /* found now or known before and not healed */
    size_t damaged_point_count;
    char (*damaged_points)[IDENTITY_SIZE]; /* ids of the points that touch them or can't be read */
};

/* Read every container in order, check CRC and name of everything, quarantine what is damaged (looked up no
 * more, so that the next synchronization stores it again), read again what was noted as damaged before (a
 * disk may fail for a moment), and walk every point's map. A damaged store is reported, not an error. Free
 * the report with verify_report_clear. */
int store_verify(struct store *store, maintenance_watch watch, void *cookie, struct verify_report *report,
                 struct error *err);
void verify_report_clear(struct verify_report *report);

/* The same for a part of the store, for a schedule that covers all of it in some days. */
struct verify_options {
    int64_t verified_before_ms; /* wall time: only containers not verified since, the longest ago first */
    uint64_t bytes;             /* about so much at most; 0: no limit */
    uint64_t bytes_per_second;  /* of reading; 0: no limit */
    unsigned readers;           /* 0: the default, 2 */
};
int store_verify_part(struct store *store, const struct verify_options *options, maintenance_watch watch,
                      void *cookie, struct verify_report *report, struct error *err);

/* 1 the point is whole as far as is known (every node and chunk of its maps is in the index, undamaged), 0
 * damaged (*missing_chunks says how many), -1 error. Reads no chunk data. */
int store_check_point(struct store *store, const char *point_id, uint64_t *missing_chunks, struct error *err);

struct collect_options {
    unsigned live_percent;     /* a container with less of it live is rewritten; 0: the default, 75 */
    uint64_t bytes_per_second; /* of reading and rewriting; 0: no limit */
    bool dry_run;              /* only count */
};

struct collect_report {
    uint64_t containers; /* that were looked at */
    uint64_t bytes;      /* of them */
    uint64_t live_bytes;
    uint64_t deleted;   /* containers without anything live */
    uint64_t rewritten; /* containers with too little */
    uint64_t written_bytes;
    uint64_t freed_bytes; /* less what was written for it; of a dry run: what a collection would free */
    uint64_t nodes;       /* distinct map nodes that were walked */
    uint64_t chunks;      /* that they name */
    uint64_t memory_bytes;
};

/* Free what no recovery point and no partial map needs (storage/writers.h says how that goes beside backups).
 * Beside backups, restores and verify; JOB_CONFLICT beside another collection or a rebuild. CHUNK_DAMAGED: a
 * recovery point can't be read whole, so that what it needs is not known; nothing was freed. */
int store_collect(struct store *store, const struct collect_options *options, maintenance_watch watch,
                  void *cookie, struct collect_report *report, struct error *err);

/* Throw the index away and make it anew from the containers. Backups and lookups wait meanwhile; it can't be
 * cancelled (what watch returns is not used). */
int store_rebuild_index(struct store *store, maintenance_watch watch, void *cookie, struct error *err);

#endif
