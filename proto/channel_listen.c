#include "base/log.h"
#include "base/memory.h"
#include "proto/channel_internal.h"
#include "proto/tls_internal.h"

#include <arpa/inet.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct channel_listener {
    struct loop *loop;
    struct tls *tls;
    struct evconnlistener *socket;
    uint16_t port;
    unsigned max_connections;
    unsigned connections;
    bool closed; /* freed when the last connection is gone */
    struct channel *channels;
    struct listener_drain *drain; /* of who waits for the end of all connections */
    void (*accepted)(void *cookie, struct channel *channel, const Holdfast__Hello *peer);
    void *cookie;
};

/* Somebody who waits for the end of all connections. */
struct listener_drain {
    struct channel_listener *listener;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

static void listener_tell_drained(struct channel_listener *listener)
{
    if (listener->drain != NULL && listener->connections == 0) {
        pthread_mutex_lock(&listener->drain->lock);
        listener->drain->done = true;
        pthread_cond_signal(&listener->drain->changed);
        pthread_mutex_unlock(&listener->drain->lock);
        listener->drain = NULL;
    }
}

static void listener_free_if_done(struct channel_listener *listener)
{
    if (listener->closed && listener->connections == 0) {
        free(listener);
    }
}

void channel_listener_forget(struct channel *channel)
{
    struct channel_listener *listener = channel->listener;
    struct channel **link = &listener->channels;
    while (*link != channel) {
        link = &(*link)->listener_next;
    }
    *link = channel->listener_next;
    listener->connections--;
    listener_tell_drained(listener);
    listener_free_if_done(listener);
}

static void format_address(const struct sockaddr *address, char *out, size_t size)
{
    char text[INET6_ADDRSTRLEN] = "?";
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        snprintf(out, size, "%s:%u", text, ntohs(v4->sin_port));
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        snprintf(out, size, "[%s]:%u", text, ntohs(v6->sin6_port));
    }
}

static void on_accept(struct evconnlistener *socket, evutil_socket_t fd, struct sockaddr *address, int length,
                      void *cookie)
{
    (void)socket;
    (void)length;
    struct channel_listener *listener = cookie;
    SSL *ssl = listener->connections < listener->max_connections ? tls_session(listener->tls) : NULL;
    if (ssl == NULL) {
        log_event(LOG_WARNING, "connection refused", "reason=\"%u connections are open\"",
                  listener->connections);
        close(fd);
        return;
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct channel *channel = channel_create(listener->loop);
    Holdfast__Hello hello = HOLDFAST__HELLO__INIT;
    channel_set_hello(channel, &hello);
    format_address(address, channel->peer_address, sizeof channel->peer_address);
    channel->listener = listener;
    channel->accepted = listener->accepted;
    channel->cookie = listener->cookie;
    channel->ssl = ssl;
    channel->io =
        bufferevent_openssl_socket_new(loop_event_base(listener->loop), fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                       BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    bufferevent_openssl_set_allow_dirty_shutdown(channel->io, 1);
    channel->listener_next = listener->channels;
    listener->channels = channel;
    listener->connections++;
    channel_start(channel);
}

struct listen_request {
    struct channel_listener *listener;
    const char *address;
    uint16_t port;
    struct error *err;
    int result;
};

static int parse_address(const char *text, uint16_t port, struct sockaddr_storage *out, int *length)
{
    struct sockaddr_in *v4 = (void *)out;
    struct sockaddr_in6 *v6 = (void *)out;
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        *length = sizeof *v4;
        return 0;
    }
    if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        *length = sizeof *v6;
        return 0;
    }
    return -1;
}

static uint16_t bound_port(evutil_socket_t fd)
{
    struct sockaddr_storage bound = {0};
    socklen_t length = sizeof bound;
    if (getsockname(fd, (struct sockaddr *)&bound, &length) != 0) {
        return 0;
    }
    if (bound.ss_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, &bound, sizeof six);
        return ntohs(six.sin6_port);
    }
    struct sockaddr_in four;
    memcpy(&four, &bound, sizeof four);
    return ntohs(four.sin_port);
}

static void listen_on_loop(void *cookie)
{
    struct listen_request *request = cookie;
    struct channel_listener *listener = request->listener;
    struct sockaddr_storage address;
    int length;
    if (parse_address(request->address, request->port, &address, &length) != 0) {
        request->result =
            error_set(request->err, ERROR_CONFIG_INVALID, "%s is not an IP address", request->address);
        return;
    }
    listener->socket =
        evconnlistener_new_bind(loop_event_base(listener->loop), on_accept, listener,
                                LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 1024,
                                (struct sockaddr *)&address, length);
    if (listener->socket == NULL) {
        request->result = error_set_errno(request->err, ERROR_CONFIG_INVALID, EVUTIL_SOCKET_ERROR(),
                                          "Can't listen on %s, port %u", request->address, request->port);
        return;
    }
    listener->port = bound_port(evconnlistener_get_fd(listener->socket));
}

struct channel_listener *channel_listen(struct loop *loop, const char *address, uint16_t port,
                                        struct tls *tls, unsigned max_connections,
                                        void (*accepted)(void *cookie, struct channel *channel,
                                                         const Holdfast__Hello *peer),
                                        void *cookie, struct error *err)
{
    struct channel_listener *listener = memory_zalloc(sizeof *listener);
    *listener = (struct channel_listener){
        .loop = loop, .tls = tls, .max_connections = max_connections, .accepted = accepted, .cookie = cookie};
    struct listen_request request = {.listener = listener, .address = address, .port = port, .err = err};
    loop_run_on(loop, listen_on_loop, &request);
    if (request.result != 0) {
        free(listener);
        return NULL;
    }
    return listener;
}

uint16_t channel_listener_port(const struct channel_listener *listener)
{
    return listener->port;
}

static void close_on_loop(void *cookie)
{
    struct channel_listener *listener = cookie;
    evconnlistener_free(listener->socket);
    listener->closed = true;
    listener_free_if_done(listener);
}

void channel_listener_close(struct channel_listener *listener)
{
    if (listener != NULL) {
        loop_run_on(listener->loop, close_on_loop, listener);
    }
}

static void drain_on_loop(void *cookie)
{
    struct listener_drain *drain = cookie;
    struct channel_listener *listener = drain->listener;
    listener->drain = drain;
    for (struct channel *channel = listener->channels; channel != NULL; channel = channel->listener_next) {
        channel_finish(channel, NULL, true); /* ends later, through the loop */
    }
    listener_tell_drained(listener);
    evconnlistener_free(listener->socket);
    listener->closed = true;
    listener_free_if_done(listener);
}

void channel_listener_drain(struct channel_listener *listener)
{
    struct listener_drain drain = {.listener = listener};
    pthread_mutex_init(&drain.lock, NULL);
    pthread_cond_init(&drain.changed, NULL);
    loop_run_on(listener->loop, drain_on_loop, &drain);
    pthread_mutex_lock(&drain.lock);
    while (!drain.done) { /* a closing channel lingers CHANNEL_LINGER_MS at most */
        pthread_cond_wait(&drain.changed, &drain.lock);
    }
    pthread_mutex_unlock(&drain.lock);
    pthread_cond_destroy(&drain.changed);
    pthread_mutex_destroy(&drain.lock);
}

void channel_adopt(struct channel *channel, const struct channel_handlers *handlers, void *cookie)
{
    channel->handlers = *handlers;
    channel->cookie = cookie;
    channel_ref(channel);
}
