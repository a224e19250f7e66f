/*
 * Snapshots of the subvolumes of btrfs (ioctl_btrfs; btrfs-subvolume(8)) that a backup of files reads from:
 * read-only, in the subvolume itself under the name ".holdfast-JOB-N". Each is in the job's journal before it
 * is made, so that it goes also after the agent died. One thread; calls block.
 */
#ifndef HOLDFAST_AGENT_FILES_FILE_SNAPSHOTS_H
#define HOLDFAST_AGENT_FILES_FILE_SNAPSHOTS_H

#include "agent/providers/snapshot_journal.h"
#include "base/error.h"

struct file_snapshots;

/* To clean up what earlier backups left. */
extern const struct snapshot_maker file_snapshot_maker;

struct file_snapshots *file_snapshots_create(const char *data_directory, const char *job,
                                             const char *vm_uuid);
/* Exchange an open directory for the same one in a snapshot. 1 done; 0 its file system has none, or makes
 * none (which is logged); -1 the journal could not be written. */
int file_snapshots_view(struct file_snapshots *snapshots, int *directory, struct error *err);
/* Remove them all, once nothing in them is open, and the journal entry. Frees. SNAPSHOT_FAILED: what is left
 * stays in the journal. */
int file_snapshots_end(struct file_snapshots *snapshots, struct error *err);

#endif
