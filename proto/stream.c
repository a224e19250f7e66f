#include "proto/stream.h"

#include "base/clock.h"
#include "base/memory.h"
#include "proto/rpc.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A message in the queue; what the caller sees comes first. */
struct stream_item {
    struct stream_message message;
    size_t cost;
    struct stream_item *next;
    uint8_t bytes[];
};

struct stream {
    atomic_uint references; /* the user's, and the open channel's */
    struct channel *channel;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool open;   /* the hello has come */
    bool closed; /* or aborted: why says so */
    struct error why;
    int64_t credit;  /* bytes this side may still send */
    int64_t granted; /* bytes the peer may still send */
    size_t to_grant; /* released, not yet told to the peer */
    struct stream_item *first;
    struct stream_item **last;
    uint64_t sent;
    uint64_t received;
};

static struct stream *stream_create(void)
{
    struct stream *stream = memory_zalloc(sizeof *stream);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&stream->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&stream->lock, NULL);
    atomic_init(&stream->references, 2);
    stream->credit = STREAM_WINDOW;
    stream->granted = STREAM_WINDOW;
    stream->last = &stream->first;
    return stream;
}

static void stream_unref(struct stream *stream)
{
    if (atomic_fetch_sub(&stream->references, 1) != 1) {
        return;
    }
    while (stream->first != NULL) {
        struct stream_item *next = stream->first->next;
        free(stream->first);
        stream->first = next;
    }
    channel_unref(stream->channel);
    pthread_cond_destroy(&stream->changed);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

static void stream_fail(struct stream *stream, const struct error *why)
{
    pthread_mutex_lock(&stream->lock);
    if (!stream->closed) {
        stream->closed = true;
        stream->why = *why;
    }
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

static struct stream_item *item_create(const struct frame_header *header, const uint8_t *message,
                                       const uint8_t *payload)
{
    size_t cost = (size_t)header->message_length + header->payload_length;
    struct stream_item *item = memory_alloc(sizeof *item + cost);
    item->cost = cost;
    item->next = NULL;
    memcpy(item->bytes, message, header->message_length);
    if (header->payload_length > 0) {
        memcpy(item->bytes + header->message_length, payload, header->payload_length);
    }
    item->message = (struct stream_message){.type = header->type,
                                            .message = item->bytes,
                                            .message_length = header->message_length,
                                            .payload = item->bytes + header->message_length,
                                            .payload_length = header->payload_length};
    return item;
}

static void on_data(struct stream *stream, struct channel *channel, const struct frame_header *header,
                    const uint8_t *message, const uint8_t *payload)
{
    struct stream_item *item = item_create(header, message, payload);
    pthread_mutex_lock(&stream->lock);
    /* The last message may reach beyond the window: a sender waits for credit, not for enough credit. */
    bool allowed = stream->granted > 0;
    stream->granted -= (int64_t)item->cost;
    if (allowed && !stream->closed) {
        *stream->last = item;
        stream->last = &item->next;
        stream->received += FRAME_HEADER_SIZE + item->cost;
        item = NULL;
        pthread_cond_broadcast(&stream->changed);
    }
    pthread_mutex_unlock(&stream->lock);
    free(item);
    if (!allowed) {
        struct error err;
        error_set(&err, ERROR_PROTOCOL_INVALID, "%s sent more than it was granted",
                  channel_peer_address(channel));
        channel_close(channel, &err);
    }
}

static void on_frame(void *cookie, struct channel *channel, const struct frame_header *header,
                     const uint8_t *message, const uint8_t *payload)
{
    struct stream *stream = cookie;
    struct error err;
    switch (header->kind) {
    case FRAME_DATA:
        on_data(stream, channel, header, message, payload);
        return;
    case FRAME_CREDIT:
        pthread_mutex_lock(&stream->lock);
        stream->credit += header->stream;
        bool sane = stream->credit <= STREAM_WINDOW;
        pthread_cond_broadcast(&stream->changed);
        pthread_mutex_unlock(&stream->lock);
        if (sane) {
            return;
        }
        break;
    default:
        break;
    }
    error_set(&err, ERROR_PROTOCOL_INVALID, "A frame of kind %u does not belong here on a data connection",
              header->kind);
    channel_close(channel, &err);
}

static void on_opened(void *cookie, struct channel *channel, const Holdfast__Hello *peer)
{
    (void)channel;
    (void)peer;
    struct stream *stream = cookie;
    pthread_mutex_lock(&stream->lock);
    stream->open = true;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

static void on_closed(void *cookie, struct channel *channel, const struct error *why)
{
    (void)channel;
    struct stream *stream = cookie;
    stream_fail(stream, why);
    stream_unref(stream);
}

static const struct channel_handlers handlers = {.opened = on_opened, .frame = on_frame, .closed = on_closed};

struct stream *stream_connect(struct loop *loop, const struct channel_target *target, struct tls *tls,
                              const uint8_t *session, size_t session_length, struct error *err)
{
    struct stream *stream = stream_create();
    Holdfast__Hello hello = HOLDFAST__HELLO__INIT;
    hello.role = HOLDFAST__CONNECTION_ROLE__DATA;
    hello.session = (ProtobufCBinaryData){.len = session_length, .data = (uint8_t *)(uintptr_t)session};
    stream->channel = channel_connect(loop, target, tls, &hello, &handlers, stream);
    pthread_mutex_lock(&stream->lock);
    while (!stream->open && !stream->closed) {
        pthread_cond_wait(&stream->changed, &stream->lock);
    }
    bool open = !stream->closed;
    if (!open) {
        *err = stream->why;
    }
    pthread_mutex_unlock(&stream->lock);
    if (!open) {
        stream_unref(stream);
        return NULL;
    }
    return stream;
}

struct stream *stream_adopt(struct channel *channel)
{
    struct stream *stream = stream_create();
    stream->open = true;
    stream->channel = channel;
    channel_adopt(channel, &handlers, stream);
    return stream;
}

void stream_close(struct stream *stream)
{
    if (stream == NULL) {
        return;
    }
    channel_close(stream->channel, NULL);
    stream_unref(stream);
}

void stream_abort(struct stream *stream, const struct error *why)
{
    stream_fail(stream, why);
}

int stream_send(struct stream *stream, Holdfast__DataType type, const ProtobufCMessage *message,
                const void *payload, size_t payload_length, struct error *err)
{
    size_t cost = protobuf_c_message_get_packed_size(message) + payload_length;
    struct frame_header header = {
        .kind = FRAME_DATA, .type = (uint16_t)type, .payload_length = (uint32_t)payload_length};
    pthread_mutex_lock(&stream->lock);
    while (stream->credit <= 0 && !stream->closed) {
        pthread_cond_wait(&stream->changed, &stream->lock);
    }
    bool open = !stream->closed;
    if (open) {
        stream->credit -= (int64_t)cost;
        stream->sent += FRAME_HEADER_SIZE + cost;
    } else {
        *err = stream->why;
    }
    pthread_mutex_unlock(&stream->lock);
    if (!open) {
        return -1;
    }
    if (!channel_send(stream->channel, &header, message, payload)) {
        return error_set(err, ERROR_CONNECTION_LOST, "The data connection with %s is closing",
                         channel_peer_address(stream->channel));
    }
    return 0;
}

static struct stream_item *wait_for_item(struct stream *stream, unsigned timeout_ms, struct error *err)
{
    struct timespec until = clock_deadline(timeout_ms);
    int waited = 0;
    while (stream->first == NULL && !stream->closed && waited != ETIMEDOUT) {
        waited = pthread_cond_timedwait(&stream->changed, &stream->lock, &until);
    }
    struct stream_item *item = stream->first;
    if (item != NULL) {
        stream->first = item->next;
        if (stream->first == NULL) {
            stream->last = &stream->first;
        }
    } else if (stream->closed) {
        *err = stream->why;
    } else {
        error_set(err, ERROR_PROTOCOL_TIMEOUT, "Nothing came from %s for %u ms",
                  channel_peer_address(stream->channel), timeout_ms);
    }
    return item;
}

int stream_receive(struct stream *stream, unsigned timeout_ms, struct stream_message **message,
                   struct error *err)
{
    pthread_mutex_lock(&stream->lock);
    struct stream_item *item = wait_for_item(stream, timeout_ms, err);
    pthread_mutex_unlock(&stream->lock);
    if (item == NULL) {
        return -1;
    }
    if (item->message.type != HOLDFAST__DATA_TYPE__FAILED) {
        *message = &item->message;
        return 0;
    }
    Holdfast__Failure *failure =
        holdfast__failure__unpack(NULL, item->message.message_length, item->message.message);
    if (failure != NULL) {
        rpc_error_from_failure(failure, err);
        holdfast__failure__free_unpacked(failure, NULL);
    } else {
        error_set(err, ERROR_PROTOCOL_INVALID, "A failure can't be read");
    }
    stream_release(stream, &item->message);
    return -1;
}

void stream_release(struct stream *stream, struct stream_message *message)
{
    if (message == NULL) {
        return;
    }
    struct stream_item *item = (struct stream_item *)(void *)message;
    size_t grant = 0;
    pthread_mutex_lock(&stream->lock);
    stream->to_grant += item->cost;
    if (stream->to_grant >= STREAM_WINDOW / 4) {
        grant = stream->to_grant;
        stream->granted += (int64_t)grant;
        stream->to_grant = 0;
    }
    pthread_mutex_unlock(&stream->lock);
    free(item);
    if (grant > 0) {
        channel_send(stream->channel, &(struct frame_header){.kind = FRAME_CREDIT, .stream = (uint32_t)grant},
                     NULL, NULL);
    }
}

void stream_send_failure(struct stream *stream, const struct error *err)
{
    Holdfast__Failure failure;
    rpc_failure_from_error(err, &failure);
    struct frame_header header = {.kind = FRAME_DATA, .type = HOLDFAST__DATA_TYPE__FAILED};
    channel_send(stream->channel, &header, &failure.base, NULL);
}

uint64_t stream_sent_bytes(const struct stream *stream)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&stream->lock;
    pthread_mutex_lock(lock);
    uint64_t bytes = stream->sent;
    pthread_mutex_unlock(lock);
    return bytes;
}

uint64_t stream_received_bytes(const struct stream *stream)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&stream->lock;
    pthread_mutex_lock(lock);
    uint64_t bytes = stream->received;
    pthread_mutex_unlock(lock);
    return bytes;
}
