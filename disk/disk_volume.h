/*
 * A part of a disk that may hold a file system or a swap area: the whole disk, or a partition. What is on it
 * is untrusted, so reads are bounded by its length and by a budget; a damaged file system can't keep us busy.
 */
#ifndef HOLDFAST_DISK_DISK_VOLUME_H
#define HOLDFAST_DISK_DISK_VOLUME_H

#include "disk/disk_reader.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DISK_VOLUMES_MAX = 128 };

struct disk_volume {
    struct disk_reader *reader; /* borrowed */
    uint64_t offset;
    uint64_t length;
    uint64_t bytes_left; /* of the budget */
    struct error *err;   /* filled when `failed` */
    unsigned reads_left;
    bool failed; /* the disk itself could not be read */
};

/* The part of the disk; it must lie within it. Reads that fail fill err. */
void disk_volume_init(struct disk_volume *volume, struct disk_reader *reader, uint64_t offset,
                      uint64_t length, struct error *err);

/* Exactly length bytes from an offset in the volume. False when they are not all in the volume, when the
 * budget is spent (every later read gives false as well), or when the disk could not be read (`failed`
 * tells). */
bool disk_volume_read(struct disk_volume *volume, uint64_t offset, void *out, size_t length);

/* The partitions of a disk (MBR with logical ones; GPT: UEFI specification 2.10, chapter 5), or the whole
 * disk when it has no partition table. A damaged table has none: one whose checksum is wrong, that passes the
 * end of the disk, or whose entries contradict each other. A damaged chain of logical partitions has none of
 * these. Returns their number; whole->failed tells of errors. */
size_t disk_volumes_find(struct disk_volume *whole, struct disk_volume volumes[DISK_VOLUMES_MAX]);

#endif
