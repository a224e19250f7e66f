/*
 * Making disks: a new raw file, a new image of another format (through a private qemu-nbd), or an existing
 * block device. What is never written reads as zeros, and stays a hole where the target can have holes.
 * disk_writer_write may be called from several threads at once; the rest from one. All calls block.
 */
#ifndef HOLDFAST_DISK_DISK_WRITER_H
#define HOLDFAST_DISK_DISK_WRITER_H

#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

struct disk_writer;

/* format: "raw", "qcow2", "vhdx". The file must not exist (RESTORE_PATH_EXISTS). STORE_FULL is never used
 * here: a full file system is RESTORE_NO_SPACE. REQUEST_INVALID for a format that is not known. */
struct disk_writer *disk_writer_create(const char *path, const char *format, uint64_t size,
                                       struct error *err);
/* An existing block device (or raw file) at least `size` bytes long; ranges that are not written are zeroed
 * by disk_writer_finish, since the device holds something already. A block device is claimed meanwhile:
 * RESTORE_TARGET_IN_USE when it is mounted, swap, or part of something. RESTORE_NO_SPACE when it is too
 * small; nothing is written then. */
struct disk_writer *disk_writer_open_device(const char *path, uint64_t size, struct error *err);

/* The same, but what is not written stays as it is. */
struct disk_writer *disk_writer_patch_device(const char *path, uint64_t size, struct error *err);

int disk_writer_write(struct disk_writer *writer, uint64_t offset, const void *bytes, size_t length,
                      struct error *err);
/* Everything was written: zero the rest of a device, flush to stable storage. Leaves little for finish to do;
 * the writer (and its claim on a device) stays. */
int disk_writer_flush(struct disk_writer *writer, struct error *err);
/* Flush, if that was not done, and close the image. The writer is closed whatever is returned. */
int disk_writer_finish(struct disk_writer *writer, struct error *err);
/* Close and remove the file that was made (a device is left as it is). NULL is fine. */
void disk_writer_abandon(struct disk_writer *writer);

#endif
