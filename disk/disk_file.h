/*
 * Facts about the file or device behind an open descriptor, shared by the readers and writers of this room.
 */
#ifndef HOLDFAST_DISK_DISK_FILE_H
#define HOLDFAST_DISK_DISK_FILE_H

#include "base/error.h"
#include <stdint.h>

/* Bytes of a regular file or a block device. DISK_UNSUPPORTED for anything else (directories, pipes). path is
 * for the message. */
int disk_file_size(int fd, const char *path, uint64_t *size, struct error *err);

#endif
