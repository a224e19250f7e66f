#include "base/bytes.h"
#include "base/os_file.h"
#include "disk/disk_writer_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct disk_writer *disk_writer_create(const char *path, const char *format, uint64_t size, struct error *err)
{
    bool raw = strcmp(format, "raw") == 0;
    if (!raw && strcmp(format, "qcow2") != 0 && strcmp(format, "vhdx") != 0) {
        error_set(err, ERROR_REQUEST_INVALID,
                  "\"%.40s\" is not a disk format that can be made (raw, qcow2, vhdx).", format);
        return NULL;
    }
    if (size > INT64_MAX) {
        error_set(err, ERROR_REQUEST_INVALID, "A disk of %llu bytes is too large.", (unsigned long long)size);
        return NULL;
    }
    if (os_path_exists(path)) {
        error_set(err, ERROR_RESTORE_PATH_EXISTS, "The file %s exists already.", path);
        return NULL;
    }
    return raw ? disk_writer_create_raw(path, size, err) : disk_writer_create_image(path, format, size, err);
}

int disk_writer_write(struct disk_writer *writer, uint64_t offset, const void *bytes, size_t length,
                      struct error *err)
{
    uint64_t end = 0;
    if (!bytes_add_u64(offset, length, &end) || end > writer->size)
        return error_set(err, ERROR_RESTORE_FAILED,
                         "A write of %zu bytes at %llu passes the end of %s (%llu bytes).", length,
                         (unsigned long long)offset, writer->path, (unsigned long long)writer->size);
    if (length == 0)
        return 0;
    return writer->operations->write(writer, offset, bytes, length, err);
}

int disk_writer_flush(struct disk_writer *writer, struct error *err)
{
    return writer->operations->flush(writer, err);
}

static int sync_parent(const struct disk_writer *writer, struct error *err)
{
    char directory[4096];
    const char *slash = strrchr(writer->path, '/');
    size_t length = slash ? (size_t)(slash - writer->path) : 0;
    if (length >= sizeof directory)
        return error_set(err, ERROR_RESTORE_PATH_TOO_LONG, "The path %.100s… is too long.", writer->path);
    memcpy(directory, writer->path, length);
    directory[length] = '\0';
    return os_path_sync_directory(slash ? (length ? directory : "/") : ".", err);
}

int disk_writer_finish(struct disk_writer *writer, struct error *err)
{
    int result = writer->operations->finish(writer, err);
    if (result == 0 && writer->created)
        result = sync_parent(writer, err);
    writer->operations->free(writer);
    return result;
}

void disk_writer_abandon(struct disk_writer *writer)
{
    if (!writer)
        return;
    char *path = writer->created ? strdup(writer->path) : NULL;
    writer->operations->free(writer);
    if (path)
        unlink(path);
    free(path);
}

int disk_writer_failed(const struct disk_writer *writer, int errnum, const char *what, struct error *err)
{
    bool full = errnum == ENOSPC || errnum == EDQUOT;
    return error_set_errno(err, full ? ERROR_RESTORE_NO_SPACE : ERROR_RESTORE_FAILED, errnum,
                           "%s could not be %s.", writer->path, what);
}

int disk_writer_sync_path(const struct disk_writer *writer, struct error *err)
{
    int fd = open(writer->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return disk_writer_failed(writer, errno, "opened", err);
    int result = fsync(fd) == 0 ? 0 : disk_writer_failed(writer, errno, "flushed to its disk", err);
    close(fd);
    return result;
}
