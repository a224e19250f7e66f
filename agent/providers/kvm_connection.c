#include "agent/providers/kvm_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include <errno.h>
#include <libvirt/virterror.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    KEEPALIVE_INTERVAL_S = 5,
    KEEPALIVE_COUNT = 3,
    RECONNECT_S = 2,
    END_PAUSE_S = 2, /* before a backup job that could not be ended is told to again; doubled each time, */
    END_PAUSE_MAX_S = 600, /* up to this */
    LOOP_TICK_MS = 1000,
};

int kvm_error(struct error *err, enum error_code code, const char *format, ...)
{
    char message[ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    error_set(err, code, "%s", message);
    const char *reason = virGetLastErrorMessage();
    return error_set_cause(err, "%s", reason ? reason : "unknown");
}

/* libvirt would print every error; they are reported where they matter. */
static void stay_silent(void *cookie, virErrorPtr error)
{
    (void)cookie, (void)error;
}

static void loop_tick(int timer, void *cookie)
{
    (void)timer, (void)cookie;
}

static void *run_loop(void *cookie)
{
    struct kvm_provider *provider = cookie;
    while (!atomic_load(&provider->closing)) {
        if (virEventRunDefaultImpl() < 0) {
            log_event(LOG_ERROR, "event loop of libvirt failed", "reason=\"%s\"", virGetLastErrorMessage());
            break;
        }
    }
    return NULL;
}

static void report_change(struct kvm_provider *provider)
{
    if (provider->changed)
        provider->changed(provider->cookie);
}

static int on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail, void *cookie)
{
    (void)connection;
    char uuid[VIR_UUID_STRING_BUFLEN];
    if (virDomainGetUUIDString(domain, uuid) == 0) {
        if (event == VIR_DOMAIN_EVENT_STOPPED && detail == VIR_DOMAIN_EVENT_STOPPED_MIGRATED)
            kvm_moved_note(cookie, uuid);
        else if (event == VIR_DOMAIN_EVENT_STARTED || event == VIR_DOMAIN_EVENT_DEFINED)
            kvm_moved_forget(cookie, uuid);
    }
    report_change(cookie);
    return 0;
}

static void on_device(virConnectPtr connection, virDomainPtr domain, const char *alias, void *cookie)
{
    (void)connection, (void)domain, (void)alias;
    report_change(cookie);
}

static void on_agent(virConnectPtr connection, virDomainPtr domain, int state, int reason, void *cookie)
{
    (void)connection, (void)domain, (void)state, (void)reason;
    report_change(cookie);
}

static void on_close(virConnectPtr connection, int reason, void *cookie)
{
    (void)connection;
    struct kvm_provider *provider = cookie;
    log_event(LOG_WARNING, "connection to libvirt ended", "reason=%d", reason);
    atomic_store(&provider->lost, true);
    sem_post(&provider->wake);
}

static void subscribe(struct kvm_provider *provider, virConnectPtr connection)
{
    /* libvirt's own way: callbacks of different types pass as a generic one. */
    const struct {
        int id;
        void (*callback)(void);
    } wanted[] = {
        {VIR_DOMAIN_EVENT_ID_LIFECYCLE, (void (*)(void))on_lifecycle},
        {VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, (void (*)(void))on_device},
        {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, (void (*)(void))on_device},
        {VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, (void (*)(void))on_agent},
    };
    for (size_t i = 0; i < KVM_EVENTS_MAX; i++)
        provider->events[i] = -1;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        provider->events[i] = virConnectDomainEventRegisterAny(
            connection, NULL, wanted[i].id, (virConnectDomainEventGenericCallback)wanted[i].callback,
            provider, NULL);
}

/* With the lock held. */
static void drop_connection(struct kvm_provider *provider)
{
    if (!provider->connection)
        return;
    for (size_t i = 0; i < KVM_EVENTS_MAX; i++) {
        if (provider->events[i] >= 0)
            (void)virConnectDomainEventDeregisterAny(provider->connection, provider->events[i]);
    }
    (void)virConnectUnregisterCloseCallback(provider->connection, on_close);
    virConnectClose(provider->connection);
    provider->connection = NULL;
}

/* With the lock held. */
static int make_connection(struct kvm_provider *provider, struct error *err)
{
    drop_connection(provider);
    virConnectPtr connection = virConnectOpen(provider->uri);
    if (!connection)
        return kvm_error(err, ERROR_DISCOVERY_FAILED, "libvirt can't be reached at %s.", provider->uri);
    (void)virConnectSetKeepAlive(connection, KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT);
    provider->connection = connection;
    atomic_store(&provider->lost, false);
    (void)virConnectRegisterCloseCallback(connection, on_close, provider, NULL);
    subscribe(provider, connection);
    log_event(LOG_INFO, "connected to libvirt", "uri=%s", provider->uri);
    return 0;
}

virConnectPtr kvm_connection_get(struct kvm_provider *provider, struct error *err)
{
    virConnectPtr connection = NULL;
    pthread_mutex_lock(&provider->lock);
    bool alive =
        provider->connection && !atomic_load(&provider->lost) && virConnectIsAlive(provider->connection) == 1;
    if (alive || make_connection(provider, err) == 0) {
        connection = provider->connection;
        virConnectRef(connection);
    }
    pthread_mutex_unlock(&provider->lock);
    return connection;
}

virDomainPtr kvm_domain_lookup(struct kvm_provider *provider, const char *uuid, struct error *err)
{
    virConnectPtr connection = kvm_connection_get(provider, err);
    if (!connection)
        return NULL;
    virDomainPtr domain =
        virDomainLookupByUUIDString(connection, uuid); /* holds a reference to the connection */
    if (!domain) {
        const virError *reason = virGetLastError();
        bool missing = reason && (reason->code == VIR_ERR_NO_DOMAIN || reason->code == VIR_ERR_INVALID_ARG);
        kvm_error(err, missing ? ERROR_VM_NOT_FOUND : ERROR_SNAPSHOT_FAILED,
                  "The VM %.40s could not be found on this host.", uuid);
    }
    virConnectClose(connection);
    return domain;
}

static void wait_before_retry(struct kvm_provider *provider)
{
    struct timespec until = clock_deadline(RECONNECT_S * 1000);
    (void)sem_clockwait(&provider->wake, CLOCK_MONOTONIC, &until);
}

/* When backup jobs that could not be ended are told to again. */
struct end_retry {
    unsigned pause_s; /* 0: there are none */
    struct timespec at;
};

static void plan_retry(struct end_retry *retry, unsigned pause_s)
{
    retry->pause_s = pause_s < END_PAUSE_MAX_S ? pause_s : END_PAUSE_MAX_S;
    retry->at = clock_deadline((int64_t)retry->pause_s * 1000);
}

/* Until something is to be done; what is to be done by time is done here. */
static void wait_for_work(struct kvm_provider *provider, struct end_retry *retry)
{
    if (atomic_exchange(&provider->unended, false))
        plan_retry(retry, END_PAUSE_S);
    int result;
    do {
        result = retry->pause_s == 0 ? sem_wait(&provider->wake)
                                     : sem_clockwait(&provider->wake, CLOCK_MONOTONIC, &retry->at);
    } while (result != 0 && errno == EINTR);
    if (result == 0)
        return;
    if (kvm_recover_unended(provider))
        plan_retry(retry, 2 * retry->pause_s);
    else
        retry->pause_s = 0;
}

/* Connects again whenever the connection has gone, and then does what waited for that. */
static void *run_monitor(void *cookie)
{
    struct kvm_provider *provider = cookie;
    bool was_connected = true;
    struct end_retry retry = {0};
    while (!atomic_load(&provider->closing)) {
        struct error err;
        virConnectPtr connection = kvm_connection_get(provider, &err);
        if (!connection) {
            was_connected = false;
            wait_before_retry(provider);
            continue;
        }
        virConnectClose(connection);
        if (atomic_exchange(&provider->recovery_waits, false))
            kvm_recover_later(provider);
        if (!was_connected)
            report_change(provider);
        was_connected = true;
        wait_for_work(provider, &retry);
        if (atomic_load(&provider->lost))
            was_connected = false;
    }
    return NULL;
}

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static int library_result;

static void start_library(void)
{
    library_result = virInitialize();
    virSetErrorFunc(NULL, stay_silent);
    if (library_result == 0)
        library_result = virEventRegisterDefaultImpl();
}

int kvm_connection_start(struct kvm_provider *provider, struct error *err)
{
    pthread_once(&library_once, start_library);
    pthread_mutex_init(&provider->lock, NULL);
    pthread_mutex_init(&provider->moved_lock, NULL);
    pthread_mutex_init(&provider->paused_lock, NULL);
    sem_init(&provider->wake, 0, 0);
    if (library_result != 0)
        return kvm_error(err, ERROR_TOOL_FAILED, "The libvirt library could not be started.");
    provider->loop_timer = virEventAddTimeout(LOOP_TICK_MS, loop_tick, NULL, NULL);
    if (provider->loop_timer < 0 || pthread_create(&provider->loop_thread, NULL, run_loop, provider) != 0)
        return kvm_error(err, ERROR_TOOL_FAILED, "The event loop of libvirt could not be started.");
    provider->loop_running = true;
    pthread_mutex_lock(&provider->lock);
    int result = make_connection(provider, err);
    pthread_mutex_unlock(&provider->lock);
    if (result != 0 && access("/usr/sbin/libvirtd", X_OK) != 0 && access("/usr/sbin/virtqemud", X_OK) != 0)
        return -1; /* no hypervisor here; with one it is only down, and waited for */
    if (pthread_create(&provider->monitor_thread, NULL, run_monitor, provider) != 0)
        return error_set(err, ERROR_TOOL_FAILED, "A thread for libvirt could not be started.");
    provider->monitor_running = true;
    return 0;
}

void kvm_connection_stop(struct kvm_provider *provider)
{
    atomic_store(&provider->closing, true);
    sem_post(&provider->wake);
    if (provider->monitor_running)
        pthread_join(provider->monitor_thread, NULL);
    pthread_mutex_lock(&provider->lock);
    drop_connection(provider);
    pthread_mutex_unlock(&provider->lock);
    if (provider->loop_running) {
        virEventUpdateTimeout(provider->loop_timer, 0);
        pthread_join(provider->loop_thread, NULL);
    }
    if (provider->loop_timer >= 0)
        virEventRemoveTimeout(provider->loop_timer);
    sem_destroy(&provider->wake);
    pthread_mutex_destroy(&provider->lock);
    pthread_mutex_destroy(&provider->moved_lock);
    pthread_mutex_destroy(&provider->paused_lock);
}
