/*
 * The server's half of a restore: sends the chunks of a recovery point's disks, as stored (decrypted, still
 * compressed), in an order that reads containers forward, within the stream's window. A stored run that holds
 * chunks of other recovery points is never sent whole: the chunks that belong here are packed anew, so that a
 * host sees only its own data.
 */
#ifndef HOLDFAST_SERVER_RESTORE_SEND_H
#define HOLDFAST_SERVER_RESTORE_SEND_H

#include "proto/stream.h"
#include "server/transfer/backup_receive.h"
#include "storage/point.h"

struct restore_send;

enum { RESTORE_SEND_MAX = 8 };

struct restore_send_options {
    struct store *store;
    const char *job;
    const struct point *point; /* borrowed until destroy */
    const size_t *disks; /* positions in the point's disks, in the order of RestoreRequest.disks; copied */
    size_t disk_count;
    unsigned connections; /* served at once, 1 to RESTORE_SEND_MAX; a disk comes over one, several at once */
    unsigned idle_timeout_ms;
    struct throttle *throttle; /* how fast; NULL: as fast as it goes; owned by the sender from now on */
};

struct restore_send *restore_send_create(const struct restore_send_options *options, struct error *err);
/* Serve one data connection of the job: answers READ messages until RESTORED, an error or abort. Blocks: run
 * it on a thread, one for each connection. Takes the stream over. PROTOCOL_INVALID for one too many.
 * CHUNK_DAMAGED is told to the agent, too. */
int restore_send_serve(struct restore_send *send, struct stream *stream, struct error *err);
void restore_send_abort(struct restore_send *send, const struct error *why);
void restore_send_progress(struct restore_send *send, struct transfer_progress *progress);
void restore_send_destroy(struct restore_send *send);

/* --- the planner by itself, for exports: calls `run` for every run of a disk, in the order of containers
 * within windows of bounded memory. Chunks are given unpacked-on-demand as records plus places. run returns 0
 * to go on. */
struct restore_run {
    const struct chunk_name *names; /* count */
    size_t count;
    enum compression compression;
    const void *payload; /* count chunks compressed together */
    size_t length;
    const uint64_t *indices;   /* place_count */
    const uint32_t *positions; /* which of the names belongs there */
    size_t place_count;
};
typedef int (*restore_run_visit)(void *cookie, const struct restore_run *run, struct error *err);
int restore_plan_disk(struct store *store, const struct point_disk *disk, restore_run_visit visit,
                      void *cookie, struct error *err);

#endif
