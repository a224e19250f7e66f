#include "base/os_file.h"

#include "base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct os_file {
    int descriptor;
    char *path;
};

struct os_file *os_file_open(const char *path, enum os_file_mode mode, struct error *err)
{
    static const int flags[] = {
        [OS_FILE_READ] = O_RDONLY,
        [OS_FILE_READ_WRITE] = O_RDWR,
        [OS_FILE_CREATE_NEW] = O_RDWR | O_CREAT | O_EXCL,
        [OS_FILE_OPEN_CREATE] = O_RDWR | O_CREAT,
    };
    int descriptor = open(path, flags[mode] | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        error_set_errno(err, ERROR_FILE_FAILED, errno, "%s could not be opened", path);
        return NULL;
    }
    struct os_file *file = memory_alloc(sizeof *file);
    file->descriptor = descriptor;
    file->path = memory_copy_text(path);
    return file;
}

void os_file_close(struct os_file *file)
{
    if (file == NULL) {
        return;
    }
    close(file->descriptor);
    free(file->path);
    free(file);
}

const char *os_file_path(const struct os_file *file)
{
    return file->path;
}

int os_file_descriptor(const struct os_file *file)
{
    return file->descriptor;
}

int os_file_read_some(struct os_file *file, uint64_t offset, void *out, size_t length, size_t *got,
                      struct error *err)
{
    uint8_t *next = out;
    *got = 0;
    while (*got < length) {
        ssize_t n = pread(file->descriptor, next + *got, length - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return error_set_errno(err, ERROR_FILE_FAILED, errno, "%s could not be read at %llu", file->path,
                                   (unsigned long long)offset);
        }
        if (n == 0) {
            break;
        }
        *got += (size_t)n;
    }
    return 0;
}

int os_file_read_at(struct os_file *file, uint64_t offset, void *out, size_t length, struct error *err)
{
    size_t got;
    if (os_file_read_some(file, offset, out, length, &got, err) != 0) {
        return -1;
    }
    if (got < length) {
        error_set(err, ERROR_FILE_FAILED, "%s ends before %llu", file->path,
                  (unsigned long long)(offset + length));
        return error_set_cause(err, "unexpected end of file");
    }
    return 0;
}

int os_file_write_at(struct os_file *file, uint64_t offset, const void *bytes, size_t length,
                     struct error *err)
{
    const uint8_t *next = bytes;
    while (length > 0) {
        ssize_t n = pwrite(file->descriptor, next, length, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return error_set_errno(err, ERROR_FILE_FAILED, errno, "%s could not be written at %llu",
                                   file->path, (unsigned long long)offset);
        }
        next += n;
        offset += (uint64_t)n;
        length -= (size_t)n;
    }
    return 0;
}

int os_file_sync(struct os_file *file, struct error *err)
{
    if (fdatasync(file->descriptor) != 0) {
        return error_set_errno(err, ERROR_FILE_FAILED, errno, "%s could not be synced", file->path);
    }
    return 0;
}

void os_file_forget_cached(struct os_file *file)
{
    posix_fadvise(file->descriptor, 0, 0, POSIX_FADV_DONTNEED);
}

int os_file_truncate(struct os_file *file, uint64_t size, struct error *err)
{
    if (ftruncate(file->descriptor, (off_t)size) != 0) {
        return error_set_errno(err, ERROR_FILE_FAILED, errno, "%s could not be resized", file->path);
    }
    return 0;
}

int os_file_size(struct os_file *file, uint64_t *size, struct error *err)
{
    struct stat status;
    if (fstat(file->descriptor, &status) != 0) {
        return error_set_errno(err, ERROR_FILE_FAILED, errno, "%s could not be examined", file->path);
    }
    if (S_ISBLK(status.st_mode)) {
        if (ioctl(file->descriptor, BLKGETSIZE64, size) != 0) {
            return error_set_errno(err, ERROR_FILE_FAILED, errno, "The size of %s could not be read",
                                   file->path);
        }
        return 0;
    }
    *size = (uint64_t)status.st_size;
    return 0;
}

int os_file_lock(struct os_file *file, struct error *err)
{
    if (flock(file->descriptor, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            error_set(err, ERROR_FILE_FAILED, "%s is in use by another process", file->path);
            return error_set_cause(err, "locked");
        }
        return error_set_errno(err, ERROR_FILE_FAILED, errno, "%s could not be locked", file->path);
    }
    return 0;
}

bool os_file_error_is_full(const struct error *err)
{
    char reason[128];
    return strcmp(err->cause, strerror_r(ENOSPC, reason, sizeof reason)) == 0 ||
           strcmp(err->cause, strerror_r(EDQUOT, reason, sizeof reason)) == 0;
}

int os_file_read_whole(const char *path, size_t limit, uint8_t **bytes, size_t *length, struct error *err)
{
    struct os_file *file = os_file_open(path, OS_FILE_READ, err);
    if (file == NULL) {
        return -1;
    }
    uint64_t size;
    uint8_t *content = NULL;
    int result = os_file_size(file, &size, err);
    if (result == 0 && size > limit) {
        result = error_set(err, ERROR_LIMIT_EXCEEDED, "%s is larger than %zu bytes", path, limit);
    }
    if (result == 0) {
        content = memory_alloc((size_t)size + 1);
        result = os_file_read_some(file, 0, content, (size_t)size, length, err);
    }
    os_file_close(file);
    if (result != 0) {
        free(content);
        return -1;
    }
    content[*length] = '\0';
    *bytes = content;
    return 0;
}

static int write_temporary(const char *path, const void *bytes, size_t length, unsigned mode,
                           struct error *err)
{
    /* A temporary that a crash left behind is in the way of nobody: it is simply made anew. */
    if (os_path_remove(path, err) != 0) {
        return -1;
    }
    struct os_file *file = os_file_open(path, OS_FILE_CREATE_NEW, err);
    if (file == NULL) {
        return -1;
    }
    int result = os_file_write_at(file, 0, bytes, length, err);
    if (result == 0 && fchmod(file->descriptor, (mode_t)mode) != 0) {
        result = error_set_errno(err, ERROR_FILE_FAILED, errno, "The mode of %s could not be set", path);
    }
    if (result == 0 && fsync(file->descriptor) != 0) {
        result = error_set_errno(err, ERROR_FILE_FAILED, errno, "%s could not be synced", path);
    }
    os_file_close(file);
    return result;
}

int os_file_write_whole(const char *path, const void *bytes, size_t length, unsigned mode, struct error *err)
{
    char *temporary = memory_format("%s.tmp", path);
    int result = write_temporary(temporary, bytes, length, mode, err);
    if (result == 0) {
        result = os_path_rename(temporary, path, err);
    }
    if (result != 0) {
        unlink(temporary);
    }
    free(temporary);
    return result;
}
