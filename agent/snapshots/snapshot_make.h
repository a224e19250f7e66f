/*
 * Making a snapshot that stays on the host: what takes time before and after the instant, and the instant
 * itself, in which the guest stands still and QEMU has written everything that it holds back (or the VM is
 * off). One thread.
 */
#ifndef HOLDFAST_AGENT_SNAPSHOTS_SNAPSHOT_MAKE_H
#define HOLDFAST_AGENT_SNAPSHOTS_SNAPSHOT_MAKE_H

#include "agent/snapshots/host_snapshots.h"

struct snapshot_make;

struct snapshot_make_disk {
    const char *name;
    const char *path;
    const char *format;
    uint64_t size;      /* bytes, as the guest sees it */
    uint64_t allocated; /* bytes on the host */
};

struct snapshot_make_wish {
    const char *point; /* its name */
    const char *job;
    const char *kind; /* of the VM */
    const char *vm_uuid;
    const char *vm_name;
    const char *configuration; /* what a restore makes the VM from */
    unsigned days;
    const struct snapshot_make_disk *disks;
    size_t count;
    /* The guest runs. Where it has to stand still, a trial says for how long, so that it does not for
     * nothing. */
    bool live;
    bool thick; /* set by _prepare: volumes may have one that makes writes to them slower */
};

/* Files, a record, a look at the room. All or none of the disks: SNAPSHOT_NOT_KEPT says why none. */
struct snapshot_make *snapshot_make_prepare(struct host_snapshots *snapshots,
                                            const struct snapshot_make_wish *wish, struct error *err);
/* Must the guest stand still at the instant? Not when it does not run, nor for one raw disk whose storage
 * takes it at one instant whoever writes: then nothing limits how long that takes. */
bool snapshot_make_stops(const struct snapshot_make *make);
/* The instant. May be called again: the later one counts. SNAPSHOT_TIMEOUT when it takes longer than a guest
 * may stand still, SNAPSHOT_NOT_KEPT. */
int snapshot_make_take(struct snapshot_make *make, struct error *err);
/* Where the disk at that position can be read as it was at the instant, malloc'd; after _take. NULL with
 * SNAPSHOT_GONE. */
char *snapshot_make_locate(const struct snapshot_make *make, size_t disk, struct error *err);
/* It is good: durable, listed. Frees, also on failure (then nothing is left). SNAPSHOT_NOT_KEPT. */
int snapshot_make_keep(struct snapshot_make *make, const char *consistency, int64_t instant_ms,
                       int64_t *until_ms, struct error *err);
/* Nothing is left of it. Frees. NULL is fine. */
void snapshot_make_abandon(struct snapshot_make *make);

#endif
