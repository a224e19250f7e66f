/*
 * An ext2, ext3 or ext4 file system of a volume, read with libext2fs. Nothing is written, and the journal is
 * not replayed; but which blocks it has newer versions of is known, so that nothing stale is believed.
 */
#ifndef HOLDFAST_DISK_DISK_EXT_H
#define HOLDFAST_DISK_DISK_EXT_H

#include "disk/disk_volume.h"
#include <ext2fs/ext2fs.h>

struct disk_ext {
    struct disk_volume *volume; /* borrowed */
    ext2_filsys fs;
    /* Blocks that a replay of the journal would write, sorted. */
    uint64_t *pending;
    size_t pending_count;
    size_t pending_capacity;
    bool stale; /* one of them was read; for the caller to reset */
};

/* False when there is none, or one that is damaged, has features that are not understood, or was not put down
 * properly and has no journal that tells what is stale. */
bool disk_ext_open(struct disk_ext *ext, struct disk_volume *volume);
void disk_ext_close(struct disk_ext *ext);

/* Fills `pending` from the journal's part that is not checkpointed (the kernel's fs/jbd2/recovery.c). False
 * when it can't be understood. */
bool disk_ext_read_journal(struct disk_ext *ext);

/* By its path from the file system's root; links and mount points are not followed. */
bool disk_ext_lookup(struct disk_ext *ext, const char *path, ext2_ino_t *number);

/* A regular file that is linked and whose blocks are its own. Not from a cache, so that `stale` is right. */
bool disk_ext_read_file_inode(struct disk_ext *ext, ext2_ino_t number, struct ext2_inode *inode);

/* The file's beginning, at most capacity bytes. */
bool disk_ext_read_file(struct disk_ext *ext, ext2_ino_t number, struct ext2_inode *inode, void *out,
                        size_t capacity, size_t *length);

/* A run of a file's blocks, in bytes; in the order of the file, without overlaps, within the file system. */
typedef bool disk_ext_run_fn(void *cookie, uint64_t in_file, uint64_t in_volume, uint64_t length);

/* False when the file's map is damaged or run() gave false. */
bool disk_ext_walk_file(struct disk_ext *ext, ext2_ino_t number, struct ext2_inode *inode,
                        disk_ext_run_fn *run, void *cookie);

#endif
