/* Inside the module: what the API's listener and the way of one request share. */
#ifndef HOLDFAST_SERVER_API_EXCHANGE_H
#define HOLDFAST_SERVER_API_EXCHANGE_H

#include "base/pool.h"
#include "proto/loop.h"
#include "server/api/api_events.h"
#include "server/api/api_internal.h"
#include "server/report/api_statistics.h"

#include <event2/http.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

enum { API_TIMEOUT_S = 120, API_SECOND_MS = 1000, API_EXPORTS = 8 };

struct api {
    struct server *server;
    struct loop *loop;
    struct evhttp *http;
    SSL_CTX *tls;
    struct pool *pool;
    struct api_events *events; /* on the loop, as this: */
    bool closing;
    struct pool *login_pool;
    struct pool *export_pool; /* API_EXPORTS threads: clients that read slowly keep none of the others busy */
    atomic_uint exports;      /* that have one, or will */
    struct access *access;
    uint16_t port;
    atomic_uint open; /* requests between arrival and answer */
    struct api_statistics *statistics;
    struct error *err;
    int result;
};

/* One request. Lives on the loop, at a worker, and on the loop again. */
struct exchange {
    struct api *api;
    struct evhttp_request *request; /* NULL once the client is gone; touched on the loop only */
    const struct api_route *route;
    struct api_call call;
    char token_digest[SECRET_DIGEST_SIZE]; /* "": none came */
    char *body;
    size_t body_length;
    char *query;
    int64_t arrived_us;
    int status;
    char *answer;
    bool exports; /* it is counted among the exports */
    /* a stream */
    bool written;         /* all that was given to the connection; on the loop */
    bool ended;           /* nothing more comes; on the loop */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    size_t waiting; /* bytes given to the loop and not yet written */
    bool gone;
};

/* On the loop, with the request's body and headers taken over. */
struct exchange *exchange_create(struct api *api, struct evhttp_request *request);
/* Nobody has it any more. */
void exchange_free(struct exchange *exchange);
/* Hold on to the request until its client goes, or let go of it; on the loop. */
void exchange_watch(struct exchange *exchange);
void exchange_release(struct exchange *exchange);
/* Authenticates, answers, and gives the exchange back to the loop, which ends it. A worker's job: blocks. */
void exchange_work(void *exchange);
/* Answers without an exchange; on the loop. retry_after_ms 0: says nothing of it. */
void exchange_send_error(struct evhttp_request *request, const struct error *err, int64_t retry_after_ms);

#endif
