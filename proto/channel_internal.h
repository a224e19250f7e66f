/* Inside the room: a channel's state, shared by its connecting, listening and running parts. Everything but
 * what `lock` guards belongs to the loop's thread. */
#ifndef HOLDFAST_PROTO_CHANNEL_INTERNAL_H
#define HOLDFAST_PROTO_CHANNEL_INTERNAL_H

#include "proto/channel.h"
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    CHANNEL_HANDSHAKE_MS = 10000,
    CHANNEL_PING_MS = 30000,
    CHANNEL_SILENCE_MS = 90000,
    CHANNEL_LINGER_MS = 2000,
    CHANNEL_OUTPUT_MAX = 64 * 1024 * 1024,
    CHANNEL_STRANGER_MAX = 64 * 1024, /* a peer without certificate sends no longer message */
    CHANNEL_SINGLE_IO = 256 * 1024,   /* bytes libevent moves at once */
};

enum channel_state {
    CHANNEL_HANDSHAKE, /* proxy, TLS, hello */
    CHANNEL_OPEN,
    CHANNEL_CLOSING, /* sends what is queued, discards what comes */
    CHANNEL_CLOSED,
};

struct channel {
    atomic_uint references;
    struct loop *loop;
    struct bufferevent *io;
    SSL *ssl; /* owned by io */
    enum channel_state state;
    struct channel_handlers handlers;
    void *cookie;
    struct loop_timer *timer; /* handshake, then pings, then lingering */
    int64_t heard_ms;         /* when the peer was last heard */
    struct error why;         /* of closing */

    bool dialled;
    void (*accepted)(void *cookie, struct channel *channel, const Holdfast__Hello *peer); /* of a listener */
    struct channel_listener *listener;
    struct channel *listener_next; /* among the listener's channels */

    uint8_t *hello; /* packed, to be sent when TLS is up */
    size_t hello_length;
    char *proxy_request; /* until the proxy has answered */
    struct tls *tls;     /* borrowed, to start TLS behind the proxy */
    char *target_name;   /* for messages: "host:port" */

    char peer_host[64];
    char peer_serial[64];
    char peer_address[64];

    pthread_mutex_t lock;    /* guards what follows */
    struct evbuffer *output; /* queued by channel_send, not yet handed to io */
    size_t queued;           /* there and in io */
    bool flush_posted;
    bool refusing; /* closing or closed: nothing more is queued */
};

struct channel *channel_create(struct loop *loop);
/* Install io's callbacks and the handshake timer. */
void channel_start(struct channel *channel);
/* The hello that this side says, packed. */
void channel_set_hello(struct channel *channel, const Holdfast__Hello *hello);
/* Begin to close, on the loop. why NULL: closed by this side. */
void channel_finish(struct channel *channel, const struct error *why, bool tell_peer);
/* The proxy phase of a dialled channel: called with what came in. */
void channel_read_proxy(struct channel *channel);
/* A listener's channel has ended. */
void channel_listener_forget(struct channel *channel);

#endif
