/*
 * Files of the operating system, behind an interface small enough to be built on Linux and Windows. All calls
 * block. Errors are FILE_FAILED with the path, STORE_FULL is never set here: callers map ENOSPC
 * (os_file_error_is_full).
 */
#ifndef HOLDFAST_BASE_OS_FILE_H
#define HOLDFAST_BASE_OS_FILE_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum os_file_mode {
    OS_FILE_READ,        /* must exist */
    OS_FILE_READ_WRITE,  /* must exist */
    OS_FILE_CREATE_NEW,  /* must not exist; read and write, mode 0600 */
    OS_FILE_OPEN_CREATE, /* made when missing; read and write, mode 0600 */
};

struct os_file; /* an open file; calls with offsets may come from any thread at once */

struct os_file *os_file_open(const char *path, enum os_file_mode mode, struct error *err);
void os_file_close(struct os_file *file);
const char *os_file_path(const struct os_file *file);
int os_file_descriptor(const struct os_file *file); /* POSIX only */

/* All of it or an error; reading past the end is an error. */
int os_file_read_at(struct os_file *file, uint64_t offset, void *out, size_t length, struct error *err);
/* Up to length bytes; *got is less only at the end of the file. */
int os_file_read_some(struct os_file *file, uint64_t offset, void *out, size_t length, size_t *got,
                      struct error *err);
int os_file_write_at(struct os_file *file, uint64_t offset, const void *bytes, size_t length,
                     struct error *err);
int os_file_sync(struct os_file *file, struct error *err); /* fdatasync */
/* After a sync: what is read from now on comes from the disk, as far as the system can be told so. */
void os_file_forget_cached(struct os_file *file);
int os_file_truncate(struct os_file *file, uint64_t size, struct error *err);
/* Of regular files and block devices. */
int os_file_size(struct os_file *file, uint64_t *size, struct error *err);
/* Exclusive, whole file, released by close or death of the process. FILE_FAILED, cause "locked", when it is
 * taken. */
int os_file_lock(struct os_file *file, struct error *err);

/* True when the last failure in err was for want of space (ENOSPC, EDQUOT). */
bool os_file_error_is_full(const struct error *err);

/* Whole small files. *bytes is malloc'd with a NUL behind; LIMIT_EXCEEDED past limit. */
int os_file_read_whole(const char *path, size_t limit, uint8_t **bytes, size_t *length, struct error *err);
/* Write to a temporary beside it, fsync, rename over, fsync the directory: old or new after a crash, never
 * between. */
int os_file_write_whole(const char *path, const void *bytes, size_t length, unsigned mode, struct error *err);

bool os_path_exists(const char *path);
/* True only when it is certain: what can't be examined is not missing. */
bool os_path_is_missing(const char *path);
int os_path_remove(const char *path, struct error *err); /* a file; missing is no error */
int os_path_rename(const char *from, const char *to,
                   struct error *err); /* over, then fsync of the directory */
int os_path_sync_directory(const char *path, struct error *err);
int os_path_make_directory(const char *path, unsigned mode,
                           struct error *err); /* with parents; existing is fine */
int os_path_remove_tree(const char *path, struct error *err);
/* Free bytes for this process, and size, of the file system that holds path. Either may be NULL. */
int os_path_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes, struct error *err);
/* Calls visit with each name but "." and ".."; stops when it returns non-zero, and returns that. -1 on error.
 */
int os_path_list(const char *path, int (*visit)(void *cookie, const char *name), void *cookie,
                 struct error *err);
/* directory + "/" + name, malloc'd. */
char *os_path_join(const char *directory, const char *name);

#endif
