/*
 * The server's half of a backup's transfer phase: it takes the data connections of one job, answers offers,
 * stores what arrives, builds the new maps from the parent's maps and the changes, and commits the recovery
 * point. docs/protocol.md has the exchange. Runs on threads of its own, one a connection; memory is bounded
 * by the streams' windows.
 *
 * What an interrupted transfer brought is kept as partial maps, so that the next try does not send it again.
 */
#ifndef HOLDFAST_SERVER_BACKUP_RECEIVE_H
#define HOLDFAST_SERVER_BACKUP_RECEIVE_H

#include "proto/stream.h"
#include "server/transfer/throttle.h"
#include "storage/point.h"

struct backup_receive;

struct backup_receive_disk {
    const char *name;
    const char *format;
    uint64_t size;
    bool incremental; /* only changes are sent: the parent's map is the base */
    uint64_t expected_bytes;
};

struct backup_receive_options {
    struct store *store;
    const char *job; /* id; for logs */
    /* Everything of the point but disks, times and statistics is filled in; owned by the receiver from now
     * on. Its parent's maps are used where a disk of that name and size exists there. */
    struct point *point;
    struct point *parent;                    /* NULL: none; borrowed until done */
    const struct backup_receive_disk *disks; /* in the order of BackupBeginReply.disks; copied */
    size_t disk_count;
    unsigned connections;      /* how many streams may come */
    unsigned idle_timeout_ms;  /* no data for so long: TRANSFER_TIMEOUT */
    struct throttle *throttle; /* how fast; NULL: as fast as it goes; owned by the receiver from now on */
    /* Called once, on a thread of the receiver. Success: failure is NULL and point is the committed one
     * (owned by the callee), durable in the store; the agent gets its COMMITTED when this returns (so the
     * catalog row comes first). Failure: point is NULL. */
    void (*done)(void *cookie, struct point *point, const struct error *failure);
    void *cookie;
};

struct backup_receive *backup_receive_create(const struct backup_receive_options *options, struct error *err);
/* A data connection of this job has come. Any thread. Takes the stream over; a surplus one is closed. */
void backup_receive_add(struct backup_receive *receive, struct stream *stream);
/* Give up with this error (cancel, agent lost): `done` follows, unless the commit has begun. Any thread.
 * Returns false when it is too late (JOB_NOT_CANCELLABLE). */
bool backup_receive_abort(struct backup_receive *receive, const struct error *why);

struct transfer_progress {
    uint64_t done_bytes; /* of the disks' expected bytes that were settled: arrived, had, zero, unchanged */
    uint64_t total_bytes;
    uint64_t wire_bytes;   /* received or sent on the data connections */
    uint64_t stored_bytes; /* the store grew by */
};
void backup_receive_progress(struct backup_receive *receive, struct transfer_progress *progress);
/* After `done`; joins its threads. Not from inside `done`. */
void backup_receive_destroy(struct backup_receive *receive);

#endif
