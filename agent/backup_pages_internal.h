/* Inside the module. */
#ifndef HOLDFAST_AGENT_BACKUP_PAGES_INTERNAL_H
#define HOLDFAST_AGENT_BACKUP_PAGES_INTERNAL_H

#include "agent/backup_pages.h"

struct backup_pages_list {
    struct disk_pages_range *ranges; /* malloc'd */
    size_t count;
};

struct backup_pages {
    struct backup_pages_list *disks;
    size_t count;
    bool asleep;
    size_t sleeper; /* the disk, when asleep */
};

/* Nothing of so many disks. */
struct backup_pages *backup_pages_create(size_t disk_count);

#endif
