/*
 * Enrolment: trade a one-time token for a certificate, over a channel pinned to the server's CA by the
 * fingerprint that the token carries ("hf1-SECRET-FINGERPRINT", 32 and 64 hexadecimal digits).
 * docs/protocol.md
 */
#ifndef HOLDFAST_AGENT_ENROL_H
#define HOLDFAST_AGENT_ENROL_H

#include "agent/agent_config.h"

struct enrol_options {
    const char *server; /* HOST:PORT */
    const char *token;
    const char *directory;             /* DATA */
    const struct channel_proxy *proxy; /* NULL: direct */
};

/* Blocks. REQUEST_INVALID (the token's form), ENROL_TOKEN_INVALID, SERVER_UNREACHABLE, HOST_CERT_REFUSED (not
 * the server that made the token). */
int enrol(const struct enrol_options *options, struct error *err);

/* Ask the server for a new certificate on an open connection and store it. */
struct rpc;
struct agent_state;
int enrol_renew(const struct agent_state *state, struct rpc *rpc, struct error *err);

#endif
