/*
 * The job engine: one thread owns every job and moves it through its states (docs/architecture.md);
 * everything else sends it events. A state is in the catalog before it is acted upon, so that a restarted
 * server resumes or fails each job with a reason. What a job is and how far it got is read from the catalog
 * (catalog_job_find).
 *
 * jobs_start_* and jobs_cancel may be called from any thread but the engine's own and block shortly, until
 * the engine has answered. They fail with LIMIT_EXCEEDED when too much is queued already.
 */
#ifndef HOLDFAST_SERVER_JOBS_H
#define HOLDFAST_SERVER_JOBS_H

#include "base/error.h"
#include "base/identity.h"
#include "server/catalog/catalog.h"
#include "server/jobs/job_ports.h"

struct jobs;

struct jobs_options {
    struct catalog *catalog;
    const struct job_ports *ports; /* the world that jobs act on; borrowed until jobs_destroy */
    /* Called with a job as it was stored, on the engine's thread; must not block. NULL: nobody cares. */
    void (*saved)(void *cookie, const struct catalog_job *job);
    void *saved_cookie;
    unsigned max_attempts;       /* 0: 3 */
    unsigned retry_delay_ms;     /* before the first retry, doubled each time, to an hour, and up to a
                                    quarter more, so that jobs spread; 0: 10 s */
    unsigned reconnect_wait_ms;  /* how long a job waits for its host to come back; 0: 10 min */
    unsigned idle_timeout_ms;    /* no data for so long fails a transfer; 0: 2 min */
    unsigned connections;        /* data connections of a job; 0: 2 */
    unsigned max_running;        /* jobs that run at once; more wait; 0: 16 */
    unsigned max_running_host;   /* of one host; 0: 4 */
    void (*ended)(void *cookie); /* a job became final; on the engine's thread, never blocks; NULL */
    void *ended_cookie;
    unsigned verify_days; /* in which scheduled verifies get through the store; 0: 30 */
};

/* Takes up the jobs that a former life of the server left. */
struct jobs *jobs_create(const struct jobs_options *options, struct error *err);
/* The server ends: running jobs give up, as far as they do so in a few seconds, and are taken up by the next
 * start. Nothing can be started any more. */
void jobs_stop(struct jobs *jobs);
/* After jobs_stop, and when every call to an agent has been answered. NULL is fine. */
void jobs_destroy(struct jobs *jobs);

struct jobs_backup_request {
    const char *vm_id;
    enum job_type type; /* JOB_BACKUP or JOB_CHECK */
    bool full;          /* JOB_BACKUP: read and keep everything anew, without a parent */
    bool on_demand; /* an operator waits: refused with JOB_CONFLICT and HOST_UNREACHABLE instead of waiting */
    const char *group_id;     /* NULL or "": none */
    const char *requested_by; /* "admin", "schedule" */
    int64_t retain_until_ms;  /* 0: the policy decides */
    uint64_t bandwidth;       /* bytes a second at most; 0: only the host's limit counts */
    int64_t start_ms;         /* wall time to start at; until then it stands in no other job's way. 0: now */
};

/* VM_NOT_FOUND, HOST_UNREACHABLE, HOST_DRAINED, JOB_CONFLICT, LIMIT_EXCEEDED. */
int jobs_start_backup(struct jobs *jobs, const struct jobs_backup_request *request,
                      char job_id[IDENTITY_SIZE], struct error *err);

struct jobs_restore_request {
    const char *point_id;
    bool to_original;      /* replace the VM at its place */
    const char *host_id;   /* not to_original: the target */
    const char *name;      /* not to_original: of the new VM; NULL or "": the original's, if it is free */
    const char *directory; /* not to_original: NULL or "": the provider's default */
    bool start;
    bool stop_running; /* to_original: a running VM may be stopped */
    const char
        *networks;      /* not to_original: "OLD=NEW,..." for networks (or bridges) to exchange; NULL or "" */
    const char *pool;   /* not to_original: a storage pool of the target for the disks; NULL or "" */
    const char *format; /* of the disks: "raw", "qcow2"; NULL or "": as they were */
    uint64_t bandwidth; /* bytes a second at most; 0: only the host's limit counts */
    bool from_snapshot; /* only from what stayed on the target host; otherwise what is there is preferred */
    const char *requested_by;
};

/* RP_NOT_FOUND, RP_ON_HOST_ONLY, SNAPSHOT_GONE, HOST_NOT_FOUND, HOST_UNREACHABLE, HOST_DRAINED,
 * RESTORE_HOST_KIND, VM_NOT_FOUND (the original's host is gone), JOB_CONFLICT, LIMIT_EXCEEDED. */
int jobs_start_restore(struct jobs *jobs, const struct jobs_restore_request *request,
                       char job_id[IDENTITY_SIZE], struct error *err);

/* Read the whole store and check it (point_id NULL or ""), or whether one point is whole. JOB_CONFLICT while
 * another job of the whole store runs. */
int jobs_start_verify(struct jobs *jobs, const char *point_id, const char *requested_by,
                      char job_id[IDENTITY_SIZE], struct error *err);
/* Read and check the part of the store that was not verified for the longest time: one day's share.
 * JOB_CONFLICT. */
int jobs_start_verify_part(struct jobs *jobs, const char *requested_by, char job_id[IDENTITY_SIZE],
                           struct error *err);
/* Make the store's index anew, then list every recovery point that the catalog lacks. JOB_CONFLICT. */
int jobs_start_rebuild(struct jobs *jobs, const char *requested_by, char job_id[IDENTITY_SIZE],
                       struct error *err);

/* Free what no recovery point needs, or with dry_run only say how much that is. JOB_CONFLICT. */
int jobs_start_collect(struct jobs *jobs, bool dry_run, const char *requested_by, char job_id[IDENTITY_SIZE],
                       struct error *err);

/* Ask the job to stop; it is cancelled soon after. JOB_NOT_FOUND, JOB_NOT_RUNNING, JOB_NOT_CANCELLABLE. */
int jobs_cancel(struct jobs *jobs, const char *job_id, struct error *err);

/* True while a job uses this recovery point (restores or verifies it, or builds on it). */
bool jobs_use_point(struct jobs *jobs, const char *point_id);
/* True while a backup of this VM, or a restore over it, runs. */
bool jobs_use_vm(struct jobs *jobs, const char *vm_id);
/* Jobs of this host that are not final, and not to begin at a later time that was asked for. */
unsigned jobs_of_host(struct jobs *jobs, const char *host_id);
/* Those of them that have begun. */
unsigned jobs_running_on(struct jobs *jobs, const char *host_id);

/* Events from the agents' module; any thread, never block. */
void jobs_host_connected(struct jobs *jobs, const char *host_id);
/* What the agent says that it does now. */
void jobs_host_progress(struct jobs *jobs, const char *host_id, const char *job_id, const char *step);

#endif
