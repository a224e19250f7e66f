/* What the files of the server itself share: where things lie, and what jobs see of the rest. */
#ifndef HOLDFAST_SERVER_SERVER_INTERNAL_H
#define HOLDFAST_SERVER_SERVER_INTERNAL_H

#include "server/server.h"

enum server_file {
    SERVER_FILE_CONFIG,
    SERVER_FILE_CATALOG,
    SERVER_FILE_STORE,
    SERVER_FILE_CA,
    SERVER_FILE_CERTIFICATE,
    SERVER_FILE_TOKEN,
    SERVER_FILE_AUDIT_HEAD,
};

/* Path of a file of the data directory, malloc'd. */
char *server_path(const char *data_directory, enum server_file file);

/* What jobs act on. */
struct server_world {
    struct agents *agents;
    struct store *store;
    struct catalog *catalog;
    struct throttles *throttles;
    struct capacity *capacity;
};

/* The real world for the job engine, borrowed as long as the ports are used. */
void server_ports_fill(struct job_ports *ports, struct server_world *world);

#endif
