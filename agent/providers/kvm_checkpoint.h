/*
 * Tracking points of KVM: libvirt checkpoints, each of which is a dirty bitmap in every qcow2 disk of the
 * domain, on the record of which libvirt keeps metadata of its own. Ours are called "holdfast-SERVER-JOB";
 * those of other servers and tools are never touched. libvirt needs a running domain; in the disks of one
 * that is off bitmaps are made and deleted without it.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_KVM_CHECKPOINT_H
#define HOLDFAST_AGENT_PROVIDERS_KVM_CHECKPOINT_H

#include "agent/providers/kvm_xml.h"
#include <libvirt/libvirt.h>
#include <stdbool.h>
#include <stddef.h>

enum { KVM_CHECKPOINT_NAME_SIZE = 32 };

/* The name of the tracking point that a job makes. */
void kvm_checkpoint_name(const char *server_id, const char *job, char out[KVM_CHECKPOINT_NAME_SIZE]);
bool kvm_checkpoint_is_ours(const char *server_id, const char *name);

/* Names that stay. */
struct kvm_checkpoint_keep {
    char *const *names;
    size_t count;
    const char *also; /* one more, or NULL */
};

/* Delete every one of ours but these; what can't be deleted is logged and tried again next time. */
void kvm_checkpoint_prune(virDomainPtr domain, const char *server_id, const struct kvm_checkpoint_keep *keep);
/* The same for bitmaps in the disks that libvirt has no metadata of (the domain was undefined in between, or
 * came from another host). */
void kvm_checkpoint_prune_orphans(virDomainPtr domain, const struct kvm_domain *described,
                                  const char *server_id, const struct kvm_checkpoint_keep *keep);
/* Delete one of ours, whole or broken, with metadata or without. */
void kvm_checkpoint_delete(virDomainPtr domain, const struct kvm_domain *described, const char *name);

/* For a domain that is off, whose disks are files that nobody uses: delete the bitmap of that name, or all of
 * ours but these, together with libvirt's metadata. */
void kvm_checkpoint_delete_off(const struct kvm_domain *described, const char *name);
void kvm_checkpoint_prune_off(virDomainPtr domain, const struct kvm_domain *described, const char *server_id,
                              const struct kvm_checkpoint_keep *keep);

/* See that libvirt knows the checkpoint (its metadata is made anew if it has none; *made is set then), and
 * describe it with sizes (malloc'd, for kvm_checkpoint_dirty). NULL when that is impossible. */
char *kvm_checkpoint_describe(virDomainPtr domain, const struct kvm_domain *described, const char *name,
                              bool *made);

#endif
