/*
 * The method for files: one beside the disk, in a directory ".holdfast" (mode 0700), that shares its blocks.
 * In the record: "clone", its path.
 */
#include "agent/providers/job_journal.h"
#include "agent/snapshots/file_clone.h"
#include "agent/snapshots/snapshot_method.h"
#include "base/memory.h"
#include "base/os_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QCOW2_HEADER = 104, GROWTH_SHARE = 10 };

struct snapshot_part {
    int from;
    int to;
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

/* DIRECTORY/.holdfast/VM-POINT-DISK.FORMAT beside the file; malloc'd. */
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

static void clone_end(struct snapshot_part *part)
{
    if (part->from >= 0)
        close(part->from);
    if (part->to >= 0)
        close(part->to);
    free(part);
}

static int plan_path(const struct snapshot_make_wish *wish, const struct snapshot_make_disk *disk,
                     json_t *record, struct error *err)
{
    if (strchr(disk->name, '/'))
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "%s can't be part of the name of a file.", disk->name);
    char *clone = clone_path(wish, disk);
    if (!clone)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT, "Where %s lies is not known.", disk->path);
    json_object_set_new(record, "clone", json_string(clone));
    free(clone);
    return 0;
}

static struct snapshot_part *clone_plan(const struct snapshot_make_wish *wish,
                                        const struct snapshot_make_disk *disk, json_t *record,
                                        struct error *err)
{
    struct snapshot_part *part = memory_zalloc(sizeof *part);
    *part = (struct snapshot_part){-1, -1};
    if (open_source(disk, &part->from, err) != 0 || plan_path(wish, disk, record, err) != 0) {
        clone_end(part);
        return NULL;
    }
    return part;
}

/* Of the clone; malloc'd. */
static char *directory_of(const json_t *record)
{
    char *directory = memory_copy_text(job_journal_text(record, "clone"));
    char *slash = strrchr(directory, '/');
    if (slash)
        *slash = '\0';
    return directory;
}

/* Is less than that share of its file system free? */
static bool is_short(const char *directory, int64_t percent)
{
    struct error ignored;
    uint64_t free_bytes = 0;
    uint64_t total = 0;
    return os_path_space(directory, &free_bytes, &total, &ignored) == 0 &&
           free_bytes / 100 < total / 10000 * (uint64_t)percent;
}

static int check_directory(const char *directory, uint64_t allocated, int64_t free_percent, struct error *err)
{
    uint64_t free_bytes = 0;
    if (os_path_space(directory, &free_bytes, NULL, err) != 0)
        return error_wrap(err, ERROR_SNAPSHOT_NOT_KEPT, "How much room is free in %s is not known.",
                          directory);
    if (is_short(directory, free_percent))
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT,
                         "Less than %lld %% of the file system of %s is free, %llu bytes.",
                         (long long)free_percent, directory, (unsigned long long)free_bytes);
    if (free_bytes < allocated / GROWTH_SHARE)
        return error_set(err, ERROR_SNAPSHOT_NOT_KEPT,
                         "%llu bytes are free in %s; a tenth of what the disks take is needed.",
                         (unsigned long long)free_bytes, directory);
    return 0;
}

static int clone_check_room(const json_t *record, uint64_t allocated, int64_t free_percent, struct error *err)
{
    char *directory = directory_of(record); /* that is perhaps not there yet */
    *strrchr(directory, '/') = '\0';
    int result = check_directory(directory[0] ? directory : "/", allocated, free_percent, err);
    free(directory);
    return result;
}

static int clone_begin(struct snapshot_part *part, const json_t *record, struct error *err)
{
    const char *clone = job_journal_text(record, "clone");
    char *directory = directory_of(record);
    if (mkdir(directory, 0700) == 0 || errno == EEXIST)
        part->to = open(clone, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    free(directory);
    if (part->to < 0)
        return error_set_errno(err, ERROR_SNAPSHOT_NOT_KEPT, errno, "%s can't be made.", clone);
    (void)fdatasync(part->from); /* so that little is left to be written at the instant */
    return 0;
}

static int clone_take(struct snapshot_part *part, int64_t deadline_us, struct error *err)
{
    return file_clone_blocks(part->from, part->to, deadline_us, err);
}

static int clone_clear(struct snapshot_part *part, struct error *err)
{
    if (ftruncate(part->to, 0) != 0)
        return error_set_errno(err, ERROR_SNAPSHOT_NOT_KEPT, errno, "A snapshot could not be emptied.");
    return 0;
}

static int clone_finish(struct snapshot_part *part, struct error *err)
{
    if (fsync(part->to) != 0)
        return error_set_errno(err, ERROR_SNAPSHOT_NOT_KEPT, errno, "A snapshot could not be written.");
    return 0;
}

static bool clone_is_there(const json_t *record)
{
    return os_path_exists(job_journal_text(record, "clone"));
}

static char *clone_locate(const json_t *record, struct error *err)
{
    const char *clone = job_journal_text(record, "clone");
    if (clone_is_there(record))
        return memory_copy_text(clone);
    error_set(err, ERROR_SNAPSHOT_GONE, "The file %s, which is the snapshot, is not there.", clone);
    return NULL;
}

static int clone_remove(const json_t *record, struct error *err)
{
    const char *clone = job_journal_text(record, "clone");
    if (clone[0] != '/')
        return 0;
    if (os_path_remove(clone, err) != 0)
        return -1;
    char *directory = directory_of(record);
    (void)rmdir(directory); /* when it is empty */
    free(directory);
    return 0;
}

static enum snapshot_state clone_tend(const json_t *record, const void *view, int64_t free_percent)
{
    (void)view;
    char *directory = directory_of(record);
    bool found = is_short(directory, free_percent);
    free(directory);
    return found ? SNAPSHOT_SHORT : SNAPSHOT_FINE;
}

const struct snapshot_method snapshot_method_clone = {
    .name = "clone",
    .plan = clone_plan,
    .check_room = clone_check_room,
    .begin = clone_begin,
    .take = clone_take,
    .clear = clone_clear,
    .finish = clone_finish,
    .end = clone_end,
    .is_there = clone_is_there,
    .locate = clone_locate,
    .remove = clone_remove,
    .tend = clone_tend,
};
