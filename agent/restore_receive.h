/*
 * The agent's half of a restore: asks for every disk, decompresses what comes, checks every chunk against its
 * name, and writes it to all its places. Nothing that is not checked is written.
 */
#ifndef HOLDFAST_AGENT_RESTORE_RECEIVE_H
#define HOLDFAST_AGENT_RESTORE_RECEIVE_H

#include "agent/provider.h"
#include "proto/stream.h"

struct restore_receive_options {
    struct loop *loop;
    const struct channel_target *target;
    struct tls *tls;
    const Holdfast__RestoreRequest *request;
    const struct provider *provider;
    struct provider_restore *restore;
    const atomic_bool *cancelled; /* polled */
};

/* Blocks until every disk is written. CHUNK_DAMAGED, JOB_CANCELLED, RESTORE_NO_SPACE, CONNECTION_LOST and
 * what the server says. *written: bytes. */
int restore_receive(const struct restore_receive_options *options, uint64_t *written, struct error *err);

#endif
