/*
 * What the kinds of writers share inside the room. Each kind embeds struct disk_writer as its first member.
 */
#ifndef HOLDFAST_DISK_DISK_WRITER_INTERNAL_H
#define HOLDFAST_DISK_DISK_WRITER_INTERNAL_H

#include "disk/disk_writer.h"
#include <stdbool.h>

struct disk_writer_operations {
    int (*write)(struct disk_writer *writer, uint64_t offset, const void *bytes, size_t length,
                 struct error *err);
    int (*flush)(struct disk_writer *writer, struct error *err);
    int (*finish)(struct disk_writer *writer, struct error *err); /* flushes, too; does not free */
    void (*free)(struct disk_writer *writer);                     /* after finish, or instead of it */
};

struct disk_writer {
    const struct disk_writer_operations *operations;
    char *path;
    uint64_t size;
    bool created; /* the file was made here and goes when it is abandoned */
};

/* RESTORE_NO_SPACE when errnum says that the file system is full, RESTORE_FAILED otherwise. Returns -1. */
int disk_writer_failed(const struct disk_writer *writer, int errnum, const char *what, struct error *err);
/* fsync of a file by name. */
int disk_writer_sync_path(const struct disk_writer *writer, struct error *err);

struct disk_writer *disk_writer_create_raw(const char *path, uint64_t size, struct error *err);
struct disk_writer *disk_writer_create_image(const char *path, const char *format, uint64_t size,
                                             struct error *err);

#endif
