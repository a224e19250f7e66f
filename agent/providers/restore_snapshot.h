/*
 * A restore from a snapshot that stayed on this host: what the server would have said is in its record.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_RESTORE_SNAPSHOT_H
#define HOLDFAST_AGENT_PROVIDERS_RESTORE_SNAPSHOT_H

#include "agent/provider.h"
#include "agent/snapshots/host_snapshots.h"

/* A provider's restore_begin. sources: of each disk the file or device that it is copied from; NULL: the
 * disks are written. */
typedef struct provider_restore *(*restore_begin_copy)(void *self, const Holdfast__RestoreRequest *request,
                                                       const char *const *sources, struct error *err);

/* What the request asks for: with the disks of the snapshot, if it names one, else as it is. SNAPSHOT_GONE.
 */
struct provider_restore *restore_snapshot_begin(struct host_snapshots *snapshots, restore_begin_copy begin,
                                                void *self, const Holdfast__RestoreRequest *request,
                                                struct error *err);

#endif
