/*
 * The only place where recovery points are deleted, undeleted and purged. All block; thread-safe.
 *
 * A lock is refused to everyone, for deleting as for purging, and for what the catalog says as for what the
 * point's own record in the store says: RP_LOCKED. A held point is refused: RP_HELD. Data goes record first:
 * what is interrupted is a deleted point that the next purge removes.
 */
#ifndef HOLDFAST_SERVER_POINT_REMOVAL_H
#define HOLDFAST_SERVER_POINT_REMOVAL_H

#include "server/server.h"

struct point_removal {
    const char *actor;    /* who asks */
    const char *group_id; /* with whose stop; NULL: by itself */
    bool now;             /* for good at once, also one that is deleted already */
    bool last_too;        /* also the last good point of a protected VM */
};

/* Delete the point: it can be had back for `soft-delete-days`, and goes for good at once when that is 0.
 * RP_NOT_FOUND, RP_LOCKED, RP_HELD, RP_DELETED (already, and not to go now), RP_LAST, JOB_CONFLICT (a job
 * uses what is to go for good). */
int point_remove(struct server *server, const char *point_id, const struct point_removal *removal,
                 struct error *err);
/* Retention's own: for good, whatever `soft-delete-days` says. The last good point of a VM: RP_LAST. */
int point_expire(struct server *server, const char *point_id, struct error *err);
/* A deleted point whose days are over, for good. RP_LOCKED, JOB_CONFLICT, RP_NOT_FOUND (also: no longer
 * deleted). */
int point_purge(struct server *server, const char *point_id, struct error *err);
/* RP_NOT_FOUND also for a point that is not deleted. */
int point_undelete(struct server *server, const char *point_id, const char *actor, struct error *err);

struct point_removal_counts {
    uint64_t deleted;
    uint64_t locked; /* stay, as those on hold */
    uint64_t held;
};
/* Every point of the VM that may go; those that may not are counted. */
int point_remove_all(struct server *server, const char *vm_id, const struct point_removal *removal,
                     struct point_removal_counts *counts, struct error *err);

#endif
