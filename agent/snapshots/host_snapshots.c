#include "agent/providers/job_journal.h"
#include "agent/snapshots/host_snapshots_internal.h"
#include "agent/snapshots/snapshot_method.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char record_kind[] = "snapshot";
static const int64_t day_ms = (int64_t)24 * 3600 * 1000;

/* --- records */

void host_snapshots_discard(struct host_snapshots *snapshots, const json_t *record)
{
    const json_t *disks = json_object_get(record, "disks");
    struct error err;
    bool all = true;
    for (size_t i = 0; i < json_array_size(disks); i++) {
        const json_t *disk = json_array_get(disks, i);
        if (snapshot_method_of(disk)->remove(disk, &err) != 0) {
            log_error("a snapshot could not be removed", &err);
            all = false;
        }
    }
    if (all && job_journal_remove(snapshots->directory, record_text(record, "job"), &err) != 0)
        log_error("the record of a snapshot could not be removed", &err);
    if (all)
        return;
    json_t *rest = json_copy((json_t *)(uintptr_t)record);
    json_object_set_new(rest, "kept", json_false());
    json_object_set_new(rest, "rest", json_true());
    if (job_journal_write(snapshots->directory, rest, &err) != 0)
        log_error("the record of a snapshot could not be changed", &err);
    json_decref(rest);
    atomic_store(&snapshots->rests, true);
}

/* Those that could not be removed when they should have been. Without the lock: nobody else knows of them. */
void host_snapshots_discard_rests(struct host_snapshots *snapshots)
{
    json_t *records = job_journal_list(snapshots->directory, record_kind);
    atomic_store(&snapshots->rests, false);
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *record = json_array_get(records, i);
        if (json_is_true(json_object_get(record, "rest")))
            host_snapshots_discard(snapshots, record);
    }
    json_decref(records);
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

void host_snapshots_remove(struct host_snapshots *snapshots, struct host_snapshot *snapshot, const char *why)
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

void host_snapshots_tell(struct host_snapshots *snapshots)
{
    if (snapshots->changed)
        snapshots->changed(snapshots->cookie);
}

/* --- what others ask */

/* Does the storage of one of its disks have room for one snapshot only, and is that of this disk? */
static bool rivals(const json_t *record, const json_t *disk)
{
    const json_t *disks = json_object_get(record, "disks");
    const char *alone = record_text(disk, "alone");
    bool found = false;
    for (size_t i = 0; i < json_array_size(disks) && !found && alone[0]; i++)
        found = strcmp(record_text(json_array_get(disks, i), "alone"), alone) == 0;
    return found;
}

/* With the lock held. */
static bool drop_rivals(struct host_snapshots *snapshots, const json_t *disk)
{
    bool any = false;
    struct host_snapshot *next = NULL;
    for (struct host_snapshot *snapshot = snapshots->first; snapshot; snapshot = next) {
        next = snapshot->next;
        if (!rivals(snapshot->record, disk))
            continue;
        host_snapshots_remove(snapshots, snapshot, "a new one of the same volume takes its place");
        any = true;
    }
    return any;
}

bool host_snapshots_drop_former(struct host_snapshots *snapshots, const json_t *disk)
{
    pthread_mutex_lock(&snapshots->lock);
    bool any = drop_rivals(snapshots, disk);
    pthread_mutex_unlock(&snapshots->lock);
    if (any)
        host_snapshots_tell(snapshots);
    return any;
}

int host_snapshots_add(struct host_snapshots *snapshots, json_t *record, struct error *err)
{
    const json_t *disks = json_object_get(record, "disks");
    json_object_set_new(record, "kept", json_true());
    if (host_snapshots_note(snapshots, record, err) != 0)
        return -1;
    pthread_mutex_lock(&snapshots->lock);
    struct host_snapshot *former = list_find(snapshots, "of_job", record_text(record, "of_job"));
    if (former)
        host_snapshots_remove(snapshots, former, "the job was tried again");
    for (size_t i = 0; i < json_array_size(disks); i++)
        (void)drop_rivals(snapshots, json_array_get(disks, i));
    list_add(snapshots, record);
    pthread_mutex_unlock(&snapshots->lock);
    host_snapshots_tell(snapshots);
    return 0;
}

void host_snapshots_drop_job(struct host_snapshots *snapshots, const char *job)
{
    pthread_mutex_lock(&snapshots->lock);
    struct host_snapshot *snapshot = list_find(snapshots, "of_job", job);
    if (snapshot)
        host_snapshots_remove(snapshots, snapshot, "it is not wanted");
    pthread_mutex_unlock(&snapshots->lock);
    if (snapshot)
        host_snapshots_tell(snapshots);
}

/* True when something changed. */
static bool limit_one(struct host_snapshots *snapshots, struct host_snapshot *snapshot, int64_t until_ms)
{
    struct error err;
    int64_t longest = record_number(snapshot->record, "instant_ms") + HOST_SNAPSHOTS_DAYS_MAX * day_ms;
    if (until_ms <= clock_wall_ms()) {
        host_snapshots_remove(snapshots, snapshot, "the server says so");
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
        host_snapshots_tell(snapshots);
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

char *host_snapshots_locate(const json_t *disk, struct error *err)
{
    return snapshot_method_of(disk)->locate(disk, err);
}

void host_snapshots_give_back(struct host_snapshots *snapshots, struct host_snapshot *snapshot)
{
    pthread_mutex_lock(&snapshots->lock);
    if (--snapshot->users == 0 && snapshot->doomed)
        list_free(snapshots, snapshot);
    pthread_mutex_unlock(&snapshots->lock);
}

bool host_snapshots_of_thick(const struct host_snapshots *snapshots)
{
    return snapshots->thick;
}

int64_t host_snapshots_free_percent(const struct host_snapshots *snapshots)
{
    return snapshots->free_percent;
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
        all = snapshot_method_of(json_array_get(disks, i))->is_there(json_array_get(disks, i));
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
    return config_boolean(config, "snapshot-thick-volumes", &snapshots->thick, err) != 0 ||
                   config_integer(config, "snapshot-free-percent", 0, 100, &snapshots->free_percent, err) !=
                       0 ||
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
        int errnum = pthread_create(&snapshots->thread, NULL, host_snapshots_watch, snapshots);
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
