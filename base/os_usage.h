/* What this process uses, for metrics. Thread-safe. */
#ifndef HOLDFAST_BASE_OS_USAGE_H
#define HOLDFAST_BASE_OS_USAGE_H

#include <stdint.h>

struct os_usage {
    uint64_t resident_bytes;
    uint64_t open_files;
    uint64_t cpu_us;
};

/* What can't be told is 0. */
struct os_usage os_usage_read(void);

#endif
