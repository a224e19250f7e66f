/*
 * Where disk_pages_find looks: swap areas, ext file systems, NTFS. Each adds what it finds in one volume;
 * what it does not understand it leaves alone.
 */
#ifndef HOLDFAST_DISK_DISK_PAGES_INTERNAL_H
#define HOLDFAST_DISK_DISK_PAGES_INTERNAL_H

#include "disk/disk_pages.h"
#include "disk/disk_volume.h"

struct disk_pages {
    struct disk_pages_range *ranges;
    size_t count;
    size_t capacity;
    bool asleep;
};

/* A range of a volume; it becomes one of the disk. False when there are too many. */
bool disk_pages_add(struct disk_pages *pages, const struct disk_volume *volume, enum disk_pages_kind kind,
                    uint64_t offset, uint64_t length);

/* How a Linux swap area begins (the kernel's include/linux/swap.h, union swap_header). */
enum {
    DISK_SWAP_PAGE_MIN = 4096,
    DISK_SWAP_PAGE_MAX = 65536,
};

enum disk_swap_state {
    DISK_SWAP_NONE,
    DISK_SWAP_READY,
    DISK_SWAP_ASLEEP, /* it holds a suspended system */
};

struct disk_swap {
    enum disk_swap_state state;
    /* when READY: what lies behind the first page */
    uint64_t offset;
    uint64_t length;
};

/* start: the area's first bytes, at least DISK_SWAP_PAGE_MAX of them or all there are. area: its length. */
struct disk_swap disk_swap_parse(const uint8_t *start, size_t length, uint64_t area);

/* True when the volume is a swap area, whether or not something was added. */
bool disk_pages_find_swap(struct disk_pages *pages, struct disk_volume *volume);

/* Swap files of an ext2, ext3 or ext4 file system: in the usual places, and those that its /etc/fstab names.
 */
void disk_pages_find_ext(struct disk_pages *pages, struct disk_volume *volume);

/* Page files of an NTFS volume, with libntfs-3g. */
void disk_pages_find_ntfs(struct disk_pages *pages, struct disk_volume *volume);

#endif
