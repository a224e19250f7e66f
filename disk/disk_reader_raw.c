#include "base/memory.h"
#include "disk/disk_file.h"
#include "disk/disk_reader_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct raw_reader {
    struct disk_reader base;
    int fd;
    char *path;
    bool has_holes; /* SEEK_HOLE has not failed yet */
};

static int raw_changed(const struct raw_reader *raw, struct error *err)
{
    return error_set(err, ERROR_DISK_CHANGED, "The disk %s became shorter than %llu bytes while it was read.",
                     raw->path, (unsigned long long)raw->base.size);
}

/* The file system's answer about the extent at offset: its kind and its end. */
static int raw_seek(struct raw_reader *raw, uint64_t offset, enum disk_extent_kind *kind, uint64_t *end,
                    struct error *err)
{
    off_t data = lseek(raw->fd, (off_t)offset, SEEK_DATA);
    if (data < 0 && errno == ENXIO) { /* no data behind: a hole up to the end, or the end has moved here */
        uint64_t size = 0;
        if (disk_file_size(raw->fd, raw->path, &size, err) != 0)
            return -1;
        if (size < raw->base.size)
            return raw_changed(raw, err);
        *kind = DISK_EXTENT_ZERO;
        *end = raw->base.size;
        return 0;
    }
    if (data < 0) { /* this file system or device does not tell */
        raw->has_holes = false;
        *kind = DISK_EXTENT_DATA;
        *end = raw->base.size;
        return 0;
    }
    if ((uint64_t)data > offset) {
        *kind = DISK_EXTENT_ZERO;
        *end = (uint64_t)data;
        return 0;
    }
    off_t hole = lseek(raw->fd, (off_t)offset, SEEK_HOLE);
    if (hole < 0)
        return error_set_errno(err, ERROR_DISK_READ_FAILED, errno, "The holes of %s could not be found.",
                               raw->path);
    *kind = DISK_EXTENT_DATA;
    *end = (uint64_t)hole;
    return 0;
}

static int raw_extents(struct disk_reader *reader, uint64_t offset, uint64_t length,
                       struct disk_extent *extents, size_t capacity, size_t *count, struct error *err)
{
    struct raw_reader *raw = (struct raw_reader *)reader;
    uint64_t stop = offset + length;
    while (offset < stop && *count < capacity) {
        enum disk_extent_kind kind = DISK_EXTENT_DATA;
        uint64_t end = stop;
        if (raw->has_holes && raw_seek(raw, offset, &kind, &end, err) != 0)
            return -1;
        if (end > stop)
            end = stop;
        extents[(*count)++] = (struct disk_extent){offset, end - offset, kind};
        offset = end;
    }
    return 0;
}

static int raw_read(struct disk_reader *reader, uint64_t offset, void *out, size_t length, struct error *err)
{
    struct raw_reader *raw = (struct raw_reader *)reader;
    unsigned char *to = out;
    while (length > 0) {
        ssize_t got = pread(raw->fd, to, length, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set_errno(err, ERROR_DISK_READ_FAILED, errno,
                                   "The disk %s could not be read at %llu.", raw->path,
                                   (unsigned long long)offset);
        if (got == 0)
            return raw_changed(raw, err);
        to += got;
        offset += (uint64_t)got;
        length -= (size_t)got;
    }
    return 0;
}

static void raw_close(struct disk_reader *reader)
{
    struct raw_reader *raw = (struct raw_reader *)reader;
    close(raw->fd);
    free(raw->path);
    free(raw);
}

static const struct disk_reader_operations raw_operations = {raw_extents, raw_read, raw_close};

struct disk_reader *disk_reader_open_raw(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        error_set_errno(err, ERROR_DISK_READ_FAILED, errno, "The disk %s could not be opened.", path);
        return NULL;
    }
    uint64_t size = 0;
    if (disk_file_size(fd, path, &size, err) != 0) {
        close(fd);
        return NULL;
    }
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* advice only */
    struct raw_reader *raw = memory_zalloc(sizeof *raw);
    raw->base = (struct disk_reader){&raw_operations, size};
    raw->fd = fd;
    raw->path = memory_copy_text(path);
    raw->has_holes = true;
    return &raw->base;
}
