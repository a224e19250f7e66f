/*
 * The first copy of a VM that did not travel over the network: an operator says that a recovery point (of an
 * image beside the server, say, that came on a removable disk) holds the VM's disks, or something like them.
 * The VM's first backup is then a consistency check against it: everything is read and named on the VM's
 * host, only what differs travels. Nothing is believed: the maps of the first recovery point are made of what
 * the host names.
 *
 * This lets the VM's host learn which chunks of that recovery point it has at the same place, and is
 * the operator's to grant.
 */
#ifndef HOLDFAST_SERVER_SEED_H
#define HOLDFAST_SERVER_SEED_H

#include "server/server.h"

struct seed_disk {
    const char *disk; /* of the VM */
    const char *from; /* of the recovery point */
};

/* Blocks. count 0: disks of the same name, or the only disk of each. The recovery point may be deleted
 * afterwards: garbage collection keeps what the VM was seeded with until its first recovery point.
 * VM_NOT_FOUND (gone from its host), SEED_REFUSED (sizes differ, or the VM has recovery points),
 * DISK_NOT_FOUND, JOB_CONFLICT (a job of the VM runs), RP_NOT_FOUND, RP_DAMAGED. */
int seed_vm(struct server *server, const struct catalog_vm *vm, const char *point_id,
            const struct seed_disk *disks, size_t count, struct error *err);
/* Before the first recovery point: forget it, and what interrupted first transfers brought. JOB_CONFLICT. */
int seed_forget(struct server *server, const struct catalog_vm *vm, struct error *err);

#endif
