/*
 * The record: {"job": POINT, "kind": "snapshot", "of_job", "vm_uuid", "vm_name", "vm_kind", "configuration",
 * "consistency", "instant_ms", "until_ms", "kept": true, "disks": [{"name", "path", "format", "size",
 * "method", and what the method
 * needs}]}; without "kept" it is being made. "job" is what the journal of jobs names its files by.
 */
#include "agent/snapshots/snapshot_make.h"
#include "agent/providers/job_journal.h"
#include "agent/snapshots/snapshot_method.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

enum { TRIAL_SHARE = 2 };

struct disk_part {
    const struct snapshot_method *method;
    struct snapshot_part *part;
};

struct snapshot_make {
    struct host_snapshots *snapshots;
    json_t *record;
    unsigned days;
    bool stops; /* the guest is to stand still at the instant, and not for long */
    struct disk_part *parts;
    size_t count;
};

static const json_t *disk_record(const struct snapshot_make *make, size_t index)
{
    return json_array_get(json_object_get(make->record, "disks"), index);
}

/* Where storage can't have two of one disk, the former one makes room for this one. */
static int check_room(struct snapshot_make *make, const struct snapshot_method *method, const json_t *record,
                      uint64_t allocated, struct error *err)
{
    int64_t percent = host_snapshots_free_percent(make->snapshots);
    if (method->check_room(record, allocated, percent, err) == 0)
        return 0;
    if (!host_snapshots_drop_former(make->snapshots, record))
        return -1;
    return method->check_room(record, allocated, percent, err);
}

static int add_disk(struct snapshot_make *make, const struct snapshot_make_wish *wish,
                    const struct snapshot_make_disk *disk, uint64_t allocated, struct error *err)
{
    const struct snapshot_method *method = snapshot_method_for(disk, err);
    if (!method)
        return -1;
    json_t *record = json_pack("{s:s, s:s, s:s, s:I, s:s}", "name", disk->name, "path", disk->path, "format",
                               disk->format, "size", (json_int_t)disk->size, "method", method->name);
    struct snapshot_part *part = method->plan(wish, disk, record, err);
    if (!part) {
        json_decref(record);
        return -1;
    }
    make->parts[make->count++] = (struct disk_part){method, part};
    json_array_append_new(json_object_get(make->record, "disks"), record);
    return check_room(make, method, record, allocated, err);
}

static json_t *new_record(const struct snapshot_make_wish *wish)
{
    json_t *record = job_journal_entry(wish->point, "snapshot");
    json_object_set_new(record, "of_job", json_string(wish->job));
    json_object_set_new(record, "vm_uuid", json_string(wish->vm_uuid));
    json_object_set_new(record, "vm_name", json_string(wish->vm_name));
    json_object_set_new(record, "vm_kind", json_string(wish->kind));
    json_object_set_new(record, "configuration", json_string(wish->configuration));
    json_object_set_new(record, "disks", json_array());
    return record;
}

static int take_all(struct snapshot_make *make, int64_t deadline_us, struct error *err)
{
    for (size_t i = 0; i < make->count; i++) {
        if (make->parts[i].method->take(make->parts[i].part, deadline_us, err) != 0)
            return -1;
    }
    return 0;
}

/* Once before the guest stands still, to learn how long it takes. */
static int try_out(struct snapshot_make *make, struct error *err)
{
    int64_t begun_us = clock_monotonic_us();
    int64_t deadline_us = begun_us + (int64_t)host_snapshots_pause_ms(make->snapshots) * 1000 / TRIAL_SHARE;
    if (take_all(make, deadline_us, err) != 0)
        return -1;
    int64_t over_us = clock_monotonic_us() - deadline_us;
    for (size_t i = 0; i < make->count; i++)
        if (make->parts[i].method->clear(make->parts[i].part, err) != 0)
            return -1;
    if (over_us > 0)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT,
                         "Snapshots of the disks take %lld ms; the guest would stand still too long "
                         "(snapshot-pause-ms of the agent is %u).",
                         (long long)(over_us + deadline_us - begun_us) / 1000,
                         host_snapshots_pause_ms(make->snapshots));
    return 0;
}

static bool needs_stop(const struct snapshot_make *make, const struct snapshot_make_wish *wish)
{
    return wish->count != 1 || !make->parts[0].method->at_once || strcmp(wish->disks[0].format, "raw") != 0;
}

static int prepare(struct snapshot_make *make, const struct snapshot_make_wish *wish, struct error *err)
{
    uint64_t allocated = 0;
    for (size_t i = 0; i < wish->count; i++)
        allocated += wish->disks[i].allocated;
    for (size_t i = 0; i < wish->count; i++) {
        if (add_disk(make, wish, &wish->disks[i], allocated, err) != 0)
            return -1;
    }
    make->stops = wish->live && needs_stop(make, wish);
    if (host_snapshots_note(make->snapshots, make->record, err) != 0)
        return -1;
    for (size_t i = 0; i < make->count; i++) {
        if (make->parts[i].method->begin(make->parts[i].part, disk_record(make, i), err) != 0)
            return -1;
    }
    return make->stops ? try_out(make, err) : 0;
}

struct snapshot_make *snapshot_make_prepare(struct host_snapshots *snapshots,
                                            const struct snapshot_make_wish *wish, struct error *err)
{
    if (!job_journal_valid_job(wish->point) || wish->days == 0 || strchr(wish->vm_uuid, '/')) {
        error_set(err, ERROR_REQUEST_INVALID, "\"%.80s\" can't be the name of a snapshot.", wish->point);
        return NULL;
    }
    struct snapshot_make *make = memory_zalloc(sizeof *make);
    make->snapshots = snapshots;
    make->days = wish->days < HOST_SNAPSHOTS_DAYS_MAX ? wish->days : HOST_SNAPSHOTS_DAYS_MAX;
    make->record = new_record(wish);
    make->parts = memory_array(wish->count + 1, sizeof *make->parts);
    struct snapshot_make_wish with = *wish;
    with.thick = host_snapshots_of_thick(snapshots);
    if (prepare(make, &with, err) != 0) {
        snapshot_make_abandon(make);
        make = NULL;
    }
    return make;
}

bool snapshot_make_stops(const struct snapshot_make *make)
{
    return make->stops;
}

int snapshot_make_take(struct snapshot_make *make, struct error *err)
{
    int64_t pause_us = (int64_t)host_snapshots_pause_ms(make->snapshots) * 1000;
    return take_all(make, make->stops ? clock_monotonic_us() + pause_us : 0, err);
}

char *snapshot_make_locate(const struct snapshot_make *make, size_t disk, struct error *err)
{
    return make->parts[disk].method->locate(disk_record(make, disk), err);
}

static void make_free(struct snapshot_make *make)
{
    for (size_t i = 0; i < make->count; i++)
        make->parts[i].method->end(make->parts[i].part);
    free(make->parts);
    json_decref(make->record);
    free(make);
}

static int finish_all(struct snapshot_make *make, struct error *err)
{
    for (size_t i = 0; i < make->count; i++) {
        if (make->parts[i].method->finish(make->parts[i].part, err) != 0)
            return -1;
    }
    return 0;
}

int snapshot_make_keep(struct snapshot_make *make, const char *consistency, int64_t instant_ms,
                       int64_t *until_ms, struct error *err)
{
    *until_ms = instant_ms + (int64_t)make->days * 24 * 3600 * 1000;
    json_object_set_new(make->record, "consistency", json_string(consistency));
    json_object_set_new(make->record, "instant_ms", json_integer((json_int_t)instant_ms));
    json_object_set_new(make->record, "until_ms", json_integer((json_int_t)*until_ms));
    if (finish_all(make, err) != 0 || host_snapshots_add(make->snapshots, make->record, err) != 0) {
        *until_ms = 0;
        snapshot_make_abandon(make);
        return -1;
    }
    make_free(make);
    return 0;
}

void snapshot_make_abandon(struct snapshot_make *make)
{
    if (!make)
        return;
    host_snapshots_discard(make->snapshots, make->record);
    make_free(make);
}
