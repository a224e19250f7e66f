/*
 * Copies of files that share their blocks with the original (reflinks: ioctl_ficlonerange(2); XFS, btrfs).
 * Such a copy costs no space until one of the two is written. All calls block.
 */
#ifndef HOLDFAST_AGENT_SNAPSHOTS_FILE_CLONE_H
#define HOLDFAST_AGENT_SNAPSHOTS_FILE_CLONE_H

#include "base/error.h"
#include <stdint.h>

/* Make `to` what `from` is now: both open files of one file system, `to` for writing. It is done piece by
 * piece, and given up between two of them when the monotonic clock is past deadline_us (0: never):
 * SNAPSHOT_TIMEOUT. Then, and after any failure, `to` holds rubbish. SNAPSHOT_NOT_KEPT when the file system
 * can't share blocks, or has no room. Somebody who writes `from` meanwhile is held up, and gets between the
 * pieces: see to it that nobody does. */
int file_clone_blocks(int from, int to, int64_t deadline_us, struct error *err);
/* A new file (mode 0600, RESTORE_PATH_EXISTS) with what is in the other one, durable: shared blocks where
 * that is possible, otherwise copied, holes as holes. RESTORE_NO_SPACE, RESTORE_FAILED; then there is no new
 * file. */
int file_clone_copy(const char *from, const char *to, struct error *err);

#endif
