/*
 * What a VM keeps beside its disks: the variables of its UEFI firmware (NVRAM) and the state of its emulated
 * TPM. Both are small; they travel in the configuration of a recovery point, as metadata of the domain XML in
 * a namespace of ours. Formats: libvirt's "Domain XML" (os/nvram, devices/tpm), swtpm(8).
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_KVM_FIRMWARE_H
#define HOLDFAST_AGENT_PROVIDERS_KVM_FIRMWARE_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KVM_FIRMWARE_BYTES_MAX = 64 * 1024 * 1024, /* of all files of a VM */
    KVM_FIRMWARE_FILES_MAX = 16,
};

/* A file of a VM's firmware. */
struct kvm_firmware_file {
    char *name; /* "nvram", or "tpm2/tpm2-00.permall" */
    uint8_t *bytes;
    size_t length;
};

struct kvm_firmware {
    struct kvm_firmware_file files[KVM_FIRMWARE_FILES_MAX];
    size_t count;
};

void kvm_firmware_release(struct kvm_firmware *firmware);

/* The domain XML with what is kept for this VM on this host; malloc'd. *missing (malloc'd or NULL): what the
 * VM has, such as "its TPM", and could not be read. */
char *kvm_firmware_attach(const char *xml, char **missing);
/* And apart again: the XML without it (malloc'd; NULL when it is no domain), and what was in it. What is not
 * as it should be is left out. */
char *kvm_firmware_detach(const char *xml, struct kvm_firmware *firmware);

bool kvm_firmware_has_nvram(const struct kvm_firmware *firmware);
/* Where a file belongs, for the VM as this XML defines it; malloc'd, in a directory that is there (one of a
 * TPM is made). NULL without an error: the VM has no place for it. */
char *kvm_firmware_place(const char *xml, const struct kvm_firmware_file *file, struct error *err);

#endif
