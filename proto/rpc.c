#include "proto/rpc.h"

#include "base/memory.h"
#include "proto/agent.pb-c.h"
#include "proto/message_text.h"
#include "proto/server.pb-c.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { RPC_DEADLINE_DEFAULT_MS = 30000, RPC_INCOMING_DEFAULT = 64 };

/* An outgoing call. Belongs to the loop's thread once it is posted. */
struct rpc_pending {
    struct rpc *rpc;
    uint32_t id;
    uint16_t type;
    ProtobufCMessage *request; /* a copy, until it is sent */
    const ProtobufCMessageDescriptor *output;
    int64_t deadline_ms;
    struct loop_timer *timer;
    rpc_done done;
    void *cookie;
    struct rpc_pending *next;
};

struct rpc_request {
    struct rpc *rpc;
    uint32_t id;
    const ProtobufCServiceDescriptor *service;
    unsigned method;
    ProtobufCMessage *message;
    atomic_bool cancelled;
    struct rpc_request *next; /* guarded by rpc->lock */
};

struct rpc {
    atomic_uint references;
    struct channel *channel;
    struct rpc_options options;
    atomic_uint next_id;
    bool closed; /* on the loop */
    struct error why;
    struct rpc_pending *pending; /* on the loop */
    pthread_mutex_t lock;        /* guards the incoming calls */
    struct rpc_request *incoming;
    unsigned incoming_count;
};

static const ProtobufCServiceDescriptor *rpc_descriptor(enum rpc_service service)
{
    switch (service) {
    case RPC_SERVICE_SERVER:
        return &holdfast__server__descriptor;
    case RPC_SERVICE_AGENT:
        return &holdfast__agent__descriptor;
    }
    return NULL;
}

void rpc_error_from_failure(const Holdfast__Failure *failure, struct error *err)
{
    enum error_code code = error_code_from_name(failure->code);
    if (code == ERROR_NONE) {
        error_set(err, ERROR_INTERNAL, "%s: %s", failure->code, failure->message);
    } else {
        error_set(err, code, "%s", failure->message);
    }
    error_set_cause(err, "%s", failure->cause);
}

void rpc_failure_from_error(const struct error *err, Holdfast__Failure *failure)
{
    holdfast__failure__init(failure);
    failure->code = (char *)(uintptr_t)error_code_name(err->code);
    failure->message = (char *)(uintptr_t)err->message;
    failure->cause = (char *)(uintptr_t)err->cause;
}

struct rpc *rpc_ref(struct rpc *rpc)
{
    atomic_fetch_add(&rpc->references, 1);
    return rpc;
}

void rpc_unref(struct rpc *rpc)
{
    if (rpc == NULL || atomic_fetch_sub(&rpc->references, 1) != 1) {
        return;
    }
    channel_unref(rpc->channel);
    pthread_mutex_destroy(&rpc->lock);
    free(rpc);
}

struct channel *rpc_channel(const struct rpc *rpc)
{
    return rpc->channel;
}

void rpc_close(struct rpc *rpc, const struct error *why)
{
    channel_close(rpc->channel, why);
}

/* --- outgoing
 * ----------------------------------------------------------------------------------------------- */

static void pending_free(struct rpc_pending *call)
{
    loop_timer_cancel(call->timer);
    if (call->request != NULL) {
        protobuf_c_message_free_unpacked(call->request, NULL);
    }
    rpc_unref(call->rpc);
    free(call);
}

/* Take the call with this id out of the list, or NULL. */
static struct rpc_pending *pending_take(struct rpc *rpc, uint32_t id)
{
    for (struct rpc_pending **link = &rpc->pending; *link != NULL; link = &(*link)->next) {
        if ((*link)->id == id) {
            struct rpc_pending *call = *link;
            *link = call->next;
            return call;
        }
    }
    return NULL;
}

static void pending_fail(struct rpc_pending *call, const struct error *err)
{
    call->done(call->cookie, NULL, err);
    pending_free(call);
}

static void pending_on_deadline(void *cookie)
{
    struct rpc_pending *call = cookie;
    struct rpc *rpc = rpc_ref(call->rpc);
    struct error err;
    pending_take(rpc, call->id);
    error_set(&err, ERROR_PROTOCOL_TIMEOUT, "%s did not answer %s in %lld ms",
              channel_peer_address(rpc->channel), call->output->short_name, (long long)call->deadline_ms);
    channel_send(rpc->channel, &(struct frame_header){.kind = FRAME_CANCEL, .stream = call->id}, NULL, NULL);
    pending_fail(call, &err);
    rpc_unref(rpc); /* NOLINT(clang-analyzer-unix.Malloc): the reference that was taken above */
}

static void pending_start(void *cookie)
{
    struct rpc_pending *call = cookie;
    struct rpc *rpc = call->rpc;
    struct error err;
    if (rpc->closed) {
        pending_fail(call, &rpc->why);
        return;
    }
    struct frame_header header = {.kind = FRAME_REQUEST, .stream = call->id, .type = call->type};
    bool sent = channel_send(rpc->channel, &header, call->request, NULL);
    protobuf_c_message_free_unpacked(call->request, NULL);
    call->request = NULL;
    if (!sent) {
        error_set(&err, ERROR_CONNECTION_LOST, "The connection with %s is closing",
                  channel_peer_address(rpc->channel));
        pending_fail(call, &err);
        return;
    }
    call->next = rpc->pending;
    rpc->pending = call;
    if (call->deadline_ms > 0) {
        call->timer =
            loop_timer_start(channel_loop(rpc->channel), call->deadline_ms, false, pending_on_deadline, call);
    }
}

static ProtobufCMessage *message_copy(const ProtobufCMessage *message)
{
    size_t length = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = memory_alloc(length);
    protobuf_c_message_pack(message, packed);
    ProtobufCMessage *copy = protobuf_c_message_unpack(message->descriptor, NULL, length, packed);
    free(packed);
    return copy;
}

uint32_t rpc_call(struct rpc *rpc, enum rpc_service service, unsigned method, const ProtobufCMessage *request,
                  int64_t deadline_ms, rpc_done done, void *cookie)
{
    struct rpc_pending *call = memory_zalloc(sizeof *call);
    call->rpc = rpc_ref(rpc);
    call->id = atomic_fetch_add(&rpc->next_id, 1);
    call->type = (uint16_t)((unsigned)service << 8 | method);
    call->request = message_copy(request);
    call->output = rpc_descriptor(service)->methods[method].output;
    call->deadline_ms = deadline_ms == 0 ? RPC_DEADLINE_DEFAULT_MS : deadline_ms;
    call->done = done;
    call->cookie = cookie;
    uint32_t id = call->id;
    loop_post(channel_loop(rpc->channel), pending_start, call);
    return id;
}

struct rpc_cancel_request {
    struct rpc *rpc;
    uint32_t id;
};

static void cancel_on_loop(void *cookie)
{
    struct rpc_cancel_request *cancel = cookie;
    struct rpc_pending *call = pending_take(cancel->rpc, cancel->id);
    if (call != NULL) {
        struct error err;
        error_set(&err, ERROR_JOB_CANCELLED, "The call was cancelled");
        channel_send(cancel->rpc->channel, &(struct frame_header){.kind = FRAME_CANCEL, .stream = call->id},
                     NULL, NULL);
        pending_fail(call, &err);
    }
    rpc_unref(cancel->rpc);
    free(cancel);
}

void rpc_cancel(struct rpc *rpc, uint32_t call)
{
    struct rpc_cancel_request *cancel = memory_alloc(sizeof *cancel);
    *cancel = (struct rpc_cancel_request){.rpc = rpc_ref(rpc), .id = call};
    loop_post(channel_loop(rpc->channel), cancel_on_loop, cancel);
}

struct rpc_wait {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
    ProtobufCMessage *reply;
    struct error *err;
};

static void wait_done(void *cookie, const ProtobufCMessage *reply, const struct error *failure)
{
    struct rpc_wait *wait = cookie;
    pthread_mutex_lock(&wait->lock);
    if (reply != NULL) {
        wait->reply = message_copy(reply);
    } else {
        *wait->err = *failure;
    }
    wait->done = true;
    pthread_cond_signal(&wait->changed);
    pthread_mutex_unlock(&wait->lock);
}

int rpc_call_wait(struct rpc *rpc, enum rpc_service service, unsigned method, const ProtobufCMessage *request,
                  int64_t deadline_ms, ProtobufCMessage **reply, struct error *err)
{
    struct rpc_wait wait = {.err = err};
    pthread_mutex_init(&wait.lock, NULL);
    pthread_cond_init(&wait.changed, NULL);
    rpc_call(rpc, service, method, request, deadline_ms, wait_done, &wait);
    pthread_mutex_lock(&wait.lock);
    while (!wait.done) {
        pthread_cond_wait(&wait.changed, &wait.lock);
    }
    pthread_mutex_unlock(&wait.lock);
    pthread_cond_destroy(&wait.changed);
    pthread_mutex_destroy(&wait.lock);
    *reply = wait.reply;
    return wait.reply != NULL ? 0 : -1;
}

/* --- incoming
 * ----------------------------------------------------------------------------------------------- */

static void request_free(struct rpc_request *request)
{
    struct rpc *rpc = request->rpc;
    pthread_mutex_lock(&rpc->lock);
    for (struct rpc_request **link = &rpc->incoming; *link != NULL; link = &(*link)->next) {
        if (*link == request) {
            *link = request->next;
            rpc->incoming_count--;
            break;
        }
    }
    pthread_mutex_unlock(&rpc->lock);
    protobuf_c_message_free_unpacked(request->message, NULL);
    free(request);
    rpc_unref(rpc);
}

void rpc_reply(struct rpc_request *request, const ProtobufCMessage *message)
{
    struct frame_header header = {.kind = FRAME_RESPONSE, .stream = request->id};
    channel_send(request->rpc->channel, &header, message, NULL);
    request_free(request);
}

static void send_failure(struct rpc *rpc, uint32_t id, const struct error *err)
{
    Holdfast__Failure failure;
    rpc_failure_from_error(err, &failure);
    struct frame_header header = {.kind = FRAME_FAILURE, .stream = id};
    channel_send(rpc->channel, &header, &failure.base, NULL);
}

void rpc_fail(struct rpc_request *request, const struct error *failure)
{
    send_failure(request->rpc, request->id, failure);
    request_free(request);
}

struct rpc *rpc_request_rpc(const struct rpc_request *request)
{
    return request->rpc;
}

bool rpc_request_cancelled(const struct rpc_request *request)
{
    return atomic_load(&request->cancelled);
}

static void take_request(struct rpc *rpc, const struct frame_header *header, const uint8_t *message)
{
    const ProtobufCServiceDescriptor *service = rpc_descriptor(rpc->options.serves);
    unsigned method = header->type & 0xffu;
    struct error err;
    if (header->stream == 0 || header->type >> 8 != rpc->options.serves || method >= service->n_methods ||
        rpc->options.methods[method] == NULL) {
        error_set(&err, ERROR_PROTOCOL_INVALID, "There is no method %#x here", header->type);
        send_failure(rpc, header->stream, &err);
        return;
    }
    ProtobufCMessage *unpacked =
        protobuf_c_message_unpack(service->methods[method].input, NULL, header->message_length, message);
    if (unpacked == NULL) {
        error_set(&err, ERROR_PROTOCOL_INVALID, "A request for %s can't be read",
                  service->methods[method].name);
        channel_close(rpc->channel, &err);
        return;
    }
    message_repair_text(unpacked);
    pthread_mutex_lock(&rpc->lock);
    bool room = rpc->incoming_count < rpc->options.max_incoming;
    struct rpc_request *request = NULL;
    if (room) {
        request = memory_zalloc(sizeof *request);
        request->rpc = rpc_ref(rpc);
        request->id = header->stream;
        request->service = service;
        request->method = method;
        request->message = unpacked;
        request->next = rpc->incoming;
        rpc->incoming = request;
        rpc->incoming_count++;
    }
    pthread_mutex_unlock(&rpc->lock);
    if (!room) {
        protobuf_c_message_free_unpacked(unpacked, NULL);
        error_set(&err, ERROR_LIMIT_EXCEEDED, "More than %u calls are open", rpc->options.max_incoming);
        send_failure(rpc, header->stream, &err);
        return;
    }
    rpc->options.methods[method](rpc->options.cookie, request, unpacked);
}

static void take_answer(struct rpc *rpc, const struct frame_header *header, const uint8_t *message)
{
    struct error err;
    struct rpc_pending *call = pending_take(rpc, header->stream);
    if (call == NULL) {
        return; /* it was cancelled, or its deadline is over */
    }
    bool failed = header->kind == FRAME_FAILURE;
    const ProtobufCMessageDescriptor *type = failed ? &holdfast__failure__descriptor : call->output;
    ProtobufCMessage *answer = protobuf_c_message_unpack(type, NULL, header->message_length, message);
    if (answer == NULL) {
        error_set(&err, ERROR_PROTOCOL_INVALID, "An answer (%s) can't be read", type->short_name);
        pending_fail(call, &err);
        channel_close(rpc->channel, &err);
        return;
    }
    message_repair_text(answer);
    if (failed) {
        rpc_error_from_failure((const Holdfast__Failure *)(const void *)answer, &err);
        pending_fail(call, &err);
    } else {
        call->done(call->cookie, answer, NULL);
        pending_free(call);
    }
    protobuf_c_message_free_unpacked(answer, NULL);
}

static void take_cancel(struct rpc *rpc, uint32_t id)
{
    pthread_mutex_lock(&rpc->lock);
    for (struct rpc_request *request = rpc->incoming; request != NULL; request = request->next) {
        if (id == 0 || request->id == id) {
            atomic_store(&request->cancelled, true);
        }
    }
    pthread_mutex_unlock(&rpc->lock);
}

static void on_frame(void *cookie, struct channel *channel, const struct frame_header *header,
                     const uint8_t *message, const uint8_t *payload)
{
    (void)payload;
    struct rpc *rpc = cookie;
    struct error err;
    switch (header->kind) {
    case FRAME_REQUEST:
        take_request(rpc, header, message);
        return;
    case FRAME_RESPONSE:
    case FRAME_FAILURE:
        take_answer(rpc, header, message);
        return;
    case FRAME_CANCEL:
        if (header->stream != 0) {
            take_cancel(rpc, header->stream);
        }
        return;
    default:
        error_set(&err, ERROR_PROTOCOL_INVALID, "A frame of kind %u does not belong on a control connection",
                  header->kind);
        channel_close(channel, &err);
        return;
    }
}

static void on_closed(void *cookie, struct channel *channel, const struct error *why)
{
    (void)channel;
    struct rpc *rpc = cookie;
    rpc->closed = true;
    rpc->why = *why;
    take_cancel(rpc, 0);
    while (rpc->pending != NULL) {
        pending_fail(pending_take(rpc, rpc->pending->id), why);
    }
    if (rpc->options.closed != NULL) {
        void *closed_cookie =
            rpc->options.closed_cookie != NULL ? rpc->options.closed_cookie : rpc->options.cookie;
        rpc->options.closed(closed_cookie, rpc, why);
    }
    rpc_unref(rpc);
}

struct rpc *rpc_create(struct channel *channel, const struct rpc_options *options)
{
    static const struct channel_handlers handlers = {.frame = on_frame, .closed = on_closed};
    struct rpc *rpc = memory_zalloc(sizeof *rpc);
    atomic_init(&rpc->references, 2); /* the caller's, and the open channel's */
    atomic_init(&rpc->next_id, 1);
    pthread_mutex_init(&rpc->lock, NULL);
    rpc->options = *options;
    if (rpc->options.max_incoming == 0) {
        rpc->options.max_incoming = RPC_INCOMING_DEFAULT;
    }
    rpc->channel = channel;
    channel_adopt(channel, &handlers, rpc);
    return rpc;
}
