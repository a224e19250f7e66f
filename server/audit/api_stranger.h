/* Requests without a right token, for the audit record: counted on the event loop, written on the pool. */
#ifndef HOLDFAST_SERVER_AUDIT_API_STRANGER_H
#define HOLDFAST_SERVER_AUDIT_API_STRANGER_H

#include "base/pool.h"
#include "server/audit/audit.h"

/* Texts are copied; path may be NULL. Never blocks; what is too much is left out. */
void api_stranger_note(struct audit *audit, struct pool *pool, const char *address, const char *method,
                       const char *path, const struct error *refused);

#endif
