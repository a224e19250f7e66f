/*
 * What the kinds of readers share inside the room: a reader is its operations and a size. Each kind embeds
 * struct disk_reader as its first member.
 */
#ifndef HOLDFAST_DISK_DISK_READER_INTERNAL_H
#define HOLDFAST_DISK_DISK_READER_INTERNAL_H

#include "disk/disk_reader.h"

struct disk_reader_operations {
    int (*extents)(struct disk_reader *reader, uint64_t offset, uint64_t length, struct disk_extent *extents,
                   size_t capacity, size_t *count, struct error *err);
    int (*read)(struct disk_reader *reader, uint64_t offset, void *out, size_t length, struct error *err);
    void (*close)(struct disk_reader *reader);
};

struct disk_reader {
    const struct disk_reader_operations *operations;
    uint64_t size;
};

#endif
