#include "agent/snapshots/file_clone.h"
#include "base/clock.h"
#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_BUFFER = 1 << 20, QUICK_US = 1000, SLOW_US = 8000 };

static const off_t piece_first = (off_t)16 << 20;
static const off_t piece_least = (off_t)1 << 20;
static const off_t piece_most = (off_t)16 << 30;

static int clone_failed(int errnum, struct error *err)
{
    if (errnum == EOPNOTSUPP || errnum == ENOTTY || errnum == EXDEV || errnum == EINVAL || errnum == ENOSYS)
        return error_set_errno(err, ERROR_SNAPSHOT_NOT_KEPT, errnum,
                               "The file system can't let files share blocks (reflink).");
    return error_set_errno(err, ERROR_SNAPSHOT_NOT_KEPT, errnum, "The blocks of a disk could not be shared.");
}

/* What a piece takes depends on how many extents lie in it, which nobody tells: some 10 to 100 us each. */
static off_t next_piece(off_t piece, int64_t took_us)
{
    if (took_us < QUICK_US && piece < piece_most)
        return 2 * piece;
    return took_us > SLOW_US && piece > piece_least ? piece / 2 : piece;
}

int file_clone_blocks(int from, int to, int64_t deadline_us, struct error *err)
{
    struct stat info;
    if (fstat(from, &info) != 0 || ftruncate(to, 0) != 0)
        return clone_failed(errno, err);
    off_t piece = piece_first;
    for (off_t offset = 0; offset < info.st_size;) {
        bool last = info.st_size - offset <= piece;
        int64_t begun_us = clock_monotonic_us();
        struct file_clone_range range = {.src_fd = from,
                                         .src_offset = (uint64_t)offset,
                                         .src_length = last ? 0 : (uint64_t)piece, /* 0: to the end */
                                         .dest_offset = (uint64_t)offset};
        if (deadline_us > 0 && begun_us > deadline_us)
            return error_set(err, ERROR_SNAPSHOT_TIMEOUT,
                             "Sharing the blocks of the disks took too long: they lie in too many pieces.");
        if (ioctl(to, FICLONERANGE, &range) != 0)
            return clone_failed(errno, err);
        offset = last ? info.st_size : offset + piece;
        piece = next_piece(piece, clock_monotonic_us() - begun_us);
    }
    return 0;
}

static int copy_failed(const char *to, struct error *err)
{
    int errnum = errno;
    return error_set_errno(
        err, errnum == ENOSPC || errnum == EDQUOT ? ERROR_RESTORE_NO_SPACE : ERROR_RESTORE_FAILED, errnum,
        "%s could not be written.", to);
}

static int write_whole(int to, const uint8_t *bytes, size_t length, off_t offset)
{
    while (length > 0) {
        ssize_t written = pwrite(to, bytes, length, offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        bytes += written;
        length -= (size_t)written;
        offset += written;
    }
    return 0;
}

static int copy_range(int from, int to, off_t offset, off_t end, uint8_t *buffer)
{
    while (offset < end) {
        size_t length = end - offset < COPY_BUFFER ? (size_t)(end - offset) : COPY_BUFFER;
        ssize_t got = pread(from, buffer, length, offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = EIO; /* it became shorter */
        if (got <= 0 || write_whole(to, buffer, (size_t)got, offset) != 0)
            return -1;
        offset += got;
    }
    return 0;
}

static int copy_data(int from, int to)
{
    struct stat info;
    if (fstat(from, &info) != 0 || ftruncate(to, 0) != 0 || ftruncate(to, info.st_size) != 0)
        return -1;
    uint8_t *buffer = memory_alloc(COPY_BUFFER);
    int result = 0;
    off_t end = 0;
    while (result == 0) {
        off_t data = lseek(from, end, SEEK_DATA);
        if (data < 0) {
            result = errno == ENXIO ? 0 : -1; /* only a hole is left */
            break;
        }
        end = lseek(from, data, SEEK_HOLE);
        result = end < 0 ? -1 : copy_range(from, to, data, end, buffer);
    }
    free(buffer);
    return result;
}

static int copy_open(int from, const char *to, struct error *err)
{
    struct error unshared;
    int target = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (target < 0 && errno == EEXIST)
        return error_set(err, ERROR_RESTORE_PATH_EXISTS, "The file %s exists already.", to);
    if (target < 0)
        return copy_failed(to, err);
    int result = 0;
    if ((file_clone_blocks(from, target, 0, &unshared) != 0 && copy_data(from, target) != 0) ||
        fsync(target) != 0)
        result = copy_failed(to, err);
    close(target);
    if (result != 0)
        (void)unlink(to);
    return result;
}

int file_clone_copy(const char *from, const char *to, struct error *err)
{
    int source = open(from, O_RDONLY | O_CLOEXEC);
    if (source < 0)
        return error_set_errno(err, ERROR_SNAPSHOT_GONE, errno, "%s can't be opened.", from);
    int result = copy_open(source, to, err);
    close(source);
    return result;
}
