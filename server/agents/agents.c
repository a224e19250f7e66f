#include "server/agents/agents.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "server/agents/agents_internal.h"
#include <stdlib.h>
#include <string.h>

enum { AGENTS_CONNECTIONS_DEFAULT = 4096, AGENTS_CERTIFICATE_DAYS_DEFAULT = 365 };

/* --- sessions ----------------------------------------------------------------------------------------------
 */

struct agent_session *agents_find(struct agents *agents, const char *host_id)
{
    pthread_mutex_lock(&agents->lock);
    struct agent_session *session = agents->sessions;
    while (session != NULL && !(session->registered && strcmp(session->host_id, host_id) == 0)) {
        session = session->next;
    }
    if (session != NULL) {
        session->references++;
    }
    pthread_mutex_unlock(&agents->lock);
    return session;
}

void agents_release(struct agent_session *session)
{
    struct agents *agents = session->agents;
    pthread_mutex_lock(&agents->lock);
    bool last = --session->references == 0;
    pthread_mutex_unlock(&agents->lock);
    if (last) {
        rpc_unref(session->rpc);
        pthread_mutex_destroy(&session->list_lock);
        free(session);
    }
}

static void agents_say_lost(struct agents *agents, const char *host_id)
{
    if (agents->events.lost != NULL) {
        agents->events.lost(agents->events.cookie, host_id);
    }
}

void agents_accept(struct agent_session *session)
{
    pthread_mutex_lock(&session->agents->lock);
    session->accepted = true;
    pthread_mutex_unlock(&session->agents->lock);
}

bool agents_make_current(struct agent_session *session)
{
    struct agents *agents = session->agents;
    pthread_mutex_lock(&agents->lock);
    struct agent_session *former = agents->sessions;
    while (former != NULL &&
           !(former->registered && former != session && strcmp(former->host_id, session->host_id) == 0)) {
        former = former->next;
    }
    if (former != NULL) {
        former->accepted = false;
        former->registered = false;
        former->references++;
    }
    bool open = !session->closed;
    session->registered = open;
    pthread_mutex_unlock(&agents->lock);
    if (former != NULL) {
        struct error why;
        error_set(&why, ERROR_CONNECTION_LOST, "The host has connected anew");
        rpc_close(former->rpc, &why);
        agents_release(former);
        agents_say_lost(agents, session->host_id);
    }
    return open;
}

static void session_unlink(struct agent_session *session)
{
    for (struct agent_session **link = &session->agents->sessions; *link != NULL; link = &(*link)->next) {
        if (*link == session) {
            *link = session->next;
            return;
        }
    }
}

/* On the pool: the host's state, unless it has registered anew meanwhile. */
static void session_store_lost(void *cookie)
{
    struct agent_session *session = cookie;
    struct agents *agents = session->agents;
    struct error err;
    struct agent_session *current = agents_find(agents, session->host_id);
    if (current != NULL) {
        agents_release(current);
    } else {
        int64_t now = clock_wall_ms();
        if (catalog_host_seen(agents->options.catalog, session->host_id, now, &err) != 0 ||
            catalog_host_set_state(agents->options.catalog, session->host_id, HOST_UNREACHABLE, now, &err) !=
                0) {
            log_error("host state not stored", &err);
        }
        agents_say_lost(agents, session->host_id);
    }
    agents_release(session);
}

static void on_rpc_closed(void *cookie, struct rpc *rpc, const struct error *why)
{
    (void)rpc;
    struct agent_session *session = cookie;
    struct agents *agents = session->agents;
    loop_timer_cancel(session->timer);
    session->timer = NULL;
    pthread_mutex_lock(&agents->lock);
    bool was_current = session->registered;
    bool closing = agents->closing; /* agents_close stores the states of all at once */
    session->registered = false;
    session->closed = true;
    session_unlink(session);
    pthread_mutex_unlock(&agents->lock);
    if (was_current) {
        log_event(LOG_INFO, "host disconnected", "host=%s reason=\"%s\"", session->host_id, why->message);
    }
    if (!was_current || closing || !pool_try_submit(agents->pool, session_store_lost, session)) {
        agents_release(session);
    }
}

/* --- calls from agents
 * -------------------------------------------------------------------------------------- */

static void serve_on_pool(struct agent_session *session, struct rpc_request *request,
                          const ProtobufCMessage *message, pool_work work)
{
    struct error err;
    struct agent_task *task = memory_alloc(sizeof *task);
    *task = (struct agent_task){.session = session, .request = request, .message = message};
    pthread_mutex_lock(&session->agents->lock);
    session->references++;
    pthread_mutex_unlock(&session->agents->lock);
    if (!pool_try_submit(session->agents->pool, work, task)) {
        error_set(&err, ERROR_LIMIT_EXCEEDED, "The server has too much to do");
        rpc_fail(request, &err);
        agents_release(session);
        free(task);
    }
}

static void serve_enrol(void *cookie, struct rpc_request *request, const ProtobufCMessage *message)
{
    serve_on_pool(cookie, request, message, agents_enrol);
}

static void serve_register(void *cookie, struct rpc_request *request, const ProtobufCMessage *message)
{
    serve_on_pool(cookie, request, message, agents_register);
}

static bool session_is_accepted(struct agent_session *session)
{
    pthread_mutex_lock(&session->agents->lock);
    bool accepted = session->accepted;
    pthread_mutex_unlock(&session->agents->lock);
    return accepted;
}

/* Before a host has registered its certificate has not been looked at closely. */
static bool session_check_registered(struct agent_session *session, struct rpc_request *request)
{
    if (session_is_accepted(session)) {
        return true;
    }
    struct error err;
    error_set(&err, ERROR_PROTOCOL_INVALID, "The host has not registered");
    rpc_fail(request, &err);
    return false;
}

static void serve_report_vms(void *cookie, struct rpc_request *request, const ProtobufCMessage *message)
{
    if (session_check_registered(cookie, request)) {
        serve_on_pool(cookie, request, message, agents_report_vms);
    }
}

static void serve_renew(void *cookie, struct rpc_request *request, const ProtobufCMessage *message)
{
    if (session_check_registered(cookie, request)) {
        serve_on_pool(cookie, request, message, agents_renew);
    }
}

static void serve_progress(void *cookie, struct rpc_request *request, const ProtobufCMessage *message)
{
    struct agent_session *session = cookie;
    const Holdfast__JobProgress *progress = (const void *)message;
    if (!session_check_registered(session, request)) {
        return;
    }
    const struct agents_events *events = &session->agents->events;
    if (events->progress != NULL) {
        events->progress(events->cookie, session->host_id, progress->job, progress->step,
                         progress->done_bytes, progress->total_bytes);
    }
    Holdfast__Empty empty = HOLDFAST__EMPTY__INIT;
    rpc_reply(request, &empty.base);
}

/* --- connections
 * ---------------------------------------------------------------------------------------------- */

static void on_register_timer(void *cookie)
{
    struct agent_session *session = cookie;
    struct error why;
    loop_timer_cancel(session->timer);
    session->timer = NULL;
    if (!session_is_accepted(session)) {
        error_set(&why, ERROR_PROTOCOL_TIMEOUT, "The host did not register in time");
        rpc_close(session->rpc, &why);
    }
}

static void accept_session(struct agents *agents, struct channel *channel, const Holdfast__Hello *peer)
{
    static const rpc_serve enrol_methods[] = {serve_enrol, NULL, NULL, NULL, NULL};
    static const rpc_serve methods[] = {NULL, serve_register, serve_report_vms, serve_progress, serve_renew};
    bool enrols = peer->role == HOLDFAST__CONNECTION_ROLE__ENROL;
    struct agent_session *session = memory_zalloc(sizeof *session);
    session->agents = agents;
    session->references = 1;
    pthread_mutex_init(&session->list_lock, NULL);
    session->version = peer->version;
    if (!enrols) {
        strncpy(session->host_id, channel_peer_host(channel), sizeof session->host_id - 1);
    }
    pthread_mutex_lock(&agents->lock);
    session->next = agents->sessions;
    agents->sessions = session;
    pthread_mutex_unlock(&agents->lock);
    session->timer = loop_timer_start(agents->loop, AGENTS_REGISTER_MS, false, on_register_timer, session);
    session->rpc = rpc_create(channel, &(struct rpc_options){.serves = RPC_SERVICE_SERVER,
                                                             .methods = enrols ? enrol_methods : methods,
                                                             .cookie = session,
                                                             .closed = on_rpc_closed});
}

static void accept_data(struct agents *agents, struct channel *channel, const Holdfast__Hello *peer)
{
    pthread_mutex_lock(&agents->routes_lock);
    struct agent_route *route = peer->session.len == JOB_SESSION_SIZE ? agents->routes : NULL;
    while (route != NULL && memcmp(route->session, peer->session.data, JOB_SESSION_SIZE) != 0) {
        route = route->next;
    }
    if (route != NULL && strcmp(route->host_id, channel_peer_host(channel)) == 0) {
        route->arrived(route->cookie, stream_adopt(channel));
    } else {
        log_event(LOG_WARNING, "data connection of no job", "host=%s address=%s", channel_peer_host(channel),
                  channel_peer_address(channel));
    }
    pthread_mutex_unlock(&agents->routes_lock);
}

static void on_accepted(void *cookie, struct channel *channel, const Holdfast__Hello *peer)
{
    struct agents *agents = cookie;
    bool known = channel_peer_host(channel)[0] != '\0';
    switch (peer->role) {
    case HOLDFAST__CONNECTION_ROLE__ENROL:
        accept_session(agents, channel, peer);
        return;
    case HOLDFAST__CONNECTION_ROLE__CONTROL:
        if (known) {
            accept_session(agents, channel, peer);
        }
        return;
    case HOLDFAST__CONNECTION_ROLE__DATA:
        if (known) {
            accept_data(agents, channel, peer);
        }
        return;
    default:
        return; /* not adopted: it is closed */
    }
}

/* --- life
 * ------------------------------------------------------------------------------------------------------ */

struct agents *agents_create(const struct agents_options *options, struct error *err)
{
    struct agents *agents = memory_zalloc(sizeof *agents);
    agents->options = *options;
    agents->options.data_directory = memory_copy_text(options->data_directory);
    agents->options.server_id = memory_copy_text(options->server_id);
    agents->options.address = memory_copy_text(options->address);
    if (options->max_connections == 0) {
        agents->options.max_connections = AGENTS_CONNECTIONS_DEFAULT;
    }
    if (options->certificate_days == 0) {
        agents->options.certificate_days = AGENTS_CERTIFICATE_DAYS_DEFAULT;
    }
    pthread_mutex_init(&agents->lock, NULL);
    pthread_mutex_init(&agents->routes_lock, NULL);
    char *chain = os_path_join(options->data_directory, "server.pem");
    char *key = os_path_join(options->data_directory, "server.key");
    char *ca = os_path_join(options->data_directory, "ca.pem");
    agents->tls = tls_create_server(chain, key, ca, err);
    if (agents->tls != NULL) {
        agents->loop = loop_create("agents", err);
    }
    if (agents->loop != NULL) {
        /* Room for what every connection has under way at once: its end is never refused. */
        agents->pool = pool_create("agents-store", 1, 4 * (size_t)agents->options.max_connections, err);
    }
    free(chain);
    free(key);
    free(ca);
    if (agents->pool == NULL) {
        agents_destroy(agents);
        return NULL;
    }
    return agents;
}

static void store_seen(void *cookie)
{
    struct agents *agents = cookie;
    struct error err;
    if (catalog_host_seen_all(agents->options.catalog, clock_wall_ms(), &err) != 0) {
        log_error("last seen times not stored", &err);
    }
}

static void on_seen_timer(void *cookie)
{
    struct agents *agents = cookie;
    pool_try_submit(agents->pool, store_seen, agents); /* else with the next period */
}

static void start_on_loop(void *cookie)
{
    struct agents *agents = cookie;
    agents->seen_timer = loop_timer_start(agents->loop, AGENTS_SEEN_MS, true, on_seen_timer, agents);
}

int agents_listen(struct agents *agents, const struct agents_events *events, struct error *err)
{
    agents->events = *events;
    if (catalog_host_disconnect_all(agents->options.catalog, err) != 0) {
        return -1;
    }
    agents->listener = channel_listen(agents->loop, agents->options.address, agents->options.port,
                                      agents->tls, agents->options.max_connections, on_accepted, agents, err);
    if (agents->listener == NULL) {
        return -1;
    }
    loop_run_on(agents->loop, start_on_loop, agents);
    return 0;
}

uint16_t agents_port(const struct agents *agents)
{
    return channel_listener_port(agents->listener);
}

static void stop_on_loop(void *cookie)
{
    struct agents *agents = cookie;
    loop_timer_cancel(agents->seen_timer);
    agents->seen_timer = NULL;
}

void agents_close(struct agents *agents)
{
    struct error err;
    pthread_mutex_lock(&agents->lock);
    agents->closing = true;
    pthread_mutex_unlock(&agents->lock);
    loop_run_on(agents->loop, stop_on_loop, agents);
    if (agents->listener != NULL) {
        channel_listener_drain(agents->listener);
        agents->listener = NULL;
        store_seen(agents);
        if (catalog_host_disconnect_all(agents->options.catalog, &err) != 0) {
            log_error("host states not stored", &err);
        }
    }
}

void agents_destroy(struct agents *agents)
{
    if (agents == NULL) {
        return;
    }
    if (agents->listener != NULL) {
        agents_close(agents);
    }
    if (agents->pool != NULL) {
        pool_destroy(agents->pool);
    }
    loop_destroy(agents->loop);
    tls_destroy(agents->tls);
    while (agents->routes != NULL) {
        struct agent_route *next = agents->routes->next;
        free(agents->routes);
        agents->routes = next;
    }
    pthread_mutex_destroy(&agents->routes_lock);
    pthread_mutex_destroy(&agents->lock);
    free((void *)(uintptr_t)agents->options.data_directory);
    free((void *)(uintptr_t)agents->options.server_id);
    free((void *)(uintptr_t)agents->options.address);
    free(agents);
}

/* --- calls to agents, routes
 * ------------------------------------------------------------------------------------- */

bool agents_connected(struct agents *agents, const char *host_id)
{
    struct agent_session *session = agents_find(agents, host_id);
    if (session == NULL) {
        return false;
    }
    agents_release(session);
    return true;
}

void agents_call(struct agents *agents, const char *host_id, enum agent_method method,
                 const ProtobufCMessage *request, int64_t deadline_ms, rpc_done done, void *cookie)
{
    struct agent_session *session = agents_find(agents, host_id);
    if (session == NULL) {
        struct error err;
        error_set(&err, ERROR_HOST_UNREACHABLE, "The host %s is not connected", host_id);
        done(cookie, NULL, &err);
        return;
    }
    rpc_call(session->rpc, RPC_SERVICE_AGENT, method, request, deadline_ms, done, cookie);
    agents_release(session);
}

void agents_session_open(struct agents *agents, const uint8_t session[JOB_SESSION_SIZE], const char *host_id,
                         job_stream_arrived arrived, void *cookie)
{
    struct agent_route *route = memory_zalloc(sizeof *route);
    memcpy(route->session, session, JOB_SESSION_SIZE);
    strncpy(route->host_id, host_id, sizeof route->host_id - 1);
    route->arrived = arrived;
    route->cookie = cookie;
    pthread_mutex_lock(&agents->routes_lock);
    route->next = agents->routes;
    agents->routes = route;
    pthread_mutex_unlock(&agents->routes_lock);
}

void agents_session_close(struct agents *agents, const uint8_t session[JOB_SESSION_SIZE])
{
    struct agent_route *closed = NULL;
    pthread_mutex_lock(&agents->routes_lock);
    for (struct agent_route **link = &agents->routes; *link != NULL; link = &(*link)->next) {
        if (memcmp((*link)->session, session, JOB_SESSION_SIZE) == 0) {
            closed = *link;
            *link = closed->next;
            break;
        }
    }
    pthread_mutex_unlock(&agents->routes_lock);
    free(closed);
}
