#include "server/api/api_events.h"

#include "base/memory.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    STREAMS_MAX = 64,
    BEHIND_MAX = 128 * 1024,  /* bytes that a client has not read: more, and it is cut off */
    SOCKET_BYTES = 64 * 1024, /* that the system may hold for it */
    HEARTBEAT_MS = 5000,
    BEATS_MAX = 120, /* then the client has to come again, and to be let in again: ten minutes */
    WRITE_TIMEOUT_S = 60,
};

struct api_stream {
    struct api_stream *next;
    struct api_events *owner;
    struct evhttp_request *request;
    struct api_event_filter *filter;
    struct evbuffer *out; /* what is to be sent */
    unsigned beats;       /* that it was sent */
};

struct api_events {
    struct loop *loop;
    struct events *events;
    struct loop_timer *heartbeat;
    struct api_stream *first;
    unsigned count;
    atomic_bool posted; /* flush is on its way to the loop */
};

void api_event_filter_free(struct api_event_filter *filter)
{
    if (filter != NULL) {
        free(filter->first);
        free(filter);
    }
}

/* --- telling */

void api_events_tell_job(struct events *events, const struct catalog_job *job)
{
    json_t *object = api_job_json(job);
    events_publish(events, EVENT_JOB, job->id, json_dumps(object, JSON_COMPACT));
    json_decref(object);
}

void api_events_tell_host(struct events *events, const char *host_id, enum host_state state)
{
    json_t *object = json_pack("{s:s, s:s}", "id", host_id, "state", host_state_name(state));
    events_publish(events, EVENT_HOST, host_id, json_dumps(object, JSON_COMPACT));
    json_decref(object);
}

/* --- streams, on the loop */

static void watcher_free(struct api_stream *stream)
{
    struct api_stream **link = &stream->owner->first;
    while (*link != stream) {
        link = &(*link)->next;
    }
    *link = stream->next;
    stream->owner->count--;
    evbuffer_free(stream->out);
    api_event_filter_free(stream->filter);
    free(stream);
}

/* evhttp (2.1) leaves a request that is not answered to the end to us when its connection goes. */
static void on_client_gone(struct evhttp_connection *connection, void *cookie)
{
    struct api_stream *stream = cookie;
    (void)connection;
    evhttp_request_free(stream->request);
    watcher_free(stream);
}

static void watcher_cut(struct api_stream *stream)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(stream->request);
    evhttp_connection_set_closecb(connection, NULL, NULL);
    watcher_free(stream);
    evhttp_connection_free(connection); /* with its request */
}

static void watcher_end(struct api_stream *stream)
{
    struct evhttp_request *request = stream->request;
    evhttp_connection_set_closecb(evhttp_request_get_connection(request), NULL, NULL);
    watcher_free(stream);
    evhttp_send_reply_end(request);
}

static void add_event(struct api_stream *stream, uint64_t number, const char *kind, const char *text)
{
    evbuffer_add_printf(stream->out, "id: %llu\nevent: %s\ndata: %s\n\n", (unsigned long long)number, kind,
                        text);
}

static void take_event(void *cookie, const struct event *event)
{
    static const char *const kinds[] = {[EVENT_JOB] = "job", [EVENT_HOST] = "host"};
    struct api_stream *stream = cookie;
    const char *wanted = stream->filter->job_id;
    if (wanted[0] == '\0' || (event->kind == EVENT_JOB && strcmp(event->subject, wanted) == 0)) {
        add_event(stream, event->number, kinds[event->kind], event->text);
    }
}

/* Hand over what there is. */
static void watcher_send(struct api_stream *stream)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(stream->request);
    struct evbuffer *output = bufferevent_get_output(evhttp_connection_get_bufferevent(connection));
    if (evbuffer_get_length(output) > BEHIND_MAX) {
        watcher_cut(stream);
    } else if (evbuffer_get_length(stream->out) > 0) {
        evhttp_send_reply_chunk(stream->request, stream->out);
    }
}

static void watcher_flush(struct api_stream *stream)
{
    bool missed;
    uint64_t before = stream->filter->after;
    struct evbuffer *news = evbuffer_new();
    struct evbuffer *out = stream->out;
    stream->out = news;
    stream->filter->after = events_read(stream->owner->events, before, take_event, stream, &missed);
    stream->out = out;
    if (missed) {
        add_event(stream, stream->filter->after, "reset", "{}");
    }
    evbuffer_add_buffer(out, news);
    evbuffer_free(news);
    watcher_send(stream);
}

static void flush_all(void *cookie)
{
    struct api_events *streams = cookie;
    struct api_stream *next;
    atomic_store(&streams->posted, false);
    for (struct api_stream *stream = streams->first; stream != NULL; stream = next) {
        next = stream->next;
        watcher_flush(stream);
    }
}

/* Any thread. */
static void on_published(void *cookie)
{
    struct api_events *streams = cookie;
    if (!atomic_exchange(&streams->posted, true)) {
        loop_post(streams->loop, flush_all, streams);
    }
}

static void beat(void *cookie)
{
    struct api_events *streams = cookie;
    struct api_stream *next;
    for (struct api_stream *stream = streams->first; stream != NULL; stream = next) {
        next = stream->next;
        if (++stream->beats > BEATS_MAX) {
            watcher_end(stream);
        } else {
            evbuffer_add_printf(stream->out, ":\n\n");
            watcher_send(stream);
        }
    }
}

struct api_events *api_events_create(struct loop *loop, struct events *events)
{
    struct api_events *streams = memory_zalloc(sizeof *streams);
    streams->loop = loop;
    streams->events = events;
    streams->heartbeat = loop_timer_start(loop, HEARTBEAT_MS, true, beat, streams);
    events_listen(events, on_published, streams);
    return streams;
}

void api_events_destroy(struct api_events *streams)
{
    if (streams != NULL) {
        events_listen(streams->events, NULL, NULL);
        while (streams->first != NULL) {
            watcher_cut(streams->first);
        }
        loop_timer_cancel(streams->heartbeat);
        loop_post(streams->loop, free, streams); /* behind a flush that is on its way */
    }
}

int api_events_open(struct api_events *streams, struct evhttp_request *request,
                    struct api_event_filter *filter, struct error *err)
{
    const struct timeval write_timeout = {.tv_sec = WRITE_TIMEOUT_S};
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    if (streams->count >= STREAMS_MAX) {
        api_event_filter_free(filter);
        return error_set(err, ERROR_LIMIT_EXCEEDED, "%d clients watch events already", STREAMS_MAX);
    }
    struct api_stream *stream = memory_zalloc(sizeof *stream);
    *stream = (struct api_stream){.next = streams->first,
                                  .owner = streams,
                                  .request = request,
                                  .filter = filter,
                                  .out = evbuffer_new()};
    streams->first = stream;
    streams->count++;
    evhttp_connection_set_closecb(connection, on_client_gone, stream);
    /* A client that only listens says nothing for as long as it likes. */
    bufferevent_set_timeouts(evhttp_connection_get_bufferevent(connection), NULL, &write_timeout);
    setsockopt(bufferevent_getfd(evhttp_connection_get_bufferevent(connection)), SOL_SOCKET, SO_SNDBUF,
               &(int){SOCKET_BYTES}, sizeof(int));
    evhttp_add_header(headers, "Content-Type", "text/event-stream");
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_send_reply_start(request, 200, NULL);
    evbuffer_add_printf(stream->out, "retry: 2000\n\n");
    if (filter->first != NULL) {
        add_event(stream, filter->after, "job", filter->first);
    }
    watcher_flush(stream);
    return 0;
}

/* --- the handler, on a worker */

static int read_after(struct api_call *call, uint64_t *after, struct error *err)
{
    char *end;
    if (call->last_event_id == NULL || call->last_event_id[0] == '\0') {
        return 0;
    }
    *after = strtoull(call->last_event_id, &end, 10);
    return *end == '\0' ? 0
                        : error_set(err, ERROR_REQUEST_INVALID, "Last-Event-ID is not one of this server's");
}

int api_event_stream(struct api_call *call, struct error *err)
{
    struct events *events = server_events(call->server);
    const char *name = api_query(call, "job");
    struct api_event_filter *filter = memory_zalloc(sizeof *filter);
    filter->after = events_newest(events); /* before the job is read: nothing falls between */
    call->events = filter;
    if (name != NULL) {
        const struct catalog_job *job =
            catalog_job_find(server_catalog(call->server), call->arena, name, err);
        if (job == NULL) {
            return -1;
        }
        json_t *object = api_job_json(job);
        filter->first = json_dumps(object, JSON_COMPACT);
        json_decref(object);
        strncpy(filter->job_id, job->id, sizeof filter->job_id - 1);
    }
    return read_after(call, &filter->after, err);
}
