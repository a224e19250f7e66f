#include "proto/channel.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/version.h"
#include "proto/channel_internal.h"
#include "proto/rpc.h"
#include "proto/tls_internal.h"
#include <errno.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct channel *channel_create(struct loop *loop)
{
    struct channel *channel = memory_zalloc(sizeof *channel);
    atomic_init(&channel->references, 1);
    channel->loop = loop;
    channel->output = evbuffer_new();
    pthread_mutex_init(&channel->lock, NULL);
    channel->heard_ms = clock_monotonic_ms();
    return channel;
}

struct channel *channel_ref(struct channel *channel)
{
    atomic_fetch_add(&channel->references, 1);
    return channel;
}

void channel_unref(struct channel *channel)
{
    if (channel == NULL || atomic_fetch_sub(&channel->references, 1) != 1) {
        return;
    }
    evbuffer_free(channel->output);
    pthread_mutex_destroy(&channel->lock);
    free(channel->hello);
    free(channel->proxy_request);
    free(channel->target_name);
    free(channel);
}

struct loop *channel_loop(const struct channel *channel)
{
    return channel->loop;
}

const char *channel_peer_host(const struct channel *channel)
{
    return channel->peer_host;
}

const char *channel_peer_serial(const struct channel *channel)
{
    return channel->peer_serial;
}

const char *channel_peer_address(const struct channel *channel)
{
    return channel->peer_address;
}

void channel_set_hello(struct channel *channel, const Holdfast__Hello *hello)
{
    Holdfast__Hello copy = *hello;
    copy.version = CHANNEL_PROTOCOL_VERSION;
    copy.oldest_version = CHANNEL_PROTOCOL_OLDEST;
    copy.software = (char[]){HOLDFAST_VERSION};
    channel->hello_length = holdfast__hello__get_packed_size(&copy);
    channel->hello = memory_alloc(channel->hello_length);
    holdfast__hello__pack(&copy, channel->hello);
}

/* --- ending
 * ------------------------------------------------------------------------------------------------- */

static void channel_end(void *cookie)
{
    struct channel *channel = cookie;
    if (channel->state == CHANNEL_CLOSED) {
        return;
    }
    channel->state = CHANNEL_CLOSED;
    loop_timer_cancel(channel->timer);
    channel->timer = NULL;
    bufferevent_free(channel->io);
    channel->io = NULL;
    if (channel->handlers.closed != NULL) {
        channel->handlers.closed(channel->cookie, channel, &channel->why);
    }
    if (channel->listener != NULL) {
        channel_listener_forget(channel);
    }
    channel_unref(channel);
}

/* Everything is out: say that no more comes, and let the peer read it before the socket goes. */
static void channel_half_close(struct channel *channel)
{
    if (evbuffer_get_length(bufferevent_get_output(channel->io)) > 0) {
        return;
    }
    SSL_shutdown(channel->ssl);
    shutdown(bufferevent_getfd(channel->io), SHUT_WR);
}

static void channel_flush(struct channel *channel);

static void channel_send_goodbye(struct channel *channel)
{
    Holdfast__Failure failure = HOLDFAST__FAILURE__INIT;
    rpc_failure_from_error(&channel->why, &failure);
    struct frame_header header = {.kind = FRAME_FAILURE};
    channel_send(channel, &header, &failure.base, NULL);
}

void channel_finish(struct channel *channel, const struct error *why, bool tell_peer)
{
    if (channel->state >= CHANNEL_CLOSING) {
        return;
    }
    if (why != NULL) {
        channel->why = *why;
    } else {
        error_set(&channel->why, ERROR_CONNECTION_LOST, "The connection was closed by this side");
    }
    bool was_open = channel->state == CHANNEL_OPEN || channel->accepted != NULL;
    if (was_open && tell_peer && why != NULL) {
        channel_send_goodbye(channel);
    }
    pthread_mutex_lock(&channel->lock);
    channel->refusing = true;
    pthread_mutex_unlock(&channel->lock);
    channel->state = CHANNEL_CLOSING;
    loop_timer_cancel(channel->timer);
    if (!was_open || !tell_peer) {
        /* Not from inside a callback of io: it is freed there. */
        channel->timer = loop_timer_start(channel->loop, 0, false, channel_end, channel);
        return;
    }
    channel_flush(channel);
    channel->timer = loop_timer_start(channel->loop, CHANNEL_LINGER_MS, false, channel_end, channel);
    channel_half_close(channel);
}

struct channel_close_request {
    struct channel *channel;
    bool given;
    struct error why;
};

static void channel_close_on_loop(void *cookie)
{
    struct channel_close_request *request = cookie;
    channel_finish(request->channel, request->given ? &request->why : NULL, true);
    channel_unref(request->channel);
    free(request);
}

void channel_close(struct channel *channel, const struct error *why)
{
    struct channel_close_request *request = memory_zalloc(sizeof *request);
    request->channel = channel_ref(channel);
    request->given = why != NULL;
    if (why != NULL) {
        request->why = *why;
    }
    loop_post(channel->loop, channel_close_on_loop, request);
}

/* --- sending
 * ------------------------------------------------------------------------------------------------ */

/* On the loop. Not under the lock: behind a proxy TLS is a filter, which may write to the socket, and call
 * on_output, at once. */
static void channel_flush(struct channel *channel)
{
    struct evbuffer *ready = evbuffer_new();
    pthread_mutex_lock(&channel->lock);
    channel->flush_posted = false;
    if (channel->io != NULL && channel->state != CHANNEL_HANDSHAKE) {
        evbuffer_add_buffer(ready, channel->output);
    }
    pthread_mutex_unlock(&channel->lock);
    if (evbuffer_get_length(ready) > 0) {
        bufferevent_write_buffer(channel->io, ready);
    }
    evbuffer_free(ready);
}

static void channel_flush_posted(void *cookie)
{
    struct channel *channel = cookie;
    if (channel->state != CHANNEL_CLOSED) {
        channel_flush(channel);
    }
    channel_unref(channel);
}

static bool channel_queue(struct channel *channel, const struct frame_header *header,
                          const ProtobufCMessage *message, const void *payload)
{
    size_t length = FRAME_HEADER_SIZE + header->message_length + header->payload_length;
    struct evbuffer_iovec room;
    if (evbuffer_reserve_space(channel->output, (ev_ssize_t)length, &room, 1) != 1 || room.iov_len < length) {
        return false;
    }
    uint8_t *out = room.iov_base;
    frame_header_encode(header, out);
    out += FRAME_HEADER_SIZE;
    if (message != NULL) {
        out += protobuf_c_message_pack(message, out);
    }
    if (header->payload_length > 0) {
        memcpy(out, payload, header->payload_length);
    }
    room.iov_len = length;
    evbuffer_commit_space(channel->output, &room, 1);
    channel->queued += length;
    return true;
}

bool channel_send(struct channel *channel, const struct frame_header *header, const ProtobufCMessage *message,
                  const void *payload)
{
    struct frame_header full = *header;
    full.message_length = message != NULL ? (uint32_t)protobuf_c_message_get_packed_size(message) : 0;
    pthread_mutex_lock(&channel->lock);
    bool open = !channel->refusing;
    bool fits = channel->queued < CHANNEL_OUTPUT_MAX;
    bool queued = open && fits && channel_queue(channel, &full, message, payload);
    bool post = queued && !channel->flush_posted;
    if (post) {
        channel->flush_posted = true;
        channel_ref(channel);
    }
    if (open && !fits) {
        channel->refusing = true;
    }
    pthread_mutex_unlock(&channel->lock);
    if (post) {
        loop_post(channel->loop, channel_flush_posted, channel);
    }
    if (open && !fits) {
        struct error err;
        error_set(&err, ERROR_LIMIT_EXCEEDED, "%s reads too slowly: more than %d bytes wait for it",
                  channel->peer_address, CHANNEL_OUTPUT_MAX);
        channel_close(channel, &err);
    }
    return queued;
}

size_t channel_queued(struct channel *channel)
{
    pthread_mutex_lock(&channel->lock);
    size_t queued = channel->queued;
    pthread_mutex_unlock(&channel->lock);
    return queued;
}

static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *cookie)
{
    (void)output;
    struct channel *channel = cookie;
    if (info->n_deleted > 0) {
        pthread_mutex_lock(&channel->lock);
        channel->queued -= info->n_deleted < channel->queued ? info->n_deleted : channel->queued;
        pthread_mutex_unlock(&channel->lock);
    }
}

struct channel_pause_request {
    struct channel *channel;
    bool pause;
};

static void channel_pause_on_loop(void *cookie)
{
    struct channel_pause_request *request = cookie;
    if (request->channel->io != NULL && request->channel->state == CHANNEL_OPEN) {
        if (request->pause) {
            bufferevent_disable(request->channel->io, EV_READ);
        } else {
            bufferevent_enable(request->channel->io, EV_READ);
        }
    }
    channel_unref(request->channel);
    free(request);
}

void channel_pause_reading(struct channel *channel, bool pause)
{
    struct channel_pause_request *request = memory_alloc(sizeof *request);
    *request = (struct channel_pause_request){.channel = channel_ref(channel), .pause = pause};
    loop_post(channel->loop, channel_pause_on_loop, request);
}

/* --- receiving
 * ---------------------------------------------------------------------------------------------- */

static void channel_on_ping_timer(void *cookie)
{
    struct channel *channel = cookie;
    if (clock_monotonic_ms() - channel->heard_ms > CHANNEL_SILENCE_MS) {
        struct error err;
        error_set(&err, ERROR_PROTOCOL_TIMEOUT, "%s has been silent for %d s", channel->peer_address,
                  CHANNEL_SILENCE_MS / 1000);
        channel_finish(channel, &err, false);
        return;
    }
    channel_send(channel, &(struct frame_header){.kind = FRAME_PING}, NULL, NULL);
}

static void channel_open(struct channel *channel, const Holdfast__Hello *peer)
{
    struct error err;
    if (peer->version < CHANNEL_PROTOCOL_OLDEST || peer->oldest_version > CHANNEL_PROTOCOL_VERSION) {
        error_set(&err, ERROR_AGENT_TOO_OLD, "The peer speaks protocol %u to %u, this side %d to %d",
                  peer->oldest_version, peer->version, CHANNEL_PROTOCOL_OLDEST, CHANNEL_PROTOCOL_VERSION);
        channel_finish(channel, &err, true);
        return;
    }
    loop_timer_cancel(channel->timer);
    channel->timer = loop_timer_start(channel->loop, CHANNEL_PING_MS, true, channel_on_ping_timer, channel);
    channel->state = CHANNEL_OPEN;
    if (channel->dialled) {
        channel->handlers.opened(channel->cookie, channel, peer);
    } else {
        channel->accepted(channel->cookie, channel, peer);
        if (channel->handlers.frame == NULL) {
            channel_finish(channel, NULL, true);
        }
    }
    channel_flush(channel);
}

static int channel_take_hello(struct channel *channel, const struct frame_header *header,
                              const uint8_t *message, struct error *err)
{
    if (header->kind == FRAME_FAILURE) {
        Holdfast__Failure *failure = holdfast__failure__unpack(NULL, header->message_length, message);
        if (failure == NULL) {
            return error_set(err, ERROR_PROTOCOL_INVALID, "The peer's refusal can't be read");
        }
        rpc_error_from_failure(failure, err);
        holdfast__failure__free_unpacked(failure, NULL);
        return -1;
    }
    if (header->kind != FRAME_HELLO) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "The peer's first frame is not a hello");
    }
    Holdfast__Hello *hello = holdfast__hello__unpack(NULL, header->message_length, message);
    if (hello == NULL) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "The peer's hello can't be read");
    }
    channel_open(channel, hello);
    holdfast__hello__free_unpacked(hello, NULL);
    return 0;
}

static int channel_take_frame(struct channel *channel, const struct frame_header *header,
                              const uint8_t *message, struct error *err)
{
    if (channel->state == CHANNEL_HANDSHAKE) {
        return channel_take_hello(channel, header, message, err);
    }
    switch (header->kind) {
    case FRAME_HELLO:
        return error_set(err, ERROR_PROTOCOL_INVALID, "The peer said hello twice");
    case FRAME_PING:
        channel_send(channel, &(struct frame_header){.kind = FRAME_PONG}, NULL, NULL);
        return 0;
    case FRAME_PONG:
        return 0;
    case FRAME_FAILURE:
        if (header->stream == 0) {
            return channel_take_hello(channel, header, message, err);
        }
        break;
    default:
        break;
    }
    channel->handlers.frame(channel->cookie, channel, header, message, message + header->message_length);
    return 0;
}

/* Take one whole frame out of the input. 1: done, 0: more bytes are needed. */
static int channel_read_frame(struct channel *channel, struct evbuffer *input, struct error *err)
{
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct frame_header header;
    if (evbuffer_copyout(input, bytes, sizeof bytes) < (ev_ssize_t)sizeof bytes) {
        bufferevent_setwatermark(channel->io, EV_READ, sizeof bytes, 0);
        return 0;
    }
    if (frame_header_decode(bytes, &header, err) != 0) {
        return -1;
    }
    size_t length = sizeof bytes + header.message_length + header.payload_length;
    bool stranger = channel->peer_host[0] == '\0' && !channel->dialled;
    if ((stranger || channel->state == CHANNEL_HANDSHAKE) && length > CHANNEL_STRANGER_MAX) {
        return error_set(err, ERROR_PROTOCOL_INVALID, "A peer without certificate sent %zu bytes at once",
                         length);
    }
    if (evbuffer_get_length(input) < length) {
        bufferevent_setwatermark(channel->io, EV_READ, length, 0);
        return 0;
    }
    uint8_t *frame = evbuffer_pullup(input, (ev_ssize_t)length);
    if (channel_take_frame(channel, &header, frame + sizeof bytes, err) != 0) {
        return -1;
    }
    evbuffer_drain(input, length);
    return 1;
}

static void on_read(struct bufferevent *io, void *cookie)
{
    struct channel *channel = cookie;
    struct evbuffer *input = bufferevent_get_input(io);
    struct error err;
    int taken = 1;
    if (channel->proxy_request != NULL) {
        channel_read_proxy(channel);
        return;
    }
    channel->heard_ms = clock_monotonic_ms();
    while (taken == 1 && channel->state < CHANNEL_CLOSING) {
        taken = channel_read_frame(channel, input, &err);
    }
    if (taken < 0) {
        channel_finish(channel, &err, true);
    }
    if (channel->state == CHANNEL_CLOSING) {
        evbuffer_drain(input, evbuffer_get_length(input));
        bufferevent_setwatermark(io, EV_READ, 0, 0);
    }
}

static void on_write(struct bufferevent *io, void *cookie)
{
    (void)io;
    struct channel *channel = cookie;
    if (channel->state == CHANNEL_CLOSING) {
        channel_half_close(channel);
    }
}

static void channel_read_identity(struct channel *channel)
{
    X509 *certificate = SSL_get1_peer_certificate(channel->ssl);
    if (certificate == NULL) {
        return;
    }
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, channel->peer_host,
                              sizeof channel->peer_host);
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
    char *hex = number != NULL ? BN_bn2hex(number) : NULL;
    for (size_t i = 0; hex != NULL && hex[i] != '\0' && i < sizeof channel->peer_serial - 1; i++) {
        channel->peer_serial[i] = (char)(hex[i] >= 'A' && hex[i] <= 'F' ? hex[i] - 'A' + 'a' : hex[i]);
    }
    OPENSSL_free(hex);
    BN_free(number);
    X509_free(certificate);
}

static void channel_on_tls_up(struct channel *channel)
{
    struct error err;
    if (!tls_protocol_agreed(channel->ssl)) {
        error_set(&err, ERROR_TLS_FAILED, "%s does not speak the protocol holdfast/1",
                  channel->target_name != NULL ? channel->target_name : channel->peer_address);
        channel_finish(channel, &err, false);
        return;
    }
    channel_read_identity(channel);
    int one = 1;
    setsockopt(bufferevent_getfd(channel->io), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    evbuffer_add_cb(bufferevent_get_output(channel->io), on_output, channel);
    bufferevent_set_max_single_read(channel->io, CHANNEL_SINGLE_IO);
    bufferevent_set_max_single_write(channel->io, CHANNEL_SINGLE_IO);
    struct frame_header header = {.kind = FRAME_HELLO, .message_length = (uint32_t)channel->hello_length};
    uint8_t bytes[FRAME_HEADER_SIZE];
    frame_header_encode(&header, bytes);
    bufferevent_write(channel->io, bytes, sizeof bytes);
    bufferevent_write(channel->io, channel->hello, channel->hello_length);
}

/* Whether anything came from the other end: then it is there, whatever became of the connection. */
static bool channel_was_answered(const struct channel *channel)
{
    BIO *io = channel->ssl != NULL ? SSL_get_rbio(channel->ssl) : NULL;
    return io != NULL && BIO_number_read(io) > 0;
}

static void channel_on_error(struct channel *channel, short events)
{
    struct error err;
    int errnum = EVUTIL_SOCKET_ERROR();
    unsigned long openssl_error = channel->ssl != NULL ? bufferevent_get_openssl_error(channel->io) : 0;
    socklen_t length = sizeof errnum;
    /* libevent's word for a failed system call; a refused connection comes as this and as an end of file. The
     * reason may have been read from the socket before. */
    bool system_failure = openssl_error != 0 && ERR_GET_LIB(openssl_error) == 0;
    bool answered = channel_was_answered(channel);
    if (system_failure) {
        getsockopt(bufferevent_getfd(channel->io), SOL_SOCKET, SO_ERROR, &errnum, &length);
        errnum = errnum != 0 ? errnum : answered ? ECONNRESET : ECONNREFUSED;
    }
    int lookup_failure = channel->dialled ? bufferevent_socket_get_dns_error(channel->io) : 0;
    const char *peer = channel->target_name != NULL ? channel->target_name : channel->peer_address;
    if (lookup_failure != 0) {
        error_set(&err, ERROR_SERVER_UNREACHABLE, "The name in %s can't be looked up", peer);
        error_set_cause(&err, "%s", evutil_gai_strerror(lookup_failure));
    } else if (ERR_GET_LIB(openssl_error) == ERR_LIB_SSL) {
        tls_error(&err, openssl_error);
    } else if ((events & BEV_EVENT_EOF) && !system_failure) {
        error_set(&err, ERROR_CONNECTION_LOST, "%s closed the connection", peer);
    } else {
        bool unreachable = channel->state == CHANNEL_HANDSHAKE && !answered;
        error_set_errno(&err, unreachable ? ERROR_SERVER_UNREACHABLE : ERROR_CONNECTION_LOST, errnum,
                        "The connection with %s failed", peer);
    }
    if (channel->state == CHANNEL_CLOSING) {
        loop_timer_cancel(channel->timer);
        channel->timer = loop_timer_start(channel->loop, 0, false, channel_end, channel);
        return;
    }
    channel_finish(channel, &err, false);
}

static void on_event(struct bufferevent *io, short events, void *cookie)
{
    (void)io;
    struct channel *channel = cookie;
    if (events & BEV_EVENT_CONNECTED) {
        if (channel->proxy_request != NULL) {
            bufferevent_write(channel->io, channel->proxy_request, strlen(channel->proxy_request));
        } else if (channel->ssl != NULL) {
            channel_on_tls_up(channel);
        }
    } else if (events & (BEV_EVENT_ERROR | BEV_EVENT_EOF)) {
        channel_on_error(channel, events);
    }
}

static void channel_on_handshake_timer(void *cookie)
{
    struct channel *channel = cookie;
    struct error err;
    error_set(&err, ERROR_PROTOCOL_TIMEOUT, "%s did not complete the greeting in %d s",
              channel->target_name != NULL ? channel->target_name : channel->peer_address,
              CHANNEL_HANDSHAKE_MS / 1000);
    channel_finish(channel, &err, false);
}

void channel_start(struct channel *channel)
{
    bufferevent_setcb(channel->io, on_read, on_write, on_event, channel);
    bufferevent_enable(channel->io, EV_READ | EV_WRITE);
    if (channel->timer == NULL) {
        channel->timer =
            loop_timer_start(channel->loop, CHANNEL_HANDSHAKE_MS, false, channel_on_handshake_timer, channel);
    }
}
