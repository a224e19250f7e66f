/*
 * A file system in memory that knows what is durable: written data after a sync of the file, names after a
 * sync of their directory. It can stop at a chosen operation, as a machine without power does, or let one
 * operation fail; and it can become what a disk may hold after that: of what was not synced any part, torn at
 * sectors, in any order.
 */
#ifndef HOLDFAST_TESTS_CRASH_FS_H
#define HOLDFAST_TESTS_CRASH_FS_H

#include "storage/file_system.h"

struct crash_fs;

struct crash_fs *crash_fs_create(void);
void crash_fs_destroy(struct crash_fs *fs);
/* The table to build a backend on; lives as long as fs. */
const struct file_system *crash_fs_table(struct crash_fs *fs);

/* Operations that change something or sync, so far. */
unsigned crash_fs_operations(const struct crash_fs *fs);
/* From operation `at` on (the first is 1) everything fails. 0: never. */
void crash_fs_stop_at(struct crash_fs *fs, unsigned at);
bool crash_fs_stopped(const struct crash_fs *fs);
/* Operation `at` fails with this errno, a write perhaps after a part of it; those behind it work. 0: never.
 */
void crash_fs_fail_at(struct crash_fs *fs, unsigned at, int errnum, bool short_write);
/* A sync that fails loses what it was for: that can be read until the machine stops or the cache is told to
 * forget it, but no later sync makes it durable. */
void crash_fs_lose_pages(struct crash_fs *fs);
/* What the operation that failed was ("write", "sync"); NULL when it was not reached. */
const char *crash_fs_failed(const struct crash_fs *fs);

/* The machine starts again: only what is durable is there, and of the rest what the seed says. */
void crash_fs_crash(struct crash_fs *fs, uint64_t seed);
/* Write what is there now into a directory of the operating system. */
int crash_fs_export(const struct crash_fs *fs, const char *directory, struct error *err);

#endif
