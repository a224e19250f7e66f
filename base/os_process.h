/*
 * Child processes that serve or do something for us (qemu-img, qemu-nbd). Linux: fork and exec, the child
 * gets SIGKILL when this process dies, so none is left behind. No shell is involved.
 */
#ifndef HOLDFAST_BASE_OS_PROCESS_H
#define HOLDFAST_BASE_OS_PROCESS_H

#include "base/error.h"
#include <stddef.h>

struct os_process;

/* argv ends with NULL; argv[0] is looked up in PATH. TOOL_FAILED when it can't be started. Its standard input
 * is /dev/null, its output and errors are kept (the last 8 KiB) for error messages. */
struct os_process *os_process_start(const char *const *argv, struct error *err);
/* Wait for its end; *status is the exit status (128 + signal when killed). */
int os_process_wait(struct os_process *process, int *status, struct error *err);
/* Non-blocking: 1 ended (status set), 0 still running. */
int os_process_poll(struct os_process *process, int *status);
/* What it last wrote to its output and errors, for error messages; empty when there was nothing. Owned by the
 * process, valid until the next call for it. */
const char *os_process_last_words(struct os_process *process);
/* SIGTERM, wait up to timeout_ms, then SIGKILL; frees it. NULL is fine. */
void os_process_stop(struct os_process *process, unsigned timeout_ms);
/* Start, wait, and give the standard output (malloc'd, NUL behind, up to limit). Non-zero exit is TOOL_FAILED
 * with its last words as the cause. output may be NULL. */
int os_process_run(const char *const *argv, size_t limit, char **output, struct error *err);
/* As os_process_run, but killed when it has not ended by then: TOOL_FAILED, too. */
int os_process_run_for(const char *const *argv, unsigned timeout_ms, size_t limit, char **output,
                       struct error *err);
/* As os_process_run, but the program is left to its end when this process dies: for what must not stop in the
 * middle.
 */
int os_process_run_through(const char *const *argv, size_t limit, char **output, struct error *err);

#endif
