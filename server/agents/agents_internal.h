/* Inside the agents' module: its state, shared by connections, enrolment and reports. */
#ifndef HOLDFAST_SERVER_AGENTS_INTERNAL_H
#define HOLDFAST_SERVER_AGENTS_INTERNAL_H

#include "base/pool.h"
#include "proto/rpc.h"
#include "proto/server.pb-c.h"
#include "server/agents/agents.h"
#include <pthread.h>

enum {
    AGENTS_REGISTER_MS = 30000, /* a connection that has not registered or enrolled by then is closed */
    AGENTS_SEEN_MS = 60000,
    AGENTS_VMS_MAX = 20000, /* of one host */
    AGENTS_DISKS_MAX = 1024,
    AGENTS_KINDS_MAX = 16,
    AGENTS_NAME_MAX = 255,
};

/* Methods of service Server, in the order of server.proto. */
enum {
    SERVER_ENROL,
    SERVER_REGISTER_HOST,
    SERVER_REPORT_VMS,
    SERVER_REPORT_PROGRESS,
    SERVER_RENEW_CERTIFICATE
};

/* A control or enrolment connection. Lives until its channel is closed and the last user is gone. */
struct agent_session {
    struct agents *agents;
    struct rpc *rpc; /* a reference */
    char host_id[IDENTITY_SIZE];
    unsigned version;          /* of the protocol, as the peer said */
    struct loop_timer *timer;  /* of registration; on the loop */
    pthread_mutex_t list_lock; /* held while a list of VMs is stored; before the catalog's */
    uint64_t listed;           /* number of the newest one that was stored; guarded by it */
    /* The rest is guarded by agents->lock. */
    unsigned references; /* the open channel's, and of whoever works with it */
    bool accepted;       /* the host's own calls are served */
    bool registered;     /* and it is the host's current one, that the server calls */
    bool discovering;
    bool closed;
    struct agent_session *next; /* in agents->sessions */
};

/* Where the data connections of a job go. */
struct agent_route {
    uint8_t session[JOB_SESSION_SIZE];
    char host_id[IDENTITY_SIZE];
    job_stream_arrived arrived;
    void *cookie;
    struct agent_route *next;
};

struct agents {
    struct agents_options options; /* texts are copies */
    struct agents_events events;
    struct loop *loop;
    struct tls *tls;
    struct channel_listener *listener;
    struct loop_timer *seen_timer;
    /* One thread, so that what a host says is stored in the order in which it was said. */
    struct pool *pool;
    pthread_mutex_t lock; /* guards sessions and `closing` */
    struct agent_session *sessions;
    bool closing;
    /* Guards the routes, also while `arrived` is called. Nothing else of this module is locked inside. */
    pthread_mutex_t routes_lock;
    struct agent_route *routes;
};

/* The host's registered session with a reference, or NULL. */
struct agent_session *agents_find(struct agents *agents, const char *host_id);
void agents_release(struct agent_session *session);
/* From now on its calls are served: before the answer to its registration tells it that they are. */
void agents_accept(struct agent_session *session);
/* Make it the host's session; a former one is closed. False when it is closed already. */
bool agents_make_current(struct agent_session *session);

/* An incoming call that is handed to the pool. */
struct agent_task {
    struct agent_session *session; /* a reference */
    struct rpc_request *request;   /* with the message below */
    const ProtobufCMessage *message;
};

/* On the pool; each answers the request. */
void agents_enrol(void *task);
void agents_register(void *task);
void agents_renew(void *task);
void agents_report_vms(void *task);

/* Replace the host's VMs and snapshots, unless a list that was begun later was stored already: what was asked
 * for and what the host says by itself arrive by different threads. 0 then, too. Blocks. */
int agents_store_list(struct agent_session *session, const Holdfast__VmReport *report, struct error *err);

/* agents_snapshots.c: what the host keeps, as it reports it; and what it is to keep otherwise, in the arena.
 */
int agents_store_snapshots(struct agents *agents, const char *host_id,
                           Holdfast__HostSnapshot *const *snapshots, size_t count, struct error *err);
void agents_snapshot_limits(struct agents *agents, struct arena *arena, const char *host_id,
                            Holdfast__SnapshotLimit ***limits, size_t *count);

#endif
