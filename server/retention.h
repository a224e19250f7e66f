/*
 * Which recovery points of a VM stay, and why (grandfather, father, son). The decision
 * is a pure function; carrying it out is protection_delete_point's.
 */
#ifndef HOLDFAST_SERVER_RETENTION_H
#define HOLDFAST_SERVER_RETENTION_H

#include "server/server.h"
#include "server/time_zone.h"

enum retention_reason {
    RETENTION_LAST = 1 << 0,   /* the newest that is whole: never goes */
    RETENTION_HELD = 1 << 1,   /* by an operator */
    RETENTION_UNTIL = 1 << 2,  /* asked for when it was made */
    RETENTION_AGE = 1 << 3,    /* not older than the policy's days */
    RETENTION_LATEST = 1 << 4, /* among the newest so many */
    RETENTION_DAILY = 1 << 5,  /* the last of one of so many days */
    RETENTION_WEEKLY = 1 << 6,
    RETENTION_MONTHLY = 1 << 7,
    RETENTION_YEARLY = 1 << 8,
};

/* points: of one VM, newest first. reasons (count): bits of enum retention_reason; 0: it may go. Days, weeks
 * (from Monday), months and years are those of the zone. Damaged points count for no period. */
void retention_decide(const struct catalog_policy *policy, const struct time_zone *zone,
                      const struct catalog_point *points, size_t count, int64_t now_ms, unsigned *reasons);

/* Delete what no policy wants any more, of every VM in a group; VMs in no group keep all they have. Points in
 * use wait for the next time. Blocks; thread-safe. */
int retention_apply(struct server *server, uint64_t *deleted, struct error *err);

#endif
