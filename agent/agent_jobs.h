/*
 * The jobs of this host: serves the Agent service (agent.proto) with the providers. Calls that block run on a
 * bounded pool; what is under way is kept by job id, so that it can be cancelled, and given up when the
 * server is lost.
 */
#ifndef HOLDFAST_AGENT_AGENT_JOBS_H
#define HOLDFAST_AGENT_AGENT_JOBS_H

#include "agent/provider.h"
#include "proto/rpc.h"

struct agent_jobs;

struct agent_jobs_options {
    struct loop *loop; /* of data connections */
    const struct channel_target *target;
    struct tls *tls;
    unsigned connections; /* of one backup, at most */
};

/* Opens every provider that works here. recovered jobs of an earlier life are kept until agent_jobs_resolve.
 */
struct agent_jobs *agent_jobs_create(const struct agent_jobs_options *options,
                                     const struct provider_context *context, provider_changed changed,
                                     void *cookie, struct error *err);
/* Gives up what runs, ends what was begun, closes the providers. */
void agent_jobs_destroy(struct agent_jobs *jobs);

/* For rpc_options: the methods, with the jobs as cookie. */
extern const rpc_serve agent_jobs_methods[];

/* The kinds of the providers that work here; borrowed; *count of them. */
const char *const *agent_jobs_kinds(struct agent_jobs *jobs, size_t *count);
/* Every VM of the host, and which providers could not be asked. Blocks. Free with free_unpacked. */
Holdfast__DiscoverReply *agent_jobs_discover(struct agent_jobs *jobs);

/* The server says how long snapshots stay on this host. Blocks. */
void agent_jobs_limit_snapshots(struct agent_jobs *jobs, Holdfast__SnapshotLimit *const *limits,
                                size_t count);

/* The connection with the server is lost: transfers stop, begun backups end, their tracking points stay until
 * the server has said which it knows (at the next BackupBegin). Never blocks. */
void agent_jobs_server_lost(struct agent_jobs *jobs);

/* Jobs that an earlier life of the agent left: to be told in RegisterRequest. Borrowed. */
Holdfast__UnfinishedJob **agent_jobs_unfinished(struct agent_jobs *jobs, size_t *count);
/* The server's answer: end each of them. Blocks. */
void agent_jobs_resolve(struct agent_jobs *jobs, char **committed, size_t count);

#endif
