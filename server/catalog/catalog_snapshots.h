/*
 * The catalog's view of snapshots that stay on hosts (server/catalog/catalog.h): as the hosts report them.
 * What can be restored is the points of the store and those snapshots together; one id names both, when both
 * are there.
 */
#ifndef HOLDFAST_SERVER_CATALOG_SNAPSHOTS_H
#define HOLDFAST_SERVER_CATALOG_SNAPSHOTS_H

#include "server/catalog/catalog.h"

struct catalog_snapshot {
    const char *point_id;
    const char *vm_uuid;
    const char *vm_name;
    const char *kind;
    const char *job_id;
    const char *consistency;
    int64_t time_ms;
    int64_t until_ms;
    uint64_t size;     /* of all disks */
    const char *disks; /* JSON: [{"name", "format", "size"}] */
};

/* What a host keeps now: replaces its former report. One of a VM that nobody knows is left out. */
int catalog_snapshot_report(struct catalog *catalog, const char *host_id,
                            const struct catalog_snapshot *snapshots, size_t count, struct error *err);
/* One more, told by its backup before the host reports it. */
int catalog_snapshot_put(struct catalog *catalog, const char *host_id,
                         const struct catalog_snapshot *snapshot, struct error *err);
/* It is not listed any more; its host is told when it next reports. Not known is fine. */
int catalog_snapshot_set_unwanted(struct catalog *catalog, const char *point_id, struct error *err);

/* What the job has kept on its host, the newest; *point_id NULL when nothing. */
int catalog_snapshot_of_job(struct catalog *catalog, struct arena *arena, const char *job_id,
                            const char *host_id, const char **point_id, int64_t *until_ms, struct error *err);

struct catalog_snapshot_limit {
    const char *point_id;
    int64_t until_ms; /* 1: it is not wanted */
};
/* Those of the host that should stay shorter or longer than the host says, by the policies as they are now.
 */
int catalog_snapshot_limits(struct catalog *catalog, struct arena *arena, const char *host_id,
                            const struct catalog_snapshot_limit **limits, size_t *count, struct error *err);

/* As catalog_point_find and catalog_point_list, with those that are on a host only. */
/* One of the store; RP_ON_HOST_ONLY for another. */
const struct catalog_point *catalog_stored_find(struct catalog *catalog, struct arena *arena,
                                                const char *reference, struct error *err);
const struct catalog_point *catalog_restorable_find(struct catalog *catalog, struct arena *arena,
                                                    const char *reference, struct error *err);
int catalog_restorable_list(struct catalog *catalog, struct arena *arena,
                            const struct catalog_point_filter *filter, const struct catalog_page *page,
                            const struct catalog_point **points, size_t *count, struct error *err);

#endif
