#include "base/memory.h"
#include "base/os_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

bool os_path_exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

bool os_path_is_missing(const char *path)
{
    struct stat status;
    return lstat(path, &status) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

int os_path_remove(const char *path, struct error *err)
{
    if (unlink(path) != 0 && errno != ENOENT) {
        return error_set_errno(err, ERROR_FILE_FAILED, errno, "%s could not be removed", path);
    }
    return 0;
}

/* The directory of a path, malloc'd. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return memory_copy_text(".");
    }
    if (slash == path) {
        return memory_copy_text("/");
    }
    return memory_format("%.*s", (int)(slash - path), path);
}

int os_path_rename(const char *from, const char *to, struct error *err)
{
    if (rename(from, to) != 0) {
        return error_set_errno(err, ERROR_FILE_FAILED, errno, "%s could not be renamed to %s", from, to);
    }
    char *directory = directory_of(to);
    int result = os_path_sync_directory(directory, err);
    free(directory);
    return result;
}

int os_path_sync_directory(const char *path, struct error *err)
{
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) {
        return error_set_errno(err, ERROR_FILE_FAILED, errno, "Directory %s could not be opened", path);
    }
    int result = fsync(descriptor) == 0 ? 0
                                        : error_set_errno(err, ERROR_FILE_FAILED, errno,
                                                          "Directory %s could not be synced", path);
    close(descriptor);
    return result;
}

static int make_one(const char *path, unsigned mode, struct error *err)
{
    struct stat status;
    if (mkdir(path, (mode_t)mode) == 0) {
        return 0;
    }
    int errnum = errno;
    if (errnum == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        return 0;
    }
    return error_set_errno(err, ERROR_FILE_FAILED, errnum, "Directory %s could not be made", path);
}

int os_path_make_directory(const char *path, unsigned mode, struct error *err)
{
    char *copy = memory_copy_text(path);
    int result = 0;
    for (char *slash = strchr(copy + 1, '/'); slash != NULL && result == 0; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        result = make_one(copy, mode | 0700, err);
        *slash = '/';
    }
    if (result == 0) {
        result = make_one(copy, mode, err);
    }
    free(copy);
    return result;
}

static int remove_visit(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

int os_path_remove_tree(const char *path, struct error *err)
{
    enum { OPEN_DIRECTORIES = 16 };
    if (nftw(path, remove_visit, OPEN_DIRECTORIES, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0 &&
        errno != ENOENT) {
        return error_set_errno(err, ERROR_FILE_FAILED, errno, "%s could not be removed", path);
    }
    return 0;
}

int os_path_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes, struct error *err)
{
    struct statvfs space;
    if (statvfs(path, &space) != 0) {
        return error_set_errno(err, ERROR_FILE_FAILED, errno, "The free space of %s could not be read", path);
    }
    if (free_bytes != NULL) {
        *free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
    }
    if (total_bytes != NULL) {
        *total_bytes = (uint64_t)space.f_blocks * space.f_frsize;
    }
    return 0;
}

int os_path_list(const char *path, int (*visit)(void *cookie, const char *name), void *cookie,
                 struct error *err)
{
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return error_set_errno(err, ERROR_FILE_FAILED, errno, "Directory %s could not be opened", path);
    }
    int result = 0;
    while (result == 0) {
        errno = 0;
        struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            if (errno != 0) {
                result =
                    error_set_errno(err, ERROR_FILE_FAILED, errno, "Directory %s could not be read", path);
            }
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            result = visit(cookie, entry->d_name);
        }
    }
    closedir(directory);
    return result;
}

char *os_path_join(const char *directory, const char *name)
{
    return memory_format("%s/%s", directory, name);
}
