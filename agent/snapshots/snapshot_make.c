/*
 * The record: {"job": POINT, "kind": "snapshot", "of_job", "vm_uuid", "vm_name", "vm_kind", "configuration",
 * "consistency", "instant_ms", "until_ms", "kept": true, "disks": [{"name", "path", "format", "size",
 * "clone"}]}; without "kept" it is being made. "job" is what the journal of jobs names its files by.
 */
#include "agent/snapshots/snapshot_make.h"
#include "agent/providers/job_journal.h"
#include "agent/snapshots/file_clone.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QCOW2_HEADER = 104, TRIAL_SHARE = 2 };

struct pair {
    int from;
    int to;
};

struct snapshot_make {
    struct host_snapshots *snapshots;
    json_t *record;
    unsigned days;
    struct pair *pairs;
    size_t count;
};

static uint64_t big_endian(const uint8_t *bytes, size_t length)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* A file that is not the whole of the disk. The fields are those of the QCOW2 header (docs/interop/qcow2.txt
 * of QEMU): backing_file_offset, crypt_method, incompatible_features with the bit for an external data file.
 */
static int check_qcow2(int from, const char *path, struct error *err)
{
    enum { BACKING = 8, CRYPT = 32, VERSION = 4, FEATURES = 72, EXTERNAL_DATA = 4 };
    uint8_t header[QCOW2_HEADER] = {0};
    if (pread(from, header, sizeof header, 0) < FEATURES || memcmp(header, "QFI\xfb", 4) != 0)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "%s has no header of qcow2.", path);
    bool version_2 = big_endian(header + VERSION, 4) < 3;
    if (big_endian(header + BACKING, 8) != 0 || big_endian(header + CRYPT, 4) != 0 ||
        (!version_2 && (big_endian(header + FEATURES, 8) & EXTERNAL_DATA)))
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT,
                         "%s has a backing file, a data file of its own, or is encrypted.", path);
    return 0;
}

static int open_source(const struct snapshot_make_disk *disk, int *from, struct error *err)
{
    struct stat info;
    bool qcow2 = strcmp(disk->format, "qcow2") == 0;
    if (!qcow2 && strcmp(disk->format, "raw") != 0)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "The disk %s is %s; raw and qcow2 can be shared.",
                         disk->name, disk->format);
    *from = open(disk->path, O_RDONLY | O_CLOEXEC);
    if (*from < 0 || fstat(*from, &info) != 0)
        return error_set_errno(err, ERROR_SNAPSHOT_NOT_KEPT, errno, "%s can't be opened.", disk->path);
    if (!S_ISREG(info.st_mode))
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "The disk %s is not a file but %s.", disk->name,
                         disk->path);
    return qcow2 ? check_qcow2(*from, disk->path, err) : 0;
}

/* DIRECTORY/.holdfast/POINT-DISK.FORMAT beside the file; malloc'd. */
static char *clone_path(const struct snapshot_make_wish *wish, const struct snapshot_make_disk *disk)
{
    char *real = realpath(disk->path, NULL);
    char *slash = real ? strrchr(real, '/') : NULL;
    char *path = slash ? memory_format("%.*s/.holdfast/%s-%s-%s.%s", (int)(slash - real), real, wish->vm_uuid,
                                       wish->point, disk->name, disk->format)
                       : NULL;
    free(real);
    return path;
}

static int open_clone(const char *clone, int *to, struct error *err)
{
    char *directory = memory_copy_text(clone);
    *strrchr(directory, '/') = '\0';
    if (mkdir(directory, 0700) == 0 || errno == EEXIST)
        *to = open(clone, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    free(directory);
    return *to >= 0 ? 0 : error_set_errno(err, ERROR_SNAPSHOT_NOT_KEPT, errno, "%s can't be made.", clone);
}

static int add_disk(struct snapshot_make *make, const struct snapshot_make_wish *wish,
                    const struct snapshot_make_disk *disk, uint64_t allocated, struct error *err)
{
    struct pair *pair = &make->pairs[make->count++];
    *pair = (struct pair){-1, -1};
    if (strchr(disk->name, '/'))
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "%s can't be part of the name of a file.", disk->name);
    if (open_source(disk, &pair->from, err) != 0)
        return -1;
    char *clone = clone_path(wish, disk);
    if (!clone)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "Where %s lies is not known.", disk->path);
    json_array_append_new(json_object_get(make->record, "disks"),
                          json_pack("{s:s, s:s, s:s, s:I, s:s}", "name", disk->name, "path", disk->path,
                                    "format", disk->format, "size", (json_int_t)disk->size, "clone", clone));
    char *directory = memory_copy_text(clone);
    *strstr(directory, "/.holdfast/") = '\0';
    int result = host_snapshots_check_room(make->snapshots, directory[0] ? directory : "/", allocated, err);
    free(directory);
    free(clone);
    return result;
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

/* Once before the guest stands still: so that little is left to be written then, and to learn how long it
 * takes. */
static int try_out(struct snapshot_make *make, struct error *err)
{
    for (size_t i = 0; i < make->count; i++)
        (void)fdatasync(make->pairs[i].from);
    int64_t begun_us = clock_monotonic_us();
    int64_t deadline_us = begun_us + (int64_t)host_snapshots_pause_ms(make->snapshots) * 1000 / TRIAL_SHARE;
    for (size_t i = 0; i < make->count; i++) {
        if (file_clone_blocks(make->pairs[i].from, make->pairs[i].to, deadline_us, err) != 0)
            return -1;
    }
    if (clock_monotonic_us() > deadline_us)
        return error_set(
            err, ERROR_SNAPSHOT_NOT_KEPT,
            "Sharing the blocks of the disks takes %lld ms; the guest would stand still too long.",
            (long long)(clock_monotonic_us() - begun_us) / 1000);
    for (size_t i = 0; i < make->count; i++)
        if (ftruncate(make->pairs[i].to, 0) != 0)
            return error_set_errno(err, ERROR_SNAPSHOT_NOT_KEPT, errno, "A snapshot could not be emptied.");
    return 0;
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
    if (host_snapshots_note(make->snapshots, make->record, err) != 0)
        return -1;
    const json_t *disks = json_object_get(make->record, "disks");
    for (size_t i = 0; i < make->count; i++) {
        if (open_clone(job_journal_text(json_array_get(disks, i), "clone"), &make->pairs[i].to, err) != 0)
            return -1;
    }
    return wish->live ? try_out(make, err) : 0;
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
    make->pairs = memory_array(wish->count + 1, sizeof *make->pairs);
    if (prepare(make, wish, err) != 0) {
        snapshot_make_abandon(make);
        make = NULL;
    }
    return make;
}

int snapshot_make_take(struct snapshot_make *make, struct error *err)
{
    int64_t deadline_us = clock_monotonic_us() + (int64_t)host_snapshots_pause_ms(make->snapshots) * 1000;
    for (size_t i = 0; i < make->count; i++) {
        if (file_clone_blocks(make->pairs[i].from, make->pairs[i].to, deadline_us, err) != 0)
            return -1;
    }
    return 0;
}

static void make_free(struct snapshot_make *make)
{
    for (size_t i = 0; i < make->count; i++) {
        if (make->pairs[i].from >= 0)
            close(make->pairs[i].from);
        if (make->pairs[i].to >= 0)
            close(make->pairs[i].to);
    }
    free(make->pairs);
    json_decref(make->record);
    free(make);
}

static int make_durable(struct snapshot_make *make, struct error *err)
{
    for (size_t i = 0; i < make->count; i++) {
        if (fsync(make->pairs[i].to) != 0)
            return error_set_errno(err, ERROR_SNAPSHOT_NOT_KEPT, errno, "A snapshot could not be written.");
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
    if (make_durable(make, err) != 0 || host_snapshots_add(make->snapshots, make->record, err) != 0) {
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
