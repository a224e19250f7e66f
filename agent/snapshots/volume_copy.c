#include "agent/snapshots/volume_copy.h"
#include "base/memory.h"
#include "disk/disk_writer.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { PIECE = 1 << 20, BLOCK = 4096 };

/* Up to length bytes; fewer only at the end. */
static int read_piece(int file, uint8_t *bytes, size_t length, uint64_t offset, size_t *got)
{
    for (*got = 0; *got < length;) {
        ssize_t count = pread(file, bytes + *got, length - *got, (off_t)(offset + *got));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -1;
        if (count == 0)
            break;
        *got += (size_t)count;
    }
    return 0;
}

static int gone(const char *from, struct error *err)
{
    return error_set_errno(err, ERROR_SNAPSHOT_GONE, errno, "The snapshot %s can't be read.", from);
}

/* What was read through the device itself may be older than what was written past it. */
static int open_fresh(const char *path, struct error *err)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return gone(path, err);
    (void)ioctl(file, BLKFLSBUF);
    return file;
}

/* Calls write with each run of blocks of the piece that have to be written. before: what is there now. */
static int write_runs(struct disk_writer *writer, uint64_t offset, const uint8_t *bytes,
                      const uint8_t *before, size_t length, struct error *err)
{
    for (size_t at = 0; at < length;) {
        size_t end = at;
        while (end < length) {
            size_t block = length - end < BLOCK ? length - end : BLOCK;
            if (memcmp(bytes + end, before + end, block) == 0)
                break;
            end += block;
        }
        if (end > at && disk_writer_write(writer, offset + at, bytes + at, end - at, err) != 0)
            return -1;
        at = end + BLOCK;
    }
    return 0;
}

static int fill_file(int source, const char *from, uint64_t size, struct disk_writer *writer,
                     struct error *err)
{
    uint8_t *bytes = memory_alloc(PIECE);
    uint8_t *zeros = memory_zalloc(PIECE);
    int result = 0;
    for (uint64_t offset = 0; offset < size && result == 0; offset += PIECE) {
        size_t got = 0;
        size_t length = size - offset < PIECE ? (size_t)(size - offset) : PIECE;
        result = read_piece(source, bytes, length, offset, &got) != 0 || got < length ? gone(from, err) : 0;
        if (result == 0)
            result = write_runs(writer, offset, bytes, zeros, length, err);
    }
    free(zeros);
    free(bytes);
    return result;
}

int volume_copy_to_file(const char *from, const char *to, struct error *err)
{
    int source = open_fresh(from, err);
    if (source < 0)
        return -1;
    off_t size = lseek(source, 0, SEEK_END);
    struct disk_writer *writer = size > 0 ? disk_writer_create(to, "raw", (uint64_t)size, err) : NULL;
    int result = size <= 0 ? gone(from, err) : writer ? 0 : -1;
    if (result == 0)
        result = fill_file(source, from, (uint64_t)size, writer, err);
    close(source);
    if (writer && result == 0) {
        result = disk_writer_finish(writer, err);
        if (result != 0)
            (void)unlink(to);
    } else if (writer) {
        disk_writer_abandon(writer);
    }
    return result;
}

struct device_copy {
    const char *from;
    const char *to;
    int source;
    int target; /* for reading */
    struct disk_writer *writer;
    uint64_t size;
};

static int copy_differences(const struct device_copy *copy, struct error *err)
{
    uint8_t *bytes = memory_alloc(PIECE);
    uint8_t *before = memory_alloc(PIECE);
    int result = 0;
    for (uint64_t offset = 0; offset < copy->size && result == 0; offset += PIECE) {
        size_t length = copy->size - offset < PIECE ? (size_t)(copy->size - offset) : PIECE;
        size_t got = 0;
        if (read_piece(copy->source, bytes, length, offset, &got) != 0 || got < length)
            result = gone(copy->from, err);
        else if (read_piece(copy->target, before, length, offset, &got) != 0 || got < length)
            result = error_set_errno(err, ERROR_RESTORE_FAILED, errno, "%s can't be read.", copy->to);
        else
            result = write_runs(copy->writer, offset, bytes, before, length, err);
    }
    free(before);
    free(bytes);
    return result;
}

int volume_copy_to_device(const char *from, uint64_t size, const char *to, struct error *err)
{
    struct device_copy copy = {
        .from = from, .to = to, .source = open_fresh(from, err), .target = -1, .size = size};
    if (copy.source < 0)
        return -1;
    copy.writer = disk_writer_patch_device(to, size, err);
    int result = copy.writer ? 0 : -1;
    if (result == 0) {
        copy.target = open(to, O_RDONLY | O_CLOEXEC);
        if (copy.target < 0)
            result = error_set_errno(err, ERROR_RESTORE_FAILED, errno, "%s can't be read.", to);
    }
    if (result == 0) {
        (void)ioctl(copy.target, BLKFLSBUF);
        result = copy_differences(&copy, err);
    }
    if (result == 0)
        result = disk_writer_finish(copy.writer, err);
    else
        disk_writer_abandon(copy.writer);
    if (copy.target >= 0)
        close(copy.target);
    close(copy.source);
    return result;
}
