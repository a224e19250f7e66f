/*
 * Protection groups as operators make and end them. Each change that passes its first checks is a job of type
 * configure-group in the catalog, with what was found in its log; it is carried out by the caller's thread
 * and over when the call returns. All block; thread-safe.
 */
#ifndef HOLDFAST_SERVER_GROUP_CONFIGURE_H
#define HOLDFAST_SERVER_GROUP_CONFIGURE_H

#include "server/protection/point_removal.h"
#include "server/server.h"

/* What was found about one VM, or (vm_name "") about all of them. */
struct group_finding {
    const char *vm_name;
    bool refused; /* otherwise a warning */
    struct error problem;
};

struct group_report {
    struct group_finding *findings;
    size_t count;
    size_t refused; /* findings that are no warnings: nothing is stored then */
};

struct group_request {
    const char *group_id; /* that VMs are added to; NULL: a new one, with */
    const char *name;
    const char *policy_id;
    const char *const *vm_ids;
    size_t count;
    const char *actor;
};

/* Whether the group can be configured so: its name, and for each VM that it is there, its host answers, it is
 * in no other group, it has disks that can be backed up and not too many; and the room in the store. Nothing
 * is stored. The report is in the arena. Fails only for what is wrong with the group itself:
 * POLICY_NAME_INVALID, NAME_TAKEN, or what can't be found out. */
int group_validate(struct server *server, struct arena *arena, const struct group_request *request,
                   struct group_report *report, struct error *err);

/* Validates, then stores the group with all of its VMs or nothing. id: of the group. The report has the
 * warnings, or all that is wrong; err is the first of these: VM_NOT_FOUND, VM_MOVED_AWAY, HOST_UNREACHABLE,
 * DISK_UNSUPPORTED, TOO_MANY_DISKS, VM_ALREADY_PROTECTED, STORE_FULL. */
int group_configure(struct server *server, struct arena *arena, const struct group_request *request,
                    struct group_report *report, char id[IDENTITY_SIZE], struct error *err);

/* The room that `bytes` of disks may need in the store. 1: enough; 0: perhaps not, *err says why; -1:
 * certainly not (STORE_FULL), or not known. */
int group_check_space(struct server *server, uint64_t bytes, struct error *err);

/* Another name, another policy; NULL: as it is. The points that are there fall under the new policy's
 * retention; what is due is counted from the group's last run. POLICY_NAME_INVALID, NAME_TAKEN,
 * GROUP_NOT_FOUND. */
int group_edit(struct server *server, const char *group_id, const char *name, const char *policy_id,
               const char *actor, struct error *err);

/* The schedule ends, and retention rests. With delete_data the points of all its VMs are deleted too, but
 * those that are locked or held (counts); group_resume brings them back for as long as deleted points are
 * kept. Again is fine. GROUP_NOT_FOUND, JOB_CONFLICT (delete_data while a VM of it is backed up or restored).
 */
int group_stop(struct server *server, const char *group_id, bool delete_data, const char *actor,
               struct point_removal_counts *counts, struct error *err);
int group_resume(struct server *server, const char *group_id, const char *actor, uint64_t *undeleted,
                 struct error *err);
/* One VM, which may have vanished, leaves the group. With delete_data as group_stop does. VM_NOT_PROTECTED,
 * JOB_CONFLICT. */
int group_remove(struct server *server, const char *group_id, const char *vm_id, bool delete_data,
                 const char *actor, struct point_removal_counts *counts, struct error *err);

/* The group goes, its VMs are in none then; recovery points stay. GROUP_NOT_FOUND. */
int group_delete(struct server *server, const char *group_id, const char *actor, struct error *err);

#endif
