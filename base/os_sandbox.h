/*
 * A process that gives up what it could do, before it looks at bytes that somebody hostile may have made. It
 * keeps its memory, its open files, and little else. Linux: seccomp(2), setresuid(2), setrlimit(2).
 */
#ifndef HOLDFAST_BASE_OS_SANDBOX_H
#define HOLDFAST_BASE_OS_SANDBOX_H

#include "base/error.h"
#include <stdint.h>

struct os_sandbox {
    uint64_t memory_bytes; /* of address space; not held to under a sanitizer, which needs terabytes of it */
    uint64_t output_bytes; /* no file grows beyond this */
    unsigned cpu_seconds;  /* then the process is killed */
};

/* Close every file from `first` on, before anything is opened that must stay. */
void os_sandbox_close_files(unsigned first);

/* For good: root becomes nobody, no file is opened, no socket and no process made. What the kernel refuses
 * from now on fails with EPERM. For a process of one thread that ends with _exit: what a library would do at
 * the end may be refused, too. TOOL_FAILED. */
int os_sandbox_enter(const struct os_sandbox *limits, struct error *err);

#endif
