/*
 * How a disk can have a snapshot that stays on the host: one method for each kind of storage, files that
 * share their blocks (snapshot_clone.c) and logical volumes of LVM (snapshot_lvm.c). Internal to
 * agent/snapshots.
 *
 * A method writes into the disk's part of the record (snapshot_make.c) what it needs to find its snapshot
 * again; from that alone it is looked after and removed, also by a later life of the agent. All calls block.
 */
#ifndef HOLDFAST_AGENT_SNAPSHOTS_SNAPSHOT_METHOD_H
#define HOLDFAST_AGENT_SNAPSHOTS_SNAPSHOT_METHOD_H

#include "agent/snapshots/snapshot_make.h"
#include <sys/types.h>

enum snapshot_state {
    SNAPSHOT_FINE,
    SNAPSHOT_SHORT,   /* its storage runs short of room */
    SNAPSHOT_FULL,    /* it has no room for more, and there is none to give it */
    SNAPSHOT_SPOILED, /* it ran full: there is nothing in it any more */
    SNAPSHOT_LOST,    /* it is not there any more */
};

struct snapshot_part; /* of one disk, while it is made; each method has its own */

struct snapshot_method {
    const char *name; /* "method" of the disk's record */
    bool at_once; /* one disk is taken at one instant whoever writes it: for a raw one nobody need stand still
                   */

    /* --- making, by one thread */

    /* Can the disk have one? Makes nothing yet. NULL with SNAPSHOT_NOT_KEPT. */
    struct snapshot_part *(*plan)(const struct snapshot_make_wish *wish,
                                  const struct snapshot_make_disk *disk, json_t *record, struct error *err);
    /* Is there room for it and that share (percent) besides? allocated: of all disks. SNAPSHOT_NOT_KEPT. */
    int (*check_room)(const json_t *record, uint64_t allocated, int64_t free_percent, struct error *err);
    /* The record is durable: what takes time before the instant. SNAPSHOT_NOT_KEPT. */
    int (*begin)(struct snapshot_part *part, const json_t *record, struct error *err);
    /* The instant. Again: the later one counts. deadline_us: of the monotonic clock, 0 never.
     * SNAPSHOT_TIMEOUT, SNAPSHOT_NOT_KEPT. */
    int (*take)(struct snapshot_part *part, int64_t deadline_us, struct error *err);
    /* That was a trial. */
    int (*clear)(struct snapshot_part *part, struct error *err);
    /* Durable and good? */
    int (*finish)(struct snapshot_part *part, struct error *err);
    void (*end)(struct snapshot_part *part); /* frees; what was made stays */

    /* --- what a record tells of */

    /* Also when that can't be found out just now. */
    bool (*is_there)(const json_t *record);
    /* The file or device with what the disk was, malloc'd. NULL with SNAPSHOT_GONE. */
    char *(*locate)(const json_t *record, struct error *err);
    int (*remove)(const json_t *record, struct error *err);
    /* One look at all of the method's storage, for many calls of tend; NULL when it can't be seen now. These
     * two are NULL where a look costs nothing. */
    void *(*look)(void);
    void (*forget)(void *view);
    /* How it is, and what can be done for it. */
    enum snapshot_state (*tend)(const json_t *record, const void *view, int64_t free_percent);
};

enum { SNAPSHOT_METHODS = 2 };
extern const struct snapshot_method snapshot_method_clone;
extern const struct snapshot_method snapshot_method_lvm;
extern const struct snapshot_method *const snapshot_methods[SNAPSHOT_METHODS];

/* For a disk at that path, by what lies there. NULL with SNAPSHOT_NOT_KEPT. */
const struct snapshot_method *snapshot_method_for(const struct snapshot_make_disk *disk, struct error *err);
/* The one that made the snapshot of the disk. Without a name in the record: clone. */
const struct snapshot_method *snapshot_method_of(const json_t *record);

#endif
