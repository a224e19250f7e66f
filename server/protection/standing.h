/*
 * How VMs stand: one judgement for lists, status, reports and digest. Blocks on the catalog where it counts.
 */
#ifndef HOLDFAST_SERVER_PROTECTION_STANDING_H
#define HOLDFAST_SERVER_PROTECTION_STANDING_H

#include "server/protection/rpo.h"
#include <jansson.h>

enum vm_state {
    VM_PROTECTED,
    VM_WAITING,  /* for its first backup: it has no point that restores from the store */
    VM_FAILING,  /* its last backup failed, whether or not it has points */
    VM_STOPPED,  /* its group is */
    VM_VANISHED, /* from its host, or the host is retired */
    VM_UNPROTECTED,
    VM_STATE_COUNT
};
const char *vm_state_name(enum vm_state state); /* "protected", "waiting", ... */

struct vm_facts {
    bool grouped;
    bool stopped; /* the group is */
    bool present;
    bool failed; /* the last backup that ended and was neither cancelled nor skipped */
    bool has_point;
};
enum vm_state vm_state_judge(const struct vm_facts *facts);
enum vm_state vm_state_of(const struct catalog_vm *vm);

struct standing_counts {
    uint64_t vms[VM_STATE_COUNT];
    uint64_t rpo[RPO_STATE_COUNT];
};
/* All VMs, or those of the groups of a user. CATALOG_FAILED. */
int standing_count(struct catalog *catalog, struct rpo_rules *rules, const char *user_id,
                   struct standing_counts *counts, struct error *err);
/* A number for each state, by name. */
json_t *standing_vms_json(const struct standing_counts *counts);
json_t *standing_rpo_json(const struct standing_counts *counts);

#endif
