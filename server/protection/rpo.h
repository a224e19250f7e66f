/*
 * Recovery point objective: one judgement for alerts, status, reports, digest and metrics. The policy's
 * schedule says when the next point is due: at its first instant after the newest point that restores from
 * the store, or after the VM came into its group or the schedule was changed when that was later, plus the
 * minutes over which starts are spread. It is missed when the grace (alert-late-minutes) has passed since,
 * too, and there is still no such point.
 *
 * Not thread-safe; blocks on the catalog and on the files of time zones where the policies are read.
 */
#ifndef HOLDFAST_SERVER_PROTECTION_RPO_H
#define HOLDFAST_SERVER_PROTECTION_RPO_H

#include "server/catalog/catalog.h"

enum rpo_state {
    RPO_NONE,    /* in no group, or its group or policy asks for nothing */
    RPO_WAITING, /* no point yet, and none is late */
    RPO_MET,
    RPO_MISSED,
    RPO_STATE_COUNT
};
const char *rpo_state_name(enum rpo_state state); /* "none", "waiting", "met", "missed" */

/* What a VM is judged by. */
struct rpo_subject {
    const char *policy_id; /* "": in no group */
    bool stopped;          /* the group is */
    int64_t protected_ms;  /* since when by its group: it joined, or the group was resumed */
    int64_t last_point_ms; /* of the newest that restores from the store; 0: none */
};

/* Every policy as it is now, and the moment at which is judged. A policy whose time zone can't be read asks
 * for nothing; that is logged. CATALOG_FAILED. */
struct rpo_rules;
struct rpo_rules *rpo_rules_read(struct catalog *catalog, int64_t grace_ms, int64_t now_ms,
                                 struct error *err);
void rpo_rules_free(struct rpo_rules *rules); /* NULL is fine */

enum rpo_state rpo_judge(struct rpo_rules *rules, const struct rpo_subject *vm);
/* How old the VM's newest point may be before it counts as missed; without a point, how long it may take. 0:
 * nothing is asked for. */
int64_t rpo_allowed_ms(struct rpo_rules *rules, const struct rpo_subject *vm);
/* Was a point missed between two points, or a point and a moment, by the policy as it is now? */
bool rpo_gap_is_missed(struct rpo_rules *rules, const char *policy_id, int64_t from_ms, int64_t to_ms);
/* NULL: there is none of that id. Borrowed until rpo_rules_free. */
const struct catalog_policy *rpo_policy(struct rpo_rules *rules, const char *policy_id);

#endif
