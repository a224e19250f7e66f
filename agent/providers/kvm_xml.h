/*
 * The XML that libvirt speaks: what a domain has (read with libxml2), and what a backup is asked for
 * (written). Formats: libvirt's "Domain XML", "Backup XML" and "Checkpoint XML" pages. Pure functions, any
 * thread.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_KVM_XML_H
#define HOLDFAST_AGENT_PROVIDERS_KVM_XML_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kvm_disk {
    char *target;  /* "vda": unique in the domain */
    char *path;    /* file or block device; NULL when it is neither */
    char *format;  /* "raw", "qcow2" */
    bool block;    /* path is a block device */
    char *problem; /* why it can't be backed up; NULL: it can */
};

enum kvm_agent { KVM_AGENT_NONE, KVM_AGENT_SILENT, KVM_AGENT_CONNECTED };

struct kvm_domain {
    char *name;
    char *uuid;
    struct kvm_disk *disks; /* hard disks only: no CD-ROM, no floppy */
    size_t disk_count;
    enum kvm_agent agent;
    bool has_owner; /* QEMU runs as this user (the DAC label of a running domain) */
    unsigned owner_uid;
    unsigned owner_gid;
};

/* INTERNAL when it is not a domain. Fills *domain, which kvm_domain_release frees. */
int kvm_domain_parse(const char *xml, struct kvm_domain *domain, struct error *err);
void kvm_domain_release(struct kvm_domain *domain);
/* NULL when there is none. */
const struct kvm_disk *kvm_domain_disk(const struct kvm_domain *domain, const char *target);

/* Of one disk in a checkpoint as libvirt describes it with sizes: how many bytes are dirty since. -1: the
 * bitmap is missing or broken, or the disk is not part of it. */
int64_t kvm_checkpoint_dirty(const char *xml, const char *target);

/* One disk of a backup that is asked for. */
struct kvm_backup_disk {
    const char *target;
    const char *scratch;     /* path of the file that QEMU makes */
    const char *incremental; /* checkpoint since which changes are wanted, or NULL */
};

/* The name under which the bitmap of a disk is exported. */
#define KVM_EXPORT_BITMAP "holdfast"

/* A pull backup served on a unix socket. malloc'd. */
char *kvm_backup_xml(const char *socket, const struct kvm_backup_disk *disks, size_t count);
/* A checkpoint of these disks, to create (time 0) or to redefine (seconds since 1970). malloc'd. */
char *kvm_checkpoint_xml(const char *name, int64_t time, const char *const *targets, size_t count);

#endif
