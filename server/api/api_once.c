#include "server/api/api_once.h"

#include "base/bytes.h"
#include "base/digest.h"
#include "base/log.h"
#include "server/catalog/catalog_idempotency.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KEY_MAX = 128,
    ANSWER_MAX = 256 * 1024, /* longer ones are not kept */
    WAIT_MS = 5000,          /* for the first request's answer; workers are few */
    WAIT_STEP_MS = 50,
};

static bool key_is_valid(const char *key)
{
    size_t length = 0;
    for (; key[length] != '\0' && length <= KEY_MAX; length++) {
        if (key[length] <= ' ' || key[length] > '~') {
            return false;
        }
    }
    return length > 0 && length <= KEY_MAX;
}

/* What the request asks for, in whatever order its fields stand. */
static const char *fingerprint(struct api_call *call, const struct api_route *route)
{
    uint8_t digest[DIGEST_SIZE];
    char hex[2 * DIGEST_SIZE + 1];
    json_t *plain = api_audit_mask(call->body); /* no digest from which a password could be guessed */
    char *body = json_dumps(plain, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(plain);
    const char *text = arena_format(call->arena, "%s %s\n%s\n%s\n%s\n%s", route->method, route->path,
                                    call->parameters[0] != NULL ? call->parameters[0] : "",
                                    call->parameters[1] != NULL ? call->parameters[1] : "",
                                    call->query != NULL ? call->query : "", body != NULL ? body : "");
    free(body);
    digest_sha256(text, strlen(text), digest);
    bytes_to_hex(digest, sizeof digest, hex);
    return arena_text(call->arena, hex);
}

static int give_answer(struct api_call *call, const struct catalog_request *request, struct error *err)
{
    json_error_t ignored;
    if (request->answer[0] == '\0') {
        return error_set(err, ERROR_IDEMPOTENCY_UNKNOWN,
                         "The request was done when it came first; its answer is not kept");
    }
    call->reply = json_loads(request->answer, 0, &ignored);
    call->status = request->status;
    return call->reply != NULL ? 0 : error_set(err, ERROR_INTERNAL, "An answer that was kept can't be read");
}

/* This request is the first with its key. */
static int do_it(struct api_call *call, const struct api_route *route, struct catalog_request *request,
                 struct error *err)
{
    struct error unsaved;
    struct catalog *catalog = server_catalog(call->server);
    int result = api_dispatch(call, route, err);
    int saved;
    if (result == 0) {
        char *text = call->reply_is_secret ? NULL : json_dumps(call->reply, JSON_COMPACT);
        request->status = call->status;
        request->answer = text != NULL && strlen(text) <= ANSWER_MAX ? text : "";
        saved = catalog_request_done(catalog, request, &unsaved);
        free(text);
    } else {
        saved = catalog_request_forget(catalog, request, &unsaved);
    }
    if (saved != 0) {
        log_error("what became of a request is not stored", &unsaved);
    }
    return result;
}

static int find_state(struct api_call *call, const struct api_route *route, struct catalog_request *request,
                      enum catalog_request_state *state, struct error *err)
{
    struct catalog *catalog = server_catalog(call->server);
    const char *mine = fingerprint(call, route);
    for (int waited_ms = 0;; waited_ms += WAIT_STEP_MS) {
        request->fingerprint = mine;
        if (catalog_request_begin(catalog, call->arena, request, state, err) != 0) {
            return -1;
        }
        if (*state != CATALOG_REQUEST_NEW && strcmp(request->fingerprint, mine) != 0) {
            return error_set(err, ERROR_IDEMPOTENCY_CONFLICT,
                             "The Idempotency-Key %s was used for another request", request->key);
        }
        if (*state != CATALOG_REQUEST_RUNNING || waited_ms >= WAIT_MS) {
            return 0;
        }
        nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_MS * 1000000L}, NULL);
    }
}

int api_once_run(struct api_call *call, const struct api_route *route, struct error *err)
{
    enum catalog_request_state state;
    struct catalog_request request = {.actor = call->actor, .key = call->idempotency_key};
    if (call->idempotency_key == NULL || strcmp(route->method, "GET") == 0 || route->role == ROLE_ANYONE) {
        return api_dispatch(call, route, err);
    }
    if (!key_is_valid(call->idempotency_key)) {
        return error_set(err, ERROR_REQUEST_INVALID,
                         "An Idempotency-Key has 1 to %d characters, and no spaces", KEY_MAX);
    }
    if (find_state(call, route, &request, &state, err) != 0) {
        return -1;
    }
    switch (state) {
    case CATALOG_REQUEST_NEW:
        return do_it(call, route, &request, err);
    case CATALOG_REQUEST_DONE:
        return give_answer(call, &request, err);
    case CATALOG_REQUEST_RUNNING:
        return error_set(err, ERROR_IDEMPOTENCY_RUNNING,
                         "The same request came before and is not answered yet");
    case CATALOG_REQUEST_UNKNOWN:
    default:
        return error_set(err, ERROR_IDEMPOTENCY_UNKNOWN,
                         "The server restarted while it did this when it was asked first");
    }
}

int api_once_start(struct server *server, struct error *err)
{
    return catalog_request_interrupted(server_catalog(server), err);
}
