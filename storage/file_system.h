/*
 * The file operations that the file backend stands on, as a table: the real one, and in tests one that loses
 * what was not synced, runs out of space or fails at a chosen operation. Paths are absolute or relative to
 * the working directory. All calls block; errors are FILE_FAILED with the reason as the cause.
 */
#ifndef HOLDFAST_STORAGE_FILE_SYSTEM_H
#define HOLDFAST_STORAGE_FILE_SYSTEM_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file; /* whatever the table's functions make of it */

struct file_system {
    void *cookie; /* first argument of every function that takes a path */
    /* create: it must not exist, and is opened for writing; else it must exist, and is opened for reading. */
    struct file *(*open)(void *cookie, const char *path, bool create, struct error *err);
    void (*close)(struct file *file);
    /* Up to length bytes; *got is less only at the end of the file. */
    int (*read)(struct file *file, uint64_t offset, void *out, size_t length, size_t *got, struct error *err);
    int (*write)(struct file *file, uint64_t offset, const void *bytes, size_t length, struct error *err);
    int (*sync)(struct file *file, struct error *err); /* content and size, not its name */
    /* After a sync: what is read from now on is what the disk has, and not what a sync that failed left in a
     * cache. */
    void (*forget_cached)(struct file *file);
    int (*size)(struct file *file, uint64_t *size, struct error *err);
    /* Names change at once and are durable when their directory is synced. */
    int (*rename)(void *cookie, const char *from, const char *to, struct error *err); /* over what is there */
    int (*remove)(void *cookie, const char *path, struct error *err); /* a file; missing is no error */
    int (*make_directory)(void *cookie, const char *path, struct error *err); /* existing is fine */
    int (*sync_directory)(void *cookie, const char *path, struct error *err);
    bool (*exists)(void *cookie, const char *path); /* true also when that can't be told */
    int (*list)(void *cookie, const char *path, int (*visit)(void *visit_cookie, const char *name),
                void *visit_cookie, struct error *err);
    int (*space)(void *cookie, const char *path, uint64_t *free_bytes, uint64_t *total_bytes,
                 struct error *err);
};

/* The operating system's. */
extern const struct file_system file_system_real;

#endif
