/*
 * Points that were deleted but can still be had back, in the catalog. As server/catalog/catalog.h:
 * thread-safe, blocks. What may be deleted is point_removal's to say.
 */
#ifndef HOLDFAST_SERVER_CATALOG_DELETION_H
#define HOLDFAST_SERVER_CATALOG_DELETION_H

#include "server/catalog/catalog.h"

struct catalog_deletion {
    int64_t deleted_ms;
    int64_t purge_ms; /* as locks count, see server/protection/lock_clock.h */
    const char *by;
    const char *group_id; /* with whose stop; NULL or "": by itself */
};

/* RP_DELETED when the point is: nobody restores from what is about to go. */
int catalog_point_check_live(const struct catalog_point *point, struct error *err);
/* One that is deleted already, or held, stays as it is. */
int catalog_point_soft_delete(struct catalog *catalog, const char *id,
                              const struct catalog_deletion *deletion, struct error *err);
/* A deleted one goes then. */
int catalog_point_purge_at(struct catalog *catalog, const char *id, int64_t purge_ms, struct error *err);
/* RP_NOT_FOUND also when it is not deleted. */
int catalog_point_undelete(struct catalog *catalog, const char *id, struct error *err);
/* Those that were deleted with the stop of this group. */
int catalog_point_list_deleted_with(struct catalog *catalog, struct arena *arena, const char *group_id,
                                    const char *const **ids, size_t *count, struct error *err);
/* Deleted ones that go at or before this time, the earliest first, 1000 at most. */
int catalog_point_list_purgeable(struct catalog *catalog, struct arena *arena, int64_t until_ms,
                                 const char *const **ids, size_t *count, struct error *err);
/* How many other points of the VM are neither deleted nor damaged. */
int catalog_point_count_other_good(struct catalog *catalog, const char *vm_id, const char *id,
                                   uint64_t *count, struct error *err);

#endif
