#include "agent/snapshots/host_snapshots.h"
#include "agent/providers/job_journal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WATCH_MS = 1000, GROWTH_SHARE = 10 };

static const char record_kind[] = "snapshot";
static const int64_t day_ms = (int64_t)24 * 3600 * 1000;

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
    int64_t free_percent;
    int64_t pause_ms;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    bool stopping;
    struct host_snapshot *first;
};

/* --- records */

static const char *record_text(const json_t *record, const char *name)
{
    return job_journal_text(record, name);
}

static int64_t record_number(const json_t *record, const char *name)
{
    return (int64_t)json_integer_value(json_object_get(record, name));
}

/* The directory that a clone lies in; malloc'd. */
static char *clone_directory(const json_t *disk)
{
    char *directory = memory_copy_text(record_text(disk, "clone"));
    char *slash = strrchr(directory, '/');
    if (slash)
        *slash = '\0';
    return directory;
}

void host_snapshots_discard(struct host_snapshots *snapshots, const json_t *record)
{
    const json_t *disks = json_object_get(record, "disks");
    struct error err;
    bool all = true;
    for (size_t i = 0; i < json_array_size(disks); i++) {
        const json_t *disk = json_array_get(disks, i);
        if (record_text(disk, "clone")[0] != '/')
            continue;
        if (os_path_remove(record_text(disk, "clone"), &err) != 0) {
            log_error("a snapshot could not be removed", &err);
            all = false;
        }
        char *directory = clone_directory(disk);
        (void)rmdir(directory); /* when it is empty */
        free(directory);
    }
    /* What could not be removed is tried again at the next start. */
    if (all && job_journal_remove(snapshots->directory, record_text(record, "job"), &err) != 0)
        log_error("the record of a snapshot could not be removed", &err);
}

int host_snapshots_note(struct host_snapshots *snapshots, json_t *record, struct error *err)
{
    json_object_set_new(record, "kind", json_string(record_kind));
    return job_journal_write(snapshots->directory, record, err);
}

/* --- the list; everything here with the lock held */

static void list_add(struct host_snapshots *snapshots, json_t *record)
{
    struct host_snapshot **link = &snapshots->first;
    struct host_snapshot *added = memory_zalloc(sizeof *added);
    added->record = json_incref(record);
    while (*link && record_number((*link)->record, "instant_ms") <= record_number(record, "instant_ms"))
        link = &(*link)->next;
    added->next = *link;
    *link = added;
}

static void list_free(struct host_snapshots *snapshots, struct host_snapshot *snapshot)
{
    host_snapshots_discard(snapshots, snapshot->record);
    json_decref(snapshot->record);
    free(snapshot);
}

static void list_remove(struct host_snapshots *snapshots, struct host_snapshot *snapshot, const char *why)
{
    struct host_snapshot **link = &snapshots->first;
    while (*link != snapshot)
        link = &(*link)->next;
    *link = snapshot->next;
    log_event(LOG_INFO, "snapshot on this host is removed", "point=%s vm=\"%s\" why=\"%s\"",
              record_text(snapshot->record, "job"), record_text(snapshot->record, "vm_name"), why);
    snapshot->doomed = true;
    if (snapshot->users == 0)
        list_free(snapshots, snapshot);
}

static struct host_snapshot *list_find(struct host_snapshots *snapshots, const char *field, const char *value)
{
    struct host_snapshot *snapshot = snapshots->first;
    while (snapshot && strcmp(record_text(snapshot->record, field), value) != 0)
        snapshot = snapshot->next;
    return snapshot;
}

static void tell(struct host_snapshots *snapshots)
{
    if (snapshots->changed)
        snapshots->changed(snapshots->cookie);
}

/* --- time and room */

/* Is less than that share of its file system free? */
static bool is_short(const char *directory, int64_t percent)
{
    struct error ignored;
    uint64_t free_bytes = 0;
    uint64_t total = 0;
    return os_path_space(directory, &free_bytes, &total, &ignored) == 0 &&
           free_bytes / 100 < total / 10000 * (uint64_t)percent;
}

int host_snapshots_check_room(struct host_snapshots *snapshots, const char *directory, uint64_t allocated,
                              struct error *err)
{
    uint64_t free_bytes = 0;
    if (os_path_space(directory, &free_bytes, NULL, err) != 0)
        return error_wrap(err, ERROR_SNAPSHOT_NOT_KEPT, "How much room is free in %s is not known.",
                          directory);
    if (is_short(directory, snapshots->free_percent))
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT,
                         "Less than %lld %% of the file system of %s is free, %llu bytes.",
                         (long long)snapshots->free_percent, directory, (unsigned long long)free_bytes);
    if (free_bytes < allocated / GROWTH_SHARE)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT,
                         "%llu bytes are free in %s; a tenth of what the disks take is needed.",
                         (unsigned long long)free_bytes, directory);
    return 0;
}

static bool lies_where_short(const struct host_snapshots *snapshots, const json_t *record)
{
    const json_t *disks = json_object_get(record, "disks");
    bool found = false;
    for (size_t i = 0; i < json_array_size(disks) && !found; i++) {
        char *directory = clone_directory(json_array_get(disks, i));
        found = is_short(directory, snapshots->free_percent / 2);
        free(directory);
    }
    return found;
}

/* One at a time where room is short: what it frees may show only in a moment. */
static bool look_after(struct host_snapshots *snapshots)
{
    bool any = false;
    bool one_for_room = false;
    struct host_snapshot *next = NULL;
    for (struct host_snapshot *snapshot = snapshots->first; snapshot; snapshot = next) {
        next = snapshot->next;
        const char *why = NULL;
        if (record_number(snapshot->record, "until_ms") <= clock_wall_ms()) {
            why = "its time is over";
        } else if (!one_for_room && lies_where_short(snapshots, snapshot->record)) {
            why = "its file system runs short of room";
            one_for_room = true;
        }
        if (why)
            list_remove(snapshots, snapshot, why);
        any = any || why;
    }
    return any;
}

static void *watch_thread(void *cookie)
{
    struct host_snapshots *snapshots = cookie;
    pthread_mutex_lock(&snapshots->lock);
    while (!snapshots->stopping) {
        bool any = look_after(snapshots);
        if (any) {
            pthread_mutex_unlock(&snapshots->lock);
            tell(snapshots);
            pthread_mutex_lock(&snapshots->lock);
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += WATCH_MS / 1000;
        if (!snapshots->stopping)
            pthread_cond_timedwait(&snapshots->wake, &snapshots->lock, &until);
    }
    pthread_mutex_unlock(&snapshots->lock);
    return NULL;
}

/* --- what others ask */

int host_snapshots_add(struct host_snapshots *snapshots, json_t *record, struct error *err)
{
    json_object_set_new(record, "kept", json_true());
    if (host_snapshots_note(snapshots, record, err) != 0)
        return -1;
    pthread_mutex_lock(&snapshots->lock);
    struct host_snapshot *former = list_find(snapshots, "of_job", record_text(record, "of_job"));
    if (former)
        list_remove(snapshots, former, "the job was tried again");
    list_add(snapshots, record);
    pthread_mutex_unlock(&snapshots->lock);
    tell(snapshots);
    return 0;
}

void host_snapshots_drop_job(struct host_snapshots *snapshots, const char *job)
{
    pthread_mutex_lock(&snapshots->lock);
    struct host_snapshot *snapshot = list_find(snapshots, "of_job", job);
    if (snapshot)
        list_remove(snapshots, snapshot, "it is not wanted");
    pthread_mutex_unlock(&snapshots->lock);
    if (snapshot)
        tell(snapshots);
}

/* True when something changed. */
static bool limit_one(struct host_snapshots *snapshots, struct host_snapshot *snapshot, int64_t until_ms)
{
    struct error err;
    int64_t longest = record_number(snapshot->record, "instant_ms") + HOST_SNAPSHOTS_DAYS_MAX * day_ms;
    if (until_ms <= clock_wall_ms()) {
        list_remove(snapshots, snapshot, "the server says so");
        return true;
    }
    until_ms = until_ms < longest ? until_ms : longest;
    if (record_number(snapshot->record, "until_ms") == until_ms)
        return false;
    json_object_set_new(snapshot->record, "until_ms", json_integer((json_int_t)until_ms));
    if (host_snapshots_note(snapshots, snapshot->record, &err) != 0)
        log_error("the record of a snapshot could not be changed", &err);
    return true;
}

void host_snapshots_limit(struct host_snapshots *snapshots, Holdfast__SnapshotLimit *const *limits,
                          size_t count)
{
    bool any = false;
    pthread_mutex_lock(&snapshots->lock);
    for (size_t i = 0; i < count; i++) {
        struct host_snapshot *snapshot = list_find(snapshots, "job", limits[i]->point);
        if (snapshot)
            any = limit_one(snapshots, snapshot, limits[i]->until_ms) || any;
    }
    pthread_mutex_unlock(&snapshots->lock);
    if (any)
        tell(snapshots);
}

static Holdfast__HostSnapshot *describe(const json_t *record)
{
    Holdfast__HostSnapshot *message = memory_alloc(sizeof *message);
    const json_t *disks = json_object_get(record, "disks");
    holdfast__host_snapshot__init(message);
    message->point = memory_copy_text(record_text(record, "job"));
    message->job = memory_copy_text(record_text(record, "of_job"));
    message->vm_uuid = memory_copy_text(record_text(record, "vm_uuid"));
    message->vm_name = memory_copy_text(record_text(record, "vm_name"));
    message->kind = memory_copy_text(record_text(record, "vm_kind"));
    message->consistency = memory_copy_text(record_text(record, "consistency"));
    message->instant_ms = record_number(record, "instant_ms");
    message->until_ms = record_number(record, "until_ms");
    message->disks = memory_array(json_array_size(disks) + 1, sizeof(Holdfast__SnapshotDisk *));
    for (size_t i = 0; i < json_array_size(disks); i++) {
        const json_t *disk = json_array_get(disks, i);
        Holdfast__SnapshotDisk *out = memory_alloc(sizeof *out);
        holdfast__snapshot_disk__init(out);
        out->name = memory_copy_text(record_text(disk, "name"));
        out->format = memory_copy_text(record_text(disk, "format"));
        out->size = (uint64_t)record_number(disk, "size");
        message->disks[message->n_disks++] = out;
    }
    return message;
}

void host_snapshots_list(struct host_snapshots *snapshots, Holdfast__HostSnapshot ***list, size_t *count)
{
    *count = 0;
    *list = NULL;
    pthread_mutex_lock(&snapshots->lock);
    for (const struct host_snapshot *snapshot = snapshots->first; snapshot; snapshot = snapshot->next) {
        *list = memory_resize(*list, *count + 1, sizeof **list);
        (*list)[(*count)++] = describe(snapshot->record);
    }
    pthread_mutex_unlock(&snapshots->lock);
}

struct host_snapshot *host_snapshots_take(struct host_snapshots *snapshots, const char *point,
                                          json_t **record, struct error *err)
{
    pthread_mutex_lock(&snapshots->lock);
    struct host_snapshot *snapshot = list_find(snapshots, "job", point);
    if (snapshot) {
        snapshot->users++;
        *record = json_deep_copy(snapshot->record);
    }
    pthread_mutex_unlock(&snapshots->lock);
    if (!snapshot)
        error_set(err, ERROR_SNAPSHOT_GONE, "There is no snapshot of recovery point %.64s on this host.",
                  point);
    return snapshot;
}

void host_snapshots_give_back(struct host_snapshots *snapshots, struct host_snapshot *snapshot)
{
    pthread_mutex_lock(&snapshots->lock);
    if (--snapshot->users == 0 && snapshot->doomed)
        list_free(snapshots, snapshot);
    pthread_mutex_unlock(&snapshots->lock);
}

unsigned host_snapshots_pause_ms(const struct host_snapshots *snapshots)
{
    return (unsigned)snapshots->pause_ms;
}

/* --- life */

static bool files_are_there(const json_t *record)
{
    const json_t *disks = json_object_get(record, "disks");
    bool all = json_array_size(disks) > 0;
    for (size_t i = 0; i < json_array_size(disks) && all; i++)
        all = os_path_exists(record_text(json_array_get(disks, i), "clone"));
    return all;
}

static void load(struct host_snapshots *snapshots)
{
    json_t *records = job_journal_list(snapshots->directory, record_kind);
    for (size_t i = 0; i < json_array_size(records); i++) {
        json_t *record = json_array_get(records, i);
        if (json_is_true(json_object_get(record, "kept")) && files_are_there(record)) {
            list_add(snapshots, record);
        } else {
            log_event(LOG_INFO, "unfinished snapshot is removed", "point=%s", record_text(record, "job"));
            host_snapshots_discard(snapshots, record);
        }
    }
    json_decref(records);
}

static int read_config(struct host_snapshots *snapshots, const struct config *config, struct error *err)
{
    snapshots->free_percent = 20;
    snapshots->pause_ms = 250;
    if (!config)
        return 0;
    return config_integer(config, "snapshot-free-percent", 0, 100, &snapshots->free_percent, err) != 0 ||
                   config_integer(config, "snapshot-pause-ms", 1, 60000, &snapshots->pause_ms, err) != 0
               ? -1
               : 0;
}

struct host_snapshots *host_snapshots_create(const char *data_directory, const struct config *config,
                                             host_snapshots_changed changed, void *cookie, struct error *err)
{
    struct host_snapshots *snapshots = memory_zalloc(sizeof *snapshots);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&snapshots->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&snapshots->lock, NULL);
    snapshots->directory = os_path_join(data_directory, "snapshots");
    snapshots->changed = changed;
    snapshots->cookie = cookie;
    int result = read_config(snapshots, config, err);
    if (result == 0) {
        load(snapshots);
        int errnum = pthread_create(&snapshots->thread, NULL, watch_thread, snapshots);
        snapshots->started = errnum == 0;
        if (errnum != 0)
            result = error_set_errno(err, ERROR_LIMIT_EXCEEDED, errnum, "A thread could not be started.");
    }
    if (result != 0) {
        host_snapshots_destroy(snapshots);
        snapshots = NULL;
    }
    return snapshots;
}

void host_snapshots_destroy(struct host_snapshots *snapshots)
{
    if (!snapshots)
        return;
    pthread_mutex_lock(&snapshots->lock);
    snapshots->stopping = true;
    pthread_cond_signal(&snapshots->wake);
    pthread_mutex_unlock(&snapshots->lock);
    if (snapshots->started)
        pthread_join(snapshots->thread, NULL);
    while (snapshots->first) {
        struct host_snapshot *next = snapshots->first->next;
        json_decref(snapshots->first->record);
        free(snapshots->first);
        snapshots->first = next;
    }
    pthread_cond_destroy(&snapshots->wake);
    pthread_mutex_destroy(&snapshots->lock);
    free(snapshots->directory);
    free(snapshots);
}
