/*
 * A reader of an NBD connection that is already made; inside the room only.
 */
#ifndef HOLDFAST_DISK_DISK_READER_NBD_H
#define HOLDFAST_DISK_DISK_READER_NBD_H

#include "disk/disk_reader.h"
#include "disk/qemu_nbd.h"

/* Dials the server, which the reader then owns: it is stopped by disk_reader_close, and when this fails. */
struct disk_reader *disk_reader_open_server(struct qemu_nbd *server, const char *label,
                                            const char *dirty_bitmap, struct error *err);

#endif
