/*
 * A backup of a VM, from begin to end; shared by the files that make it.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_KVM_BACKUP_H
#define HOLDFAST_AGENT_PROVIDERS_KVM_BACKUP_H

#include "agent/providers/kvm_checkpoint.h"
#include "agent/providers/kvm_internal.h"
#include "agent/providers/kvm_scratch.h"
#include <jansson.h>
#include <semaphore.h>
#include <time.h>

/* One disk of the backup. */
struct kvm_source {
    char *target;
    char *path;
    char *format;
    uint64_t size;
    uint64_t allocated;
    bool trackable; /* the disk can keep a record of changes */
    bool incremental;
    uint64_t dirty;          /* bytes, when incremental */
    char *reason;            /* why not incremental; NULL when it is, or nobody asked */
    struct timespec written; /* of a VM that is off: when the file was last written */
};

struct provider_backup {
    struct kvm_provider *provider;
    char *job;
    char *uuid;
    char *name;
    char *base;     /* tracking point that incremental disks start from; NULL: none */
    char *tracking; /* tracking point that this backup made; NULL: none */
    bool may_stop;  /* the guest is stopped for an instant, for the snapshot that stays on the host */
    bool running;   /* QEMU serves the disks; otherwise the VM is off and files are read */
    struct kvm_scratch scratch;
    struct kvm_source *sources;
    size_t count;

    struct kvm_host_snapshot *snapshot; /* being made; NULL: none */

    int watchdog; /* kvm_watchdog.h: ends libvirt's job when the agent dies */
    pthread_t watcher;
    bool watching;
    sem_t stop;                 /* ends the watcher */
    pthread_mutex_t lock;       /* guards given_up and failure */
    pthread_mutex_t connecting; /* held while a disk is opened: QEMU 7.2 stands still for good, and the guest
                                   with it, when it stops serving while a client connects */
    bool given_up;
    struct error failure;
};

/* kvm_backup_plan.c: which disks take part, and which of them only with what changed. DISK_UNSUPPORTED when
 * none. */
int kvm_backup_plan(struct provider_backup *backup, virDomainPtr domain, const struct kvm_domain *described,
                    const Holdfast__BackupBeginRequest *request, Holdfast__BackupBeginReply *reply,
                    struct error *err);
/* The disk can't be incremental after all. */
void kvm_source_read_whole(struct kvm_source *source, const char *why);
/* The configuration that a restore defines the VM from; malloc'd. */
char *kvm_backup_configuration(virDomainPtr domain, const struct kvm_domain *described,
                               Holdfast__BackupBeginReply *reply, struct error *err);

/* kvm_backup_off.c: a VM that is off, and must stay so. */
int kvm_backup_begin_off(struct provider_backup *backup, virDomainPtr domain,
                         const struct kvm_domain *described, const Holdfast__BackupBeginRequest *request,
                         Holdfast__BackupBeginReply *reply, struct error *err);
int kvm_backup_check_off(struct provider_backup *backup, struct error *err);

/* kvm_backup_running.c: freeze, snapshot, thaw; kvm_backup_stop_job undoes. */
int kvm_backup_snapshot(struct provider_backup *backup, virDomainPtr domain,
                        const struct kvm_domain *described, const Holdfast__BackupBeginRequest *request,
                        bool paused, const atomic_bool *cancelled, Holdfast__BackupBeginReply *reply,
                        struct error *err);
/* End libvirt's backup job that serves on this socket, and wait until it has ended. 0 when there is none (any
 * more). */
int kvm_backup_stop_job(virDomainPtr domain, const char *socket);
/* Ask for that once, without waiting. True when there is none (any more). */
bool kvm_backup_ask_end(virDomainPtr domain, const char *socket);
/* A backup job that runs already: 0 none (any more: an abandoned one of ours was ended), JOB_CONFLICT
 * another's. */
int kvm_backup_check_jobs(struct kvm_provider *provider, virDomainPtr domain, struct error *err);

/* kvm_host_snapshot.c: what stays on the host, if the request asks for it. None of it makes a backup fail:
 * why there is none is in the reply. _prepare before the guest is frozen (runs: it is to be stopped for the
 * instant), _take at the instant, _keep once the backup has begun; _abandon when it has not. */
void kvm_host_snapshot_prepare(struct provider_backup *backup, const Holdfast__BackupBeginRequest *request,
                               bool runs, Holdfast__BackupBeginReply *reply);
void kvm_host_snapshot_take(struct provider_backup *backup, virDomainPtr domain,
                            Holdfast__BackupBeginReply *reply);
void kvm_host_snapshot_keep(struct provider_backup *backup, Holdfast__BackupBeginReply *reply);
void kvm_host_snapshot_abandon(struct provider_backup *backup);

/* kvm_backup_watch.c */
int kvm_backup_watch(struct provider_backup *backup, struct error *err);
void kvm_backup_unwatch(struct provider_backup *backup);
/* -1 with the failure when the backup was given up. */
int kvm_backup_given_up(struct provider_backup *backup, struct error *err);

/* kvm_recover.c: the journal of a backup. phase: "freezing" (the guest may be frozen, and stand
 * still) or "reading". */
int kvm_journal_write(const struct provider_backup *backup, const char *phase, struct error *err);

#endif
