/*
 * The parts of the KVM provider: VMs of libvirt's QEMU driver. libvirt is reached over its C API; disks are
 * read over NBD from QEMU itself (running VMs) or from a private qemu-nbd (VMs that are off).
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_KVM_INTERNAL_H
#define HOLDFAST_AGENT_PROVIDERS_KVM_INTERNAL_H

#include "agent/provider.h"
#include "agent/providers/kvm_xml.h"
#include <libvirt/libvirt.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

enum { KVM_EVENTS_MAX = 8, KVM_MOVED_MAX = 256, KVM_PAUSED_MAX = 32 };

struct kvm_provider {
    char *data_directory;
    char *server_id;
    char *uri;
    char *scratch_directory;          /* as configured, or NULL: found out for each VM */
    uint64_t scratch_max;             /* bytes, 0: by the size of the disks */
    char *virsh;                      /* path of the program, NULL when there is none */
    struct host_snapshots *snapshots; /* of the agent; NULL: none are kept */
    provider_changed changed;
    void *cookie;

    pthread_t loop_thread;
    pthread_t monitor_thread;
    bool loop_running;
    bool monitor_running;
    int loop_timer; /* of the event loop; wakes it to its end */
    atomic_bool closing;

    sem_t wake;       /* the monitor: something is to be done */
    atomic_bool lost; /* the connection has ended; set from libvirt's callback, which may take no lock */
    atomic_bool recovery_waits; /* what an earlier life left is cleaned up when libvirt can be reached */
    atomic_bool unended;        /* a backup job was noted by kvm_recover_note */

    pthread_mutex_t
        moved_lock; /* guards what follows; nothing of libvirt is called and no lock taken under it */
    size_t moved_count;
    char moved[KVM_MOVED_MAX][VIR_UUID_STRING_BUFLEN]; /* VMs that left by migration, the oldest first */

    pthread_mutex_t paused_lock; /* guards what follows, likewise */
    char paused[KVM_PAUSED_MAX]
               [VIR_UUID_STRING_BUFLEN]; /* VMs that this agent stands still for a moment; or "" */

    pthread_mutex_t lock; /* guards what follows */
    virConnectPtr connection;
    int events[KVM_EVENTS_MAX]; /* callback ids of the connection, -1: none */
};

extern const char kvm_kind[]; /* "kvm" */

/* Fill err with libvirt's last error of this thread as the cause. Returns -1. No argument may call libvirt:
 * every call of its API clears the error. */
int kvm_error(struct error *err, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Event loop, connection, and a monitor that connects again whenever libvirt has gone. */
int kvm_connection_start(struct kvm_provider *provider, struct error *err);
void kvm_connection_stop(struct kvm_provider *provider);
/* The connection with a reference of the caller's own (virConnectClose). NULL when libvirt can't be reached.
 */
virConnectPtr kvm_connection_get(struct kvm_provider *provider, struct error *err);
/* The domain, the caller's to virDomainFree. VM_NOT_FOUND. */
virDomainPtr kvm_domain_lookup(struct kvm_provider *provider, const char *uuid, struct error *err);

/* "running", "paused", "off" or "transition". */
const char *kvm_power(int state, int reason);
/* Migrated, while its definition stayed: its disks are another host's now. */
bool kvm_domain_moved_away(virDomainPtr domain);
/* The domain as it is now (running) or as it will start (off). */
int kvm_domain_read(virDomainPtr domain, struct kvm_domain *out, struct error *err);
/* Size of a disk as the guest sees it and bytes on the host. -1 when libvirt can't tell. */
int kvm_disk_size(virDomainPtr domain, const struct kvm_disk *disk, uint64_t *size, uint64_t *allocated);

/* VMs that libvirt moved to another host, remembered until they are here again (the last KVM_MOVED_MAX of
 * them, while the agent runs). _note and _forget may be called from libvirt's callbacks. */
void kvm_moved_note(struct kvm_provider *provider, const char *uuid);
void kvm_moved_forget(struct kvm_provider *provider, const char *uuid);
bool kvm_moved_has(struct kvm_provider *provider, const char *uuid);
/* Append to reply->moved those that are not among reply->vms. */
void kvm_moved_list(struct kvm_provider *provider, Holdfast__DiscoverReply *reply);

int kvm_discover(void *self, Holdfast__DiscoverReply *reply, struct error *err);

struct provider_backup *kvm_backup_begin(void *self, const Holdfast__BackupBeginRequest *request,
                                         const atomic_bool *cancelled, Holdfast__BackupBeginReply *reply,
                                         struct error *err);
struct disk_reader *kvm_backup_open_disk(struct provider_backup *backup, size_t disk, struct error *err);
void kvm_backup_locate_disk(const struct provider_backup *backup, size_t disk,
                            struct provider_disk_source *source);
int kvm_backup_check(struct provider_backup *backup, struct error *err);
int kvm_backup_end(void *self, struct provider_backup *backup, const Holdfast__BackupEndRequest *request,
                   struct error *err);
int kvm_recover(void *self, Holdfast__UnfinishedJob ***unfinished, size_t *count, struct error *err);
/* What recover could not do without libvirt; called by the monitor once it is connected. */
void kvm_recover_later(struct kvm_provider *provider);
/* libvirt's job of this backup could not be ended: the monitor goes on trying, ever more rarely, until it has
 * ended; its journal goes then. */
void kvm_recover_note(struct kvm_provider *provider, const char *job);
/* Ask each of those to end once. True when some have not. */
bool kvm_recover_unended(struct kvm_provider *provider);

struct provider_restore *kvm_restore_begin(void *self, const Holdfast__RestoreRequest *request,
                                           struct error *err);
struct disk_writer *kvm_restore_disk(struct provider_restore *restore, size_t disk);
int kvm_restore_commit(struct provider_restore *restore, Holdfast__RestoreReply *reply, struct error *err);
void kvm_restore_abort(struct provider_restore *restore);

#endif
