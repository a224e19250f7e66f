/*
 * The method for logical volumes of LVM: a snapshot volume "holdfast-kept-POINT-DISK" with the tag
 * "holdfast". That of a thin volume grows in its pool. A thick one has room of its own, a tenth of the volume
 * and more as long as the group has it; it slows every write to the volume down, so there is one of a volume
 * at most. In the record: "group", "volume", "origin", and for a thick one "alone".
 */
#include "agent/providers/job_journal.h"
#include "agent/providers/lvm.h"
#include "agent/snapshots/snapshot_method.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "disk/disk_device.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXTEND_PERCENT = 80 }; /* so full, a thick snapshot is given more room */

struct snapshot_part {
    struct lvm_volume volume; /* that it is of */
    char name[LVM_NAME_SIZE];
    bool taken;
};

struct view {
    struct lvm_volume *volumes;
    size_t count;
};

static const char *text_of(const json_t *record, const char *name)
{
    return job_journal_text(record, name);
}

static int find_origin(const struct snapshot_make_disk *disk, struct lvm_volume *volume, struct error *err)
{
    if (strcmp(disk->format, "raw") != 0)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT,
                         "The disk %s is %s on a block device; of those only raw ones can be kept.",
                         disk->name, disk->format);
    int found = lvm_find_device(disk_device_number(disk->path), volume, err);
    if (found < 0)
        return error_wrap(err, ERROR_SNAPSHOT_NOT_KEPT, "LVM does not say whether %s is one of its volumes.",
                          disk->path);
    if (found == 0)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "%s is a block device, but no logical volume of LVM.",
                         disk->path);
    return 0;
}

static struct snapshot_part *plan(const struct snapshot_make_wish *wish,
                                  const struct snapshot_make_disk *disk, json_t *record, struct error *err)
{
    struct lvm_volume volume;
    char name[2 * LVM_NAME_SIZE];
    if (find_origin(disk, &volume, err) != 0)
        return NULL;
    if (!volume.pool[0] && !wish->thick) {
        error_set(err, ERROR_SNAPSHOT_NOT_KEPT,
                  "A snapshot of the thick volume %s/%s would make each first write to it slower; "
                  "snapshot-thick-volumes of the agent allows that.",
                  volume.group, volume.name);
        return NULL;
    }
    snprintf(name, sizeof name, "holdfast-kept-%.64s-%.64s", wish->point, disk->name);
    if (!lvm_valid_name(name)) {
        error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "%s can't be part of the name of a volume.", disk->name);
        return NULL;
    }
    json_object_set_new(record, "group", json_string(volume.group));
    json_object_set_new(record, "volume", json_string(name));
    json_object_set_new(record, "origin", json_string(volume.name));
    if (!volume.pool[0])
        json_object_set_new(record, "alone", json_sprintf("%s/%s", volume.group, volume.name));
    struct snapshot_part *part = memory_zalloc(sizeof *part);
    part->volume = volume;
    snprintf(part->name, sizeof part->name, "%.*s", LVM_NAME_SIZE - 1, name);
    return part;
}

/* --- room */

static double percent_free(const struct lvm_volume *pool)
{
    double full = pool->data_percent > pool->metadata_percent ? pool->data_percent : pool->metadata_percent;
    return 100 - full;
}

static bool group_is_short(const struct lvm_volume *volume, uint64_t taken, int64_t percent)
{
    uint64_t needed = volume->group_size / 100 * (uint64_t)percent;
    return volume->group_free < taken || volume->group_free - taken < needed;
}

static int check_pool(const struct lvm_volume *volume, int64_t free_percent, struct error *err)
{
    struct lvm_volume pool;
    if (lvm_find_volume(volume->group, volume->pool, &pool, err) <= 0)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "How full the thin pool %s/%s is can't be found out.",
                         volume->group, volume->pool);
    if (percent_free(&pool) < (double)free_percent)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT,
                         "Less than %lld %% of the thin pool %s/%s is free: %.1f %%.",
                         (long long)free_percent, pool.group, pool.name, percent_free(&pool));
    return 0;
}

static int check_room(const json_t *record, uint64_t allocated, int64_t free_percent, struct error *err)
{
    (void)allocated;
    struct lvm_volume volume;
    if (lvm_find_volume(text_of(record, "group"), text_of(record, "origin"), &volume, err) <= 0)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "LVM does not tell about %s/%s.",
                         text_of(record, "group"), text_of(record, "origin"));
    if (lvm_check_snapshot(&volume, err) != 0)
        return error_wrap(err, ERROR_SNAPSHOT_NOT_KEPT, "LVM can't make a snapshot of %s/%s.", volume.group,
                          volume.name);
    if (volume.pool[0])
        return check_pool(&volume, free_percent, err);
    uint64_t size = lvm_snapshot_size(&volume);
    if (group_is_short(&volume, size, free_percent))
        return error_set(
            err, ERROR_SNAPSHOT_NOT_KEPT,
            "The volume group %s has %llu MiB free; %lld %% of it must be free beside the %llu MiB "
            "that a snapshot of %s takes.",
            volume.group, (unsigned long long)(volume.group_free >> 20), (long long)free_percent,
            (unsigned long long)(size >> 20), volume.name);
    return 0;
}

/* --- making */

static int begin(struct snapshot_part *part, const json_t *record, struct error *err)
{
    (void)record;
    struct lvm_volume now; /* what was there before may have made room */
    if (lvm_find_volume(part->volume.group, part->volume.name, &now, err) <= 0)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "LVM does not tell about %s/%s.", part->volume.group,
                         part->volume.name);
    part->volume = now;
    return 0;
}

static int clear(struct snapshot_part *part, struct error *err)
{
    if (!part->taken)
        return 0;
    if (lvm_snapshot_remove(part->volume.group, part->name, part->volume.name, err) != 0)
        return error_wrap(err, ERROR_SNAPSHOT_NOT_KEPT, "The snapshot %s/%s could not be made again.",
                          part->volume.group, part->name);
    part->taken = false;
    return 0;
}

static int take(struct snapshot_part *part, int64_t deadline_us, struct error *err)
{
    if (clear(part, err) != 0)
        return -1;
    if (deadline_us > 0 && clock_monotonic_us() > deadline_us)
        return error_set(err, ERROR_SNAPSHOT_TIMEOUT, "LVM took too long for the snapshots of the disks.");
    if (lvm_snapshot_take(&part->volume, part->name, err) != 0)
        return error_wrap(err, ERROR_SNAPSHOT_NOT_KEPT, "No snapshot of %s/%s stays.", part->volume.group,
                          part->volume.name);
    part->taken = true;
    return 0;
}

static int finish(struct snapshot_part *part, struct error *err)
{
    const struct lvm_volume *volume = &part->volume;
    struct lvm_volume made;
    int found = lvm_find_volume(volume->group, part->name, &made, err);
    if (found > 0 && !lvm_snapshot_invalid(&made))
        return 0;
    return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "The snapshot %s/%s is not there, or ran full at once.",
                     volume->group, part->name);
}

static void end(struct snapshot_part *part)
{
    free(part);
}

/* --- records */

static int find(const json_t *record, struct lvm_volume *volume, struct error *err)
{
    return lvm_find_volume(text_of(record, "group"), text_of(record, "volume"), volume, err);
}

static bool is_there(const json_t *record)
{
    struct lvm_volume volume;
    struct error err;
    int found = find(record, &volume, &err);
    if (found < 0)
        log_error("LVM does not tell whether a snapshot is there", &err);
    return found != 0;
}

static char *locate(const json_t *record, struct error *err)
{
    struct lvm_volume volume = {0};
    const char *group = text_of(record, "group");
    const char *name = text_of(record, "volume");
    char *path = NULL;
    int found = find(record, &volume, err);
    if (found == 0)
        error_set(err, ERROR_SNAPSHOT_GONE, "The snapshot %s/%s is not there.", group, name);
    else if (found > 0 && lvm_snapshot_invalid(&volume))
        error_set(err, ERROR_SNAPSHOT_GONE, "The snapshot %s/%s ran full.", group, name);
    else if (found > 0)
        path = lvm_snapshot_node(&volume, err);
    if (!path && err->code != ERROR_SNAPSHOT_GONE)
        error_wrap(err, ERROR_SNAPSHOT_GONE, "The snapshot %s/%s can't be read.", group, name);
    return path;
}

static int remove_volume(const json_t *record, struct error *err)
{
    if (text_of(record, "volume")[0] == '\0')
        return 0;
    return lvm_snapshot_remove(text_of(record, "group"), text_of(record, "volume"), text_of(record, "origin"),
                               err);
}

static void *look(void)
{
    struct error err;
    struct view *view = memory_zalloc(sizeof *view);
    if (lvm_list(&view->volumes, &view->count, &err) == 0)
        return view;
    log_error("LVM does not tell the state of its snapshots", &err);
    free(view);
    return NULL;
}

static void forget(void *cookie)
{
    struct view *view = cookie;
    free(view->volumes);
    free(view);
}

static const struct lvm_volume *seen(const struct view *view, const char *group, const char *name)
{
    for (size_t i = 0; i < view->count; i++) {
        if (strcmp(view->volumes[i].group, group) == 0 && strcmp(view->volumes[i].name, name) == 0)
            return &view->volumes[i];
    }
    return NULL;
}

/* By half of what it has, if the group can spare that. */
static enum snapshot_state extend(const struct lvm_volume *snapshot, int64_t free_percent)
{
    struct error err;
    uint64_t extent = snapshot->extent ? snapshot->extent : 1;
    uint64_t more = (snapshot->size / 2 + extent - 1) / extent * extent;
    if (group_is_short(snapshot, more, free_percent))
        return SNAPSHOT_FULL;
    if (lvm_snapshot_extend(snapshot, more, &err) != 0) {
        log_error("a snapshot can't grow", &err);
        return SNAPSHOT_FULL;
    }
    log_event(LOG_INFO, "snapshot on this host is given more room", "volume=%s/%s bytes=%llu",
              snapshot->group, snapshot->name, (unsigned long long)more);
    return SNAPSHOT_FINE;
}

static enum snapshot_state tend_thick(const struct view *view, const struct lvm_volume *snapshot,
                                      int64_t free_percent)
{
    const struct lvm_volume *origin = seen(view, snapshot->group, snapshot->origin);
    bool never_full = origin && snapshot->size > origin->size; /* every block of it fits in */
    if (snapshot->data_percent > EXTEND_PERCENT && !never_full)
        return extend(snapshot, free_percent);
    return group_is_short(snapshot, 0, free_percent) ? SNAPSHOT_SHORT : SNAPSHOT_FINE;
}

static enum snapshot_state tend(const json_t *record, const void *cookie, int64_t free_percent)
{
    const struct view *view = cookie;
    const struct lvm_volume *snapshot = seen(view, text_of(record, "group"), text_of(record, "volume"));
    if (!snapshot) /* made since that look, perhaps */
        return is_there(record) ? SNAPSHOT_FINE : SNAPSHOT_LOST;
    if (lvm_snapshot_invalid(snapshot))
        return SNAPSHOT_SPOILED;
    if (!snapshot->pool[0])
        return tend_thick(view, snapshot, free_percent);
    const struct lvm_volume *pool = seen(view, snapshot->group, snapshot->pool);
    return pool && percent_free(pool) < (double)free_percent ? SNAPSHOT_SHORT : SNAPSHOT_FINE;
}

const struct snapshot_method snapshot_method_lvm = {
    .name = "lvm",
    .at_once = true,
    .plan = plan,
    .check_room = check_room,
    .begin = begin,
    .take = take,
    .clear = clear,
    .finish = finish,
    .end = end,
    .is_there = is_there,
    .locate = locate,
    .remove = remove_volume,
    .look = look,
    .forget = forget,
    .tend = tend,
};
