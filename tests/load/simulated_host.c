#include "simulated_host.h"

#include "agent/agent_jobs.h"
#include "agent/agent_state.h"
#include "agent/providers/provider_reply.h"
#include "base/identity.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/version.h"
#include "proto/server.pb-c.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SERVER_REGISTER = 1,
    SERVER_REPORT_VMS = 2,
    DELAY_FIRST_MS = 500, /* as the agent's session */
    DELAY_MAX_MS = 60000,
    DESTROY_STEP_MS = 10,
};

struct simulated_host {
    struct simulated_host_options options;
    char *name;
    struct agent_state state;
    struct config *config;
    struct channel_target target;
    struct tls *tls;
    struct agent_jobs *jobs; /* NULL: idle */
    /* The loop's own: */
    struct channel *channel; /* while it dials */
    struct rpc *rpc;
    struct loop_timer *timer;
    int64_t delay_ms;
    bool registered;
    bool stopping;
    atomic_bool gone; /* stopping, and no connection is left */
};

static atomic_uint registered_count;
static atomic_uint lost_count;

static void dial_server(void *cookie);

unsigned simulated_hosts_registered(void)
{
    return atomic_load(&registered_count);
}

unsigned simulated_hosts_lost(void)
{
    return atomic_load(&lost_count);
}

/* The connection is gone, or could not be made: again, after half to all of the delay. */
static void try_again(struct simulated_host *host)
{
    uint32_t random;
    if (host->registered) {
        host->registered = false;
        host->delay_ms = DELAY_FIRST_MS;
        atomic_fetch_sub(&registered_count, 1);
        atomic_fetch_add(&lost_count, 1);
    }
    if (host->stopping) {
        atomic_store(&host->gone, true);
        return;
    }
    identity_random(&random, sizeof random);
    int64_t delay_ms = host->delay_ms / 2 + (int64_t)(random % (uint32_t)(host->delay_ms / 2 + 1));
    host->delay_ms = 2 * host->delay_ms < DELAY_MAX_MS ? 2 * host->delay_ms : DELAY_MAX_MS;
    host->timer = loop_timer_start(host->options.loop, delay_ms, false, dial_server, host);
}

/* --- registering */

static void reported(void *cookie, const ProtobufCMessage *reply, const struct error *failure)
{
    struct simulated_host *host = cookie;
    (void)reply;
    if (failure != NULL) {
        log_error(host->name, failure);
        return;
    }
    host->registered = true;
    atomic_fetch_add(&registered_count, 1);
}

static void report_vms(struct simulated_host *host)
{
    Holdfast__DiscoverReply *found = NULL;
    if (host->jobs != NULL) {
        found = agent_jobs_discover(host->jobs);
    } else {
        found = memory_alloc(sizeof *found);
        holdfast__discover_reply__init(found);
        for (unsigned i = 0; i < host->options.vms; i++) {
            simulated_describe_vm(host->options.first_vm + i, provider_add_vm(found));
        }
    }
    Holdfast__VmReport report = HOLDFAST__VM_REPORT__INIT;
    report.vms = found->vms;
    report.n_vms = found->n_vms;
    rpc_call(host->rpc, RPC_SERVICE_SERVER, SERVER_REPORT_VMS, &report.base, 0, reported, host);
    holdfast__discover_reply__free_unpacked(found, NULL);
}

static void accepted(void *cookie, const ProtobufCMessage *reply, const struct error *failure)
{
    struct simulated_host *host = cookie;
    if (failure != NULL) {
        log_error(host->name, failure);
        rpc_close(host->rpc, failure);
        return;
    }
    if (host->jobs != NULL) {
        const Holdfast__RegisterReply *answer = (const void *)reply;
        agent_jobs_resolve(host->jobs, answer->committed, answer->n_committed);
    }
    report_vms(host);
}

static void register_host(struct simulated_host *host)
{
    char *kinds[] = {(char[]){"synthetic"}};
    Holdfast__RegisterRequest request = HOLDFAST__REGISTER_REQUEST__INIT;
    request.host_name = host->name;
    request.software = (char[]){HOLDFAST_VERSION};
    request.system = (char[]){"simulated"};
    request.kinds = kinds;
    request.n_kinds = 1;
    rpc_call(host->rpc, RPC_SERVICE_SERVER, SERVER_REGISTER, &request.base, 0, accepted, host);
}

/* --- the connection */

static void on_rpc_closed(void *cookie, struct rpc *rpc, const struct error *why)
{
    struct simulated_host *host = cookie;
    (void)why;
    if (host->jobs != NULL) {
        agent_jobs_server_lost(host->jobs);
    }
    rpc_unref(rpc);
    host->rpc = NULL;
    try_again(host);
}

static void on_opened(void *cookie, struct channel *channel, const Holdfast__Hello *peer)
{
    static const rpc_serve refused[6];
    struct simulated_host *host = cookie;
    (void)peer;
    host->rpc = rpc_create(channel,
                           &(struct rpc_options){.serves = RPC_SERVICE_AGENT,
                                                 .methods = host->jobs != NULL ? agent_jobs_methods : refused,
                                                 .cookie = host->jobs,
                                                 .closed = on_rpc_closed,
                                                 .closed_cookie = host});
    channel_unref(host->channel);
    host->channel = NULL;
    register_host(host);
}

static void on_closed(void *cookie, struct channel *channel, const struct error *why)
{
    struct simulated_host *host = cookie;
    (void)why;
    channel_unref(channel);
    host->channel = NULL;
    try_again(host);
}

static void dial_server(void *cookie)
{
    static const struct channel_handlers handlers = {.opened = on_opened, .closed = on_closed};
    struct simulated_host *host = cookie;
    Holdfast__Hello hello = HOLDFAST__HELLO__INIT;
    loop_timer_cancel(host->timer);
    host->timer = NULL;
    hello.role = HOLDFAST__CONNECTION_ROLE__CONTROL;
    host->channel = channel_connect(host->options.loop, &host->target, host->tls, &hello, &handlers, host);
}

/* --- life */

static void start_jobs(struct simulated_host *host, struct error *err)
{
    char number[16];
    snprintf(number, sizeof number, "%u", host->options.first_vm);
    host->config = config_load(NULL, simulated_config_keys, err);
    config_set(host->config, "first-vm", number, err);
    snprintf(number, sizeof number, "%u", host->options.vms);
    config_set(host->config, "vms", number, err);
    struct agent_jobs_options options = {
        .loop = host->options.loop, .target = &host->target, .tls = host->tls, .connections = 2};
    struct provider_context context = {
        .data_directory = host->state.directory, .server_id = host->state.server_id, .config = host->config};
    host->jobs = agent_jobs_create(&options, &context, NULL, NULL, err);
}

struct simulated_host *simulated_host_create(const struct simulated_host_options *options, struct error *err)
{
    struct simulated_host *host = memory_zalloc(sizeof *host);
    host->options = *options;
    host->delay_ms = DELAY_FIRST_MS;
    if (agent_state_load(&host->state, options->directory, err) != 0) {
        free(host);
        return NULL;
    }
    host->name = memory_copy_text(options->name);
    host->target = (struct channel_target){.host = host->state.server_host, .port = host->state.server_port};
    host->tls =
        tls_create_client(host->state.certificate_path, host->state.key_path, host->state.ca_path, err);
    if (host->tls != NULL && !options->idle) {
        start_jobs(host, err);
    }
    if (host->tls == NULL || (!options->idle && host->jobs == NULL)) {
        atomic_store(&host->gone, true);
        simulated_host_destroy(host);
        return NULL;
    }
    loop_post(options->loop, dial_server, host);
    return host;
}

static void drop_on_loop(void *cookie)
{
    struct simulated_host *host = cookie;
    if (host->rpc != NULL) {
        rpc_close(host->rpc, NULL);
    }
}

void simulated_host_drop(struct simulated_host *host)
{
    loop_run_on(host->options.loop, drop_on_loop, host);
}

static void stop_on_loop(void *cookie)
{
    struct simulated_host *host = cookie;
    host->stopping = true;
    if (host->timer != NULL) {
        loop_timer_cancel(host->timer);
        host->timer = NULL;
        atomic_store(&host->gone, true);
    } else if (host->rpc != NULL) {
        rpc_close(host->rpc, NULL);
    } else if (host->channel != NULL) {
        channel_close(host->channel, NULL);
    }
}

void simulated_host_destroy(struct simulated_host *host)
{
    if (!atomic_load(&host->gone)) {
        loop_run_on(host->options.loop, stop_on_loop, host);
    }
    while (!atomic_load(&host->gone)) {
        poll(NULL, 0, DESTROY_STEP_MS);
    }
    agent_jobs_destroy(host->jobs);
    tls_destroy(host->tls);
    config_destroy(host->config);
    agent_state_release(&host->state);
    free(host->name);
    free(host);
}
