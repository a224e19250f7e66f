/* What client.c and client_stream.c share. */
#ifndef HOLDFAST_CLI_CLIENT_INTERNAL_H
#define HOLDFAST_CLI_CLIENT_INTERNAL_H

#include "base/buffer.h"
#include "base/identity.h"
#include "cli/client.h"
#include <curl/curl.h>
#include <stdbool.h>

struct client {
    CURL *curl;
    struct curl_slist *headers;
    char *server;
    char *ca;
    char key[IDENTITY_SIZE]; /* of this run of the program; with `calls` each request's Idempotency-Key */
    unsigned calls;
    long limit_s;  /* of a call; 0: the usual */
    bool has_code; /* of a second factor, among the headers */
    char *(*ask_code)(void);
    char reason[CURL_ERROR_SIZE];
};

/* Everything that one request is made of; the handle's connection is reused. */
void client_prepare(struct client *client, const char *method, const char *url);
int client_fail(const struct client *client, CURLcode code, struct failure *failure);
int client_parse(struct buffer *body, json_t **reply, struct failure *failure);

#endif
