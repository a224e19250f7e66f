/*
 * The agent's half of a backup's transfer phase: reads what the planner gives, names it, offers the names,
 * compresses and sends what the server wants, on several data connections at once. docs/protocol.md has the
 * exchange. Memory is bounded: a few batches and one window a connection.
 */
#ifndef HOLDFAST_AGENT_BACKUP_SEND_H
#define HOLDFAST_AGENT_BACKUP_SEND_H

#include "agent/backup_pages.h"
#include "agent/provider.h"
#include "proto/stream.h"

struct backup_send_options {
    struct loop *loop;
    const struct channel_target *target;
    struct tls *tls;
    const uint8_t *session;
    size_t session_length;
    unsigned connections; /* at most */
    uint32_t chunk_size;
    const struct provider *provider;
    struct provider_backup *backup;
    const Holdfast__BackupBeginReply *begun; /* the disks */
    const struct backup_pages *pages;        /* told as zeros; may be NULL */
    const struct backup_pages *base_pages;   /* zeros of the parent that aren't the disk's; may be NULL */
    const atomic_bool *cancelled;            /* polled */
};

struct backup_send_result {
    uint64_t read_bytes;
    uint64_t sent_bytes;
    char **notes; /* what was left out, a line a disk; the caller's to free, also after a failure */
    size_t note_count;
    bool committed; /* the server said so; may be true even when the call failed afterwards */
};

/* Blocks until the server has committed the point, or the failure. JOB_CANCELLED, DISK_READ_FAILED,
 * DISK_CHANGED, what backup_check says, CONNECTION_LOST, and whatever the server answers. */
int backup_send(const struct backup_send_options *options, struct backup_send_result *result,
                struct error *err);

#endif
