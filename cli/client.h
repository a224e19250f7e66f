/*
 * The admin API's client (libcurl): HTTPS only, TLS 1.2 or newer, the certificate checked against the
 * authority of `holdfast login`. All calls block. Not thread-safe.
 */
#ifndef HOLDFAST_CLI_CLIENT_H
#define HOLDFAST_CLI_CLIENT_H

#include "cli/failure.h"
#include "cli/settings.h"
#include <stddef.h>

struct client;

/* The settings are copied. Without a token only what needs none is answered. */
struct client *client_create(const struct settings *settings, struct failure *failure);
/* Calls take so long at most. */
void client_limit_time(struct client *client, long seconds);
void client_destroy(struct client *client); /* NULL is fine */

/* The code of a second factor, for every request from now on; once. -1: it is no code. */
int client_set_code(struct client *client, const char *code, struct failure *failure);
/* Where one is asked for when the server wants it: malloc'd, or NULL. */
void client_ask_code(struct client *client, char *(*ask)(void));

/* A path (or query value) from a template in which every %s is a text that is percent-encoded. malloc'd. */
char *client_path(const char *template, ...) __attribute__((format(printf, 1, 2)));

/* One whose connection is cut off before the answer is made again; the server does what is asked once (every
 * one but GET carries an Idempotency-Key). method: "GET", "POST", ... body: NULL or an object, taken over.
 * reply: NULL, or where the answer goes (NULL when it had no body). */
int client_call(struct client *client, const char *method, const char *path, json_t *body, json_t **reply,
                struct failure *failure);
/* All items of a list, page by page, at most `limit` of them (0: all), as one array. path may have a query.
 */
int client_list(struct client *client, const char *path, size_t limit, json_t **items,
                struct failure *failure);

/* Bytes of a long answer as they come; non-zero stops the transfer, which then fails without touching
 * failure: the sink's owner knows why. */
typedef int (*client_sink)(void *cookie, const void *bytes, size_t length);
int client_stream(struct client *client, const char *path, client_sink sink, void *cookie,
                  struct failure *failure);

#endif
