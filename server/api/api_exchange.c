/* One request: from the loop to a worker, and its answer back. */
#include "server/api/api_exchange.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "server/api/api_once.h"
#include "server/audit/api_stranger.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    API_STREAM_BYTES = 8 * 1024 * 1024, /* of an export that wait for the client */
    API_CODE_MAX = 64,                  /* of a second factor */
};

void exchange_free(struct exchange *exchange)
{
    if (exchange->exports) {
        atomic_fetch_sub(&exchange->api->exports, 1);
    }
    atomic_fetch_sub(&exchange->api->open, 1);
    api_export_destroy(exchange->call.export);
    api_event_filter_free(exchange->call.events);
    json_decref(exchange->call.body);
    json_decref(exchange->call.reply);
    json_decref(exchange->call.audit_changed);
    free(exchange->call.text);
    arena_destroy(exchange->call.arena);
    pthread_cond_destroy(&exchange->changed);
    pthread_mutex_destroy(&exchange->lock);
    if (exchange->body != NULL) {
        OPENSSL_cleanse(exchange->body, exchange->body_length); /* may hold a password */
    }
    free(exchange->body);
    free(exchange->query);
    free(exchange->answer);
    free(exchange);
}

static void on_client_gone(struct evhttp_connection *connection, void *cookie)
{
    (void)connection;
    struct exchange *exchange = cookie;
    if (!exchange->api->closing) { /* evhttp (2.1) then leaves a request that is not answered to us */
        evhttp_request_free(exchange->request);
    }
    exchange->request = NULL;
    pthread_mutex_lock(&exchange->lock);
    exchange->gone = true;
    pthread_cond_broadcast(&exchange->changed);
    pthread_mutex_unlock(&exchange->lock);
    if (exchange->ended) {
        exchange_free(exchange);
    }
}

void exchange_watch(struct exchange *exchange)
{
    evhttp_connection_set_closecb(evhttp_request_get_connection(exchange->request), on_client_gone, exchange);
}

void exchange_release(struct exchange *exchange)
{
    if (exchange->request != NULL) {
        evhttp_connection_set_closecb(evhttp_request_get_connection(exchange->request), NULL, NULL);
    }
}

static const char content_json[] = "application/json";

static void send_text(struct evhttp_request *request, int status, const char *type, const char *text,
                      int64_t retry_after_ms)
{
    struct evbuffer *body = evbuffer_new();
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    char seconds[32];
    if (retry_after_ms > 0) {
        snprintf(seconds, sizeof seconds, "%lld",
                 (long long)(retry_after_ms + API_SECOND_MS - 1) / API_SECOND_MS);
        evhttp_add_header(headers, "Retry-After", seconds);
    }
    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evbuffer_add(body, text, strlen(text));
    evhttp_send_reply(request, status, NULL, body);
    evbuffer_free(body);
}

void exchange_send_error(struct evhttp_request *request, const struct error *err, int64_t retry_after_ms)
{
    json_t *object = api_error_json(err);
    char *text = json_dumps(object, JSON_COMPACT);
    send_text(request, api_error_status(err), content_json, text != NULL ? text : "{}", retry_after_ms);
    free(text);
    json_decref(object);
}

/* On the loop. */
static void finish(void *cookie)
{
    struct exchange *exchange = cookie;
    exchange_release(exchange);
    if (exchange->request != NULL) {
        send_text(exchange->request, exchange->status,
                  exchange->call.content_type != NULL ? exchange->call.content_type : content_json,
                  exchange->answer, exchange->call.retry_after_ms);
    }
    exchange_free(exchange);
}

/* --- streams
 * ------------------------------------------------------------------------------------------------ */

struct piece {
    struct exchange *exchange;
    struct evbuffer *bytes;
    size_t length;
};

static void end_stream(struct exchange *exchange)
{
    exchange_release(exchange);
    if (exchange->request != NULL) {
        evhttp_send_reply_end(exchange->request);
    }
    exchange_free(exchange);
}

/* libevent calls this deferred: it may belong to an earlier piece than the last. The answer is only ended
 * when nothing is on its way: evhttp (2.1) takes a late call for an earlier piece for the end of the answer,
 * and writes no more. */
static void on_piece_written(struct evhttp_connection *connection, void *cookie)
{
    struct exchange *exchange = cookie;
    struct evbuffer *output = bufferevent_get_output(evhttp_connection_get_bufferevent(connection));
    if (evbuffer_get_length(output) > 0) {
        return;
    }
    exchange->written = true;
    pthread_mutex_lock(&exchange->lock);
    exchange->waiting = 0;
    pthread_cond_broadcast(&exchange->changed);
    pthread_mutex_unlock(&exchange->lock);
    if (exchange->ended) {
        end_stream(exchange);
    }
}

static void send_piece(void *cookie)
{
    struct piece *piece = cookie;
    struct exchange *exchange = piece->exchange;
    exchange->written = false;
    if (exchange->request != NULL) {
        evhttp_send_reply_chunk_with_cb(exchange->request, piece->bytes, on_piece_written, exchange);
    }
    evbuffer_free(piece->bytes);
    free(piece);
}

static int stream_sink(void *cookie, const void *bytes, size_t length)
{
    struct exchange *exchange = cookie;
    pthread_mutex_lock(&exchange->lock);
    while (exchange->waiting > API_STREAM_BYTES && !exchange->gone) {
        pthread_cond_wait(&exchange->changed, &exchange->lock);
    }
    bool gone = exchange->gone;
    exchange->waiting += length;
    pthread_mutex_unlock(&exchange->lock);
    if (gone) {
        return -1;
    }
    struct piece *piece = memory_alloc(sizeof *piece);
    *piece = (struct piece){.exchange = exchange, .bytes = evbuffer_new(), .length = length};
    evbuffer_add(piece->bytes, bytes, length);
    loop_post(exchange->api->loop, send_piece, piece);
    return 0;
}

static void start_stream(void *cookie)
{
    struct exchange *exchange = cookie;
    const struct timeval write_timeout = {.tv_sec = API_TIMEOUT_S};
    if (exchange->request != NULL) {
        struct evhttp_connection *connection = evhttp_request_get_connection(exchange->request);
        /* A client that only listens says nothing, however long the disk is. */
        bufferevent_set_timeouts(evhttp_connection_get_bufferevent(connection), NULL, &write_timeout);
        evhttp_add_header(evhttp_request_get_output_headers(exchange->request), "Content-Type",
                          "application/vnd.holdfast.disk");
        evhttp_send_reply_start(exchange->request, 200, NULL);
    }
}

static void on_stream_ended(void *cookie)
{
    struct exchange *exchange = cookie;
    exchange->ended = true;
    if (exchange->written || exchange->request == NULL) {
        end_stream(exchange);
    }
}

/* The request goes on as a stream of events, without this exchange. */
static void start_events(void *cookie)
{
    struct exchange *exchange = cookie;
    struct evhttp_request *request = exchange->request;
    struct error err;
    exchange_release(exchange);
    if (request != NULL) {
        struct api_event_filter *filter = exchange->call.events;
        exchange->call.events = NULL;
        if (api_events_open(exchange->api->events, request, filter, &err) != 0) {
            exchange_send_error(request, &err, 0);
        }
    }
    exchange_free(exchange);
}

/* --- on a worker
 * -------------------------------------------------------------------------------------------- */

static int parse_body(struct exchange *exchange, struct error *err)
{
    json_error_t problem;
    if (exchange->body_length == 0) {
        exchange->call.body = json_object();
        return 0;
    }
    exchange->call.body = json_loadb(exchange->body, exchange->body_length, JSON_REJECT_DUPLICATES, &problem);
    if (!json_is_object(exchange->call.body)) {
        return error_set(err, ERROR_REQUEST_INVALID, "The request is not a JSON object: %s",
                         exchange->call.body == NULL ? problem.text : "something else");
    }
    return 0;
}

/* Who asks; on a worker, since the catalog knows. */
static int authenticate(struct exchange *exchange, struct error *err)
{
    struct api_call *call = &exchange->call;
    if (exchange->route->role == ROLE_ANYONE) {
        return 0;
    }
    if (exchange->token_digest[0] == '\0') {
        return error_set(err, ERROR_AUTHENTICATION_FAILED, "The request has no token");
    }
    if (access_authenticate(call->access, call->arena, exchange->token_digest, &call->identity, err) != 0) {
        return -1;
    }
    call->actor = call->identity.user_name;
    return 0;
}

/* What changes something is on the audit record before it is done, whatever becomes of it. */
static int handle(struct exchange *exchange, struct error *err)
{
    struct error unreadable;
    struct api_call *call = &exchange->call;
    bool readable = parse_body(exchange, &unreadable) == 0;
    if (!readable) {
        json_decref(call->body);
        call->body = NULL;
    }
    if (api_audit_begin(call, exchange->route, err) != 0) {
        return -1;
    }
    int result = readable ? api_once_run(call, exchange->route, err) : -1;
    if (!readable) {
        *err = unreadable;
    }
    api_audit_end(call, exchange->route, result == 0 ? NULL : err);
    return result;
}

static void take_answer(struct exchange *exchange)
{
    struct api_call *call = &exchange->call;
    exchange->status = call->status;
    exchange->answer = call->text != NULL ? call->text : json_dumps(call->reply, JSON_COMPACT);
    call->text = NULL;
    if (exchange->answer == NULL) {
        exchange->status = 500;
        exchange->answer =
            memory_copy_text("{\"code\":\"INTERNAL\",\"message\":\"The answer could not be made\"}");
    }
    api_statistics_count(exchange->api->statistics, exchange->status,
                         clock_monotonic_us() - exchange->arrived_us);
}

static void take_refusal(struct exchange *exchange, const struct error *err)
{
    json_decref(exchange->call.reply);
    exchange->call.reply = api_error_json(err);
    exchange->call.status = api_error_status(err);
    if (exchange->call.status >= 500) {
        log_error("a request failed", err);
    }
}

static void export_work(void *cookie)
{
    struct exchange *exchange = cookie;
    loop_post(exchange->api->loop, start_stream, exchange);
    api_export_run(exchange->call.export, stream_sink, exchange);
    loop_post(exchange->api->loop, on_stream_ended, exchange);
}

/* A disk's stream needs a thread for as long as its client reads: LIMIT_EXCEEDED when all have one. */
static int reserve_export(struct exchange *exchange, struct error *err)
{
    if (exchange->route->handler != api_point_data) {
        return 0;
    }
    exchange->exports = true;
    if (atomic_fetch_add(&exchange->api->exports, 1) < API_EXPORTS) {
        return 0;
    }
    exchange->call.retry_after_ms = API_SECOND_MS;
    return error_set(err, ERROR_LIMIT_EXCEEDED, "%d disks are read from the store already", API_EXPORTS);
}

void exchange_work(void *cookie)
{
    struct exchange *exchange = cookie;
    struct error err;
    exchange->call.status = 200;
    if (authenticate(exchange, &err) != 0) {
        api_stranger_note(server_audit(exchange->api->server), exchange->api->pool, exchange->call.address,
                          exchange->call.method, exchange->call.path, &err);
        take_refusal(exchange, &err);
    } else if (reserve_export(exchange, &err) != 0 || handle(exchange, &err) != 0) {
        take_refusal(exchange, &err);
    } else if (exchange->call.export != NULL) {
        pool_submit(exchange->api->export_pool, export_work,
                    exchange); /* there is a thread: it was counted */
        return;
    } else if (exchange->call.events != NULL) {
        loop_post(exchange->api->loop, start_events, exchange);
        return;
    }
    take_answer(exchange);
    loop_post(exchange->api->loop, finish, exchange);
}

/* --- on the loop
 * -------------------------------------------------------------------------------------------- */

/* The digest of the token that came; "" without one. */
static void read_token(struct evhttp_request *request, char digest[SECRET_DIGEST_SIZE])
{
    static const char scheme[] = "Bearer ";
    const char *header = evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization");
    digest[0] = '\0';
    if (header != NULL && strncmp(header, scheme, sizeof scheme - 1) == 0) {
        secret_digest(header + sizeof scheme - 1, digest);
    }
}

static const char *method_name(struct evhttp_request *request)
{
    switch (evhttp_request_get_command(request)) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    default:
        return "?";
    }
}

static const char *peer_address(struct evhttp_request *request)
{
    char *address = NULL;
    ev_uint16_t port = 0;
    evhttp_connection_get_peer(evhttp_request_get_connection(request), &address, &port);
    return address != NULL ? address : "";
}

/* NULL when it was not sent. */
static const char *header_text(struct exchange *exchange, const char *name)
{
    return arena_text(exchange->call.arena,
                      evhttp_find_header(evhttp_request_get_input_headers(exchange->request), name));
}

struct exchange *exchange_create(struct api *api, struct evhttp_request *request)
{
    struct exchange *exchange = memory_zalloc(sizeof *exchange);
    struct evbuffer *input = evhttp_request_get_input_buffer(request);
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
    exchange->api = api;
    exchange->request = request;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    const char *code =
        evhttp_find_header(evhttp_request_get_input_headers(request), "Holdfast-Second-Factor");
    struct api_call *call = &exchange->call;
    call->server = api->server;
    call->access = api->access;
    call->arena = arena_create();
    call->actor = "-";
    call->method = method_name(request);
    call->path = arena_text(call->arena, path != NULL ? path : "/");
    call->address = arena_text(call->arena, peer_address(request));
    call->second_factor = code != NULL && strlen(code) <= API_CODE_MAX ? arena_text(call->arena, code) : NULL;
    call->idempotency_key = header_text(exchange, "Idempotency-Key");
    call->last_event_id = header_text(exchange, "Last-Event-ID");
    read_token(request, exchange->token_digest);
    exchange->query = memory_copy_text(query);
    exchange->call.query = exchange->query;
    exchange->call.statistics = api->statistics;
    exchange->arrived_us = clock_monotonic_us();
    exchange->body_length = evbuffer_get_length(input);
    exchange->body = memory_alloc(exchange->body_length);
    evbuffer_remove(input, exchange->body, exchange->body_length);
    pthread_mutex_init(&exchange->lock, NULL);
    pthread_cond_init(&exchange->changed, NULL);
    atomic_fetch_add(&api->open, 1);
    return exchange;
}
