/*
 * A host of the load test: a control connection with the server, kept on an event loop that many hosts share.
 * It registers, reports its VMs, and comes back with the delays of the real agent when the connection is
 * lost. A host with VMs serves backups with the agent's own modules; an idle one only stays connected.
 */
#ifndef HOLDFAST_TESTS_SIMULATED_HOST_H
#define HOLDFAST_TESTS_SIMULATED_HOST_H

#include "agent/provider.h"
#include "base/error.h"
#include "proto/loop.h"

struct simulated_host;

struct simulated_host_options {
    struct loop *loop;
    const char *directory; /* of an enrolled agent */
    const char *name;
    unsigned first_vm;
    unsigned vms;
    bool idle; /* reports its VMs, refuses backups */
};

/* Begins to dial. NULL with the error when the directory is not enrolled. */
struct simulated_host *simulated_host_create(const struct simulated_host_options *options, struct error *err);
/* Closes the connection and gives up what runs. Not from the loop. */
void simulated_host_destroy(struct simulated_host *host);
/* Cuts the connection; it comes back by itself. */
void simulated_host_drop(struct simulated_host *host);

/* Of all hosts. */
unsigned simulated_hosts_registered(void);
unsigned simulated_hosts_lost(void); /* connections that ended so far */

void simulated_describe_vm(unsigned number, Holdfast__Vm *vm);
extern const struct config_key simulated_config_keys[];

#endif
