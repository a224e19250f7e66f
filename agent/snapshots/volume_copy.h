/*
 * The disk of a snapshot, a raw file or a device, copied where a file can't be cloned. Both calls block.
 */
#ifndef HOLDFAST_AGENT_SNAPSHOTS_VOLUME_COPY_H
#define HOLDFAST_AGENT_SNAPSHOTS_VOLUME_COPY_H

#include "base/error.h"
#include <stdint.h>

/* A new raw file (mode 0600) with what the device holds, durable; zeros are holes. SNAPSHOT_GONE when the
 * snapshot can't be read; RESTORE_PATH_EXISTS, RESTORE_NO_SPACE, RESTORE_FAILED. Then there is no new file.
 */
int volume_copy_to_file(const char *from, const char *to, struct error *err);
/* Make an existing device, at least `size` bytes long, what the source is. Only blocks that differ are
 * written: for a volume and its own snapshot those are blocks that the snapshot has a copy of already, so
 * that it does not run full by this. The device is claimed meanwhile: RESTORE_TARGET_IN_USE, RESTORE_NO_SPACE
 * before anything is written. SNAPSHOT_GONE when the snapshot is lost in the middle: the device holds a
 * mixture then, as after RESTORE_FAILED. */
int volume_copy_to_device(const char *from, uint64_t size, const char *to, struct error *err);

#endif
