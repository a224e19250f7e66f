/* HTTPS: connections, authentication, and the way of a request from the loop to a worker and back. */
#include "base/bytes.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "base/pool.h"
#include "proto/loop.h"
#include "server/api_internal.h"

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
#include <stdlib.h>
#include <string.h>

enum {
    API_WORKERS = 6,
    API_QUEUE = 128,
    API_BODY_MAX = 1024 * 1024,
    API_HEADERS_MAX = 32768,
    API_TIMEOUT_S = 120,
    API_STREAM_BYTES = 8 * 1024 * 1024, /* of an export that wait for the client */
};

struct api {
    struct server *server;
    struct loop *loop;
    struct evhttp *http;
    SSL_CTX *tls;
    struct pool *pool;
    uint16_t port;
    char token_hash[65];
    atomic_uint open; /* requests between arrival and answer */
    struct error *err;
    int result;
};

/* One request. Lives on the loop, at a worker, and on the loop again. */
struct exchange {
    struct api *api;
    struct evhttp_request *request; /* NULL once the client is gone; touched on the loop only */
    const struct api_route *route;
    struct api_call call;
    char *body;
    size_t body_length;
    char *query;
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
    json_decref(exchange->call.body);
    json_decref(exchange->call.reply);
    arena_destroy(exchange->call.arena);
    pthread_cond_destroy(&exchange->changed);
    pthread_mutex_destroy(&exchange->lock);
    free(exchange->body);
    free(exchange->query);
    free(exchange->answer);
    free(exchange);
}

static void on_client_gone(struct evhttp_connection *connection, void *cookie)
{
    (void)connection;
    struct exchange *exchange = cookie;
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

static void send_json(struct evhttp_request *request, int status, const char *text)
{
    struct evbuffer *body = evbuffer_new();
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    evhttp_add_header(headers, "Content-Type", "application/json");
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evbuffer_add(body, text, strlen(text));
    evhttp_send_reply(request, status, NULL, body);
    evbuffer_free(body);
}

static void send_error(struct evhttp_request *request, const struct error *err)
{
    json_t *object = api_error_json(err);
    char *text = json_dumps(object, JSON_COMPACT);
    send_json(request, api_error_status(err), text != NULL ? text : "{}");
    free(text);
    json_decref(object);
}

/* On the loop. */
static void finish(void *cookie)
{
    struct exchange *exchange = cookie;
    release_request(exchange);
    if (exchange->request != NULL) {
        send_json(exchange->request, exchange->status, exchange->answer);
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

static void work(void *cookie)
{
    struct exchange *exchange = cookie;
    struct error err;
    exchange->call.status = 200;
    if (parse_body(exchange, &err) != 0 || exchange->route->handler(&exchange->call, &err) != 0) {
        json_decref(exchange->call.reply);
        exchange->call.reply = api_error_json(&err);
        exchange->call.status = api_error_status(&err);
        if (exchange->call.status >= 500) {
            log_error("a request failed", &err);
        }
    } else if (exchange->call.export != NULL) {
        loop_post(exchange->api->loop, start_stream, exchange);
        api_export_run(exchange->call.export, stream_sink, exchange);
        loop_post(exchange->api->loop, on_stream_ended, exchange);
        return;
    }
    exchange->status = exchange->call.status;
    exchange->answer = json_dumps(exchange->call.reply, JSON_COMPACT);
    if (exchange->answer == NULL) {
        exchange->status = 500;
        exchange->answer =
            memory_copy_text("{\"code\":\"INTERNAL\",\"message\":\"The answer could not be made\"}");
    }
    loop_post(exchange->api->loop, finish, exchange);
}

/* --- on the loop
 * -------------------------------------------------------------------------------------------- */

static int authenticate(struct api *api, struct evhttp_request *request, struct error *err)
{
    static const char scheme[] = "Bearer ";
    const char *header = evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization");
    uint8_t digest[DIGEST_SIZE];
    char hex[2 * DIGEST_SIZE + 1];
    if (header == NULL || strncmp(header, scheme, sizeof scheme - 1) != 0) {
        return error_set(err, ERROR_AUTHENTICATION_FAILED, "The request has no token");
    }
    const char *token = header + sizeof scheme - 1;
    digest_sha256(token, strlen(token), digest);
    bytes_to_hex(digest, sizeof digest, hex);
    if (CRYPTO_memcmp(hex, api->token_hash, sizeof hex - 1) != 0) {
        return error_set(err, ERROR_AUTHENTICATION_FAILED, "The token is wrong");
    }
    return 0;
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

static struct exchange *exchange_create(struct api *api, struct evhttp_request *request)
{
    struct exchange *exchange = memory_zalloc(sizeof *exchange);
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
    exchange->api = api;
    exchange->request = request;
    exchange->call.server = api->server;
    exchange->call.arena = arena_create();
    exchange->call.actor = "admin";
    exchange->call.address = arena_text(exchange->call.arena, peer_address(request));
    exchange->query = memory_copy_text(query);
    exchange->call.query = exchange->query;
    exchange->body_length = evbuffer_get_length(input);
    exchange->body = memory_alloc(exchange->body_length);
    evbuffer_remove(input, exchange->body, exchange->body_length);
    pthread_mutex_init(&exchange->lock, NULL);
    pthread_cond_init(&exchange->changed, NULL);
    atomic_fetch_add(&api->open, 1);
    return exchange;
}

static void on_request(struct evhttp_request *request, void *cookie)
{
    struct api *api = cookie;
    struct error err;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    if (authenticate(api, request, &err) != 0) {
        send_error(request, &err);
        return;
    }
    struct exchange *exchange = exchange_create(api, request);
    exchange->route = api_route_find(&exchange->call, method_name(request), path != NULL ? path : "/", &err);
    if (exchange->route == NULL) {
        send_error(request, &err);
        exchange_free(exchange);
        return;
    }
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), on_client_gone, exchange);
    if (!pool_try_submit(api->pool, work, exchange)) {
        error_set(&err, ERROR_LIMIT_EXCEEDED, "The server has too many requests to answer");
        release_request(exchange);
        send_error(request, &err);
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
    /* Connections inherit it: an answer is several writes, and none of them waits for an acknowledgement. */
    int one = 1;
    setsockopt(evhttp_bound_socket_get_fd(bound), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    api->port = (uint16_t)bound_port(bound);
}

static int read_token(struct api *api, struct error *err)
{
    struct arena *arena = arena_create();
    const char *hash = NULL;
    int result = catalog_setting_get(server_catalog(api->server), arena, "admin_token_hash", &hash, err);
    if (result == 0 && (hash == NULL || strlen(hash) != sizeof api->token_hash - 1)) {
        result = error_set(err, ERROR_NOT_INITIALIZED, "The catalog has no administrator's token");
    }
    if (result == 0) {
        memcpy(api->token_hash, hash, sizeof api->token_hash);
    }
    arena_destroy(arena);
    return result;
}

struct api *api_start(struct server *server, struct error *err)
{
    struct api *api = memory_zalloc(sizeof *api);
    api->server = server;
    api->err = err;
    if (read_token(api, err) != 0 || (api->tls = create_tls(server_data_directory(server), err)) == NULL ||
        (api->pool = pool_create("api", API_WORKERS, API_QUEUE, err)) == NULL ||
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
    while (api->loop != NULL && atomic_load(&api->open) > 0) {
        loop_run_on(api->loop, nothing, NULL); /* answers on their way back to the loop */
    }
    loop_destroy(api->loop);
    SSL_CTX_free(api->tls);
    free(api);
}

uint16_t api_port(const struct api *api)
{
    return api->port;
}
