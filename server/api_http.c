/* HTTPS: connections, authentication, and the way of a request from the loop to a worker and back. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "base/pool.h"
#include "proto/loop.h"
#include "server/api_events.h"
#include "server/api_internal.h"
#include "server/api_once.h"
#include "server/audit/api_stranger.h"
#include "server/report/api_statistics.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    API_WORKERS = 6,
    API_QUEUE = 128,
    API_BODY_MAX = 1024 * 1024,
    API_HEADERS_MAX = 32768,
    API_TIMEOUT_S = 120,
    API_STREAM_BYTES = 8 * 1024 * 1024, /* of an export that wait for the client */
    API_LOGIN_WORKERS = 2,              /* who is not known can keep no other worker busy */
    API_LOGIN_QUEUE = 16,
    API_CODE_MAX = 64, /* of a second factor */
    API_SECOND_MS = 1000,
};

struct api {
    struct server *server;
    struct loop *loop;
    struct evhttp *http;
    SSL_CTX *tls;
    struct pool *pool;
    struct api_events *events; /* on the loop, as this: */
    bool closing;
    struct pool *login_pool;
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
    /* a stream */
    bool written;         /* all that was given to the connection; on the loop */
    bool ended;           /* nothing more comes; on the loop */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    size_t waiting; /* bytes given to the loop and not yet written */
    bool gone;
};

static void exchange_free(struct exchange *exchange)
{
    atomic_fetch_sub(&exchange->api->open, 1);
    api_export_destroy(exchange->call.export);
    api_event_filter_free(exchange->call.events);
    json_decref(exchange->call.body);
    json_decref(exchange->call.reply);
    json_decref(exchange->call.audit_changed);
    free(exchange->call.text);
    arena_destroy(exchange->call.arena);
    pthread_cond_destroy(&exchange->changed);
    pthread_mutex_destroy(&exchange->lock);
    if (exchange->body != NULL) {
        OPENSSL_cleanse(exchange->body, exchange->body_length); /* may hold a password */
    }
    free(exchange->body);
    free(exchange->query);
    free(exchange->answer);
    free(exchange);
}

static void on_client_gone(struct evhttp_connection *connection, void *cookie)
{
    (void)connection;
    struct exchange *exchange = cookie;
    if (!exchange->api->closing) { /* evhttp (2.1) then leaves a request that is not answered to us */
        evhttp_request_free(exchange->request);
    }
    exchange->request = NULL;
    pthread_mutex_lock(&exchange->lock);
    exchange->gone = true;
    pthread_cond_broadcast(&exchange->changed);
    pthread_mutex_unlock(&exchange->lock);
    if (exchange->ended) {
        exchange_free(exchange);
    }
}

static void release_request(struct exchange *exchange)
{
    if (exchange->request != NULL) {
        evhttp_connection_set_closecb(evhttp_request_get_connection(exchange->request), NULL, NULL);
    }
}

static const char content_json[] = "application/json";

static void send_text(struct evhttp_request *request, int status, const char *type, const char *text,
                      int64_t retry_after_ms)
{
    struct evbuffer *body = evbuffer_new();
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    char seconds[32];
    if (retry_after_ms > 0) {
        snprintf(seconds, sizeof seconds, "%lld",
                 (long long)(retry_after_ms + API_SECOND_MS - 1) / API_SECOND_MS);
        evhttp_add_header(headers, "Retry-After", seconds);
    }
    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evbuffer_add(body, text, strlen(text));
    evhttp_send_reply(request, status, NULL, body);
    evbuffer_free(body);
}

static void send_error(struct evhttp_request *request, const struct error *err, int64_t retry_after_ms)
{
    json_t *object = api_error_json(err);
    char *text = json_dumps(object, JSON_COMPACT);
    send_text(request, api_error_status(err), content_json, text != NULL ? text : "{}", retry_after_ms);
    free(text);
    json_decref(object);
}

/* On the loop. */
static void finish(void *cookie)
{
    struct exchange *exchange = cookie;
    release_request(exchange);
    if (exchange->request != NULL) {
        send_text(exchange->request, exchange->status,
                  exchange->call.content_type != NULL ? exchange->call.content_type : content_json,
                  exchange->answer, exchange->call.retry_after_ms);
    }
    exchange_free(exchange);
}

/* --- streams
 * ------------------------------------------------------------------------------------------------ */

struct piece {
    struct exchange *exchange;
    struct evbuffer *bytes;
    size_t length;
};

static void end_stream(struct exchange *exchange)
{
    release_request(exchange);
    if (exchange->request != NULL) {
        evhttp_send_reply_end(exchange->request);
    }
    exchange_free(exchange);
}

/* libevent calls this deferred: it may belong to an earlier piece than the last. The answer is only ended
 * when nothing is on its way: evhttp (2.1) takes a late call for an earlier piece for the end of the answer,
 * and writes no more. */
static void on_piece_written(struct evhttp_connection *connection, void *cookie)
{
    struct exchange *exchange = cookie;
    struct evbuffer *output = bufferevent_get_output(evhttp_connection_get_bufferevent(connection));
    if (evbuffer_get_length(output) > 0) {
        return;
    }
    exchange->written = true;
    pthread_mutex_lock(&exchange->lock);
    exchange->waiting = 0;
    pthread_cond_broadcast(&exchange->changed);
    pthread_mutex_unlock(&exchange->lock);
    if (exchange->ended) {
        end_stream(exchange);
    }
}

static void send_piece(void *cookie)
{
    struct piece *piece = cookie;
    struct exchange *exchange = piece->exchange;
    exchange->written = false;
    if (exchange->request != NULL) {
        evhttp_send_reply_chunk_with_cb(exchange->request, piece->bytes, on_piece_written, exchange);
    }
    evbuffer_free(piece->bytes);
    free(piece);
}

static int stream_sink(void *cookie, const void *bytes, size_t length)
{
    struct exchange *exchange = cookie;
    pthread_mutex_lock(&exchange->lock);
    while (exchange->waiting > API_STREAM_BYTES && !exchange->gone) {
        pthread_cond_wait(&exchange->changed, &exchange->lock);
    }
    bool gone = exchange->gone;
    exchange->waiting += length;
    pthread_mutex_unlock(&exchange->lock);
    if (gone) {
        return -1;
    }
    struct piece *piece = memory_alloc(sizeof *piece);
    *piece = (struct piece){.exchange = exchange, .bytes = evbuffer_new(), .length = length};
    evbuffer_add(piece->bytes, bytes, length);
    loop_post(exchange->api->loop, send_piece, piece);
    return 0;
}

static void start_stream(void *cookie)
{
    struct exchange *exchange = cookie;
    if (exchange->request != NULL) {
        evhttp_add_header(evhttp_request_get_output_headers(exchange->request), "Content-Type",
                          "application/vnd.holdfast.disk");
        evhttp_send_reply_start(exchange->request, 200, NULL);
    }
}

static void on_stream_ended(void *cookie)
{
    struct exchange *exchange = cookie;
    exchange->ended = true;
    if (exchange->written || exchange->request == NULL) {
        end_stream(exchange);
    }
}

/* The request goes on as a stream of events, without this exchange. */
static void start_events(void *cookie)
{
    struct exchange *exchange = cookie;
    struct evhttp_request *request = exchange->request;
    struct error err;
    release_request(exchange);
    if (request != NULL) {
        struct api_event_filter *filter = exchange->call.events;
        exchange->call.events = NULL;
        if (api_events_open(exchange->api->events, request, filter, &err) != 0) {
            send_error(request, &err, 0);
        }
    }
    exchange_free(exchange);
}

/* --- on a worker
 * -------------------------------------------------------------------------------------------- */

static int parse_body(struct exchange *exchange, struct error *err)
{
    json_error_t problem;
    if (exchange->body_length == 0) {
        exchange->call.body = json_object();
        return 0;
    }
    exchange->call.body = json_loadb(exchange->body, exchange->body_length, JSON_REJECT_DUPLICATES, &problem);
    if (!json_is_object(exchange->call.body)) {
        return error_set(err, ERROR_REQUEST_INVALID, "The request is not a JSON object: %s",
                         exchange->call.body == NULL ? problem.text : "something else");
    }
    return 0;
}

/* Who asks; on a worker, since the catalog knows. */
static int authenticate(struct exchange *exchange, struct error *err)
{
    struct api_call *call = &exchange->call;
    if (exchange->route->role == ROLE_ANYONE) {
        return 0;
    }
    if (exchange->token_digest[0] == '\0') {
        return error_set(err, ERROR_AUTHENTICATION_FAILED, "The request has no token");
    }
    if (access_authenticate(call->access, call->arena, exchange->token_digest, &call->identity, err) != 0) {
        return -1;
    }
    call->actor = call->identity.user_name;
    return 0;
}

/* What changes something is on the audit record before it is done, whatever becomes of it. */
static int handle(struct exchange *exchange, struct error *err)
{
    struct error unreadable;
    struct api_call *call = &exchange->call;
    bool readable = parse_body(exchange, &unreadable) == 0;
    if (!readable) {
        json_decref(call->body);
        call->body = NULL;
    }
    if (api_audit_begin(call, exchange->route, err) != 0) {
        return -1;
    }
    int result = readable ? api_once_run(call, exchange->route, err) : -1;
    if (!readable) {
        *err = unreadable;
    }
    api_audit_end(call, exchange->route, result == 0 ? NULL : err);
    return result;
}

static void take_answer(struct exchange *exchange)
{
    struct api_call *call = &exchange->call;
    exchange->status = call->status;
    exchange->answer = call->text != NULL ? call->text : json_dumps(call->reply, JSON_COMPACT);
    call->text = NULL;
    if (exchange->answer == NULL) {
        exchange->status = 500;
        exchange->answer =
            memory_copy_text("{\"code\":\"INTERNAL\",\"message\":\"The answer could not be made\"}");
    }
    api_statistics_count(exchange->api->statistics, exchange->status,
                         clock_monotonic_us() - exchange->arrived_us);
}

static void take_refusal(struct exchange *exchange, const struct error *err)
{
    json_decref(exchange->call.reply);
    exchange->call.reply = api_error_json(err);
    exchange->call.status = api_error_status(err);
    if (exchange->call.status >= 500) {
        log_error("a request failed", err);
    }
}

static void work(void *cookie)
{
    struct exchange *exchange = cookie;
    struct error err;
    exchange->call.status = 200;
    if (authenticate(exchange, &err) != 0) {
        api_stranger_note(server_audit(exchange->api->server), exchange->api->pool, exchange->call.address,
                          exchange->call.method, exchange->call.path, &err);
        take_refusal(exchange, &err);
    } else if (handle(exchange, &err) != 0) {
        take_refusal(exchange, &err);
    } else if (exchange->call.export != NULL) {
        loop_post(exchange->api->loop, start_stream, exchange);
        api_export_run(exchange->call.export, stream_sink, exchange);
        loop_post(exchange->api->loop, on_stream_ended, exchange);
        return;
    } else if (exchange->call.events != NULL) {
        loop_post(exchange->api->loop, start_events, exchange);
        return;
    }
    take_answer(exchange);
    loop_post(exchange->api->loop, finish, exchange);
}

/* --- on the loop
 * -------------------------------------------------------------------------------------------- */

/* The digest of the token that came; "" without one. */
static void read_token(struct evhttp_request *request, char digest[SECRET_DIGEST_SIZE])
{
    static const char scheme[] = "Bearer ";
    const char *header = evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization");
    digest[0] = '\0';
    if (header != NULL && strncmp(header, scheme, sizeof scheme - 1) == 0) {
        secret_digest(header + sizeof scheme - 1, digest);
    }
}

static const char *method_name(struct evhttp_request *request)
{
    switch (evhttp_request_get_command(request)) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    default:
        return "?";
    }
}

static const char *peer_address(struct evhttp_request *request)
{
    char *address = NULL;
    ev_uint16_t port = 0;
    evhttp_connection_get_peer(evhttp_request_get_connection(request), &address, &port);
    return address != NULL ? address : "";
}

/* NULL when it was not sent. */
static const char *header_text(struct exchange *exchange, const char *name)
{
    return arena_text(exchange->call.arena,
                      evhttp_find_header(evhttp_request_get_input_headers(exchange->request), name));
}

static struct exchange *exchange_create(struct api *api, struct evhttp_request *request)
{
    struct exchange *exchange = memory_zalloc(sizeof *exchange);
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
    exchange->api = api;
    exchange->request = request;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    const char *code =
        evhttp_find_header(evhttp_request_get_input_headers(request), "Holdfast-Second-Factor");
    struct api_call *call = &exchange->call;
    call->server = api->server;
    call->access = api->access;
    call->arena = arena_create();
    call->actor = "-";
    call->method = method_name(request);
    call->path = arena_text(call->arena, path != NULL ? path : "/");
    call->address = arena_text(call->arena, peer_address(request));
    call->second_factor = code != NULL && strlen(code) <= API_CODE_MAX ? arena_text(call->arena, code) : NULL;
    call->idempotency_key = header_text(exchange, "Idempotency-Key");
    call->last_event_id = header_text(exchange, "Last-Event-ID");
    read_token(request, exchange->token_digest);
    exchange->query = memory_copy_text(query);
    exchange->call.query = exchange->query;
    exchange->call.statistics = api->statistics;
    exchange->arrived_us = clock_monotonic_us();
    exchange->body_length = evbuffer_get_length(input);
    exchange->body = memory_alloc(exchange->body_length);
    evbuffer_remove(input, exchange->body, exchange->body_length);
    pthread_mutex_init(&exchange->lock, NULL);
    pthread_cond_init(&exchange->changed, NULL);
    atomic_fetch_add(&api->open, 1);
    return exchange;
}

static int admit(struct api *api, struct exchange *exchange, int64_t *wait_ms, struct error *err)
{
    struct api_call *call = &exchange->call;
    exchange->route = api_route_find(call, call->method, call->path, err);
    if (exchange->route == NULL) {
        return -1;
    }
    return access_admit(api->access, call->address,
                        exchange->token_digest[0] != '\0' ? exchange->token_digest : NULL,
                        exchange->route->role == ROLE_ANYONE, wait_ms, err);
}

/* Not taken up. */
static void refuse(struct api *api, struct evhttp_request *request, const struct error *err, int64_t wait_ms)
{
    api_statistics_count(api->statistics, api_error_status(err), 0);
    send_error(request, err, wait_ms);
}

static void on_request(struct evhttp_request *request, void *cookie)
{
    struct api *api = cookie;
    struct error err;
    int64_t wait_ms = 0;
    struct exchange *exchange = exchange_create(api, request);
    if (admit(api, exchange, &wait_ms, &err) != 0) {
        refuse(api, request, &err, wait_ms);
        exchange_free(exchange);
        return;
    }
    struct pool *pool = exchange->route->role == ROLE_ANYONE ? api->login_pool : api->pool;
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_client_gone, exchange);
    if (!pool_try_submit(pool, work, exchange)) {
        error_set(&err, ERROR_LIMIT_EXCEEDED, "The server has too many requests to answer");
        release_request(exchange);
        refuse(api, request, &err, API_SECOND_MS);
        exchange_free(exchange);
    }
}

static struct bufferevent *on_connection(struct event_base *base, void *cookie)
{
    struct api *api = cookie;
    struct bufferevent *io = bufferevent_openssl_socket_new(base, -1, SSL_new(api->tls),
                                                            BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_openssl_set_allow_dirty_shutdown(io, 1);
    return io;
}

/* --- beginning and end
 * -------------------------------------------------------------------------------------- */

static SSL_CTX *create_tls(const char *directory, struct error *err)
{
    char *chain = os_path_join(directory, "server.pem");
    char *key = os_path_join(directory, "server.key");
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (tls == NULL || SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) != 1 ||
        SSL_CTX_use_certificate_chain_file(tls, chain) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1) {
        error_set(err, ERROR_TLS_FAILED, "The certificate %s or its key can't be used", chain);
        error_set_cause(err, "%s", ERR_reason_error_string(ERR_get_error()));
        ERR_clear_error();
        SSL_CTX_free(tls);
        tls = NULL;
    } else {
        SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    }
    free(chain);
    free(key);
    return tls;
}

static int bound_port(struct evhttp_bound_socket *bound)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof address;
    if (getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &length) != 0) {
        return 0;
    }
    if (address.ss_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, &address, sizeof six);
        return ntohs(six.sin6_port);
    }
    struct sockaddr_in four;
    memcpy(&four, &address, sizeof four);
    return ntohs(four.sin_port);
}

static void listen_on_loop(void *cookie)
{
    struct api *api = cookie;
    const struct config *config = server_config(api->server);
    const char *address = config_text(config, "listen");
    int64_t port;
    if (config_integer(config, "api-port", 0, UINT16_MAX, &port, api->err) != 0) {
        api->result = -1;
        return;
    }
    api->http = evhttp_new(loop_event_base(api->loop));
    api->events = api_events_create(api->loop, server_events(api->server));
    evhttp_set_bevcb(api->http, on_connection, api);
    evhttp_set_gencb(api->http, on_request, api);
    evhttp_set_max_body_size(api->http, API_BODY_MAX);
    evhttp_set_max_headers_size(api->http, API_HEADERS_MAX);
    evhttp_set_timeout(api->http, API_TIMEOUT_S);
    evhttp_set_allowed_methods(api->http,
                               EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_DELETE | EVHTTP_REQ_PATCH);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(api->http, address, (uint16_t)port);
    if (bound == NULL) {
        api->result = error_set_errno(api->err, ERROR_CONFIG_INVALID, EVUTIL_SOCKET_ERROR(),
                                      "The API can't listen on %s, port %lld", address, (long long)port);
        return;
    }
    /* Connections have it from here: answers wait for nothing that the client acknowledges late. */
    int yes = 1;
    setsockopt(evhttp_bound_socket_get_fd(bound), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    api->port = (uint16_t)bound_port(bound);
    /* Connections inherit it: an answer in two pieces does not wait for the client's acknowledgement. */
    setsockopt(evhttp_bound_socket_get_fd(bound), IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

struct api *api_start(struct server *server, struct error *err)
{
    struct api *api = memory_zalloc(sizeof *api);
    api->server = server;
    api->statistics = api_statistics_create();
    api->err = err;
    if ((api->access = access_create(server_catalog(server), server_config(server), err)) == NULL ||
        api_once_start(server, err) != 0 ||
        (api->tls = create_tls(server_data_directory(server), err)) == NULL ||
        (api->pool = pool_create("api", API_WORKERS, API_QUEUE, err)) == NULL ||
        (api->login_pool = pool_create("api-login", API_LOGIN_WORKERS, API_LOGIN_QUEUE, err)) == NULL ||
        (api->loop = loop_create("api-loop", err)) == NULL) {
        api_stop(api);
        return NULL;
    }
    loop_run_on(api->loop, listen_on_loop, api);
    if (api->result != 0) {
        api_stop(api);
        return NULL;
    }
    return api;
}

static void close_on_loop(void *cookie)
{
    struct api *api = cookie;
    api_events_destroy(api->events);
    api->events = NULL;
    api->closing = true;
    if (api->http != NULL) {
        evhttp_free(api->http);
    }
}

static void nothing(void *cookie)
{
    (void)cookie;
}

void api_stop(struct api *api)
{
    if (api == NULL) {
        return;
    }
    if (api->loop != NULL) {
        loop_run_on(api->loop, close_on_loop, api); /* every client is gone now: streams end */
    }
    pool_destroy(api->pool);
    pool_destroy(api->login_pool);
    while (api->loop != NULL && atomic_load(&api->open) > 0) {
        loop_run_on(api->loop, nothing, NULL); /* answers on their way back to the loop */
    }
    loop_destroy(api->loop);
    SSL_CTX_free(api->tls);
    api_statistics_destroy(api->statistics);
    access_destroy(api->access);
    free(api);
}

uint16_t api_port(const struct api *api)
{
    return api->port;
}
