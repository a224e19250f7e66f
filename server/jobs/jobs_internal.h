/*
 * Inside the job engine. Everything here belongs to the engine's thread but where it says otherwise.
 *
 * A job's asynchronous work (calls to agents, the receiver, lanes, work on the pool) is counted in
 * job->pending; each answer comes back as an event. A job is freed when it is final and nothing is pending.
 * Answers of calls that were given up are known by their number and ignored.
 */
#ifndef HOLDFAST_SERVER_JOBS_INTERNAL_H
#define HOLDFAST_SERVER_JOBS_INTERNAL_H

#include "base/pool.h"
#include "server/jobs/jobs.h"
#include <pthread.h>
#include <stdatomic.h>

enum {
    JOBS_OPEN_MAX = 10000, /* jobs that are not final */
    JOBS_TICK_MS = 1000,
    JOBS_LANES_MAX = 4,        /* of one restore */
    JOBS_LANES_BESIDE_MAX = 6, /* of all restores, but for the first of each: about 32 MiB each */
    JOBS_BEGIN_DEADLINE_MS = 600000,
    JOBS_END_DEADLINE_MS = 120000,
    JOBS_CANCEL_DEADLINE_MS = 30000,
    JOBS_PATIENCE_MS = 15000, /* with an agent that should have answered */
    JOBS_STOP_MS = 10000,
    JOBS_DISK_MAX = 256,
    JOBS_NOTES_MAX = 2 * JOBS_DISK_MAX, /* lines that an agent may add to the log */
    JOBS_STEP_MAX = 96,
    JOBS_RETRY_MAX_MS = 3600 * 1000,
};

struct jobs;
struct job;

struct job_event {
    struct job_event *next;
    void (*handle)(struct jobs *jobs, struct job_event *event); /* owns the event */
};

enum job_stage {
    STAGE_QUEUED,
    STAGE_CLEAN,    /* BackupEnd for a former attempt */
    STAGE_SNAPSHOT, /* BackupBegin */
    STAGE_PREPARE,  /* the parent is read, the receiver or sender made, on the pool */
    STAGE_TRANSFER, /* the receiver and BackupTransfer */
    STAGE_END,      /* BackupEnd */
    STAGE_RESTORE,  /* the sender's lanes and Restore */
    STAGE_STORE,    /* verify, rebuild or collect, on the pool */
    STAGE_FINAL,
};

struct job_lane {
    struct job *job;
    struct stream *stream;
    pthread_t thread;
    int result;
    struct error err;
};

struct job {
    struct jobs *jobs;
    struct job *next;
    struct arena *arena;
    struct catalog_job row; /* texts in the arena, or step_text */
    char step_text[JOBS_STEP_MAX];
    enum job_stage stage;
    int64_t turn_ms;   /* among jobs that wait the least goes first */
    uint64_t sequence; /* and then the one that was added first */
    atomic_uint pending;
    uint32_t call; /* number of the newest call to the agent */
    bool call_open;
    bool cancelling;
    bool unsaved; /* the catalog failed: tried again */
    bool failed;  /* this attempt, with: */
    unsigned warnings;
    struct error failure;
    int64_t wait_until_ms; /* monotonic: for its host */
    int64_t give_up_ms;    /* monotonic: waiting for an answer that should have come; 0: no */
    uint64_t rate_done;    /* of the last tick */
    int64_t rate_ms;

    /* Backup. */
    bool forget_parent; /* its maps can't be read */
    bool needs_end;     /* the agent may hold a frozen view of a former attempt */
    bool vm_off;
    bool consistency_required;
    bool exclude_pages;
    bool parent_damaged;
    unsigned lock_days;
    unsigned snapshot_days; /* a snapshot is to stay on the host; 0: none */
    const char *asked_consistency;
    char next_point[IDENTITY_SIZE]; /* that this attempt is to make */
    const char *vm_uuid;
    const char *vm_kind;
    const char *parent_id; /* "" for none */
    const struct catalog_point_disk *parent_disks;
    size_t parent_disk_count;
    const char *new_tracking; /* this attempt's, to be dropped when it fails; "" */
    Holdfast__BackupBeginReply *begun;
    struct point *parent;
    struct backup_receive *receive;
    bool receive_open;  /* `done` has not come yet */
    bool has_lost_data; /* the data connections went, the agent has not said why: */
    struct error lost_data;
    bool committed;
    uint8_t session[JOB_SESSION_SIZE];
    bool session_open;
    char seed[IDENTITY_SIZE]; /* the recovery point that stands for the first copy; empty: none */

    /* Restore. */
    struct point *point;
    struct restore_send *send;
    unsigned lanes_allowed;
    unsigned lane_count;
    unsigned lanes_open;
    unsigned lanes_done; /* that sent everything */

    /* Store. */
    atomic_bool stop_work;
    atomic_uint_fast64_t work_done;
    atomic_uint_fast64_t work_total;
};

/* A committed backup whose agent could not be told; it is when it is back. */
struct job_late_end {
    struct job_late_end *next;
    char job_id[IDENTITY_SIZE];
    char host_id[IDENTITY_SIZE];
    char vm_id[IDENTITY_SIZE];
};

struct jobs {
    struct jobs_options options;
    struct pool *pool;
    pthread_t thread;
    struct job *first; /* oldest first */
    unsigned count;
    uint64_t added; /* ever */
    struct job_late_end *late_ends;
    int64_t ticked_ms;
    bool stopping; /* give up what runs */
    bool ending;   /* end the thread when nothing is pending */

    pthread_mutex_t lock; /* guards the events */
    pthread_cond_t changed;
    struct job_event *events;
    struct job_event **last_event;
};

/* --- jobs_events.c: any thread */
void jobs_post(struct jobs *jobs, struct job_event *event);
/* Run call(jobs, cookie) on the engine's thread and wait. */
void jobs_ask(struct jobs *jobs, void (*call)(struct jobs *jobs, void *cookie), void *cookie);
struct job_event *jobs_take_event(struct jobs *jobs, unsigned timeout_ms);

/* The agent's answer to a job's call: exactly one of reply (borrowed) and failure. */
typedef void (*job_answered)(struct job *job, const ProtobufCMessage *reply, const struct error *failure);
void job_call(struct job *job, enum agent_method method, const ProtobufCMessage *request, int64_t deadline_ms,
              job_answered answered);
/* Don't wait for the open call's answer any more. */
void job_forget_call(struct job *job);
/* Agent.Cancel; the answer does not matter. */
void job_call_cancel(struct job *job);

/* Work on the pool, then finish on the engine's thread. Both get `work`, which belongs to finish. */
struct job_work {
    struct job_event event;
    struct job *job;
    void (*run)(struct job_work *work);
    void (*finish)(struct job *job, struct job_work *work);
    int result;
    struct error err;
};
void job_submit(struct job *job, struct job_work *work);

/* --- jobs_record.c */
struct job *job_add(struct jobs *jobs, const struct catalog_job *row);
/* Out of the list, and freed. */
void job_drop(struct job *job);
void job_text(struct job *job, const char **field, const char *text);
void job_step(struct job *job, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Who watches jobs hears of it. */
void job_tell(const struct job *job);
int job_save(struct job *job, struct error *err);
/* Saved now, or tried again at the next tick. */
void job_save_soon(struct job *job);
void job_log(struct job *job, enum job_log_level level, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* "CODE: text" as agents give reasons: the code, ERROR_NONE when there is none. *text is what follows. */
enum error_code job_reason_parse(const char *reason, const char **text);
/* The first failure of an attempt counts. */
void job_fail(struct job *job, const struct error *err);
/* The attempt is over, in whatever way: the job becomes final, or waits for its next try. */
void job_end_attempt(struct job *job);
void job_become_final(struct job *job, enum job_state state);
bool job_is_transient(enum error_code code);
/* Before the next try, when this one (from 1) failed: the first delay, doubled for each try, to an hour, and
 * up to a quarter more, always the same for one id: what failed together does not come back together. */
int64_t job_retry_delay_ms(unsigned first_ms, unsigned attempt, const char *job_id);
void job_session_open(struct job *job, job_stream_arrived arrived);
void job_session_close(struct job *job);

/* --- jobs_backup.c, jobs_restore.c, jobs_store.c */
void job_start_backup(struct job *job);
void job_cancel_backup(struct job *job, const struct error *why, bool *late);
void job_tick_backup(struct job *job, int64_t now_ms);
void job_clear_backup(struct job *job); /* what an attempt held */

void job_start_restore(struct job *job);
void job_cancel_restore(struct job *job, const struct error *why, bool *late);
void job_tick_restore(struct job *job, int64_t now_ms);
void job_clear_restore(struct job *job);

void job_start_store(struct job *job);

/* --- jobs_late_end.c */
/* Tell the agent that the backup is committed, when it is back. */
void job_remember_late_end(struct job *job);
void job_send_late_end(struct jobs *jobs, const struct job_late_end *late);

/* --- jobs_plan.c: what a backup asks for and what became of it */
/* Looks the VM up as it is now: its host may have changed. */
int job_plan_backup(struct job *job, struct error *err);
/* What the policy locks, before the point is committed. Blocks. */
int job_lock_point(const struct job *job, struct point *point, struct error *err);
/* Calls BackupBegin. */
void job_call_begin(struct job *job, job_answered answered);
/* Checks the reply, keeps a copy, sets the row's mode and reason, logs warnings. */
int job_take_begun(struct job *job, const Holdfast__BackupBeginReply *reply, struct error *err);
/* The names of the VM's tracking points, in the arena. */
int job_known_tracking(struct catalog *catalog, struct arena *arena, const char *vm_id, char ***names,
                       size_t *count, struct error *err);

/* --- jobs_queue.c */
/* Sets turn_ms from who asked, the group's policy and how long the job has waited (docs/architecture.md). */
void job_set_turn(struct job *job);
/* Start what can be started. */
void jobs_start_ready(struct jobs *jobs);
unsigned jobs_count_running_on(const struct jobs *jobs, const char *host_id);
/* It begins at a later time that was asked for. */
bool job_waits_for_time(const struct job *job);
/* It is queued, and its time has come; a try is never further away than the longest pause between two. */
bool job_is_due(const struct job *job, int64_t wall_ms);
/* Another job that is not final (or that runs) and can't run beside this one: of the same VM, or of the whole
 * store. */
const struct job *job_find_rival(const struct job *job, bool running_only);

/* --- jobs.c */
bool job_is_backup(const struct job *job);
bool job_runs(const struct job *job); /* begun, not final */

/* --- jobs_resume.c */
int jobs_resume(struct jobs *jobs, struct error *err);

/* --- jobs_snapshot.c: what stays on the host */
/* After a snapshot phase: in the catalog, and the log says what stays, or why nothing. */
void job_note_snapshot(struct job *job);
/* The job's transfer failed for good: does a snapshot stay that restores? Then the log says so. */
bool job_kept_on_host(struct job *job);
/* What the job has kept is not wanted. */
void job_forget_snapshot(struct job *job);

/* --- jobs_outcome.c */
/* The status matrix: what a job is whose phases ended so. kept_on_host: a snapshot stays there that restores.
 */
enum job_state job_outcome(enum job_phase_state snapshot, enum job_phase_state transfer, bool kept_on_host,
                           bool warnings);

#endif
