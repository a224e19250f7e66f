/*
 * GET /v1/events: what happens, as server-sent events
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html) on the API's event loop. A stream that
 * ends goes on where it was by Last-Event-ID, as far as the ring reaches (server/api/events.h); behind that
 * it begins with an event `reset`. A client that does not read is cut off; after ten minutes a stream ends,
 * so that a token that was revoked or has expired shows no more.
 */
#ifndef HOLDFAST_SERVER_API_EVENTS_H
#define HOLDFAST_SERVER_API_EVENTS_H

#include "proto/loop.h"
#include "server/api/api_internal.h"
#include "server/api/events.h"

struct evhttp_request;
struct api_events;

/* What one stream shows. */
struct api_event_filter {
    char job_id[IDENTITY_SIZE]; /* "": everything */
    uint64_t after;             /* events behind this one */
    char *first;                /* the job as it is; NULL: none */
};

/* On the loop, as the others. */
struct api_events *api_events_create(struct loop *loop, struct events *events);
/* Closes every stream; before the HTTP server is freed. NULL is fine. */
void api_events_destroy(struct api_events *streams);
/* Answers the request with the stream; takes filter over. LIMIT_EXCEEDED: the request is still to be
 * answered. */
int api_events_open(struct api_events *streams, struct evhttp_request *request,
                    struct api_event_filter *filter, struct error *err);
void api_event_filter_free(struct api_event_filter *filter); /* NULL is fine */

/* The handler: fills call->events. */
int api_event_stream(struct api_call *call, struct error *err);

/* A job as an event. Any thread. */
void api_events_tell_job(struct events *events, const struct catalog_job *job);
/* A host that came or went. */
void api_events_tell_host(struct events *events, const char *host_id, enum host_state state);

#endif
