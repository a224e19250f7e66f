/*
 * The agents: the listener that hosts dial, enrolment, registration, what hosts report, calls to them, and
 * the routing of their data connections to jobs. Runs on an event loop of its own; catalog work runs on a
 * small pool.
 *
 * Thread-safe. Functions that block say so; they are not for event loops.
 */
#ifndef HOLDFAST_SERVER_AGENTS_H
#define HOLDFAST_SERVER_AGENTS_H

#include "base/error.h"
#include "base/identity.h"
#include "server/catalog/catalog.h"
#include "server/jobs/job_ports.h"

struct agents;

/* Where events go that others care for; each may be NULL. Any thread. */
struct agents_events {
    void *cookie;
    void (*connected)(void *cookie, const char *host_id); /* registered, its VMs are not reported yet */
    void (*lost)(void *cookie, const char *host_id);      /* that is stored already */
    void (*reported)(void *cookie, const char *host_id);  /* its VMs are stored */
    void (*progress)(void *cookie, const char *host_id, const char *job_id, const char *step,
                     uint64_t done_bytes, uint64_t total_bytes);
};

struct audit;

struct agents_options {
    struct catalog *catalog;
    struct audit *audit;
    const char *data_directory; /* with ca.pem, ca.key, server.pem, server.key */
    const char *server_id;
    const char *address;       /* to listen on */
    uint16_t port;             /* 0: any free one */
    unsigned max_connections;  /* 0: 4096 */
    unsigned certificate_days; /* of a host's certificate; 0: 365 */
};

struct agents *agents_create(const struct agents_options *options, struct error *err);
/* Begin to listen; events go there from now on. */
int agents_listen(struct agents *agents, const struct agents_events *events, struct error *err);
/* Stop listening and close every connection: pending calls fail, later ones find no host. Blocks shortly. */
void agents_close(struct agents *agents);
/* After agents_close, when nobody uses it any more. NULL is fine. */
void agents_destroy(struct agents *agents);
uint16_t agents_port(const struct agents *agents);

enum { AGENTS_TOKEN_MAX = 256 };
enum { AGENTS_TOKEN_TTL_DEFAULT_S = 24 * 60 * 60, AGENTS_TOKEN_TTL_MAX_S = 30 * 24 * 60 * 60 };
/* A token for one enrolment: "hf1-SECRET-FINGERPRINT", 32 and 64 hexadecimal digits. It is shown once and
 * kept only as the hash of its secret. ttl_seconds: 0 for the default. REQUEST_INVALID past the maximum.
 * Blocks. */
int agents_create_token(struct agents *agents, unsigned ttl_seconds, char token[AGENTS_TOKEN_MAX],
                        int64_t *expires_ms, struct error *err);

bool agents_connected(struct agents *agents, const char *host_id);
/* As job_ports.agent_call. */
void agents_call(struct agents *agents, const char *host_id, enum agent_method method,
                 const ProtobufCMessage *request, int64_t deadline_ms, rpc_done done, void *cookie);
/* Ask the host for its VMs and store the answer. Blocks until that is done. HOST_NOT_FOUND, HOST_UNREACHABLE,
 * DISCOVERY_RUNNING, DISCOVERY_FAILED. */
int agents_discover(struct agents *agents, const char *host_id, struct error *err);
/* The host's certificate is refused from now on and its connections are closed; its VMs are not present any
 * more, its recovery points stay. Blocks. HOST_NOT_FOUND; AGENT_BUSY is the caller's to check (jobs_of_host).
 */
int agents_retire(struct agents *agents, const char *host_id, struct error *err);

/* As in job_ports. */
void agents_session_open(struct agents *agents, const uint8_t session[JOB_SESSION_SIZE], const char *host_id,
                         job_stream_arrived arrived, void *cookie);
void agents_session_close(struct agents *agents, const uint8_t session[JOB_SESSION_SIZE]);

#endif
