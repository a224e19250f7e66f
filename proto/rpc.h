/*
 * Calls in both directions over one channel (control connections). Methods come from protobuf-c service
 * descriptors; on the wire a method is {service number, method index}. A request has an id, a deadline and
 * can be cancelled.
 */
#ifndef HOLDFAST_PROTO_RPC_H
#define HOLDFAST_PROTO_RPC_H

#include "proto/channel.h"

enum rpc_service { RPC_SERVICE_SERVER = 1, RPC_SERVICE_AGENT = 2 };

struct rpc;
struct rpc_request; /* an incoming call, until it is answered */

/* Serves one incoming call, on the loop: answer now or later, from any thread, exactly once. message: of the
 * method's input type, owned by the request. */
typedef void (*rpc_serve)(void *cookie, struct rpc_request *request, const ProtobufCMessage *message);

struct rpc_options {
    enum rpc_service serves;  /* which service this side implements */
    const rpc_serve *methods; /* one per method, in the order of the .proto; NULL entries are refused */
    void *cookie;
    unsigned max_incoming; /* open incoming calls at most; more fail with LIMIT_EXCEEDED. 0: 64 */
    /* Called once, on the loop, when the channel is gone, after every pending call was failed. */
    void (*closed)(void *cookie, struct rpc *rpc, const struct error *why);
    void *closed_cookie; /* for closed; NULL: the cookie above */
};

/* Takes the channel over (it takes a reference of its own). For a dialled channel, make it in `opened`; for
 * an accepted one, in `accepted`. Reference-counted. */
struct rpc *rpc_create(struct channel *channel, const struct rpc_options *options);
struct rpc *rpc_ref(struct rpc *rpc);
void rpc_unref(struct rpc *rpc);
struct channel *rpc_channel(const struct rpc *rpc);
void rpc_close(struct rpc *rpc, const struct error *why);

/* Exactly one of reply and failure is not NULL; both borrowed for the call. Runs on the loop. */
typedef void (*rpc_done)(void *cookie, const ProtobufCMessage *reply, const struct error *failure);

/* Call the peer's method (index in its .proto). deadline_ms from now; 0: 30 s; -1: none. done is always
 * called once, with CONNECTION_LOST when the channel ends. From any thread. Returns the call's id (for
 * rpc_cancel). */
uint32_t rpc_call(struct rpc *rpc, enum rpc_service service, unsigned method, const ProtobufCMessage *request,
                  int64_t deadline_ms, rpc_done done, void *cookie);
/* Tell the peer and fail the call with JOB_CANCELLED. */
void rpc_cancel(struct rpc *rpc, uint32_t call);
/* For worker threads: call and wait. *reply is unpacked anew, free with protobuf_c_message_free_unpacked. */
int rpc_call_wait(struct rpc *rpc, enum rpc_service service, unsigned method, const ProtobufCMessage *request,
                  int64_t deadline_ms, ProtobufCMessage **reply, struct error *err);

/* Answer. The request is gone afterwards. From any thread. */
void rpc_reply(struct rpc_request *request, const ProtobufCMessage *message);
void rpc_fail(struct rpc_request *request, const struct error *failure);
struct rpc *rpc_request_rpc(const struct rpc_request *request);
/* True once the peer has cancelled or gone away. */
bool rpc_request_cancelled(const struct rpc_request *request);

/* Failure messages from and to errors. Unknown codes become INTERNAL with the code in the message. */
void rpc_error_from_failure(const Holdfast__Failure *failure, struct error *err);
/* The result borrows err's text. */
void rpc_failure_from_error(const struct error *err, Holdfast__Failure *failure);

#endif
