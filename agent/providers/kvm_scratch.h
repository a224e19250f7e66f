/*
 * The private directory of one backup of a running VM: the files into which QEMU copies blocks that the guest
 * overwrites, and the socket of its NBD server. QEMU stops a guest whose scratch is full, so that room is
 * made sure of before, and watched.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_KVM_SCRATCH_H
#define HOLDFAST_AGENT_PROVIDERS_KVM_SCRATCH_H

#include "agent/providers/kvm_internal.h"

struct kvm_scratch {
    char *directory;
    char *socket;
    uint64_t cap;     /* bytes that all scratch files may take together */
    uint64_t reserve; /* bytes that stay free in their file system */
};

/* Makes the directory, so that the user whom QEMU runs as can enter it. disk_bytes: size of all disks
 * together. SCRATCH_SPACE_LOW, FILE_FAILED. */
int kvm_scratch_make(const struct kvm_provider *provider, const struct kvm_domain *domain, const char *job,
                     uint64_t disk_bytes, struct kvm_scratch *scratch, struct error *err);
/* DIRECTORY/NAME; malloc'd. */
char *kvm_scratch_file(const struct kvm_scratch *scratch, const char *name);
/* SCRATCH_SPACE_LOW when the backup must be given up. */
int kvm_scratch_check(const struct kvm_scratch *scratch, const char *vm, struct error *err);
/* Remove the directory with what is in it, and free. */
void kvm_scratch_remove(struct kvm_scratch *scratch);
/* Remove what an earlier life left. */
void kvm_scratch_remove_directory(const char *directory);

#endif
