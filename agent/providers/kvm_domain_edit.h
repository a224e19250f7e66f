/*
 * Making the definition of a restored VM from that of the original: disks at their new places, nothing left
 * that only a running domain has, and, where the original may go on living, nothing that the two would fight
 * for. Pure.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_KVM_DOMAIN_EDIT_H
#define HOLDFAST_AGENT_PROVIDERS_KVM_DOMAIN_EDIT_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

struct kvm_edit_disk {
    const char *target;
    const char *path;
    const char *format;
    bool block;
};

struct kvm_edit_network {
    const char *from;
    const char *to;
};

struct kvm_edit {
    const char *name;
    const char *uuid; /* the new one; NULL: keep. With a new one, MAC addresses and the like are new, too */
    const char *directory; /* of the new disks; NULL: restored to the original place */
    const struct kvm_edit_disk *disks;
    size_t disk_count; /* at another place, disks that are not among these are left out of the definition */
    const struct kvm_edit_network *networks; /* what is connected elsewhere: libvirt networks or bridges */
    size_t network_count;
    const char
        *nvram; /* the path of its own NVRAM; NULL: as it is, or with a new UUID one that libvirt makes */
};

/* The new definition; malloc'd. RESTORE_HOST_KIND when xml is not a libvirt domain. */
char *kvm_domain_edit(const char *xml, const struct kvm_edit *edit, struct error *err);

#endif
