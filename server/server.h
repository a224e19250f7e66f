/*
 * The server as a whole: makes its parts in order, runs them, and gives them to whoever needs them.
 * Everything that it gives lives until server_destroy and is thread-safe.
 */
#ifndef HOLDFAST_SERVER_SERVER_H
#define HOLDFAST_SERVER_SERVER_H

#include "base/config.h"
#include "base/error.h"
#include "server/agents/agents.h"
#include "server/api/events.h"
#include "server/audit/audit.h"
#include "server/capacity/capacity.h"
#include "server/catalog/catalog.h"
#include "server/jobs/jobs.h"
#include "server/store_secret.h"
#include "server/transfer/throttle.h"
#include "storage/store.h"

struct alerts;
struct server;

enum { AGENT_PORT_DEFAULT = 7460, API_PORT_DEFAULT = 7461 };

struct server_init_options {
    const char *data_directory;
    const char *listen_address; /* NULL: "0.0.0.0" */
    uint16_t agent_port;        /* 0: 7460 */
    uint16_t api_port;          /* 0: 7461 */
    const char *const *names;   /* more names and addresses for the certificate, ends with NULL; or NULL */
    uint32_t chunk_size;        /* of the store; 0: the default */
    const char *store;          /* its directory; NULL: DIR/store. A store that is there is taken over. */
    struct store_secret_file secret; /* of a store that is encrypted from now on */
};

/* Make CA, catalog, default policy, first store (DIR/store), DIR/admin.token and DIR/holdfastd.conf. What is
 * there already stays: so a lost catalog is made anew, and the next start lists the store's recovery points
 * in it. *made is false when nothing was missing. Blocks. */
int server_init(const struct server_init_options *options, bool *made, struct error *err);

/* A new DIR/admin.token, also while the server runs: the one before works no more, and the built-in
 * administrator has no second factor any more. NOT_INITIALIZED. */
int server_make_admin_token(const char *data_directory, struct error *err);

/* Open the store by itself, as for its keys. file with a path takes the place of what the configuration
 * names; *secret (out) is what opened it, to be cleared by the caller also on failure. */
struct store *server_open_store(const char *data_directory, const char *config_path,
                                const struct store_secret_file *file, struct store_secret_bytes *secret,
                                struct error *err);

/* config_path NULL: DIR/holdfastd.conf. NOT_INITIALIZED, STORE_LOCKED, CATALOG_NEWER, CONFIG_INVALID.
 * Everything runs but the API. */
struct server *server_create(const char *data_directory, const char *config_path, struct error *err);
/* Running jobs are stopped and taken up by the next start. The API is stopped before. NULL is fine. */
void server_destroy(struct server *server);

struct catalog *server_catalog(struct server *server);
struct jobs *server_jobs(struct server *server);
struct agents *server_agents(struct server *server);
struct store *server_store(struct server *server);
struct audit *server_audit(struct server *server);
struct capacity *server_capacity(struct server *server);
struct scheduler *server_scheduler(struct server *server);
struct events *server_events(struct server *server);
struct throttles *server_throttles(struct server *server);
struct alerts *server_alerts(struct server *server); /* server/alerts/alerts.h */
const struct config *server_config(struct server *server);
const char *server_data_directory(struct server *server);
const char *server_id(struct server *server);

/* The keys of holdfastd.conf: listen, agent-port, api-port, log-level, ... */
extern const struct config_key server_config_keys[];

#endif
