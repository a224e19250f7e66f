/* Inside the module. */
#ifndef HOLDFAST_AGENT_AGENT_JOBS_INTERNAL_H
#define HOLDFAST_AGENT_AGENT_JOBS_INTERNAL_H

#include "agent/agent_jobs.h"
#include "agent/backup_pages.h"
#include "agent/snapshots/host_snapshots.h"
#include "base/pool.h"
#include <pthread.h>
#include <stdatomic.h>

enum {
    JOBS_THREADS = 16, /* calls that are worked on at once */
    JOBS_QUEUE = 64,
    JOBS_PROVIDERS_MAX = 4,
    JOBS_RESTORES_BESIDE = 2, /* what several restores share; memory bounds it */
};

struct open_provider {
    const struct provider *provider;
    void *self;
    Holdfast__UnfinishedJob **unfinished;
    size_t unfinished_count;
};

struct agent_job {
    char *id;
    struct open_provider *provider;
    char *vm_uuid;
    atomic_bool cancelled;
    struct provider_backup *backup;    /* between begin and end */
    Holdfast__BackupBeginReply *begun; /* what was answered */
    struct backup_pages *pages;        /* to be left out; NULL: none */
    struct backup_pages *base_pages;   /* that the parent left out; NULL: none */
    char **known_tracking; /* of the request and the job: none of them is dropped without the server's word */
    size_t known_count;
    bool busy; /* a worker is at it */
    bool lost; /* the server is gone: the worker ends it */
    struct agent_job *next;
};

struct agent_jobs {
    struct agent_jobs_options options;
    struct open_provider providers[JOBS_PROVIDERS_MAX];
    const char *kinds[JOBS_PROVIDERS_MAX];
    size_t provider_count;
    Holdfast__UnfinishedJob **unfinished; /* of all providers; pointers into theirs */
    size_t unfinished_count;
    struct host_snapshots *snapshots;
    struct pool *pool;
    pthread_mutex_t lock; /* guards what follows, and the jobs' busy and lost */
    pthread_cond_t changed;
    struct agent_job *first;
    unsigned restores_beside; /* data connections of restores, but for the first of each */
    bool discovering;
    atomic_uint_least64_t lists; /* that were begun */
    bool ending;
};

struct open_provider *jobs_find_provider(struct agent_jobs *jobs, const char *kind, struct error *err);
/* Make a job, busy. JOB_CONFLICT when there is one of that id. */
struct agent_job *jobs_add(struct agent_jobs *jobs, const char *id, struct open_provider *provider,
                           const char *vm_uuid, struct error *err);
/* Find a job and make it busy; NULL when there is none. Waits for another worker that is at it: the one that
 * answered the last call may not have put the job down yet when the server's next call is here. */
struct agent_job *jobs_take(struct agent_jobs *jobs, const char *id);
/* Done with it for now; ends the backup when the server was lost meanwhile. */
void jobs_put(struct agent_jobs *jobs, struct agent_job *job);
/* Take it out and free it. Busy, and without a backup. */
void jobs_remove(struct agent_jobs *jobs, struct agent_job *job);

/* The work itself, on a worker. */
void jobs_serve_begin(struct agent_jobs *jobs, struct rpc_request *request,
                      const Holdfast__BackupBeginRequest *message);
void jobs_serve_transfer(struct agent_jobs *jobs, struct rpc_request *request,
                         const Holdfast__BackupTransferRequest *message);
void jobs_serve_end(struct agent_jobs *jobs, struct rpc_request *request,
                    const Holdfast__BackupEndRequest *message);
void jobs_serve_restore(struct agent_jobs *jobs, struct rpc_request *request,
                        const Holdfast__RestoreRequest *message);
/* End a begun backup whose outcome the server has not told: nothing it may stand on is dropped. */
void jobs_give_up_backup(struct agent_job *job);

#endif
