/*
 * Reading disks: raw files and block devices directly, everything that QEMU knows through an NBD export
 * (libnbd; the NBD protocol's document, "block status"). One reader is used by one thread at a time; open
 * several for parallel reads. All calls block.
 */
#ifndef HOLDFAST_DISK_DISK_READER_H
#define HOLDFAST_DISK_DISK_READER_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_reader;

enum disk_extent_kind {
    DISK_EXTENT_DATA,      /* must be read */
    DISK_EXTENT_ZERO,      /* reads as zeros: a hole, unallocated, or known zeros */
    DISK_EXTENT_UNCHANGED, /* not written since the tracking point: equal to the parent */
};

struct disk_extent {
    uint64_t offset;
    uint64_t length;
    enum disk_extent_kind kind;
};

/* A raw file or block device, read-only. Holes come from SEEK_HOLE where the file system has it. */
struct disk_reader *disk_reader_open_raw(const char *path, struct error *err);

/* An NBD export. uri: as nbd_connect_uri(3) takes it. dirty_bitmap: NULL, or the bitmap of the metadata
 * context "qemu:dirty-bitmap:NAME"; then what it does not mark is DISK_EXTENT_UNCHANGED, and what it marks is
 * DATA or ZERO by base:allocation. DISK_READ_FAILED when the export does not offer the bitmap. */
struct disk_reader *disk_reader_open_nbd(const char *uri, const char *dirty_bitmap, struct error *err);

/* An image file that is not in use, of any format that QEMU knows, through a private qemu-nbd that lives as
 * long as the reader. persistent_bitmap: NULL, or a bitmap in a qcow2 file. */
struct disk_reader *disk_reader_open_image(const char *path, const char *format,
                                           const char *persistent_bitmap, struct error *err);

void disk_reader_close(struct disk_reader *reader);
uint64_t disk_reader_size(const struct disk_reader *reader);

/* The extents from offset on, contiguous, at most `capacity`, covering at most `length` bytes and at least
 * one byte of it. Neighbours of one kind may come apart. *count ≥ 1 unless offset is at the end. */
int disk_reader_extents(struct disk_reader *reader, uint64_t offset, uint64_t length,
                        struct disk_extent *extents, size_t capacity, size_t *count, struct error *err);
/* Exactly length bytes. DISK_CHANGED when the disk ends before that. */
int disk_reader_read(struct disk_reader *reader, uint64_t offset, void *out, size_t length,
                     struct error *err);

#endif
