/*
 * Dial the server and wait: the control and enrolment connections, for threads that may block.
 */
#ifndef HOLDFAST_AGENT_DIAL_H
#define HOLDFAST_AGENT_DIAL_H

#include "proto/rpc.h"

/* options->closed is called as rpc.h says, but only after this has returned the rpc. NULL with the reason. */
struct rpc *dial(struct loop *loop, const struct channel_target *target, struct tls *tls,
                 Holdfast__ConnectionRole role, const struct rpc_options *options, struct error *err);

#endif
