#include "server/server.h"

#include "base/bytes.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "base/version.h"
#include "proto/pki.h"
#include "server/access/factor.h"
#include "server/alerts/alerts.h"
#include "server/api/api_events.h"
#include "server/catalog/point_import.h"
#include "server/protection/scheduler.h"
#include "server/server_internal.h"
#include <stdlib.h>
#include <string.h>

const struct config_key server_config_keys[] = {
    {"listen", "0.0.0.0", "address that agents and the API are served on"},
    {"agent-port", "7460", "port for agents"},
    {"api-port", "7461", "port for the API and the command line"},
    {"log-level", "info", "debug, info, warning or error"},
    {"log-format", "text", "text or json"},
    {"audit-days", "400", "days that the audit record is kept"},
    {"reserve-size", NULL, "room kept for a full disk; default: 64M, 1/16 of a small disk at most; 0: none"},
    {"capacity-warning-percent", "80", "of the store's disk used: warning"},
    {"capacity-critical-percent", "90", "of the store's disk used: critical"},
    {"capacity-warning-days", "14", "warning when the store is expected to be full in less"},
    {"store", NULL, "directory of the store; default: `store` in the data directory"},
    {"store-passphrase-file", NULL, "holds the passphrase of an encrypted store"},
    {"store-key-file", NULL, "the key file of an encrypted store"},
    {"soft-delete-days", "14", "deleted recovery points can be had back for so long; 0: not at all"},
    {"max-jobs", "16", "jobs that run at once"},
    {"max-jobs-per-host", "4", "of them on one host"},
    {"min-interval-minutes", "15", "least minutes between the runs of a schedule; less is for tests"},
    {"connections", "2", "data connections of a job"},
    {"verify-days", "30", "the store is read and checked once in so many days, a part each day; 0: never"},
    {"job-history-days", "365", "how long jobs that have ended are listed"},
    {"max-attempts", "3", "tries of a job that fails for a reason that may pass"},
    {"retry-delay-seconds", "10", "before the second try, doubled for each after it"},
    {"reconnect-wait-seconds", "600", "how long a job waits for its host to come back"},
    {"second-factor", "if-set", "for what can't be undone: if-set (who has one), or required"},
    {"second-person", "no", "what can't be undone waits until another administrator approves it"},
    {"session-idle-minutes", "60", "a session that was not used for so long ends"},
    {"session-hours", "12", "a session ends after so many in any case"},
    {"login-tries", "5", "wrong passwords or codes of a user before more have to wait"},
    {"logins-per-minute", "30", "of one address"},
    {"requests-per-second", "200", "of one address or token"},
    {"idle-timeout-seconds", "120", "a transfer without any data for so long is given up"},
    {"alert-host-minutes", "10", "a host may be away for so long before there is an alert"},
    {"alert-late-minutes", "60", "a recovery point may be late by so much"},
    {"notify-timeout-seconds", "30", "a mail server or webhook is given so long"},
    {"notify-retry-seconds", "30", "before the second try of a delivery, doubled for each after it"},
    {"notify-give-up-minutes", "1440", "a message is tried for so long"},
    {NULL, NULL, NULL},
};

enum { SERVER_ID_BYTES = 16, SERVER_ID_SIZE = 2 * SERVER_ID_BYTES + 1 };

struct server {
    char *data_directory;
    char id[SERVER_ID_SIZE];
    struct config *config;
    struct store *store;
    struct catalog *catalog;
    struct capacity *capacity;
    struct audit *audit;
    struct agents *agents;
    struct throttles *throttles;
    struct alerts *alerts;
    struct server_world world;
    struct job_ports ports;
    struct jobs *jobs;
    struct events *events;
    struct scheduler *scheduler;
};

struct catalog *server_catalog(struct server *server)
{
    return server->catalog;
}

struct jobs *server_jobs(struct server *server)
{
    return server->jobs;
}

struct audit *server_audit(struct server *server)
{
    return server->audit;
}

struct capacity *server_capacity(struct server *server)
{
    return server->capacity;
}

struct scheduler *server_scheduler(struct server *server)
{
    return server->scheduler;
}

struct events *server_events(struct server *server)
{
    return server->events;
}

struct agents *server_agents(struct server *server)
{
    return server->agents;
}

struct throttles *server_throttles(struct server *server)
{
    return server->throttles;
}

struct alerts *server_alerts(struct server *server)
{
    return server->alerts;
}

struct store *server_store(struct server *server)
{
    return server->store;
}

const struct config *server_config(struct server *server)
{
    return server->config;
}

const char *server_data_directory(struct server *server)
{
    return server->data_directory;
}

const char *server_id(struct server *server)
{
    return server->id;
}

char *server_path(const char *data_directory, enum server_file file)
{
    static const char *const names[] = {
        [SERVER_FILE_CONFIG] = "holdfastd.conf",
        [SERVER_FILE_CATALOG] = "catalog.db",
        [SERVER_FILE_STORE] = "store",
        [SERVER_FILE_CA] = "ca.pem",
        [SERVER_FILE_CERTIFICATE] = "server.pem",
        [SERVER_FILE_TOKEN] = "admin.token",
        [SERVER_FILE_AUDIT_HEAD] = "audit.head",
    };
    return os_path_join(data_directory, names[file]);
}

static bool has_file(const char *data_directory, enum server_file file)
{
    char *path = server_path(data_directory, file);
    bool has = os_path_exists(path);
    free(path);
    return has;
}

static struct config *load_config(const char *data_directory, const char *config_path, struct error *err)
{
    if (!has_file(data_directory, SERVER_FILE_CATALOG) ||
        !has_file(data_directory, SERVER_FILE_CERTIFICATE)) {
        error_set(err, ERROR_NOT_INITIALIZED, "%s holds no server", data_directory);
        return NULL;
    }
    char *path = server_path(data_directory, SERVER_FILE_CONFIG);
    struct config *config = config_load(config_path != NULL ? config_path : path, server_config_keys, err);
    free(path);
    return config;
}

static int open_config(struct server *server, const char *config_path, struct error *err)
{
    enum log_level level;
    enum log_format format;
    server->config = load_config(server->data_directory, config_path, err);
    if (server->config == NULL) {
        return -1;
    }
    if (log_level_parse(config_text(server->config, "log-level"), &level) != 0) {
        return error_set(err, ERROR_CONFIG_INVALID, "log-level must be debug, info, warning or error");
    }
    if (log_format_parse(config_text(server->config, "log-format"), &format) != 0) {
        return error_set(err, ERROR_CONFIG_INVALID, "log-format must be text or json");
    }
    log_init("server", level);
    log_set_format(format);
    return 0;
}

/* The id that agents know the server by: the beginning of the CA certificate's fingerprint. */
static int read_id(struct server *server, struct error *err)
{
    uint8_t fingerprint[DIGEST_SIZE];
    char *path = server_path(server->data_directory, SERVER_FILE_CA);
    int result = pki_fingerprint(path, fingerprint, err);
    free(path);
    if (result == 0) {
        bytes_to_hex(fingerprint, SERVER_ID_BYTES, server->id);
    }
    return result;
}

/* What the configuration names. */
static int secret_file(const struct config *config, struct store_secret_file *file, struct error *err)
{
    const char *passphrase = config_text(config, "store-passphrase-file");
    const char *key = config_text(config, "store-key-file");
    if (passphrase != NULL && key != NULL) {
        return error_set(err, ERROR_CONFIG_INVALID,
                         "Of store-passphrase-file and store-key-file only one can be set");
    }
    *file = (struct store_secret_file){.kind = key != NULL ? STORE_KEY_FILE : STORE_KEY_PASSPHRASE,
                                       .path = key != NULL ? key : passphrase};
    return 0;
}

static struct store *open_store_by(const char *data_directory, const struct config *config,
                                   const struct store_secret_file *file, struct store_secret_bytes *secret,
                                   struct error *err)
{
    struct store_secret_file configured;
    struct store *store = NULL;
    const char *directory = config_text(config, "store");
    char *path =
        directory != NULL ? memory_copy_text(directory) : server_path(data_directory, SERVER_FILE_STORE);
    if (secret_file(config, &configured, err) == 0 &&
        store_secret_read(file != NULL && file->path != NULL ? file : &configured, secret, err) == 0) {
        struct store_open_options options = {.secret = store_secret_of(secret)};
        store = store_open(path, &options, err);
    }
    free(path);
    return store;
}

static int open_store(struct server *server, struct error *err)
{
    struct store_secret_bytes secret = {.bytes = NULL};
    server->store = open_store_by(server->data_directory, server->config, NULL, &secret, err);
    store_secret_clear(&secret);
    return server->store != NULL ? 0 : -1;
}

static bool make_room(void *cookie)
{
    return capacity_make_room(cookie);
}

static int open_audit(struct server *server, struct error *err)
{
    char *path = server_path(server->data_directory, SERVER_FILE_AUDIT_HEAD);
    server->audit = audit_open(server->catalog, path, err);
    free(path);
    return server->audit != NULL ? 0 : -1;
}

/* A server that can't write this starts nevertheless: it is needed to make room. */
static void note_life(struct server *server, const char *action)
{
    struct error err;
    struct audit_entry entry = {.actor = "server", .action = action, .object = HOLDFAST_VERSION};
    if (audit_note(server->audit, &entry, &err) != 0) {
        log_error("not on the audit record", &err);
    }
}

/* What store and catalog may disagree on after a crash. */
static int open_catalog(struct server *server, struct error *err)
{
    uint64_t imported;
    char *path = server_path(server->data_directory, SERVER_FILE_CATALOG);
    server->catalog = catalog_open(path, err);
    free(path);
    if (server->catalog != NULL) {
        catalog_on_full(server->catalog, make_room, server->capacity);
    }
    return server->catalog != NULL && factor_take_over(server->catalog, server->data_directory, err) == 0 &&
                   catalog_host_disconnect_all(server->catalog, err) == 0 &&
                   point_import_all(server->catalog, server->store, &imported, err) == 0 &&
                   point_mark_missing(server->catalog, server->store, err) == 0
               ? 0
               : -1;
}

/* The limits of every host. */
static int create_throttles(struct server *server, struct error *err)
{
    struct catalog_page page = {.limit = CATALOG_PAGE_MAX};
    struct arena *arena = arena_create();
    size_t count = 0;
    int result;
    server->throttles = throttles_create();
    do {
        const struct catalog_host *hosts;
        result = catalog_host_list(server->catalog, arena, &page, &hosts, &count, err);
        for (size_t i = 0; i < count && result == 0; i++) {
            throttles_set_host(server->throttles, hosts[i].id, &hosts[i].limit);
            page.after = hosts[i].number;
        }
    } while (result == 0 && count == CATALOG_PAGE_MAX);
    arena_destroy(arena);
    return result;
}

static int create_agents(struct server *server, struct error *err)
{
    int64_t port;
    if (config_integer(server->config, "agent-port", 0, UINT16_MAX, &port, err) != 0) {
        return -1;
    }
    struct agents_options options = {.catalog = server->catalog,
                                     .audit = server->audit,
                                     .data_directory = server->data_directory,
                                     .server_id = server->id,
                                     .address = config_text(server->config, "listen"),
                                     .port = (uint16_t)port};
    server->agents = agents_create(&options, err);
    return server->agents != NULL ? 0 : -1;
}

static int create_alerts(struct server *server, struct error *err)
{
    server->alerts = alerts_create(server->catalog, server->capacity, server->config, server->data_directory,
                                   server->id, err);
    return server->alerts != NULL ? 0 : -1;
}

static void on_job_ended(void *cookie)
{
    alerts_wake(cookie);
}

static void on_job_saved(void *cookie, const struct catalog_job *job)
{
    api_events_tell_job(cookie, job);
}

static int create_jobs(struct server *server, struct error *err)
{
    enum { HOUR_S = 3600, SECOND_MS = 1000 };
    const struct config *config = server->config;
    int64_t running, host_running, connections, attempts, retry, wait, idle, days;
    if (config_integer(config, "max-jobs", 1, 1000, &running, err) != 0 ||
        config_integer(config, "max-jobs-per-host", 1, 1000, &host_running, err) != 0 ||
        config_integer(config, "connections", 1, 8, &connections, err) != 0 ||
        config_integer(config, "verify-days", 0, 3650, &days, err) != 0 ||
        config_integer(config, "max-attempts", 1, 100, &attempts, err) != 0 ||
        config_integer(config, "retry-delay-seconds", 1, HOUR_S, &retry, err) != 0 ||
        config_integer(config, "reconnect-wait-seconds", 1, 24 * HOUR_S, &wait, err) != 0 ||
        config_integer(config, "idle-timeout-seconds", 1, HOUR_S, &idle, err) != 0) {
        return -1;
    }
    server->world = (struct server_world){server->agents, server->store, server->catalog, server->throttles,
                                          server->capacity};
    server_ports_fill(&server->ports, &server->world);
    struct jobs_options options = {.catalog = server->catalog,
                                   .ports = &server->ports,
                                   .saved = on_job_saved,
                                   .saved_cookie = server->events,
                                   .max_attempts = (unsigned)attempts,
                                   .retry_delay_ms = (unsigned)(retry * SECOND_MS),
                                   .reconnect_wait_ms = (unsigned)(wait * SECOND_MS),
                                   .idle_timeout_ms = (unsigned)(idle * SECOND_MS),
                                   .connections = (unsigned)connections,
                                   .max_running = (unsigned)running,
                                   .max_running_host = (unsigned)host_running,
                                   .verify_days = (unsigned)days,
                                   .ended = on_job_ended,
                                   .ended_cookie = server->alerts};
    server->jobs = jobs_create(&options, err);
    return server->jobs != NULL ? 0 : -1;
}

static void on_connected(void *cookie, const char *host_id)
{
    struct server *server = cookie;
    jobs_host_connected(server->jobs, host_id);
    api_events_tell_host(server->events, host_id, HOST_CONNECTED);
    alerts_wake(server->alerts);
}

static void on_lost(void *cookie, const char *host_id)
{
    struct server *server = cookie;
    api_events_tell_host(server->events, host_id, HOST_UNREACHABLE);
    alerts_wake(server->alerts);
}

static void on_reported(void *cookie, const char *host_id)
{
    (void)host_id;
    alerts_wake(((struct server *)cookie)->alerts);
}

static void on_progress(void *cookie, const char *host_id, const char *job_id, const char *step,
                        uint64_t done_bytes, uint64_t total_bytes)
{
    (void)done_bytes; /* the receiver counts what arrived */
    (void)total_bytes;
    jobs_host_progress(((struct server *)cookie)->jobs, host_id, job_id, step);
}

struct store *server_open_store(const char *data_directory, const char *config_path,
                                const struct store_secret_file *file, struct store_secret_bytes *secret,
                                struct error *err)
{
    struct config *config = load_config(data_directory, config_path, err);
    struct store *store = config != NULL ? open_store_by(data_directory, config, file, secret, err) : NULL;
    config_destroy(config);
    return store;
}

struct server *server_create(const char *data_directory, const char *config_path, struct error *err)
{
    struct server *server = memory_zalloc(sizeof *server);
    server->data_directory = memory_copy_text(data_directory);
    server->events = events_create();
    struct agents_events events = {.cookie = server,
                                   .connected = on_connected,
                                   .lost = on_lost,
                                   .reported = on_reported,
                                   .progress = on_progress};
    if (open_config(server, config_path, err) != 0 || read_id(server, err) != 0 ||
        (server->capacity = capacity_open(data_directory, server->config, err)) == NULL ||
        open_store(server, err) != 0 || open_catalog(server, err) != 0 ||
        capacity_watch(server->capacity, server->store, server->catalog, err) != 0 ||
        open_audit(server, err) != 0 || create_throttles(server, err) != 0 ||
        create_agents(server, err) != 0 || create_alerts(server, err) != 0 || create_jobs(server, err) != 0 ||
        agents_listen(server->agents, &events, err) != 0 || alerts_start(server->alerts, err) != 0 ||
        (server->scheduler = scheduler_start(server, err)) == NULL) {
        server_destroy(server);
        return NULL;
    }
    note_life(server, "server start");
    return server;
}

void server_destroy(struct server *server)
{
    if (server == NULL) {
        return;
    }
    scheduler_stop(server->scheduler);
    if (server->jobs != NULL) {
        jobs_stop(server->jobs);
    }
    if (server->agents != NULL) {
        agents_close(server->agents);
    }
    alerts_stop(server->alerts);
    jobs_destroy(server->jobs);
    agents_destroy(server->agents);
    alerts_destroy(server->alerts);
    events_destroy(server->events);
    throttles_destroy(server->throttles);
    if (server->audit != NULL && server->scheduler != NULL) {
        note_life(server, "server stop");
    }
    audit_close(server->audit);
    catalog_close(server->catalog);
    store_close(server->store);
    capacity_close(server->capacity);
    config_destroy(server->config);
    free(server->data_directory);
    free(server);
}
