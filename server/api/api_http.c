/* HTTPS: connections, who is let in, and the workers that answer. */
#include "base/log.h"
#include "base/memory.h"
#include "base/os_file.h"
#include "server/api/api_exchange.h"
#include "server/api/api_once.h"

#include <arpa/inet.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

enum {
    API_WORKERS = 6,
    API_QUEUE = 128,
    API_BODY_MAX = 1024 * 1024,
    API_HEADERS_MAX = 32768,
    API_LOGIN_WORKERS = 2, /* who is not known can keep no other worker busy */
    API_LOGIN_QUEUE = 16,
};

/* --- on the loop
 * -------------------------------------------------------------------------------------------- */

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
    exchange_send_error(request, err, wait_ms);
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
    exchange_watch(exchange);
    if (!pool_try_submit(pool, exchange_work, exchange)) {
        error_set(&err, ERROR_LIMIT_EXCEEDED, "The server has too many requests to answer");
        exchange_release(exchange);
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
    if ((api->access = access_create(server_catalog(server), server_config(server),
                                     server_data_directory(server), err)) == NULL ||
        api_once_start(server, err) != 0 ||
        (api->tls = create_tls(server_data_directory(server), err)) == NULL ||
        (api->pool = pool_create("api", API_WORKERS, API_QUEUE, err)) == NULL ||
        (api->login_pool = pool_create("api-login", API_LOGIN_WORKERS, API_LOGIN_QUEUE, err)) == NULL ||
        (api->export_pool = pool_create("api-export", API_EXPORTS, API_EXPORTS, err)) == NULL ||
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
    pool_destroy(api->export_pool); /* behind those that hand over to it */
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
