/*
 * Starts backups when policies say so, and lets retention go over the recovery points. Two threads of its
 * own, one that looks once a second and one for retention. That a group's run was acted upon is stored when
 * all its jobs are; a server that was killed between goes on with the VMs that have none. Runs that were
 * missed while the server was down are made up for once.
 */
#ifndef HOLDFAST_SERVER_SCHEDULER_H
#define HOLDFAST_SERVER_SCHEDULER_H

#include "server/server.h"

struct scheduler;

struct scheduler *scheduler_start(struct server *server, struct error *err);
void scheduler_stop(struct scheduler *scheduler); /* joins its threads; NULL is fine */
/* Wall time of the last look at every group: whatever was due by then is started. 0: none yet. Any thread. */
int64_t scheduler_looked_ms(const struct scheduler *scheduler);

/* One look at every group: what is due by now_ms is handed to start (0, or -1 with the error, which is
 * logged). The thread's work, callable by itself in tests. */
typedef int (*scheduler_start_backup)(void *cookie, const struct catalog_group *group,
                                      const struct catalog_vm *vm, struct error *err);
int scheduler_look(struct catalog *catalog, int64_t now_ms, scheduler_start_backup start, void *cookie,
                   struct error *err);

#endif
