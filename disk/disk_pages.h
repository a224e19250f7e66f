/*
 * Which bytes of a disk hold nothing but swapped-out memory: Linux swap partitions, swap files on ext2, ext3
 * and ext4, page files on NTFS. A system that starts anew never reads them, so a backup may store zeros
 * instead. What must be kept is not among them: the first page of a Linux swap area, with its UUID and its
 * label.
 *
 * Everything on the disk is untrusted. What is not understood, is damaged, or could be something else gives
 * no ranges, and is no error. Partition tables: MBR and GPT. Not looked into: LVM, RAID, encryption, other
 * file systems, disks whose sectors have 4096 bytes and an MBR.
 *
 * The disk must not change while it is read: a snapshot, a frozen export, or an image that is not in use. The
 * file systems on it need not be frozen: for ext, what the journal has yet to write back is taken into
 * account. NTFS gives no such promise, see DISK_PAGES_PAGE_FILE.
 */
#ifndef HOLDFAST_DISK_DISK_PAGES_H
#define HOLDFAST_DISK_DISK_PAGES_H

#include "base/error.h"
#include "disk/disk_reader.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_pages;

enum disk_pages_kind {
    DISK_PAGES_SWAP_PARTITION,
    DISK_PAGES_SWAP_FILE,
    /* NTFS. For a few seconds after Windows gave clusters of a page file to another file, a disk whose file
     * systems were not frozen may still count them as the page file's. Use these only when they were, or when
     * the machine is off. */
    DISK_PAGES_PAGE_FILE,
};

struct disk_pages_range {
    uint64_t offset; /* of the disk, in bytes */
    uint64_t length; /* at least 1 */
    enum disk_pages_kind kind;
};

/* Look for them. Reads a few megabytes of each file system as a rule, never more than 256 MiB. NULL when the
 * disk could not be read. Blocks; any thread, with a reader of its own. */
struct disk_pages *disk_pages_find(struct disk_reader *reader, struct error *err);
void disk_pages_destroy(struct disk_pages *pages); /* NULL is fine */

/* In the order of the disk; they do not overlap. The pointer is valid until pages is destroyed. */
size_t disk_pages_count(const struct disk_pages *pages);
const struct disk_pages_range *disk_pages_get(const struct disk_pages *pages, size_t index);

/* A system sleeps on this disk (suspended to disk, hibernated, Windows' fast startup) and will go on with
 * what it swapped out: this disk has no ranges, and what other disks of the same machine have must be stored,
 * too. */
bool disk_pages_asleep(const struct disk_pages *pages);

#endif
