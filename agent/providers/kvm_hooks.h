/*
 * Are there freeze hooks in the guest that make its applications consistent? Asked through the guest agent
 * (guest-exec; QEMU's docs/interop/qemu-ga-ref). qemu-ga runs them when it was started with --fsfreeze-hook,
 * and a freeze fails when one of them does: so hooks that are there have run when a freeze succeeded.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_KVM_HOOKS_H
#define HOLDFAST_AGENT_PROVIDERS_KVM_HOOKS_H

#include "base/error.h"
#include <libvirt/libvirt.h>

/* 1 there are, 0 there are none, -1 nobody can tell (err says why: QUIESCE_NO_AGENT). Blocks for 5 seconds at
 * most. */
int kvm_hooks_present(virDomainPtr domain, struct error *err);

#endif
