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

enum { KVM_FIRMWARE_FILE_MAX = 64 * 1024 * 1024, KVM_FIRMWARE_FILES_MAX = 16 };

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

/* The domain XML with what is kept for this VM on this host; malloc'd. What can't be read is left out, with a
 * line in the log. */
char *kvm_firmware_attach(const char *xml);
/* And apart again: the XML without it (malloc'd; NULL when it is no domain), and what was in it. What can't
 * be read is left out. */
char *kvm_firmware_detach(const char *xml, struct kvm_firmware *firmware);

bool kvm_firmware_has_nvram(const struct kvm_firmware *firmware);

/* Writing it beside a restored VM, and undoing that. */
struct kvm_firmware_undo;
/* xml: of the VM as it is going to be defined; what is there already is replaced. FILE_FAILED: nothing has
 * changed then. */
struct kvm_firmware_undo *kvm_firmware_write(const struct kvm_firmware *firmware, const char *xml,
                                             struct error *err);
void kvm_firmware_undo(struct kvm_firmware_undo *undo);   /* frees; NULL is fine */
void kvm_firmware_settle(struct kvm_firmware_undo *undo); /* frees; NULL is fine */

#endif
