/*
 * The bulk side: a data connection as a blocking, two-way stream of messages for worker threads, so that
 * sender and receiver read top to bottom like the protocol. The loop moves the bytes; credit bounds what is
 * in flight in each direction (STREAM_WINDOW bytes of message and payload; more than that is never held for a
 * slow reader).
 */
#ifndef HOLDFAST_PROTO_STREAM_H
#define HOLDFAST_PROTO_STREAM_H

#include "proto/channel.h"
#include "proto/data.pb-c.h"

enum { STREAM_WINDOW = 16 * 1024 * 1024 };

struct stream;

struct stream_message {
    uint16_t type; /* Holdfast__DataType */
    const uint8_t *message;
    size_t message_length;
    const uint8_t *payload;
    size_t payload_length;
};

/* Dial a data connection and wait until it is open. For worker threads. */
struct stream *stream_connect(struct loop *loop, const struct channel_target *target, struct tls *tls,
                              const uint8_t *session, size_t session_length, struct error *err);
/* From an accepted channel of role DATA, in `accepted`, on the loop. */
struct stream *stream_adopt(struct channel *channel);
/* Closes the connection after what was sent is out (at most a few seconds). Blocks shortly. NULL is fine. */
void stream_close(struct stream *stream);
/* Wake everybody who waits in send or receive with this error. Any thread. */
void stream_abort(struct stream *stream, const struct error *why);

/* Send one message; blocks while the peer's window is used up. CONNECTION_LOST, or the abort's error. Several
 * threads may send at once. */
int stream_send(struct stream *stream, Holdfast__DataType type, const ProtobufCMessage *message,
                const void *payload, size_t payload_length, struct error *err);
/* The next message; blocks at most timeout_ms (PROTOCOL_TIMEOUT). Give it back with stream_release, which
 * grants its bytes to the peer again. A FAILED message is returned as the error that it carries. */
int stream_receive(struct stream *stream, unsigned timeout_ms, struct stream_message **message,
                   struct error *err);
void stream_release(struct stream *stream, struct stream_message *message);
/* Tell the peer why this side gives up (FAILED); never blocks. */
void stream_send_failure(struct stream *stream, const struct error *err);

uint64_t stream_sent_bytes(const struct stream *stream); /* frames and payload, before TLS */
uint64_t stream_received_bytes(const struct stream *stream);

#endif
