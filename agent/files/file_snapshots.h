/*
 * Snapshots of the subvolumes of btrfs (ioctl_btrfs; btrfs-subvolume(8)) that a backup of files reads from:
 * read-only, in the subvolume itself under the name ".holdfast-JOB-N". Each is in the job's journal before it
 * is made, so that it goes also after the agent died. One thread; calls block.
 */
#ifndef HOLDFAST_AGENT_FILES_FILE_SNAPSHOTS_H
#define HOLDFAST_AGENT_FILES_FILE_SNAPSHOTS_H

#include "base/error.h"
#include <jansson.h>
#include <stdbool.h>

struct file_snapshots;

struct file_snapshots *file_snapshots_create(const char *data_directory, const char *job,
                                             const char *vm_uuid);
/* Exchange an open directory for the same one in a snapshot. 1 done; 0 its file system has none, or makes
 * none (which is logged); -1 the journal could not be written. */
int file_snapshots_view(struct file_snapshots *snapshots, int *directory, struct error *err);
/* Remove them all, once nothing in them is open, and the journal entry. Frees. SNAPSHOT_FAILED: what is left
 * stays in the journal. */
int file_snapshots_end(struct file_snapshots *snapshots, struct error *err);

/* What earlier backups of this source, or that job, left: try again. None of it must run. */
void file_snapshots_clean(const char *data_directory, const char *vm_uuid);
void file_snapshots_clean_job(const char *data_directory, const char *job);
/* The same by an entry of the journal. False when it is not of snapshots. */
bool file_snapshots_recover(const char *data_directory, const json_t *entry);

#endif
