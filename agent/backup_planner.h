/*
 * What to read in a backup: walks the extents of every disk and gives whole chunks, so that several lanes can
 * share the work. A chunk that any extent calls data is data; one that is part zero and part unchanged must
 * be read, too. Chunks that lie wholly in what is left out are zeros, whatever the extents say; what was
 * left out of the parent and isn't any more is read. Thread-safe; blocks on the disks' extents.
 */
#ifndef HOLDFAST_AGENT_BACKUP_PLANNER_H
#define HOLDFAST_AGENT_BACKUP_PLANNER_H

#include "disk/disk_pages.h"
#include "disk/disk_reader.h"
#include <stdint.h>

struct backup_planner;

struct backup_plan_item {
    size_t disk;
    bool zeros;     /* the range reads as zeros; otherwise it must be read */
    uint64_t first; /* chunk */
    uint64_t count;
};

struct backup_planner_disk {
    struct disk_reader *reader; /* borrowed */
    const char *name;
    uint64_t size;                           /* as it was when the backup began */
    const struct disk_pages_range *left_out; /* in order, apart from one another, within the size; borrowed */
    size_t left_out_count;
    /* Left out of the parent, likewise: what can't be unchanged there. */
    const struct disk_pages_range *missing;
    size_t missing_count;
};

struct backup_planner *backup_planner_create(const struct backup_planner_disk *disks, size_t count,
                                             uint32_t chunk_size);
void backup_planner_destroy(struct backup_planner *planner);
/* 1 and the next item (at most max_chunks of data), 0 at the end, -1 on error. DISK_CHANGED when a disk ends
 * early. */
int backup_planner_next(struct backup_planner *planner, uint64_t max_chunks, struct backup_plan_item *item,
                        struct error *err);

/* How much of the disk is left out, in bytes. */
void backup_planner_left_out(const struct backup_planner_disk *disk, uint32_t chunk_size, uint64_t *swap,
                             uint64_t *page_files);

#endif
