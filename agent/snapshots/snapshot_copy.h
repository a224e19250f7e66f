/*
 * The disk of a snapshot that stays on the host, copied for a restore: it becomes a disk of its own. Blocks.
 */
#ifndef HOLDFAST_AGENT_SNAPSHOTS_SNAPSHOT_COPY_H
#define HOLDFAST_AGENT_SNAPSHOTS_SNAPSHOT_COPY_H

#include "base/error.h"

/* A new file with what the clone has, durable (file_clone_copy, or volume_copy_to_file when it is a device).
 * Of format qcow2 its tables are checked and its dirty bitmaps, which were open when the snapshot was taken,
 * go. SNAPSHOT_GONE when it is damaged; RESTORE_*; then there is no new file. */
int snapshot_copy(const char *clone, const char *format, const char *path, struct error *err);

#endif
