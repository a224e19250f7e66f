/*
 * The agent's life with its server: dials, registers, reports VMs when they change, serves the server's
 * calls, renews its certificate, and comes back with growing delays when the connection is lost.
 */
#ifndef HOLDFAST_AGENT_SESSION_H
#define HOLDFAST_AGENT_SESSION_H

#include "agent/agent_config.h"
#include "agent/agent_state.h"

struct session;

/* Starts a thread. The arguments are borrowed until session_destroy. */
struct session *session_create(const struct agent_state *state, const struct config *config,
                               struct error *err);
/* Gives up what runs and waits for it. */
void session_destroy(struct session *session);

#endif
