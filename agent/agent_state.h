/*
 * What an agent remembers in its data directory: agent.json (the server, this host's id), agent.key,
 * agent.pem, ca.pem.
 */
#ifndef HOLDFAST_AGENT_AGENT_STATE_H
#define HOLDFAST_AGENT_AGENT_STATE_H

#include "base/error.h"
#include <stdint.h>

struct agent_state {
    char *server_host;
    uint16_t server_port;
    char *host_id;
    char *directory;
    char *key_path;
    char *certificate_path;
    char *ca_path;
    char
        server_id[33]; /* the beginning of the CA's fingerprint: names this server among others on the host */
};

/* "HOST:PORT" or "[v6]:PORT"; the port may be left out (7460). -1 when it is neither. */
int agent_address_parse(const char *text, char **host, uint16_t *port);

/* The paths alone, for enrolment. */
void agent_state_init(struct agent_state *state, const char *directory);
/* NOT_INITIALIZED when the directory holds no enrolled agent. */
int agent_state_load(struct agent_state *state, const char *directory, struct error *err);
int agent_state_save(const struct agent_state *state, struct error *err);
void agent_state_release(struct agent_state *state);

#endif
