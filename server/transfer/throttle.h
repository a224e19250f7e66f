/*
 * How fast data may travel between the server and a host: a limit per host, which all its jobs share, with
 * another one outside some hours of the week, and one per job. Applies to backups and restores; the limit is
 * kept by the server, which reads, or sends, no faster.
 *
 * Thread-safe.
 */
#ifndef HOLDFAST_SERVER_THROTTLE_H
#define HOLDFAST_SERVER_THROTTLE_H

#include "server/catalog/catalog.h"

enum { THROTTLE_RATE_MIN = 256 * 1024 }; /* bytes a second: slower, and transfers would time out */

/* REQUEST_INVALID, SCHEDULE_INVALID. */
int bandwidth_limit_check(const struct bandwidth_limit *limit, struct error *err);

struct throttles;
struct throttles *throttles_create(void);
/* When every throttle is closed. NULL is fine. */
void throttles_destroy(struct throttles *throttles);
/* Counts at once, for jobs that run, too. The limit was checked; with a rate of 0 in both there is none. A
 * zone that the system has no longer is UTC. */
void throttles_set_host(struct throttles *throttles, const char *host_id,
                        const struct bandwidth_limit *limit);

/* Of one job. */
struct throttle;
/* rate: of the job, bytes a second; 0: only its host's limit counts. */
struct throttle *throttle_open(struct throttles *throttles, const char *host_id, uint64_t rate);
void throttle_close(struct throttle *throttle); /* NULL is fine */
/* Wait until so many bytes may have travelled. Blocks; returns at once after throttle_stop. NULL is fine. */
void throttle_spend(struct throttle *throttle, uint64_t bytes);
void throttle_stop(struct throttle *throttle); /* NULL is fine */

/* The limit at an instant, bytes a second, 0 for none. Pure, for tests. zone: of the limit. */
struct time_zone;
uint64_t bandwidth_limit_at(const struct bandwidth_limit *limit, const struct time_zone *zone,
                            int64_t now_ms);

#endif
