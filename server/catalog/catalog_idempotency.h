/*
 * Requests that a client gave a key (Idempotency-Key), so that a repeated one is answered and not done again.
 * Kept for a day, the newest thousand of each who asks.
 */
#ifndef HOLDFAST_SERVER_CATALOG_IDEMPOTENCY_H
#define HOLDFAST_SERVER_CATALOG_IDEMPOTENCY_H

#include "server/catalog/catalog.h"

enum catalog_request_state {
    CATALOG_REQUEST_NEW,     /* it was not there: this caller does it */
    CATALOG_REQUEST_RUNNING, /* another does it */
    CATALOG_REQUEST_DONE,
    CATALOG_REQUEST_UNKNOWN, /* the server ended before it was answered */
};

struct catalog_request {
    const char *actor;
    const char *key;
    const char *fingerprint; /* in: of this request; out: of the first with this key */
    int status;              /* out: of the answer */
    const char *answer;      /* out: JSON; "" when it is not kept */
};

/* Note that it begins, or find what became of the first one. -1 with CATALOG_FAILED. */
int catalog_request_begin(struct catalog *catalog, struct arena *arena, struct catalog_request *request,
                          enum catalog_request_state *state, struct error *err);
/* Its answer: "" to keep only that it was done. */
int catalog_request_done(struct catalog *catalog, const struct catalog_request *request, struct error *err);
/* It failed: the key may be used again. */
int catalog_request_forget(struct catalog *catalog, const struct catalog_request *request, struct error *err);
/* At the start: what runs according to the catalog does not any more. */
int catalog_request_interrupted(struct catalog *catalog, struct error *err);

#endif
