/*
 * A request with an Idempotency-Key is done once: its repetition within a day gets the first one's answer. So
 * a client that lost its connection may ask again without starting a second job.
 *
 * IDEMPOTENCY_CONFLICT: the key was used for another request. IDEMPOTENCY_RUNNING: the first is not answered
 * yet, and was not within a few seconds of waiting. IDEMPOTENCY_UNKNOWN: it was done, or begun before the
 * server restarted, and its answer is not kept (it holds a secret or is very long). A request that failed may
 * be repeated with its key.
 */
#ifndef HOLDFAST_SERVER_API_ONCE_H
#define HOLDFAST_SERVER_API_ONCE_H

#include "server/api/api_internal.h"

/* Answers the call, by its handler or from what is kept. Blocks; on a worker. */
int api_once_run(struct api_call *call, const struct api_route *route, struct error *err);

/* At the start of the server. */
int api_once_start(struct server *server, struct error *err);

#endif
