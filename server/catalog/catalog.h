/*
 * The catalog: everything the server knows but the data itself, in SQLite (sql/ has schema and statements).
 * Hosts, VMs, policies, groups, recovery points, jobs, settings, enrolment tokens.
 *
 * Thread-safe: one connection under a lock; calls block for as long as the disk takes, so none is made on an
 * event loop that must stay quick (the agents' loops hand over to a pool). Every write is durable when the
 * call returns.
 *
 * What is read lives in the caller's arena, rows and texts alike. Texts are never NULL, absent ones are "",
 * but where a comment says so. Times are milliseconds since 1970 UTC, 0 for never. Ids are UUIDs; `number` is
 * the row's place in its list.
 *
 * A list gives at most page->limit rows (1 to CATALOG_PAGE_MAX) after the row with the number page->after (0:
 * from the beginning) and is ordered by number: ascending, or newest first for jobs, recovery points. A full
 * page means that there may be more: go on after the last row's number.
 *
 * Errors: CATALOG_FAILED from everything; the others are named at the functions.
 */
#ifndef HOLDFAST_SERVER_CATALOG_H
#define HOLDFAST_SERVER_CATALOG_H

#include "base/error.h"
#include "base/identity.h"
#include "server/arena.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CATALOG_PAGE_MAX = 1000 };

struct catalog;

/* Open or make the catalog and bring it to this version. CATALOG_NEWER: nothing is changed then. */
struct catalog *catalog_open(const char *path, struct error *err);
void catalog_close(struct catalog *catalog); /* NULL is fine */

/* Called when a write fails because the disk is full: makes room, or gives false. The write is tried again
 * then. Called under the catalog's lock, so it may not use the catalog. */
void catalog_on_full(struct catalog *catalog, bool (*make_room)(void *cookie), void *cookie);

/* Several calls as one: all or nothing. Holds the catalog's lock, so be quick; calls in between are made by
 * the same thread. Exactly one of commit and roll_back ends it; a failed commit has rolled back. */
int catalog_begin(struct catalog *catalog, struct error *err);
int catalog_commit(struct catalog *catalog, struct error *err);
void catalog_roll_back(struct catalog *catalog);
/* Either, as the result of what was done in it: commits when that is 0. -1 when it was not, or the commit
 * failed. */
int catalog_end(struct catalog *catalog, int result, struct error *err);

struct catalog_page {
    int64_t after;
    unsigned limit; /* 0: CATALOG_PAGE_MAX */
};

/* --- settings: a few values by name
 * ------------------------------------------------------------------------------ */

/* NULL in *value when there is none. */
int catalog_setting_get(struct catalog *catalog, struct arena *arena, const char *name, const char **value,
                        struct error *err);
int catalog_setting_set(struct catalog *catalog, const char *name, const char *value, struct error *err);
/* Writes the catalog's file anew, so that nothing that was deleted or changed is in it or in its log any
 * more. Needs room for a copy. Not while others use the catalog; not in a transaction. */
int catalog_rewrite(struct catalog *catalog, struct error *err);

/* --- enrolment tokens
 * -------------------------------------------------------------------------------------------- */

/* Only the SHA-256 of the secret is kept (64 hexadecimal digits). */
int catalog_token_insert(struct catalog *catalog, const char *id, const char *secret_hash, int64_t expires_ms,
                         struct error *err);
/* ENROL_TOKEN_INVALID when it could not be used now. */
int catalog_token_check(struct catalog *catalog, const char *secret_hash, struct error *err);
/* Use it up for this host. ENROL_TOKEN_INVALID when it is unknown, used or expired; of two users at once, one
 * wins. */
int catalog_token_use(struct catalog *catalog, const char *secret_hash, const char *host_id,
                      struct error *err);

/* --- hosts
 * ------------------------------------------------------------------------------------------------------- */

enum host_state { HOST_CONNECTED, HOST_UNREACHABLE, HOST_OUTDATED, HOST_RETIRED };
const char *host_state_name(enum host_state state);             /* "connected", ... */
int host_state_parse(const char *name, enum host_state *state); /* -1 for an unknown name */

/* How fast data may travel to and from a host; bytes a second, 0 for as fast as it goes. */
struct bandwidth_limit {
    uint64_t rate;        /* in the hours of these days */
    uint64_t other_rate;  /* at other times */
    unsigned from_minute; /* of the day; hours that end before they begin go past midnight */
    unsigned to_minute;   /* to 1440 */
    unsigned days;        /* bit 0 Sunday ... bit 6 Saturday; 127: every day */
    const char *time_zone;
};

struct catalog_host {
    int64_t number;
    const char *id;
    const char *name; /* unique among the hosts that are not retired */
    enum host_state state;
    int64_t state_since_ms;
    const char *serial; /* of its certificate; "" after the catalog was rebuilt: the next one counts */
    const char *previous_serial; /* still accepted until the new one is seen; "" */
    int64_t certificate_expires_ms;
    const char *software; /* "0.1.0" */
    const char *system;   /* "Debian GNU/Linux 12 (bookworm)" */
    const char *kinds;    /* "kvm image": providers that work there */
    const char *address;  /* it was last seen from */
    int64_t enrolled_ms;
    int64_t last_seen_ms;
    bool draining; /* no job starts there */
    struct bandwidth_limit limit;
};

/* Inserts when the id is new, replaces all columns but number, draining and limit otherwise. NAME_TAKEN. */
int catalog_host_put(struct catalog *catalog, const struct catalog_host *host, struct error *err);
/* A retired host stays retired. */
int catalog_host_set_state(struct catalog *catalog, const char *id, enum host_state state, int64_t since_ms,
                           struct error *err);
int catalog_host_seen(struct catalog *catalog, const char *id, int64_t seen_ms, struct error *err);
int catalog_host_set_limit(struct catalog *catalog, const char *id, const struct bandwidth_limit *limit,
                           struct error *err);
int catalog_host_set_draining(struct catalog *catalog, const char *id, bool draining, struct error *err);
/* All that are connected. */
int catalog_host_seen_all(struct catalog *catalog, int64_t seen_ms, struct error *err);
/* At the server's start: every connected host is unreachable since it was last seen. */
int catalog_host_disconnect_all(struct catalog *catalog, struct error *err);
/* By id, or by name. NULL with HOST_NOT_FOUND. */
const struct catalog_host *catalog_host_find(struct catalog *catalog, struct arena *arena,
                                             const char *reference, struct error *err);
int catalog_host_list(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                      const struct catalog_host **hosts, size_t *count, struct error *err);

/* --- VMs (and images): the datasources
 * ---------------------------------------------------------------------------- */

struct catalog_vm {
    int64_t number;
    const char *id;
    const char *host_id;
    const char *host_name;
    const char *uuid; /* the hypervisor's */
    const char *kind; /* "kvm", "image" */
    const char *name;
    const char *power; /* "running", "paused", "off", "transition"; "unknown" when only the store knows it */
    const char *guest_agent; /* "answers", "silent", "none" */
    const char *tracking;    /* "ready", "possible", "none" */
    unsigned memory_mib;
    unsigned cpus;
    bool present;        /* in the newest report of its host */
    int64_t vanished_ms; /* since when it is not; 0 while it is */
    bool moved_away;     /* not present because the hypervisor moved it to a host that does not report it */
    uint64_t size;       /* of all disks */
    unsigned disk_count;
    const char *group_id; /* "" in none */
    const char *group_name;
    uint64_t point_count;      /* in the store, not deleted */
    const char *last_point_id; /* newest of them that is not damaged, "" */
    int64_t last_point_ms;     /* its time */
    bool group_stopped;
    const char *last_backup; /* state of the last backup that ended and was not cancelled, "" */
};

struct catalog_vm_disk {
    const char *name;
    const char *path;
    const char *format;
    uint64_t size;
    bool supported;
    const char *reason; /* why not */
};

struct catalog_vm_report {
    /* uuid, kind, name, power, guest_agent, tracking, memory_mib, cpus; or uuid, kind and moved_away: it is
     * gone, and the hypervisor moved it */
    struct catalog_vm vm;
    const struct catalog_vm_disk *disks;
    size_t disk_count;
};

/* What a host has now: replaces its former report, but for the kinds that could not be asked (silent_kinds:
 * " kvm image ", each between spaces). A VM that is gone from the report is kept, not present.
 * One that was known at another host and is gone from there moves here with its history; so does one that
 * runs here while that host is not connected, unless it was restored here. */
int catalog_vm_report(struct catalog *catalog, const char *host_id, const struct catalog_vm_report *vms,
                      size_t count, const char *silent_kinds, struct error *err);
/* A VM that only a recovery point tells of: not present. */
int catalog_vm_insert(struct catalog *catalog, const struct catalog_vm *vm, struct error *err);
/* By id, "host/name", or a name that only one VM has (one that is present comes before those that are not).
 * NULL with VM_NOT_FOUND, VM_AMBIGUOUS. */
const struct catalog_vm *catalog_vm_find(struct catalog *catalog, struct arena *arena, const char *reference,
                                         struct error *err);
/* Is it there to be worked with? VM_NOT_FOUND, VM_MOVED_AWAY. */
int catalog_vm_check_present(const struct catalog_vm *vm, struct error *err);
struct catalog_vm_filter {
    const char *host_id; /* each NULL: any */
    const char *group_id;
    const char *search; /* part of the name, any case of ASCII letters */
};
int catalog_vm_list(struct catalog *catalog, struct arena *arena, const struct catalog_vm_filter *filter,
                    const struct catalog_page *page, const struct catalog_vm **vms, size_t *count,
                    struct error *err);
int catalog_vm_disk_list(struct catalog *catalog, struct arena *arena, const char *vm_id,
                         const struct catalog_vm_disk **disks, size_t *count, struct error *err);

/* --- policies
 * ----------------------------------------------------------------------------------------------------- */

enum schedule_kind { SCHEDULE_MANUAL, SCHEDULE_INTERVAL, SCHEDULE_HOURLY, SCHEDULE_DAILY, SCHEDULE_WEEKLY };
const char *schedule_kind_name(enum schedule_kind kind); /* "manual", "interval", "hourly", ... */
/* -1 for an unknown name. */
int schedule_kind_parse(const char *name, enum schedule_kind *kind);

/* Who goes first when jobs wait. */
enum policy_priority { PRIORITY_HIGH, PRIORITY_NORMAL, PRIORITY_LOW };
const char *policy_priority_name(enum policy_priority priority); /* "high", "normal", "low" */
int policy_priority_parse(const char *name, enum policy_priority *priority);

struct catalog_policy {
    int64_t number;
    const char *id;
    const char *name;
    int version; /* from 1; every change makes one more. To update: the one that was edited */
    bool enabled;
    enum schedule_kind schedule;
    unsigned interval_minutes;   /* SCHEDULE_INTERVAL */
    unsigned hour_minute;        /* SCHEDULE_HOURLY: 0 to 59 */
    const char *daily_times;     /* SCHEDULE_DAILY, SCHEDULE_WEEKLY: "22:00" or "06:00,22:00" */
    unsigned days;               /* bit 0 Sunday ... bit 6 Saturday; 127: every day */
    const char *time_zone;       /* "UTC", "Europe/Zurich" */
    unsigned spread_minutes;     /* starts are spread over so many */
    int64_t schedule_changed_ms; /* since when the schedule is what it is */
    enum policy_priority priority;
    /* Retention: a point stays while one of these wants it; 0: does not count. The last point always stays.
     */
    unsigned keep_days;
    unsigned keep_latest;
    unsigned keep_daily;
    unsigned keep_weekly;
    unsigned keep_monthly;
    unsigned keep_yearly;
    unsigned lock_days;        /* so long nobody can delete a point that was made under it; 0: no lock */
    unsigned snapshot_days;    /* local snapshots */
    const char *consistency;   /* asked for: "application", "filesystem", "crash" */
    bool consistency_required; /* less is a failure */
    bool exclude_pages;        /* page and swap files are stored as zeros */
    int64_t created_ms;
    int64_t changed_ms;
    const char *changed_by; /* "" when that is not known */
    uint64_t group_count;
};

/* NAME_TAKEN. Values are checked by policy_check (server/protection/protection.h), not here. */
int catalog_policy_insert(struct catalog *catalog, const struct catalog_policy *policy, struct error *err);
/* A new version of the policy with that id, made from policy->version; sets changed_ms. POLICY_CHANGED when
 * that is not the version in force any more (or the policy is gone), NAME_TAKEN. */
int catalog_policy_update(struct catalog *catalog, const struct catalog_policy *policy, struct error *err);
/* POLICY_NOT_FOUND, POLICY_IN_USE. */
int catalog_policy_delete(struct catalog *catalog, const char *id, struct error *err);
/* By id or name. NULL with POLICY_NOT_FOUND. */
const struct catalog_policy *catalog_policy_find(struct catalog *catalog, struct arena *arena,
                                                 const char *reference, struct error *err);
int catalog_policy_list(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                        const struct catalog_policy **policies, size_t *count, struct error *err);

/* --- protection groups
 * -------------------------------------------------------------------------------------------- */

struct catalog_group {
    int64_t number;
    const char *id;
    const char *name;
    const char *policy_id;
    const char *policy_name;
    bool stopped; /* the schedule rests, points stay */
    int64_t created_ms;
    int64_t scheduled_ms; /* the scheduled instant that was last acted upon */
    uint64_t vm_count;
};

/* NAME_TAKEN, POLICY_NOT_FOUND. */
int catalog_group_insert(struct catalog *catalog, const struct catalog_group *group, struct error *err);
/* Name, policy, stopped. GROUP_NOT_FOUND, NAME_TAKEN. */
int catalog_group_update(struct catalog *catalog, const struct catalog_group *group, struct error *err);
int catalog_group_set_scheduled(struct catalog *catalog, const char *id, int64_t scheduled_ms,
                                struct error *err);
/* Its VMs are in no group then. GROUP_NOT_FOUND. */
int catalog_group_delete(struct catalog *catalog, const char *id, struct error *err);
/* By id or name. NULL with GROUP_NOT_FOUND. */
const struct catalog_group *catalog_group_find(struct catalog *catalog, struct arena *arena,
                                               const char *reference, struct error *err);
int catalog_group_list(struct catalog *catalog, struct arena *arena, const struct catalog_page *page,
                       const struct catalog_group **groups, size_t *count, struct error *err);
/* VM_ALREADY_PROTECTED, with the other group's name (in this group already is fine). */
int catalog_group_add(struct catalog *catalog, const char *group_id, const char *vm_id, struct error *err);
/* VM_NOT_PROTECTED when it is not in this group. */
int catalog_group_remove(struct catalog *catalog, const char *group_id, const char *vm_id, struct error *err);

/* --- recovery points
 * ---------------------------------------------------------------------------------------------- */

/* Of the same state on its host (server/catalog/catalog_snapshots.h). */
struct catalog_point_snapshot {
    bool host_only;      /* the point is not in the store */
    const char *host_id; /* NULL or "": there is none */
    const char *host_name;
    int64_t until_ms;
    const char *disks; /* JSON */
};

struct catalog_point {
    int64_t number;
    const char *id;
    const char *vm_id;
    const char *vm_name; /* as it was then */
    const char *host_id;
    const char *host_name;
    const char *kind;
    const char *parent; /* "" */
    const char *job_id; /* "" when the job is no longer known */
    int64_t time_ms;
    int64_t committed_ms;
    const char *mode;   /* "full", "incremental", "check" */
    const char *reason; /* why that mode, where it was not asked for */
    const char *consistency;
    const char *consistency_reason;
    uint64_t size; /* of all disks */
    uint64_t read_bytes;
    uint64_t sent_bytes;
    uint64_t stored_bytes;
    int64_t retain_until_ms; /* on-demand points; 0: the policy decides */
    bool held;
    bool damaged;
    int64_t verified_ms;     /* found whole */
    int64_t locked_until_ms; /* nobody can delete it before (server/protection/lock_clock.h); 0: no lock */
    int64_t deleted_ms;      /* by an operator, can be had back; 0: it is not */
    int64_t purge_ms;        /* deleted: when it goes for good */
    const char *deleted_by;
    const char *deleted_with;               /* id of the group with whose stop it was deleted; "" */
    struct catalog_point_snapshot snapshot; /* where catalog_restorable_* read it */
};

struct catalog_point_disk {
    const char *name;
    const char *format;
    uint64_t size;
    uint64_t transferred_bytes;
};

/* Between catalog_begin and catalog_commit: a point and its disks are several rows. */
int catalog_point_insert(struct catalog *catalog, const struct catalog_point *point,
                         const struct catalog_point_disk *disks, size_t disk_count, struct error *err);
/* RP_NOT_FOUND */
int catalog_point_delete(struct catalog *catalog, const char *id, struct error *err);
int catalog_point_set_held(struct catalog *catalog, const char *id, bool held, struct error *err);
int catalog_point_set_retain_until(struct catalog *catalog, const char *id, int64_t retain_until_ms,
                                   struct error *err);
/* Found whole (damaged false) or not, now. */
int catalog_point_set_verified(struct catalog *catalog, const char *id, bool damaged, struct error *err);
/* By id, or the beginning of one, at least 8 characters, that only one has. NULL with RP_NOT_FOUND. */
const struct catalog_point *catalog_point_find(struct catalog *catalog, struct arena *arena,
                                               const char *reference, struct error *err);
/* The point that this job made; *point NULL when there is none. */
int catalog_point_of_job(struct catalog *catalog, struct arena *arena, const char *job_id,
                         const struct catalog_point **point, struct error *err);
/* The VM's newest, deleted ones too: the next backup can build on it; *point NULL when there is none. */
int catalog_point_newest(struct catalog *catalog, struct arena *arena, const char *vm_id,
                         const struct catalog_point **point, struct error *err);
enum catalog_points_which { CATALOG_POINTS_ALL, CATALOG_POINTS_LIVE, CATALOG_POINTS_DELETED };

struct catalog_point_filter {
    enum catalog_points_which which;
    const char *vm_id; /* each NULL or 0: any */
};
int catalog_point_list(struct catalog *catalog, struct arena *arena,
                       const struct catalog_point_filter *filter, const struct catalog_page *page,
                       const struct catalog_point **points, size_t *count, struct error *err);
int catalog_point_disk_list(struct catalog *catalog, struct arena *arena, const char *point_id,
                            const struct catalog_point_disk **disks, size_t *count, struct error *err);

/* --- tracking points: what the hypervisor has recorded since a recovery point
 * ---------------------------------------- */

struct catalog_tracking {
    const char *name; /* the provider's */
    const char *metadata;
    const char *point_id; /* the recovery point that it was begun with */
    const char *left_out; /* of that point, as the agent gave it; NULL or empty: nothing */
};

/* Newest first: the server's tracking points of the VM. */
int catalog_tracking_list(struct catalog *catalog, struct arena *arena, const char *vm_id,
                          const struct catalog_tracking **tracking, size_t *count, struct error *err);
/* One more, the newest; one of that name is replaced. */
int catalog_tracking_add(struct catalog *catalog, const char *vm_id, const struct catalog_tracking *tracking,
                         struct error *err);
/* Forget all but the newest two. */
int catalog_tracking_trim(struct catalog *catalog, const char *vm_id, struct error *err);
/* Forget all of them, as after a restore to the original place. */
int catalog_tracking_clear(struct catalog *catalog, const char *vm_id, struct error *err);

/* --- jobs
 * ---------------------------------------------------------------------------------------------------------
 */

enum job_type {
    JOB_BACKUP,
    JOB_CHECK,
    JOB_RESTORE,
    JOB_VERIFY,
    JOB_REBUILD,
    JOB_COLLECT,
    JOB_CONFIGURE,
    JOB_TYPE_COUNT
};
enum job_state {
    JOB_QUEUED,
    JOB_RUNNING,
    JOB_COMPLETED,
    JOB_COMPLETED_WITH_WARNINGS,
    JOB_FAILED,
    JOB_CANCELLED,
    JOB_STATE_COUNT
};
enum job_phase_state {
    JOB_PHASE_NONE, /* not reached, or the kind of job has no such phase */
    JOB_PHASE_RUNNING,
    JOB_PHASE_COMPLETED,
    JOB_PHASE_SKIPPED,
    JOB_PHASE_FAILED,
    JOB_PHASE_STATE_COUNT
};
const char *job_type_name(enum job_type type);                /* "backup" */
const char *job_state_name(enum job_state state);             /* "completed-with-warnings" */
const char *job_phase_state_name(enum job_phase_state state); /* "none", "running", ... */
int job_type_parse(const char *name, enum job_type *type);    /* -1 for an unknown name */
int job_state_parse(const char *name, enum job_state *state);
int job_phase_state_parse(const char *name, enum job_phase_state *state);
bool job_state_is_final(enum job_state state);

/* Where a restore takes the disks from. "" is the store, too. */
#define RESTORE_FROM_SNAPSHOT "snapshot" /* that stayed on the target host */
#define RESTORE_FROM_EITHER "either"     /* not decided: the snapshot if it is there, else the store */
#define RESTORE_FROM_STORE "store"

struct catalog_job {
    int64_t number;
    const char *id;
    enum job_type type;
    enum job_state state;
    enum job_phase_state snapshot_state;
    enum job_phase_state transfer_state;
    const char *vm_id; /* "" for jobs of the store */
    const char *vm_name;
    const char *host_id; /* where it runs: of the VM, or the target of a restore; "" */
    const char *host_name;
    const char *group_id;     /* "" unless the group's schedule or a group's backup made it */
    const char *point_id;     /* made, or to be restored or verified; "" */
    const char *requested_by; /* "admin", "schedule" */
    bool on_demand;
    bool full; /* backup: asked to ignore what is there */
    const char
        *mode;          /* what it became: "full", "incremental", "check"; "" until that is known. Of a
                           collection: "dry-run" or "", of a verify: "part" or "", of a restore RESTORE_FROM_* or "" */
    const char *reason; /* why that mode, or why it waits or was skipped; "" */
    const char *step;   /* a few words on what it does now */
    int64_t retain_until_ms;
    unsigned attempt; /* from 1 */
    unsigned max_attempts;
    int64_t next_attempt_ms;    /* a queued job that waits for its next try; 0 */
    enum error_code error_code; /* of the last failure; ERROR_NONE */
    const char *error_message;
    const char *error_cause;
    uint64_t done_bytes;
    uint64_t total_bytes;
    uint64_t wire_bytes;
    uint64_t stored_bytes;
    uint64_t rate; /* done bytes a second, smoothed; 0 when it does not run */
    int64_t created_ms;
    int64_t started_ms;
    int64_t snapshot_started_ms;
    int64_t snapshot_finished_ms;
    int64_t transfer_started_ms;
    int64_t transfer_finished_ms;
    int64_t finished_ms;
    /* What a restore was asked, and has made. */
    bool restore_to_original;
    bool restore_start;
    bool restore_stop_running;
    const char *restore_name;
    const char *restore_directory;
    const char *restored_uuid;
    const char *restored_name;
    uint64_t bandwidth;           /* bytes a second at most; 0: only the host's limit counts */
    const char *restore_networks; /* "OLD=NEW" for each network that is exchanged, commas between; "" */
    const char *restore_pool;     /* of the target's, for the disks; "" */
    const char *restore_format;   /* of the disks; "": as they were */
};

int catalog_job_insert(struct catalog *catalog, const struct catalog_job *job, struct error *err);
/* All columns that change; by id. */
int catalog_job_update(struct catalog *catalog, const struct catalog_job *job, struct error *err);
/* By id, or the beginning of one, at least 8 characters, that only one has. NULL with JOB_NOT_FOUND. */
const struct catalog_job *catalog_job_find(struct catalog *catalog, struct arena *arena,
                                           const char *reference, struct error *err);
struct catalog_job_filter {
    const char *vm_id; /* each NULL, 0 or -1: any */
    const char *group_id;
    const char *host_id;
    const char *requested_by;
    int type;         /* enum job_type, or -1 */
    int state;        /* enum job_state, or -1 */
    int64_t since_ms; /* created at or after */
    int64_t until_ms; /* created before */
};
/* Newest first. Whatever the filter, it takes about as long as there are jobs on the page
 * (catalog_job_list.c); times are exact unless the clock was wrong by more than a day when a job was made. */
int catalog_job_list(struct catalog *catalog, struct arena *arena, const struct catalog_job_filter *filter,
                     const struct catalog_page *page, const struct catalog_job **jobs, size_t *count,
                     struct error *err);
/* When the VM's newest backup by schedule was queued; 0: there is none. */
int catalog_job_last_scheduled(struct catalog *catalog, const char *vm_id, int64_t *created_ms,
                               struct error *err);
/* Those that are not final, oldest first. */
int catalog_job_list_open(struct catalog *catalog, struct arena *arena, const struct catalog_job **jobs,
                          size_t *count, struct error *err);

enum job_log_level { JOB_LOG_INFORMATION, JOB_LOG_WARNING, JOB_LOG_ERROR };
const char *job_log_level_name(enum job_log_level level); /* "information", "warning", "error" */
int job_log_level_parse(const char *name, enum job_log_level *level);

struct catalog_job_log {
    int64_t number;
    int64_t time_ms;
    enum job_log_level level;
    const char *code; /* "" or of the error catalogue */
    const char *message;
};

/* A job's log is bounded (CATALOG_JOB_LOG_MAX in catalog_job_list.h): what comes behind is not kept. */
int catalog_job_log_add(struct catalog *catalog, const char *job_id, const struct catalog_job_log *entry,
                        struct error *err);
/* Oldest first. */
int catalog_job_log_list(struct catalog *catalog, struct arena *arena, const char *job_id,
                         const struct catalog_page *page, const struct catalog_job_log **entries,
                         size_t *count, struct error *err);

#endif
