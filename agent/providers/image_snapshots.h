/*
 * The snapshots that a backup of block devices reads from: one for each disk that is a logical volume of LVM.
 * Each is in the job's journal before it is made, so that it goes also after the agent died.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_IMAGE_SNAPSHOTS_H
#define HOLDFAST_AGENT_PROVIDERS_IMAGE_SNAPSHOTS_H

#include "agent/providers/snapshot_journal.h"
#include "base/error.h"

struct image_snapshots;

/* To clean up what earlier backups left. */
extern const struct snapshot_maker image_snapshot_maker;

/* None yet, and nothing in the journal. */
struct image_snapshots *image_snapshots_create(const char *data_directory, const char *job,
                                               const char *vm_uuid);
/* A snapshot of the block device. 1: made, *path is its device (malloc'd). 0: there is none; why->code is
 * ERROR_NONE when the device is not LVM's, else what hinders. -1: SNAPSHOT_FAILED, or the journal could not
 * be written. One thread. */
int image_snapshots_add(struct image_snapshots *snapshots, const char *device, char **path, struct error *why,
                        struct error *err);
/* Another's snapshot that is read, too: only looked after. SNAPSHOT_FAILED. One thread. */
int image_snapshots_watch(struct image_snapshots *snapshots, const char *device, struct error *err);
/* Are all still good? Asks LVM once a second at most, whoever calls. SCRATCH_SPACE_LOW, SNAPSHOT_FAILED. */
int image_snapshots_check(struct image_snapshots *snapshots, struct error *err);
/* Remove them all, and the journal entry; what can't be removed stays in the journal for the next start.
 * Frees. */
int image_snapshots_end(struct image_snapshots *snapshots, struct error *err);

#endif
