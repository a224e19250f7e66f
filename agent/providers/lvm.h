/*
 * Snapshots of LVM's logical volumes, by LVM's own programs (lvs(8), lvcreate(8), lvremove(8), lvextend(8),
 * lvchange(8)), found along PATH or where a system keeps them. lvcreate and lvremove suspend the volume for a
 * moment: they are never stopped in the middle, also when this process dies. All calls block.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_LVM_H
#define HOLDFAST_AGENT_PROVIDERS_LVM_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { LVM_NAME_SIZE = 128 }; /* LVM allows 127 characters */

struct lvm_volume {
    char group[LVM_NAME_SIZE];
    char name[LVM_NAME_SIZE];
    char origin[LVM_NAME_SIZE]; /* of a snapshot; empty: none */
    char pool[LVM_NAME_SIZE];   /* of a thin volume; empty: none */
    char attributes[16];        /* lv_attr, lvs(8) */
    dev_t device;               /* 0: not active */
    uint64_t size;              /* bytes, of a thick snapshot its own room; so are the next three */
    uint64_t extent;
    uint64_t group_free;
    uint64_t group_size;
    double data_percent;     /* of a snapshot or a pool: how full; -1: not known */
    double metadata_percent; /* of a pool */
};

/* The volume whose device this is. 1 found, 0 it is not LVM's (or there is no LVM here), -1 LVM's programs
 * fail: TOOL_FAILED. */
int lvm_find_device(dev_t device, struct lvm_volume *volume, struct error *err);
/* The same by its name; without LVM here -1. */
int lvm_find_volume(const char *group, const char *name, struct lvm_volume *volume, struct error *err);
/* Of the answer of lvs (JSON) the first volume, and of that device unless it is 0. As above. */
int lvm_parse(const char *json, dev_t device, struct lvm_volume *volume, struct error *err);

/* All of this host, pools, too. *list is malloc'd. TOOL_FAILED. */
int lvm_list(struct lvm_volume **list, size_t *count, struct error *err);
/* Has the kernel given the snapshot up? */
bool lvm_snapshot_invalid(const struct lvm_volume *snapshot);

/* True for the characters and the length that LVM allows, so that it can be part of a command. */
bool lvm_valid_name(const char *name);

/* Can there be a snapshot of it that has room? SNAPSHOT_FAILED when LVM makes none of such a volume,
 * SCRATCH_SPACE_LOW when the group or the pool is full. */
int lvm_check_snapshot(const struct lvm_volume *volume, struct error *err);
/* Bytes for the changes during a backup: a tenth of the volume, 64 MiB to 64 GiB, whole extents, at most what
 * the group has free. 0 for a thin volume, whose pool has the room. */
uint64_t lvm_snapshot_size(const struct lvm_volume *volume);
/* Make it, read-only; a file system that is mounted from the volume is frozen meanwhile. SNAPSHOT_FAILED. */
int lvm_snapshot_take(const struct lvm_volume *volume, const char *name, struct error *err);
/* The same, and *snapshot describes it. */
int lvm_snapshot_create(const struct lvm_volume *volume, const char *name, struct lvm_volume *snapshot,
                        struct error *err);
/* SCRATCH_SPACE_LOW when the snapshot, or the pool of a thin one, is nearly full or was given up by the
 * kernel; SNAPSHOT_FAILED when it has gone. */
int lvm_snapshot_check(const struct lvm_volume *snapshot, struct error *err);
/* Give a thick one more room. SNAPSHOT_FAILED. */
int lvm_snapshot_extend(const struct lvm_volume *snapshot, uint64_t bytes, struct error *err);
/* Its device node, malloc'd, which may take a moment to be made; an inactive one is activated.
 * SNAPSHOT_FAILED. */
char *lvm_snapshot_node(const struct lvm_volume *snapshot, struct error *err);
/* Remove the snapshot, if it is there and is one of that origin. Tries for some seconds while something has
 * it open. */
int lvm_snapshot_remove(const char *group, const char *name, const char *origin, struct error *err);

#endif
