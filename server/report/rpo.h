/*
 * Recovery point objective: how old the newest point that restores may be. It follows from the schedule: the
 * longest time between two runs, the minutes over which starts are spread, and for the backup itself half as
 * much as the first, four hours at most.
 */
#ifndef HOLDFAST_SERVER_REPORT_RPO_H
#define HOLDFAST_SERVER_REPORT_RPO_H

#include "server/catalog/catalog_report.h"

/* 0: the policy asks for nothing (by hand, or disabled). */
int64_t rpo_allowed_ms(const struct catalog_policy *policy);

enum rpo_state {
    RPO_NONE,    /* in no group, or its group or policy asks for nothing */
    RPO_WAITING, /* not protected for so long that a point is due */
    RPO_MET,
    RPO_MISSED,
};
const char *rpo_state_name(enum rpo_state state); /* "none", "waiting", "met", "missed" */

/* Every policy's objective, in the arena. */
struct rpo_policies {
    const struct catalog_policy **policies;
    size_t count;
};
int rpo_policies_read(struct catalog *catalog, struct arena *arena, struct rpo_policies *policies,
                      struct error *err);
/* Of the VM now; *allowed_ms may be 0. */
enum rpo_state rpo_judge(const struct rpo_policies *policies, const struct catalog_vm_report_row *vm,
                         int64_t now_ms, int64_t *allowed_ms);

#endif
