/* The thread that looks after snapshots on this host: their time, and the room of their storage. */
#include "agent/snapshots/host_snapshots_internal.h"
#include "agent/snapshots/snapshot_method.h"
#include "base/clock.h"
#include <time.h>

enum { WATCH_MS = 1000, LOOK_ROUNDS = 5, REST_ROUNDS = 60 };

static const char *const reasons[] = {
    [SNAPSHOT_SHORT] = "its storage runs short of room",
    [SNAPSHOT_FULL] = "its own room is nearly used up, and there is no more for it",
    [SNAPSHOT_SPOILED] = "it ran full: more was written than it has room for",
    [SNAPSHOT_LOST] = "it is not there any more",
};

/* What was seen of the storage of each method; NULL: nothing now. */
struct views {
    void *of[SNAPSHOT_METHODS];
};

static size_t method_index(const struct snapshot_method *method)
{
    size_t index = 0;
    while (snapshot_methods[index] != method)
        index++;
    return index;
}

/* The worst of its disks. */
static enum snapshot_state tend_one(const struct host_snapshots *snapshots, const json_t *record,
                                    const struct views *views)
{
    const json_t *disks = json_object_get(record, "disks");
    enum snapshot_state worst = SNAPSHOT_FINE;
    for (size_t i = 0; i < json_array_size(disks); i++) {
        const json_t *disk = json_array_get(disks, i);
        const struct snapshot_method *method = snapshot_method_of(disk);
        const void *view = views->of[method_index(method)];
        if (method->look && !view)
            continue;
        enum snapshot_state state = method->tend(disk, view, snapshots->free_percent / 2);
        worst = state > worst ? state : worst;
    }
    return worst;
}

/* One at a time where room is short: what it frees may show only in a moment. */
static bool look_after(struct host_snapshots *snapshots, const struct views *views)
{
    bool any = false;
    bool one_for_room = false;
    struct host_snapshot *next = NULL;
    for (struct host_snapshot *snapshot = snapshots->first; snapshot; snapshot = next) {
        next = snapshot->next;
        const char *why = NULL;
        if (record_number(snapshot->record, "until_ms") <= clock_wall_ms()) {
            why = "its time is over";
        } else {
            enum snapshot_state state = tend_one(snapshots, snapshot->record, views);
            if (state != SNAPSHOT_SHORT || !one_for_room)
                why = reasons[state];
            one_for_room = one_for_room || state == SNAPSHOT_SHORT;
        }
        if (why)
            host_snapshots_remove(snapshots, snapshot, why);
        any = any || why;
    }
    return any;
}

/* Is any of them of that method? */
static bool uses(const struct host_snapshots *snapshots, const struct snapshot_method *method)
{
    for (const struct host_snapshot *snapshot = snapshots->first; snapshot; snapshot = snapshot->next) {
        const json_t *disks = json_object_get(snapshot->record, "disks");
        for (size_t i = 0; i < json_array_size(disks); i++) {
            if (snapshot_method_of(json_array_get(disks, i)) == method)
                return true;
        }
    }
    return false;
}

/* Looks take a while, during which the lock is given up. */
static void take_views(struct host_snapshots *snapshots, struct views *views)
{
    bool wanted[SNAPSHOT_METHODS];
    for (size_t i = 0; i < SNAPSHOT_METHODS; i++)
        wanted[i] = snapshot_methods[i]->look && uses(snapshots, snapshot_methods[i]);
    pthread_mutex_unlock(&snapshots->lock);
    for (size_t i = 0; i < SNAPSHOT_METHODS; i++)
        views->of[i] = wanted[i] ? snapshot_methods[i]->look() : NULL;
    pthread_mutex_lock(&snapshots->lock);
}

static void forget_views(struct views *views)
{
    for (size_t i = 0; i < SNAPSHOT_METHODS; i++) {
        if (views->of[i])
            snapshot_methods[i]->forget(views->of[i]);
    }
}

static void watch_once(struct host_snapshots *snapshots, unsigned round)
{
    struct views views = {0};
    if (round % LOOK_ROUNDS == 0)
        take_views(snapshots, &views);
    bool any = look_after(snapshots, &views);
    bool rests = round % REST_ROUNDS == 0 && atomic_load(&snapshots->rests);
    pthread_mutex_unlock(&snapshots->lock);
    forget_views(&views);
    if (any)
        host_snapshots_tell(snapshots);
    if (rests)
        host_snapshots_discard_rests(snapshots);
    pthread_mutex_lock(&snapshots->lock);
}

void *host_snapshots_watch(void *cookie)
{
    struct host_snapshots *snapshots = cookie;
    pthread_mutex_lock(&snapshots->lock);
    for (unsigned round = 0; !snapshots->stopping; round++) {
        watch_once(snapshots, round);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += WATCH_MS / 1000;
        if (!snapshots->stopping)
            pthread_cond_timedwait(&snapshots->wake, &snapshots->lock, &until);
    }
    pthread_mutex_unlock(&snapshots->lock);
    return NULL;
}
