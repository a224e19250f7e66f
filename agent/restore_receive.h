/*
 * The agent's half of a restore: asks for every disk, decompresses what comes, checks every chunk against its
 * name, and writes it to all its places. Nothing that is not checked is written. As many disks come at once
 * as there are data connections, each with threads of its own. The first error ends all.
 */
#ifndef HOLDFAST_AGENT_RESTORE_RECEIVE_H
#define HOLDFAST_AGENT_RESTORE_RECEIVE_H

#include "agent/provider.h"
#include "proto/stream.h"

enum { RESTORE_CONNECTIONS_MAX = 3 };

struct restore_receive_options {
    struct loop *loop;
    const struct channel_target *target;
    struct tls *tls;
    const Holdfast__RestoreRequest *request;
    const struct provider *provider;
    struct provider_restore *restore;
    unsigned connections;         /* 1 to RESTORE_CONNECTIONS_MAX */
    const atomic_bool *cancelled; /* polled */
};

/* How many connections a restore may have: what the server allows, at most one for each disk, and fewer where
 * chunks are large, so that memory stays below 128 MiB. At least 1. */
unsigned restore_receive_connections(const Holdfast__RestoreRequest *request);

/* Blocks until every disk is written and flushed. CHUNK_DAMAGED, JOB_CANCELLED, RESTORE_NO_SPACE,
 * CONNECTION_LOST and what the server says. *written: bytes. */
int restore_receive(const struct restore_receive_options *options, uint64_t *written, struct error *err);

#endif
