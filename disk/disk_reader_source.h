/*
 * A disk that is in no image: whoever opens it says what is in it.
 */
#ifndef HOLDFAST_DISK_DISK_READER_SOURCE_H
#define HOLDFAST_DISK_DISK_READER_SOURCE_H

#include "disk/disk_reader.h"

struct disk_reader_source {
    /* As disk_reader_extents and disk_reader_read; never called for what is past the end. */
    int (*extents)(void *self, uint64_t offset, uint64_t length, struct disk_extent *extents, size_t capacity,
                   size_t *count, struct error *err);
    int (*read)(void *self, uint64_t offset, void *out, size_t length, struct error *err);
    void (*close)(void *self);
};

/* The source stays the caller's and must outlive the reader; self is closed with it. */
struct disk_reader *disk_reader_open_source(const struct disk_reader_source *source, void *self,
                                            uint64_t size);

#endif
