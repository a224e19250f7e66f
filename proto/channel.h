/*
 * A TLS connection that carries frames, on a loop. Hellos are exchanged by the channel itself: `opened` is
 * called when the peer's hello is in and the versions fit (AGENT_TOO_OLD otherwise). Pings are answered here;
 * a peer that is silent for 90 s is closed (a ping goes out every 30 s).
 *
 * Reference-counted. Handlers run on the loop's thread and must not block. channel_send may be called from
 * any thread.
 */
#ifndef HOLDFAST_PROTO_CHANNEL_H
#define HOLDFAST_PROTO_CHANNEL_H

#include "proto/common.pb-c.h"
#include "proto/frame.h"
#include "proto/loop.h"
#include "proto/tls.h"
#include <stdbool.h>

enum { CHANNEL_PROTOCOL_VERSION = 1, CHANNEL_PROTOCOL_OLDEST = 1 };

struct channel;

struct channel_handlers {
    void (*opened)(void *cookie, struct channel *channel, const Holdfast__Hello *peer);
    /* message and payload are borrowed for the call. */
    void (*frame)(void *cookie, struct channel *channel, const struct frame_header *header,
                  const uint8_t *message, const uint8_t *payload);
    /* Called exactly once, last; why is never NULL (CONNECTION_LOST for a plain end). */
    void (*closed)(void *cookie, struct channel *channel, const struct error *why);
};

struct channel_proxy {
    const char *host; /* HTTP CONNECT (RFC 9110, 9.3.6) */
    uint16_t port;
    const char *user; /* NULL: none; Basic authentication */
    const char *password;
};

struct channel_target {
    const char *host;
    uint16_t port;
    const struct channel_proxy *proxy; /* NULL: direct */
};

/* Dial. hello: what to say (version fields are filled in). Returns a channel with one reference for the
 * caller; failures to connect come through `closed`. All arguments are copied. */
struct channel *channel_connect(struct loop *loop, const struct channel_target *target, struct tls *tls,
                                const Holdfast__Hello *hello, const struct channel_handlers *handlers,
                                void *cookie);

struct channel_listener;
/* accepted: called on the loop for every connection whose TLS is up and whose hello came; it sets handlers
 * with channel_adopt or lets it go (the channel is then closed). At most max_connections at once; more are
 * refused. */
struct channel_listener *channel_listen(struct loop *loop, const char *address, uint16_t port,
                                        struct tls *tls, unsigned max_connections,
                                        void (*accepted)(void *cookie, struct channel *channel,
                                                         const Holdfast__Hello *peer),
                                        void *cookie, struct error *err);
uint16_t channel_listener_port(const struct channel_listener *listener);
void channel_listener_close(struct channel_listener *listener);
/* Close it and every connection that it accepted, and wait for their end: a few seconds at most. Not from the
 * loop. */
void channel_listener_drain(struct channel_listener *listener);
/* In `accepted` only: take the channel over; a reference for the caller. `opened` is not called. */
void channel_adopt(struct channel *channel, const struct channel_handlers *handlers, void *cookie);

struct channel *channel_ref(struct channel *channel);
void channel_unref(struct channel *channel);
struct loop *channel_loop(const struct channel *channel);

/* Queue a frame. message may be NULL; payload is copied. False when the channel is closed or its output holds
 * more than the bound (64 MiB): the channel is then closed with LIMIT_EXCEEDED. */
bool channel_send(struct channel *channel, const struct frame_header *header, const ProtobufCMessage *message,
                  const void *payload);
/* Bytes queued and not yet given to the kernel. Any thread. */
size_t channel_queued(struct channel *channel);
/* Stop (or go on) reading: back-pressure to the peer. Any thread. */
void channel_pause_reading(struct channel *channel, bool pause);
/* Close; `closed` follows with `why` (NULL: CONNECTION_LOST, "closed by this side"). What is queued is sent
 * first, for at most a second. Any thread; again is fine. */
void channel_close(struct channel *channel, const struct error *why);

/* The host id of the peer's certificate, empty without one; and its serial (hexadecimal). As long as the
 * channel is. */
const char *channel_peer_host(const struct channel *channel);
const char *channel_peer_serial(const struct channel *channel);
/* "192.0.2.1:3456" */
const char *channel_peer_address(const struct channel *channel);

#endif
