#include "agent/session.h"

#include "agent/agent_jobs.h"
#include "agent/dial.h"
#include "agent/enrol.h"
#include "base/clock.h"
#include "base/identity.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "base/version.h"
#include "proto/pki.h"
#include "proto/server.pb-c.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SERVER_REGISTER = 1,
    SERVER_REPORT_VMS = 2,
    SESSION_DELAY_FIRST_MS = 500,
    SESSION_DELAY_MAX_MS = 60000,
    SESSION_SETTLE_MS = 300,       /* what changes together is one report */
    SESSION_REPORT_MS = 1000,      /* from one report to the next at the least */
    SESSION_LOOK_MS = 3600 * 1000, /* looks at the certificate's end, and at VMs for what no event told */
    SESSION_SILENT_MS = 10000,     /* when a provider could not be asked, it is asked again */
    SESSION_RENEW_BEFORE_DAYS = 30,
};

struct session {
    const struct agent_state *state;
    const struct config *config;
    struct agent_proxy proxy;
    struct channel_target target;
    struct loop *loop;
    struct tls *tls;
    struct agent_jobs *jobs;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t woken;
    bool stopping;
    bool changed; /* VMs */
    bool closed;  /* the connection */
    struct error why;
    size_t silent;       /* the session's thread's own: providers that could not be asked last time */
    int64_t reported_ms; /* the same: when VMs were last reported */
};

static void on_vms_changed(void *cookie)
{
    struct session *session = cookie;
    pthread_mutex_lock(&session->lock);
    session->changed = true;
    pthread_cond_signal(&session->woken);
    pthread_mutex_unlock(&session->lock);
}

static void on_closed(void *cookie, struct rpc *rpc, const struct error *why)
{
    (void)rpc;
    struct session *session = cookie;
    agent_jobs_server_lost(session->jobs);
    pthread_mutex_lock(&session->lock);
    session->closed = true;
    session->why = *why;
    pthread_cond_signal(&session->woken);
    pthread_mutex_unlock(&session->lock);
}

/* Wait until something happens or the time is over. With the lock held. */
static void wait_locked(struct session *session, int64_t ms)
{
    struct timespec until = clock_deadline(ms);
    pthread_cond_timedwait(&session->woken, &session->lock, &until);
}

/* Changes are collected before they are reported: a moment after the first one, longer when the last report
 * was just now. With the lock held. */
static void settle_locked(struct session *session)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t until_ms = now_ms + SESSION_SETTLE_MS;
    if (session->reported_ms > 0 && until_ms < session->reported_ms + SESSION_REPORT_MS) {
        until_ms = session->reported_ms + SESSION_REPORT_MS;
    }
    while (!session->stopping && !session->closed && now_ms < until_ms) { /* every change wakes it */
        wait_locked(session, until_ms - now_ms);
        now_ms = clock_monotonic_ms();
    }
}

/* PRETTY_NAME of os-release(5), malloc'd. */
static char *system_name(void)
{
    struct error ignored;
    uint8_t *bytes = NULL;
    size_t length;
    char *name = NULL;
    if (os_file_read_whole("/etc/os-release", 65536, &bytes, &length, &ignored) == 0) {
        static const char key[] = "PRETTY_NAME=\"";
        char *found = strstr((char *)bytes, key);
        char *end = found != NULL ? strchr(found + sizeof key - 1, '"') : NULL;
        if (end != NULL) {
            *end = '\0';
            name = memory_copy_text(found + sizeof key - 1);
        }
        free(bytes);
    }
    return name != NULL ? name : memory_copy_text("unknown");
}

static int register_host(struct session *session, struct rpc *rpc, struct error *err)
{
    Holdfast__RegisterRequest request = HOLDFAST__REGISTER_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    char name[256] = "host";
    size_t kinds;
    size_t unfinished;
    gethostname(name, sizeof name - 1);
    request.host_name = name;
    request.software = (char[]){HOLDFAST_VERSION};
    request.system = system_name();
    request.kinds = (char **)(uintptr_t)agent_jobs_kinds(session->jobs, &kinds);
    request.n_kinds = kinds;
    request.unfinished = agent_jobs_unfinished(session->jobs, &unfinished);
    request.n_unfinished = unfinished;
    int result = rpc_call_wait(rpc, RPC_SERVICE_SERVER, SERVER_REGISTER, &request.base, 0, &message, err);
    free(request.system);
    if (result == 0) {
        const Holdfast__RegisterReply *reply = (const void *)message;
        agent_jobs_resolve(session->jobs, reply->committed, reply->n_committed);
        protobuf_c_message_free_unpacked(message, NULL);
    }
    return result;
}

static int report_vms(struct session *session, struct rpc *rpc, struct error *err)
{
    ProtobufCMessage *message = NULL;
    Holdfast__DiscoverReply *found = agent_jobs_discover(session->jobs);
    for (size_t i = 0; i < found->n_silent && found->n_silent > session->silent; i++) {
        log_event(LOG_WARNING, "VMs could not be listed", "kind=%s reason=\"%s\"", found->silent[i]->kind,
                  found->silent[i]->reason);
    }
    session->silent = found->n_silent;
    Holdfast__VmReport report = HOLDFAST__VM_REPORT__INIT;
    report.vms = found->vms;
    report.n_vms = found->n_vms;
    report.silent = found->silent;
    report.n_silent = found->n_silent;
    report.moved = found->moved;
    report.n_moved = found->n_moved;
    report.snapshots = found->snapshots;
    report.n_snapshots = found->n_snapshots;
    report.number = found->number;
    int result = rpc_call_wait(rpc, RPC_SERVICE_SERVER, SERVER_REPORT_VMS, &report.base, 0, &message, err);
    if (result == 0) {
        const Holdfast__VmReportReply *reply = (const void *)message;
        agent_jobs_limit_snapshots(session->jobs, reply->snapshot_limits, reply->n_snapshot_limits);
        protobuf_c_message_free_unpacked(message, NULL);
    }
    session->reported_ms = clock_monotonic_ms();
    holdfast__discover_reply__free_unpacked(found, NULL);
    return result;
}

/* Renew in time. A failure is logged: the old certificate still works, and the next try comes in an hour. */
static void renew_certificate(struct session *session, struct rpc *rpc)
{
    const int64_t before_ms = (int64_t)SESSION_RENEW_BEFORE_DAYS * 86400 * 1000;
    int64_t expiry_ms;
    struct error err;
    if (pki_expiry(session->state->certificate_path, &expiry_ms, &err) != 0) {
        log_error("the certificate can't be read", &err);
    } else if (expiry_ms - clock_wall_ms() < before_ms) {
        const struct agent_state *state = session->state;
        if (enrol_renew(state, rpc, &err) != 0 ||
            tls_renew_client(session->tls, state->certificate_path, state->key_path, state->ca_path, &err) !=
                0) {
            log_error("the certificate could not be renewed", &err);
        } else {
            log_event(LOG_INFO, "certificate renewed", NULL);
        }
    }
}

/* While the connection lasts. */
static void attend(struct session *session, struct rpc *rpc)
{
    int64_t renewed_ms = 0;
    struct error err;
    for (;;) {
        pthread_mutex_lock(&session->lock);
        if (!session->stopping && !session->closed && !session->changed) {
            wait_locked(session, session->silent > 0 ? SESSION_SILENT_MS : SESSION_LOOK_MS);
            session->changed = true; /* or the time is over: not every change has an event */
        }
        bool over = session->stopping || session->closed;
        if (!over && session->changed) {
            settle_locked(session);
            over = session->stopping || session->closed;
        }
        bool changed = session->changed;
        session->changed = false;
        pthread_mutex_unlock(&session->lock);
        if (over) {
            return;
        }
        if (changed && report_vms(session, rpc, &err) != 0) {
            log_error("the VMs of this host could not be reported", &err);
        }
        if (renewed_ms == 0 || clock_monotonic_ms() - renewed_ms >= SESSION_LOOK_MS) {
            renewed_ms = clock_monotonic_ms();
            renew_certificate(session, rpc);
        }
    }
}

/* One connection from its beginning to its end. 0 when it was registered. */
static int live(struct session *session, struct error *err)
{
    struct rpc_options options = {.serves = RPC_SERVICE_AGENT,
                                  .methods = agent_jobs_methods,
                                  .cookie = session->jobs,
                                  .closed = on_closed,
                                  .closed_cookie = session};
    pthread_mutex_lock(&session->lock);
    session->closed = false;
    session->changed = true;
    pthread_mutex_unlock(&session->lock);
    struct rpc *rpc = dial(session->loop, &session->target, session->tls, HOLDFAST__CONNECTION_ROLE__CONTROL,
                           &options, err);
    if (rpc == NULL) {
        return -1;
    }
    int result = register_host(session, rpc, err);
    if (result == 0) {
        log_event(LOG_INFO, "connected", "server=%s:%u", session->target.host, session->target.port);
        attend(session, rpc);
    }
    rpc_close(rpc, NULL);
    pthread_mutex_lock(&session->lock);
    while (!session->closed) {
        pthread_cond_wait(&session->woken, &session->lock);
    }
    if (result == 0) {
        *err = session->why;
    }
    pthread_mutex_unlock(&session->lock);
    rpc_unref(rpc);
    return result;
}

/* Half to all of the delay, so that a thousand hosts do not come back at once. */
static int64_t jitter(int64_t delay_ms)
{
    uint32_t random;
    identity_random(&random, sizeof random);
    return delay_ms / 2 + (int64_t)(random % (uint32_t)(delay_ms / 2 + 1));
}

static void *session_thread(void *cookie)
{
    struct session *session = cookie;
    int64_t delay_ms = SESSION_DELAY_FIRST_MS;
    for (;;) {
        struct error err;
        bool registered = live(session, &err) == 0;
        pthread_mutex_lock(&session->lock);
        bool stopping = session->stopping;
        pthread_mutex_unlock(&session->lock);
        if (stopping) {
            return NULL;
        }
        log_error(registered ? "connection lost" : "the server can't be used", &err);
        delay_ms = registered ? SESSION_DELAY_FIRST_MS : delay_ms;
        int64_t until_ms = clock_monotonic_ms() + jitter(delay_ms);
        delay_ms = 2 * delay_ms < SESSION_DELAY_MAX_MS ? 2 * delay_ms : SESSION_DELAY_MAX_MS;
        pthread_mutex_lock(&session->lock);
        while (!session->stopping && clock_monotonic_ms() < until_ms) {
            wait_locked(session, until_ms - clock_monotonic_ms());
        }
        pthread_mutex_unlock(&session->lock);
    }
}

static int open_session(struct session *session, struct error *err)
{
    const struct agent_state *state = session->state;
    int64_t connections;
    if (agent_proxy_read(session->config, &session->proxy, err) != 0 ||
        config_integer(session->config, "connections", 1, 4, &connections, err) != 0) {
        return -1;
    }
    session->target = (struct channel_target){.host = state->server_host,
                                              .port = state->server_port,
                                              .proxy = session->proxy.used ? &session->proxy.proxy : NULL};
    session->tls = tls_create_client(state->certificate_path, state->key_path, state->ca_path, err);
    session->loop = session->tls != NULL ? loop_create("network", err) : NULL;
    if (session->loop == NULL) {
        return -1;
    }
    struct agent_jobs_options options = {.loop = session->loop,
                                         .target = &session->target,
                                         .tls = session->tls,
                                         .connections = (unsigned)connections};
    struct provider_context context = {
        .data_directory = state->directory, .server_id = state->server_id, .config = session->config};
    session->jobs = agent_jobs_create(&options, &context, on_vms_changed, session, err);
    return session->jobs != NULL ? 0 : -1;
}

struct session *session_create(const struct agent_state *state, const struct config *config,
                               struct error *err)
{
    struct session *session = memory_zalloc(sizeof *session);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&session->woken, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&session->lock, NULL);
    session->state = state;
    session->config = config;
    int result = open_session(session, err);
    if (result == 0) {
        int errnum = pthread_create(&session->thread, NULL, session_thread, session);
        session->started = errnum == 0;
        result = errnum == 0
                     ? 0
                     : error_set_errno(err, ERROR_LIMIT_EXCEEDED, errnum, "A thread could not be started");
    }
    if (result != 0) {
        session_destroy(session);
        return NULL;
    }
    return session;
}

void session_destroy(struct session *session)
{
    if (session == NULL) {
        return;
    }
    pthread_mutex_lock(&session->lock);
    session->stopping = true;
    pthread_cond_signal(&session->woken);
    pthread_mutex_unlock(&session->lock);
    if (session->started) {
        pthread_join(session->thread, NULL);
    }
    agent_jobs_destroy(session->jobs);
    loop_destroy(session->loop);
    tls_destroy(session->tls);
    agent_proxy_release(&session->proxy);
    pthread_cond_destroy(&session->woken);
    pthread_mutex_destroy(&session->lock);
    free(session);
}
