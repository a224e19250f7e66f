/*
 * Which recovery points of a VM stay, and why (grandfather, father, son). The decision is a pure function;
 * carrying it out is point_removal's. Deleted points take no part in it: they only wait for their purge.
 */
#ifndef HOLDFAST_SERVER_RETENTION_H
#define HOLDFAST_SERVER_RETENTION_H

#include "server/protection/time_zone.h"
#include "server/server.h"

enum retention_reason {
    RETENTION_LAST = 1 << 0,   /* the newest that is whole: never goes */
    RETENTION_HELD = 1 << 1,   /* by an operator */
    RETENTION_UNTIL = 1 << 2,  /* asked for when it was made, or later */
    RETENTION_AGE = 1 << 3,    /* not older than the policy's days */
    RETENTION_LATEST = 1 << 4, /* among the newest so many */
    RETENTION_DAILY = 1 << 5,  /* the last of one of so many days */
    RETENTION_WEEKLY = 1 << 6,
    RETENTION_MONTHLY = 1 << 7,
    RETENTION_YEARLY = 1 << 8,
    RETENTION_LOCKED = 1 << 9,  /* by the policy that it was made under */
    RETENTION_ALWAYS = 1 << 10, /* no policy is in force: in no group, or the group is stopped */
    RETENTION_GOOD = 1 << 11,   /* the last before an unusual change that nobody has acknowledged */
};

struct retention_time {
    int64_t now_ms;  /* of the wall clock */
    int64_t lock_ms; /* that locks count by (server/protection/lock_clock.h) */
};

/* Both as of now. CATALOG_FAILED. */
int retention_time_read(struct catalog *catalog, struct retention_time *time, struct error *err);

/* policy: NULL when none is in force (zone is not used then). points: of one VM, newest first, none deleted.
 * reasons (count): bits of enum retention_reason; 0: it may go. Days, weeks (from Monday), months and years
 * are those of the zone. Damaged points count for no period. */
void retention_decide(const struct catalog_policy *policy, const struct time_zone *zone,
                      const struct catalog_point *points, size_t count, const struct retention_time *time,
                      unsigned *reasons);
/* Until when a point surely stays for those of the reasons that have a date; 0 when none has. The counts
 * depend on points to come and have none. */
int64_t retention_until_ms(const struct catalog_policy *policy, const struct catalog_point *point,
                           unsigned reasons);
/* "latest", "weekly", ...: the names of the reasons, in the order of their bits; ends with NULL. */
extern const char *const retention_reason_names[];

/* All points of a VM that are not deleted, newest first, with what is decided for each. */
struct retention_plan {
    const struct catalog_policy *policy; /* NULL: none is in force */
    struct catalog_point *points;
    unsigned *reasons;
    size_t count;
};
/* changed: decide by it where it is a new version of the VM's policy (its id says so); NULL: as things are.
 * In the arena. A policy whose time zone the system does not have (any more) keeps all, as if there was none.
 */
int retention_plan_vm(struct catalog *catalog, struct arena *arena, const struct catalog_vm *vm,
                      const struct catalog_policy *changed, const struct retention_time *time,
                      struct retention_plan *plan, struct error *err);

/* Called with each point that the next run would delete under this policy; non-zero stops and is returned. */
typedef int (*retention_visit)(void *cookie, const struct catalog_vm *vm, const struct catalog_point *point);
int retention_preview(struct catalog *catalog, const struct catalog_policy *policy, retention_visit visit,
                      void *cookie, struct error *err);

/* Delete what no policy wants any more, of every VM in a group that is not stopped, and for good what was
 * deleted long enough ago; VMs in no group keep all they have. Points in use wait for the next time. Blocks;
 * thread-safe. */
int retention_apply(struct server *server, uint64_t *deleted, struct error *err);

#endif
