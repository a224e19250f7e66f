/* What the files of host_snapshots share. */
#ifndef HOLDFAST_AGENT_SNAPSHOTS_HOST_SNAPSHOTS_INTERNAL_H
#define HOLDFAST_AGENT_SNAPSHOTS_HOST_SNAPSHOTS_INTERNAL_H

#include "agent/providers/job_journal.h"
#include "agent/snapshots/host_snapshots.h"
#include <pthread.h>
#include <stdatomic.h>

struct host_snapshot {
    struct host_snapshot *next; /* the oldest first */
    json_t *record;
    unsigned users;
    bool doomed; /* goes with its last user */
};

struct host_snapshots {
    char *directory; /* of the records */
    host_snapshots_changed changed;
    void *cookie;
    bool thick; /* see host_snapshots_of_thick */
    int64_t free_percent;
    int64_t pause_ms;
    atomic_bool rests; /* some could not be removed */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    bool stopping;
    struct host_snapshot *first;
};

static inline const char *record_text(const json_t *record, const char *name)
{
    return job_journal_text(record, name);
}

static inline int64_t record_number(const json_t *record, const char *name)
{
    return (int64_t)json_integer_value(json_object_get(record, name));
}

/* Off the list, and gone as soon as nobody uses it. With the lock held. */
void host_snapshots_remove(struct host_snapshots *snapshots, struct host_snapshot *snapshot, const char *why);
/* The set has changed. Without the lock. */
void host_snapshots_tell(struct host_snapshots *snapshots);
/* Those that could not be removed when they should have been. Without the lock: nobody else knows of them. */
void host_snapshots_discard_rests(struct host_snapshots *snapshots);

/* host_snapshots_watch.c: the thread; cookie is the snapshots. */
void *host_snapshots_watch(void *cookie);

#endif
