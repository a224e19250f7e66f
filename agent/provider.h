/*
 * A provider is one kind of hypervisor (or other source) on this host: what to discover, how to take a
 * consistent view of a datasource and read it, how to make one from a recovery point. kvm, image and files
 * implement it; hyperv will.
 *
 * Requests and replies are the messages of agent.proto, where every field is explained. Providers allocate
 * what they put into replies with memory_* (malloc), so that protobuf_c_message_free_unpacked frees it. All
 * calls block and may come from several threads at once, for different VMs; for one VM they come one at a
 * time.
 */
#ifndef HOLDFAST_AGENT_PROVIDER_H
#define HOLDFAST_AGENT_PROVIDER_H

#include "base/config.h"
#include "disk/disk_reader.h"
#include "disk/disk_writer.h"
#include "proto/agent.pb-c.h"
#include "proto/server.pb-c.h"
#include <stdatomic.h>

struct host_snapshots;
struct provider_backup;  /* a frozen view of one VM, from begin to end */
struct provider_restore; /* a VM that is being made */

struct provider_context {
    const char *data_directory;  /* of the agent; providers keep what they must remember in files below it */
    const char *server_id;       /* names this server's tracking points; several servers may protect one VM */
    const struct config *config; /* the agent's configuration */
    struct host_snapshots *snapshots; /* where those that stay on the host are kept; NULL: none are */
};

/* Where another process finds the disk of a backup; neither socket nor path: nowhere. Texts are borrowed from
 * the backup. */
struct provider_disk_source {
    const char *socket; /* unix socket of an NBD server that has it, as: */
    const char *export_name;
    const char *path; /* without a socket: an image file or a device */
    const char *format;
    bool still; /* it does not change while the backup lasts, or the backup fails */
    bool off;   /* nobody has it in use: its machine is off */
};

typedef void (*provider_changed)(void *cookie);

struct provider {
    const char *kind;

    /* Does this provider work on this host? Opens what it needs. NULL with an error when it does not: the
     * agent then goes on without it and says why. changed: called (from any thread, cheap) when the set or
     * state of VMs has changed; NULL: not wanted. */
    void *(*open)(const struct provider_context *context, provider_changed changed, void *cookie,
                  struct error *err);
    void (*close)(void *self);

    /* Append every VM to reply->vms. */
    int (*discover)(void *self, Holdfast__DiscoverReply *reply, struct error *err);

    /* Quiesce, snapshot, thaw. Fills the reply. The guest is thawed whatever happens. cancelled: polled;
     * becomes true when the job is cancelled. */
    struct provider_backup *(*backup_begin)(void *self, const Holdfast__BackupBeginRequest *request,
                                            const atomic_bool *cancelled, Holdfast__BackupBeginReply *reply,
                                            struct error *err);
    /* A reader of the disk at that position of reply.disks; may be called several times for one disk. */
    struct disk_reader *(*backup_open_disk)(struct provider_backup *backup, size_t disk, struct error *err);
    /* Where the bytes of that disk are, for a process that looks at them apart from the agent. */
    void (*backup_locate_disk)(const struct provider_backup *backup, size_t disk,
                               struct provider_disk_source *source);
    /* Polled by the transfer, every second at most: is the frozen view still good? Fails (SCRATCH_SPACE_LOW,
     * SNAPSHOT_FAILED) when it had to be given up for the guest's sake, or should be now. NULL: always good.
     */
    int (*backup_check)(struct provider_backup *backup, struct error *err);
    /* Where in the parent point what is at offset of that disk now may be: the server looks there, and
     * nothing travels when it is. UINT64_MAX: at the same place, or nobody knows. NULL: always. Thread-safe.
     */
    uint64_t (*backup_former)(const struct provider_backup *backup, size_t disk, uint64_t offset);
    /* After the transfer: append what went wrong while it read, that did not make it fail. NULL: nothing can.
     */
    void (*backup_warnings)(struct provider_backup *backup, Holdfast__Failure ***warnings, size_t *count);
    /* Give the view up and free it: scratch files, exports. Tracking points are looked after as the request
     * says. backup may be NULL: a job of an earlier life of the agent, only tracking points are looked after.
     */
    int (*backup_end)(void *self, struct provider_backup *backup, const Holdfast__BackupEndRequest *request,
                      struct error *err);
    /* After a start of the agent: clean up after a life that ended in the middle (thaw, abort, remove
     * scratch). Tracking points stay until backup_end decides. Fills unfinished with what was under way:
     * malloc'd array of malloc'd messages. */
    int (*recover)(void *self, Holdfast__UnfinishedJob ***unfinished, size_t *count, struct error *err);

    /* Check that the request can be done (RESTORE_*), make the disks. Nothing that exists is touched yet. */
    struct provider_restore *(*restore_begin)(void *self, const Holdfast__RestoreRequest *request,
                                              struct error *err);
    /* The writer of the disk at that position of request.disks; owned by the restore. */
    struct disk_writer *(*restore_disk)(struct provider_restore *restore, size_t disk);
    /* Every disk is written and checked: finish the writers, put the VM in place, define, start. Fills the
     * reply. The original goes only when the new one is complete; on failure the target is as it was. Frees
     * the restore. */
    int (*restore_commit)(struct provider_restore *restore, Holdfast__RestoreReply *reply, struct error *err);
    /* Leave the target as it was. Frees the restore. NULL is fine. */
    void (*restore_abort)(struct provider_restore *restore);
};

/* Every provider that was built in, in the order of discovery; ends with NULL. */
extern const struct provider *const provider_list[];

#endif
