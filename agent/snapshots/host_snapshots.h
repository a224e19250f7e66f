/*
 * Snapshots that stay on the host after a backup: for each disk one that its storage makes
 * (snapshot_method.h), and a record below DATA/snapshots with the configuration of the VM. They restore
 * without the server's store. They go when their time is over, whether or not the server can be reached, and
 * before that, the oldest first, when their storage runs short of room: the guest comes first.
 *
 * Thread-safe. All calls block on the disk.
 */
#ifndef HOLDFAST_AGENT_SNAPSHOTS_HOST_SNAPSHOTS_H
#define HOLDFAST_AGENT_SNAPSHOTS_HOST_SNAPSHOTS_H

#include "base/config.h"
#include "proto/agent.pb-c.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the agent's configuration file may say of them; rows of a struct config_key table. */
#define HOST_SNAPSHOTS_CONFIG_KEYS                                                                           \
    {"snapshot-thick-volumes", "no",                                                                         \
     "snapshots also stay of thick volumes of LVM; each first write to one takes twice as long then"},       \
        {"snapshot-free-percent", "20",                                                                      \
         "a snapshot stays on the host only where so much of its storage is free"},                          \
    {                                                                                                        \
        "snapshot-pause-ms", "250", "how long a guest may stand still for one at the most"                   \
    }

enum { HOST_SNAPSHOTS_DAYS_MAX = 5 };

struct host_snapshots;
struct host_snapshot; /* one of them, in use */
typedef void (*host_snapshots_changed)(void *cookie);

/* Reads the records, removes what an earlier life did not finish, and starts a thread that looks after time
 * and room. changed: from any thread when the set has changed; NULL: not wanted. config may be NULL.
 * CONFIG_INVALID. */
struct host_snapshots *host_snapshots_create(const char *data_directory, const struct config *config,
                                             host_snapshots_changed changed, void *cookie, struct error *err);
/* What is kept stays. NULL is fine. */
void host_snapshots_destroy(struct host_snapshots *snapshots);

unsigned host_snapshots_pause_ms(const struct host_snapshots *snapshots);
/* Whether a volume may have one that makes writes to it slower. */
bool host_snapshots_of_thick(const struct host_snapshots *snapshots);
/* Where less of the storage is free, none is made; where less than half of that, they go. */
int64_t host_snapshots_free_percent(const struct host_snapshots *snapshots);

/* The record of one that is about to be made: an object with "job" (the point's id), "disks" and so on, see
 * snapshot_make.c. Durable when this returns, so that the files go if this process dies. Borrowed. */
int host_snapshots_note(struct host_snapshots *snapshots, json_t *record, struct error *err);
/* The same, complete: it is kept and listed. Of the same job older ones go. Takes a reference of the record.
 */
int host_snapshots_add(struct host_snapshots *snapshots, json_t *record, struct error *err);
/* Remove those whose storage can't have another one beside that of the disk's record ("alone"). True when
 * there were any. */
bool host_snapshots_drop_former(struct host_snapshots *snapshots, const json_t *disk);
/* Remove what a record tells of, and the record. What can't be removed now is tried again every minute. */
void host_snapshots_discard(struct host_snapshots *snapshots, const json_t *record);

/* Remove what the job kept. */
void host_snapshots_drop_job(struct host_snapshots *snapshots, const char *job);
/* Remove, or keep shorter or longer. Points that are not known don't matter. */
void host_snapshots_limit(struct host_snapshots *snapshots, Holdfast__SnapshotLimit *const *limits,
                          size_t count);
/* Those that are kept; *list is malloc'd, of malloc'd messages. */
void host_snapshots_list(struct host_snapshots *snapshots, Holdfast__HostSnapshot ***list, size_t *count);

/* For a restore: it stays until it is given back. *record is the caller's to json_decref. NULL with
 * SNAPSHOT_GONE. */
struct host_snapshot *host_snapshots_take(struct host_snapshots *snapshots, const char *point,
                                          json_t **record, struct error *err);
/* Where the disk of a record that was taken can be read from, malloc'd: a file, or a device. NULL with
 * SNAPSHOT_GONE. */
char *host_snapshots_locate(const json_t *disk, struct error *err);
void host_snapshots_give_back(struct host_snapshots *snapshots, struct host_snapshot *snapshot);

#endif
