#include "base/memory.h"
#include "proto/channel_internal.h"
#include "proto/tls_internal.h"

#include <event2/bufferevent_ssl.h>
#include <event2/util.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PROXY_ANSWER_MAX = 16384 };

/* "user:password" in base64 (RFC 4648), malloc'd. */
static char *basic_credentials(const char *user, const char *password)
{
    char *plain = memory_format("%s:%s", user, password != NULL ? password : "");
    size_t length = strlen(plain);
    char *encoded = memory_zalloc(4 * ((length + 2) / 3) + 1);
    EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)plain, (int)length);
    OPENSSL_cleanse(plain, length);
    free(plain);
    return encoded;
}

static char *proxy_request(const struct channel_target *target)
{
    bool v6 = strchr(target->host, ':') != NULL;
    char *authority = memory_format(v6 ? "[%s]:%u" : "%s:%u", target->host, target->port);
    char *request;
    if (target->proxy->user != NULL) {
        char *credentials = basic_credentials(target->proxy->user, target->proxy->password);
        request = memory_format("CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Basic %s\r\n\r\n",
                                authority, authority, credentials);
        OPENSSL_cleanse(credentials, strlen(credentials));
        free(credentials);
    } else {
        request = memory_format("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority, authority);
    }
    free(authority);
    return request;
}

/* TLS over what is connected already. */
static int start_tls_behind_proxy(struct channel *channel, struct error *err)
{
    SSL *ssl = tls_session(channel->tls);
    struct bufferevent *filter =
        ssl != NULL ? bufferevent_openssl_filter_new(loop_event_base(channel->loop), channel->io, ssl,
                                                     BUFFEREVENT_SSL_CONNECTING, BEV_OPT_CLOSE_ON_FREE)
                    : NULL;
    if (filter == NULL) {
        return tls_error(err, ERR_get_error());
    }
    channel->io = filter;
    channel->ssl = ssl;
    bufferevent_openssl_set_allow_dirty_shutdown(filter, 1);
    channel_start(channel);
    return 0;
}

static int proxy_status(const char *answer, const char *name, struct error *err)
{
    static const char version[] = "HTTP/1.";
    const char *space = strncmp(answer, version, sizeof version - 1) == 0 ? strchr(answer, ' ') : NULL;
    unsigned long status = space != NULL ? strtoul(space, NULL, 10) : 0;
    if (status == 0) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "The proxy did not answer with HTTP");
    }
    if (status == 407) {
        return error_set(err, ERROR_PROXY_AUTH_REQUIRED,
                         "The proxy asks for authentication (407) to reach %s", name);
    }
    if (status < 200 || status > 299) {
        return error_set(err, ERROR_SERVER_UNREACHABLE, "The proxy refused to reach %s with status %lu", name,
                         status);
    }
    return 0;
}

void channel_read_proxy(struct channel *channel)
{
    struct evbuffer *input = bufferevent_get_input(channel->io);
    struct evbuffer_ptr end = evbuffer_search(input, "\r\n\r\n", 4, NULL);
    struct error err;
    if (end.pos < 0) {
        if (evbuffer_get_length(input) > PROXY_ANSWER_MAX) {
            error_set(&err, ERROR_PROTOCOL_INVALID, "The proxy's answer is too long");
            channel_finish(channel, &err, false);
        }
        return;
    }
    size_t length = (size_t)end.pos + 4;
    char *answer = memory_zalloc(length + 1);
    evbuffer_remove(input, answer, length);
    OPENSSL_cleanse(channel->proxy_request, strlen(channel->proxy_request));
    free(channel->proxy_request);
    channel->proxy_request = NULL;
    if (proxy_status(answer, channel->target_name, &err) != 0 || start_tls_behind_proxy(channel, &err) != 0) {
        channel_finish(channel, &err, false);
    }
    free(answer);
}

struct connect_request {
    struct channel *channel;
    char *host; /* to dial: the target or the proxy */
    uint16_t port;
};

static void connect_on_loop(void *cookie)
{
    struct connect_request *request = cookie;
    struct channel *channel = request->channel;
    struct event_base *base = loop_event_base(channel->loop);
    struct error err;
    if (channel->proxy_request != NULL) {
        channel->io = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    } else {
        channel->ssl = tls_session(channel->tls);
        channel->io = bufferevent_openssl_socket_new(base, -1, channel->ssl, BUFFEREVENT_SSL_CONNECTING,
                                                     BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
        bufferevent_openssl_set_allow_dirty_shutdown(channel->io, 1);
    }
    channel_start(channel);
    /* Without a resolver of its own libevent looks the name up at once; agents dial from a loop that has
     * nothing else to do while it is not connected. */
    if (bufferevent_socket_connect_hostname(channel->io, NULL, AF_UNSPEC, request->host, request->port) !=
            0 &&
        channel->state == CHANNEL_HANDSHAKE) {
        error_set_errno(&err, ERROR_SERVER_UNREACHABLE, EVUTIL_SOCKET_ERROR(), "%s can't be reached",
                        channel->target_name);
        channel_finish(channel, &err, false);
    }
    channel_unref(channel);
    free(request->host);
    free(request);
}

struct channel *channel_connect(struct loop *loop, const struct channel_target *target, struct tls *tls,
                                const Holdfast__Hello *hello, const struct channel_handlers *handlers,
                                void *cookie)
{
    struct channel *channel = channel_create(loop);
    struct connect_request *request = memory_zalloc(sizeof *request);
    channel->dialled = true;
    channel->handlers = *handlers;
    channel->cookie = cookie;
    channel->tls = tls;
    channel->target_name = memory_format("%s:%u", target->host, target->port);
    snprintf(channel->peer_address, sizeof channel->peer_address, "%.63s", channel->target_name);
    channel_set_hello(channel, hello);
    request->host = memory_copy_text(target->host);
    request->port = target->port;
    if (target->proxy != NULL) {
        channel->proxy_request = proxy_request(target);
        free(request->host);
        request->host = memory_copy_text(target->proxy->host);
        request->port = target->proxy->port;
    }
    request->channel = channel_ref(channel);
    channel_ref(channel); /* the caller's; the first belongs to the open connection */
    loop_post(loop, connect_on_loop, request);
    return channel;
}
