#include "base/memory.h"
#include "disk/disk_device.h"
#include "disk/disk_file.h"
#include "disk/disk_writer_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { DEVICE_BLOCK = 64 * 1024, WRITEBACK_BYTES = 64 * 1024 * 1024 };

struct raw_writer {
    struct disk_writer base;
    int fd;
    atomic_uint_fast64_t unsent; /* bytes written since the disk was last told to begin with them */
    /* Of a device only: one bit per DEVICE_BLOCK that was written, so that the rest can be zeroed. */
    uint64_t *written;
    pthread_mutex_t lock; /* guards written, and the zeroing of blocks that are written in part */
};

static int write_all(struct raw_writer *raw, uint64_t offset, const void *bytes, size_t length,
                     struct error *err)
{
    const unsigned char *from = bytes;
    while (length > 0) {
        ssize_t put = pwrite(raw->fd, from, length, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return disk_writer_failed(&raw->base, errno, "written", err);
        from += put;
        offset += (uint64_t)put;
        length -= (size_t)put;
    }
    return 0;
}

/* The disk works while the rest still comes, so that the flush at the end has little left to wait for. */
static void begin_writeback(struct raw_writer *raw, size_t length)
{
    uint64_t before = atomic_fetch_add(&raw->unsent, length);
    if (before / WRITEBACK_BYTES != (before + length) / WRITEBACK_BYTES)
        sync_file_range(raw->fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* advice: the flush reports what fails */
}

static int raw_write(struct disk_writer *writer, uint64_t offset, const void *bytes, size_t length,
                     struct error *err)
{
    struct raw_writer *raw = (struct raw_writer *)writer;
    if (write_all(raw, offset, bytes, length, err) != 0)
        return -1;
    begin_writeback(raw, length);
    return 0;
}

static int raw_flush(struct disk_writer *writer, struct error *err)
{
    struct raw_writer *raw = (struct raw_writer *)writer;
    if (fsync(raw->fd) != 0)
        return disk_writer_failed(writer, errno, "flushed to its disk", err);
    return 0;
}

static void raw_free(struct disk_writer *writer)
{
    struct raw_writer *raw = (struct raw_writer *)writer;
    if (raw->fd >= 0)
        close(raw->fd);
    pthread_mutex_destroy(&raw->lock);
    free(raw->written);
    free(raw->base.path);
    free(raw);
}

static const struct disk_writer_operations raw_operations = {raw_write, raw_flush, raw_flush, raw_free};

/* O_EXCL was refused: by whom, if that can be seen from here. */
static void device_in_use(const char *path, struct error *err)
{
    struct disk_device_use use;
    struct error ignored;
    if (disk_device_use(path, &use, &ignored) == 0 && use.count > 0)
        error_set(err, ERROR_RESTORE_TARGET_IN_USE, "The device %s is mounted on %s.", path,
                  use.mounts[0].point);
    else
        error_set(err, ERROR_RESTORE_TARGET_IN_USE,
                  "The device %s is in use on this host: by a mount that is not seen from here, swap, RAID, "
                  "LVM or the like.",
                  path);
    disk_device_use_release(&use);
}

static struct raw_writer *raw_open(const char *path, uint64_t size, int flags, struct error *err)
{
    struct raw_writer *raw = memory_zalloc(sizeof *raw);
    raw->base =
        (struct disk_writer){.operations = &raw_operations, .path = memory_copy_text(path), .size = size};
    pthread_mutex_init(&raw->lock, NULL);
    raw->fd = open(path, flags | O_CLOEXEC, 0600);
    if (raw->fd >= 0)
        return raw;
    if (errno == EEXIST)
        error_set(err, ERROR_RESTORE_PATH_EXISTS, "The file %s exists already.", path);
    else if (errno == EBUSY)
        device_in_use(path, err);
    else
        disk_writer_failed(&raw->base, errno, "opened", err);
    raw_free(&raw->base);
    return NULL;
}

struct disk_writer *disk_writer_create_raw(const char *path, uint64_t size, struct error *err)
{
    struct raw_writer *raw = raw_open(path, size, O_RDWR | O_CREAT | O_EXCL, err);
    if (!raw)
        return NULL;
    raw->base.created = true;
    if (ftruncate(raw->fd, (off_t)size) != 0) {
        disk_writer_failed(&raw->base, errno, "made as large as the disk", err);
        disk_writer_abandon(&raw->base);
        return NULL;
    }
    return &raw->base;
}

/* Zeros at the range of a device, as holes where it can have them. */
static int zero_range(struct raw_writer *raw, uint64_t offset, uint64_t length, struct error *err)
{
    int cheap = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    if (fallocate(raw->fd, cheap, (off_t)offset, (off_t)length) == 0 ||
        fallocate(raw->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) == 0)
        return 0;
    static const unsigned char zeros[DEVICE_BLOCK];
    while (length > 0) {
        size_t piece = length < sizeof zeros ? (size_t)length : sizeof zeros;
        if (write_all(raw, offset, zeros, piece, err) != 0)
            return -1;
        offset += piece;
        length -= piece;
    }
    return 0;
}

static bool is_written(const struct raw_writer *raw, uint64_t block)
{
    return raw->written[block / 64] >> (block % 64) & 1;
}

static uint64_t block_end(const struct raw_writer *raw, uint64_t block)
{
    uint64_t end = (block + 1) * DEVICE_BLOCK;
    return end < raw->base.size ? end : raw->base.size;
}

/* Mark the blocks of a write; one that is written in part for the first time is zeroed before. */
static int claim_blocks(struct raw_writer *raw, uint64_t offset, uint64_t end, struct error *err)
{
    int result = 0;
    pthread_mutex_lock(&raw->lock);
    for (uint64_t block = offset / DEVICE_BLOCK; block * DEVICE_BLOCK < end && result == 0; block++) {
        uint64_t start = block * DEVICE_BLOCK;
        bool partial = offset > start || end < block_end(raw, block);
        if (partial && !is_written(raw, block))
            result = zero_range(raw, start, block_end(raw, block) - start, err);
        raw->written[block / 64] |= UINT64_C(1) << (block % 64);
    }
    pthread_mutex_unlock(&raw->lock);
    return result;
}

static int device_write(struct disk_writer *writer, uint64_t offset, const void *bytes, size_t length,
                        struct error *err)
{
    struct raw_writer *raw = (struct raw_writer *)writer;
    if (claim_blocks(raw, offset, offset + length, err) != 0)
        return -1;
    return write_all(raw, offset, bytes, length, err);
}

static int device_flush(struct disk_writer *writer, struct error *err)
{
    struct raw_writer *raw = (struct raw_writer *)writer;
    uint64_t blocks = (writer->size + DEVICE_BLOCK - 1) / DEVICE_BLOCK;
    for (uint64_t block = 0; block < blocks; block++) {
        if (is_written(raw, block))
            continue;
        uint64_t last = block;
        while (last + 1 < blocks && !is_written(raw, last + 1))
            last++;
        uint64_t start = block * DEVICE_BLOCK;
        if (zero_range(raw, start, block_end(raw, last) - start, err) != 0)
            return -1;
        for (; block <= last; block++)
            raw->written[block / 64] |= UINT64_C(1) << (block % 64);
        block = last;
    }
    return raw_flush(writer, err);
}

static int device_finish(struct disk_writer *writer, struct error *err)
{
    struct raw_writer *raw = (struct raw_writer *)writer;
    if (device_flush(writer, err) != 0)
        return -1;
    (void)ioctl(raw->fd, BLKRRPART); /* of a whole disk; others have no partitions */
    return 0;
}

static const struct disk_writer_operations device_operations = {device_write, device_flush, device_finish,
                                                                raw_free};

static struct raw_writer *claim_device(const char *path, uint64_t size, struct error *err)
{
    /* O_EXCL claims a device until it is closed: nobody mounts it meanwhile. */
    struct raw_writer *raw = raw_open(path, size, disk_device_is(path) ? O_RDWR | O_EXCL : O_RDWR, err);
    if (!raw)
        return NULL;
    uint64_t room = 0;
    if (disk_file_size(raw->fd, path, &room, err) != 0) {
        raw_free(&raw->base);
        return NULL;
    }
    if (room < size) {
        error_set(err, ERROR_RESTORE_NO_SPACE, "%s has %llu bytes; the disk has %llu.", path,
                  (unsigned long long)room, (unsigned long long)size);
        raw_free(&raw->base);
        return NULL;
    }
    return raw;
}

struct disk_writer *disk_writer_open_device(const char *path, uint64_t size, struct error *err)
{
    struct raw_writer *raw = claim_device(path, size, err);
    if (!raw)
        return NULL;
    raw->base.operations = &device_operations;
    raw->written = memory_array((size_t)(size / DEVICE_BLOCK / 64 + 1), sizeof *raw->written);
    return &raw->base;
}

struct disk_writer *disk_writer_patch_device(const char *path, uint64_t size, struct error *err)
{
    struct raw_writer *raw = claim_device(path, size, err);
    return raw ? &raw->base : NULL;
}
