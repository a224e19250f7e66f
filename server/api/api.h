/*
 * The admin API: JSON over HTTPS (docs/openapi.yaml), on an event loop of its own. Requests are handled on a
 * small pool; the number of connections and the size of what they send are bounded.
 */
#ifndef HOLDFAST_SERVER_API_H
#define HOLDFAST_SERVER_API_H

#include "server/server.h"

struct api;

/* Listens on `listen`:`api-port` of the configuration with server.pem and server.key. CONFIG_INVALID,
 * TLS_FAILED. */
struct api *api_start(struct server *server, struct error *err);
/* Ends what is being served. Blocks shortly. NULL is fine. */
void api_stop(struct api *api);
uint16_t api_port(const struct api *api);

#endif
