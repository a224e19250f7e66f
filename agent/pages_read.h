/*
 * The process that looks for page and swap files on a guest's disk: file systems that somebody hostile may
 * have made are not parsed in the agent. `holdfast-agent read-pages URI` connects to the NBD export, gives up
 * everything else (base/os_sandbox.h), and prints what it finds, in the order of the disk: lines "OFFSET
 * LENGTH KIND" in bytes, or the line "asleep" (disk/disk_pages.h). backup_pages.h reads them.
 */
#ifndef HOLDFAST_AGENT_PAGES_READ_H
#define HOLDFAST_AGENT_PAGES_READ_H

#include "disk/disk_pages.h"

enum {
    PAGES_LINES_MAX = 65536,  /* it fails when there are more */
    PAGES_LINE_SIZE = 64,     /* none is longer */
    PAGES_LENGTH_MIN = 65536, /* no chunk is smaller: what is shorter is not told */
    PAGES_SECONDS = 60,
};

extern const char pages_swap_partition[];
extern const char pages_swap_file[];
extern const char pages_page_file[];
extern const char pages_asleep[];
const char *pages_kind_name(enum disk_pages_kind kind);

/* Does not return: status 0 when all was printed, otherwise the reason is on standard error. */
_Noreturn void pages_read(const char *uri);

#endif
