/*
 * What a restored VM finds on its new host: the directory of a storage pool, the networks that its interfaces
 * are connected to. All calls block on libvirt.
 */
#ifndef HOLDFAST_AGENT_PROVIDERS_KVM_RESTORE_TARGET_H
#define HOLDFAST_AGENT_PROVIDERS_KVM_RESTORE_TARGET_H

#include "base/error.h"
#include "proto/agent.pb-c.h"
#include <libvirt/libvirt.h>

/* The directory of a pool of files ("dir", "fs", "netfs"); malloc'd. NULL: RESTORE_TARGET_MISSING. */
char *kvm_pool_directory(virConnectPtr connection, const char *pool, struct error *err);
/* So that libvirt lists the new disks as volumes; a failure is logged. pool "" is fine. */
void kvm_pool_refresh(virConnectPtr connection, const char *pool);

/* Are the networks that the request names there, and does the VM (request->configuration) use what is to be
 * exchanged? RESTORE_TARGET_MISSING, REQUEST_INVALID. *missing (malloc'd or NULL): a network that the VM is
 * going to be connected to and that this host does not have; that is an error only when the VM is to be
 * started. */
int kvm_networks_check(virConnectPtr connection, const Holdfast__RestoreRequest *request, char **missing,
                       struct error *err);

#endif
