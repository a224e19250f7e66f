#include "server/protection/scheduler.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/jobs/job_history.h"
#include "server/protection/retention.h"
#include "server/protection/schedule.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_MS = 1000, RETENTION_MS = 600000, AUDIT_HEAD_MS = 60000, CHORE_MS = 24 * 3600 * 1000 };

struct scheduler {
    struct server *server;
    pthread_t thread;
    pthread_t keeper; /* retention and chores: deleting a night's points takes longer than a look may wait */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;
    int64_t retention_ms; /* wall time when it was last applied; 0: not yet */
    int64_t audit_due_ms; /* monotonic */
    _Atomic int64_t looked_ms;
};

enum { ZONES_MAX = 8 };

struct look {
    struct catalog *catalog;
    struct arena *arena;
    int64_t now_ms;
    scheduler_start_backup start;
    void *cookie;
    /* Most groups are of the same few zones, so each is read once a look, not more often: tzdata may change.
     */
    struct time_zone *zones[ZONES_MAX];
    const char *zone_names[ZONES_MAX];
};

static struct time_zone *look_zone(struct look *look, const char *name, struct error *err)
{
    size_t i = 0;
    while (i < ZONES_MAX - 1 && look->zones[i] != NULL && strcmp(look->zone_names[i], name) != 0) {
        i++;
    }
    if (look->zones[i] == NULL || strcmp(look->zone_names[i], name) != 0) {
        time_zone_close(look->zones[i]);
        look->zones[i] = time_zone_open(name, err);
        look->zone_names[i] = name;
    }
    return look->zones[i];
}

/* Whether an instant of the schedule, shifted, lies in (since, now]. */
static bool is_due(const struct catalog_policy *policy, const struct time_zone *zone, int64_t since_ms,
                   int64_t shift_ms, int64_t now_ms)
{
    int64_t next_ms = schedule_next(policy, zone, since_ms - shift_ms);
    return next_ms != SCHEDULE_NEVER && next_ms + shift_ms <= now_ms;
}

/* A server that was killed while it started a group's jobs goes on with the VMs that have none yet. */
static bool was_started(const struct look *look, const struct catalog_vm *vm,
                        const struct catalog_policy *policy, const struct time_zone *zone, int64_t shift_ms)
{
    struct error err;
    int64_t created_ms;
    if (catalog_job_last_scheduled(look->catalog, vm->id, &created_ms, &err) != 0) {
        log_error("last scheduled backup not read", &err);
        return false; /* twice rather than never */
    }
    bool known = created_ms > 0 && created_ms <= look->now_ms; /* the clock may have been set back */
    return known && !is_due(policy, zone, created_ms, shift_ms, look->now_ms);
}

/* Starts what is due among the VMs of the group; *acted tells whether anything was. */
static int look_at_vms(const struct look *look, const struct catalog_group *group,
                       const struct catalog_policy *policy, const struct time_zone *zone, int64_t since_ms,
                       bool *acted, struct error *err)
{
    struct catalog_vm_filter filter = {.group_id = group->id};
    struct catalog_page page = {0};
    const struct catalog_vm *vms;
    size_t count;
    do {
        if (catalog_vm_list(look->catalog, look->arena, &filter, &page, &vms, &count, err) != 0) {
            return -1;
        }
        for (size_t i = 0; i < count; i++) {
            page.after = vms[i].number;
            int64_t shift_ms = schedule_spread_ms(policy, vms[i].id);
            if (!is_due(policy, zone, since_ms, shift_ms, look->now_ms)) {
                continue;
            }
            *acted = true;
            if (!was_started(look, &vms[i], policy, zone, shift_ms) &&
                look->start(look->cookie, group, &vms[i], err) != 0) {
                log_error("scheduled backup not started", err);
            }
        }
    } while (count == CATALOG_PAGE_MAX);
    return 0;
}

/* Since when a group's runs count: from its last one on, or from when its schedule became what it is. */
static int64_t runs_count_since(const struct catalog_group *group, const struct catalog_policy *policy,
                                int64_t now_ms)
{
    int64_t since_ms = group->scheduled_ms > 0 ? group->scheduled_ms : group->created_ms;
    bool changed = policy->schedule_changed_ms > since_ms && policy->schedule_changed_ms <= now_ms;
    return changed ? policy->schedule_changed_ms : since_ms; /* a new schedule has missed nothing yet */
}

/* What is due since then is started, then remembered as acted upon: a server that is killed between goes on,
 * see was_started. */
static int start_due(struct look *look, const struct catalog_group *group,
                     const struct catalog_policy *policy, const struct time_zone *zone, int64_t since_ms,
                     struct error *err)
{
    bool acted = false;
    if (look_at_vms(look, group, policy, zone, since_ms, &acted, err) != 0) {
        return -1;
    }
    /* VMs that join an empty group later have not missed what passed before */
    bool nobody = group->vm_count == 0 && is_due(policy, zone, since_ms, 0, look->now_ms);
    return acted || nobody ? catalog_group_set_scheduled(look->catalog, group->id, look->now_ms, err) : 0;
}

static int look_at_group(struct look *look, const struct catalog_group *group, struct error *err)
{
    const struct catalog_policy *policy =
        catalog_policy_find(look->catalog, look->arena, group->policy_id, err);
    if (policy == NULL) {
        return -1;
    }
    if (group->stopped || !policy->enabled || policy->schedule == SCHEDULE_MANUAL) {
        return 0;
    }
    int64_t since_ms = runs_count_since(group, policy, look->now_ms);
    if (since_ms > look->now_ms) { /* the clock was set back */
        return catalog_group_set_scheduled(look->catalog, group->id, look->now_ms, err);
    }
    const struct time_zone *zone = look_zone(look, policy->time_zone, err);
    if (zone == NULL) {
        return -1;
    }
    int64_t spread_ms = (int64_t)policy->spread_minutes * 60000;
    bool maybe = is_due(policy, zone, since_ms - spread_ms, 0, look->now_ms);
    return maybe ? start_due(look, group, policy, zone, since_ms, err) : 0;
}

int scheduler_look(struct catalog *catalog, int64_t now_ms, scheduler_start_backup start, void *cookie,
                   struct error *err)
{
    struct look look = {
        .catalog = catalog, .arena = arena_create(), .now_ms = now_ms, .start = start, .cookie = cookie};
    struct catalog_page page = {0};
    const struct catalog_group *groups;
    size_t count = CATALOG_PAGE_MAX;
    int result = 0;
    while (result == 0 && count == CATALOG_PAGE_MAX) {
        result = catalog_group_list(catalog, look.arena, &page, &groups, &count, err);
        for (size_t i = 0; result == 0 && i < count; i++) {
            page.after = groups[i].number;
            if (look_at_group(&look, &groups[i], err) != 0) {
                log_error("group not scheduled", err); /* the others are */
            }
        }
    }
    for (size_t i = 0; i < ZONES_MAX; i++) {
        time_zone_close(look.zones[i]);
    }
    arena_destroy(look.arena);
    return result;
}

/* --- the thread */

static int start_backup(void *cookie, const struct catalog_group *group, const struct catalog_vm *vm,
                        struct error *err)
{
    struct scheduler *scheduler = cookie;
    char job_id[IDENTITY_SIZE];
    struct jobs_backup_request request = {
        .vm_id = vm->id, .type = JOB_BACKUP, .group_id = group->id, .requested_by = "schedule"};
    return jobs_start_backup(server_jobs(scheduler->server), &request, job_id, err);
}

/* What the store needs once a day: 0, or -1 with the error. */
struct chore {
    const char *setting; /* in the catalog: when it was begun last */
    int (*start)(struct scheduler *scheduler, char id[IDENTITY_SIZE], struct error *err);
};

static int start_collection(struct scheduler *scheduler, char id[IDENTITY_SIZE], struct error *err)
{
    return jobs_start_collect(server_jobs(scheduler->server), false, "schedule", id, err);
}

static int start_verification(struct scheduler *scheduler, char id[IDENTITY_SIZE], struct error *err)
{
    int64_t days;
    if (config_integer(server_config(scheduler->server), "verify-days", 0, INT32_MAX, &days, err) != 0) {
        return -1;
    }
    return days == 0 ? 0 : jobs_start_verify_part(server_jobs(scheduler->server), "schedule", id, err);
}

static const struct chore chores[] = {{"collected_ms", start_collection},
                                      {"verified_ms", start_verification}};

/* One that is refused because another job of the store runs is tried again soon. */
static int do_when_due(struct scheduler *scheduler, const struct chore *chore, struct error *err)
{
    struct catalog *catalog = server_catalog(scheduler->server);
    struct arena *arena = arena_create();
    const char *text = NULL;
    char id[IDENTITY_SIZE];
    int64_t now_ms = clock_wall_ms();
    int result = catalog_setting_get(catalog, arena, chore->setting, &text, err);
    int64_t last_ms = result == 0 && text != NULL ? strtoll(text, NULL, 10) : 0;
    bool due = result == 0 && (now_ms - last_ms >= CHORE_MS || last_ms > now_ms);
    bool first = due && last_ms == 0; /* a new server has nothing to do it on */
    if (due && !first && chore->start(scheduler, id, err) != 0) {
        result = err->code == ERROR_JOB_CONFLICT ? 0 : -1;
        due = false;
    }
    if (due) {
        result =
            catalog_setting_set(catalog, chore->setting, arena_format(arena, "%lld", (long long)now_ms), err);
    }
    arena_destroy(arena);
    return result;
}

static void prune_audit(struct server *server)
{
    struct error err;
    int64_t days;
    if (config_integer(server_config(server), "audit-days", 1, 36500, &days, &err) != 0 ||
        audit_prune(server_audit(server), (unsigned)days, &err) != 0) {
        log_error("the audit record is not pruned", &err);
    }
}

static void look_once(struct scheduler *scheduler)
{
    struct error err;
    int64_t now_ms = clock_wall_ms();
    if (scheduler_look(server_catalog(scheduler->server), now_ms, start_backup, scheduler, &err) == 0) {
        atomic_store(&scheduler->looked_ms, now_ms);
    } else {
        log_error("schedules not looked at", &err);
    }
    capacity_look(server_capacity(scheduler->server));
    if (clock_monotonic_ms() >= scheduler->audit_due_ms) {
        audit_log_head(server_audit(scheduler->server));
        scheduler->audit_due_ms = clock_monotonic_ms() + AUDIT_HEAD_MS;
    }
}

static void keep_when_due(struct scheduler *scheduler)
{
    struct error err;
    uint64_t deleted;
    int64_t now_ms = clock_wall_ms();
    bool set_back = scheduler->retention_ms > now_ms;
    if (!set_back && now_ms - scheduler->retention_ms < RETENTION_MS) {
        return;
    }
    prune_audit(scheduler->server);
    if (retention_apply(scheduler->server, &deleted, &err) != 0) {
        log_error("retention not applied", &err);
    }
    if (job_history_prune(scheduler->server, &err) != 0) {
        log_error("old jobs not removed", &err);
    }
    for (size_t i = 0; i < sizeof chores / sizeof *chores; i++) {
        if (do_when_due(scheduler, &chores[i], &err) != 0) {
            log_error("a daily job of the store could not be begun", &err);
        }
    }
    scheduler->retention_ms = now_ms;
}

static bool wait_for_next(struct scheduler *scheduler)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LOOK_MS / 1000;
    pthread_mutex_lock(&scheduler->lock);
    while (!scheduler->stopping &&
           pthread_cond_timedwait(&scheduler->changed, &scheduler->lock, &until) == 0) {
    }
    bool go_on = !scheduler->stopping;
    pthread_mutex_unlock(&scheduler->lock);
    return go_on;
}

static void *scheduler_thread(void *cookie)
{
    do {
        look_once(cookie);
    } while (wait_for_next(cookie));
    return NULL;
}

static void *keeper_thread(void *cookie)
{
    do {
        keep_when_due(cookie);
    } while (wait_for_next(cookie));
    return NULL;
}

static void scheduler_end(struct scheduler *scheduler)
{
    pthread_mutex_lock(&scheduler->lock);
    scheduler->stopping = true;
    pthread_cond_broadcast(&scheduler->changed);
    pthread_mutex_unlock(&scheduler->lock);
}

static void scheduler_free(struct scheduler *scheduler)
{
    pthread_cond_destroy(&scheduler->changed);
    pthread_mutex_destroy(&scheduler->lock);
    free(scheduler);
}

struct scheduler *scheduler_start(struct server *server, struct error *err)
{
    struct scheduler *scheduler = memory_zalloc(sizeof *scheduler);
    pthread_condattr_t attributes;
    scheduler->server = server;
    pthread_mutex_init(&scheduler->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&scheduler->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    int failure = pthread_create(&scheduler->thread, NULL, scheduler_thread, scheduler);
    if (failure == 0) {
        failure = pthread_create(&scheduler->keeper, NULL, keeper_thread, scheduler);
        if (failure == 0) {
            pthread_setname_np(scheduler->thread, "scheduler");
            pthread_setname_np(scheduler->keeper, "retention");
            return scheduler;
        }
        scheduler_end(scheduler);
        pthread_join(scheduler->thread, NULL);
    }
    error_set_errno(err, ERROR_INTERNAL, failure, "The scheduler's threads can't be made");
    scheduler_free(scheduler);
    return NULL;
}

int64_t scheduler_looked_ms(const struct scheduler *scheduler)
{
    return atomic_load(&scheduler->looked_ms);
}

void scheduler_stop(struct scheduler *scheduler)
{
    if (scheduler == NULL) {
        return;
    }
    scheduler_end(scheduler);
    pthread_join(scheduler->thread, NULL);
    pthread_join(scheduler->keeper, NULL);
    scheduler_free(scheduler);
}
