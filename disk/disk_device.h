/*
 * Block devices of this host: what is mounted from one, what else holds it, what its node is called. As
 * /proc/self/mountinfo and /sys tell it (proc(5), Linux's Documentation/ABI/stable/sysfs-block). All calls
 * block.
 */
#ifndef HOLDFAST_DISK_DISK_DEVICE_H
#define HOLDFAST_DISK_DISK_DEVICE_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A mounted file system that lies on the device, on a partition of it, or on what is built on those (LVM,
 * LUKS, RAID). */
struct disk_mount {
    char *point;
    bool writable; /* the file system, not only this mount of it */
    bool direct;   /* on the device itself, and on no other */
};

struct disk_device_use {
    struct disk_mount *mounts;
    size_t count;
    bool held; /* the kernel says that somebody has claimed it: a mount, here or in another namespace, swap,
                  RAID, LVM, device mapper */
};

/* True when path is a block device. */
bool disk_device_is(const char *path);
/* Its number; 0 when path is no block device. */
dev_t disk_device_number(const char *path);
/* The path below /dev of the device with that number, malloc'd; NULL when there is none. */
char *disk_device_path(dev_t number);

/* *use is freed with disk_device_use_release. DISK_READ_FAILED. */
int disk_device_use(const char *path, struct disk_device_use *use, struct error *err);
/* The same without "held", for tests: /proc and /sys are looked for below root. */
int disk_device_mounts(const char *root, dev_t device, struct disk_device_use *use, struct error *err);
void disk_device_use_release(struct disk_device_use *use);
/* The first mount that can be written, or NULL. Borrowed from use. */
const struct disk_mount *disk_device_writer(const struct disk_device_use *use);

/* Bring what the mounted file systems hold in memory to the device, and forget what was cached of the device
 * itself: file systems write past that cache, and a second reading would find the first one's blocks. As far
 * as this process may. */
void disk_device_flush(const char *path, const struct disk_device_use *use);

#endif
