#include "server/protection/standing.h"

#include "server/catalog/catalog_standing.h"
#include <string.h>

const char *vm_state_name(enum vm_state state)
{
    static const char *const names[] = {"protected", "waiting",  "failing",
                                        "stopped",   "vanished", "unprotected"};
    return names[state];
}

enum vm_state vm_state_judge(const struct vm_facts *facts)
{
    return !facts->grouped    ? VM_UNPROTECTED
           : facts->stopped   ? VM_STOPPED
           : !facts->present  ? VM_VANISHED
           : facts->failed    ? VM_FAILING
           : facts->has_point ? VM_PROTECTED
                              : VM_WAITING;
}

enum vm_state vm_state_of(const struct catalog_vm *vm)
{
    struct vm_facts facts = {.grouped = vm->group_id[0] != '\0',
                             .stopped = vm->group_stopped,
                             .present = vm->present,
                             .failed = strcmp(vm->last_backup, job_state_name(JOB_FAILED)) == 0,
                             .has_point = vm->last_point_ms > 0};
    return vm_state_judge(&facts);
}

static void count_one(struct rpo_rules *rules, const struct catalog_standing_vm *vm,
                      struct standing_counts *counts)
{
    struct vm_facts facts = {.grouped = vm->grouped,
                             .stopped = vm->stopped,
                             .present = vm->present,
                             .failed = vm->failed,
                             .has_point = vm->last_point_ms > 0};
    struct rpo_subject subject = {.policy_id = vm->policy_id,
                                  .stopped = vm->stopped,
                                  .protected_ms = vm->protected_ms,
                                  .last_point_ms = vm->last_point_ms};
    counts->vms[vm_state_judge(&facts)]++;
    counts->rpo[rpo_judge(rules, &subject)]++;
}

int standing_count(struct catalog *catalog, struct rpo_rules *rules, const char *user_id,
                   struct standing_counts *counts, struct error *err)
{
    struct catalog_page page = {0};
    size_t count;
    *counts = (struct standing_counts){0};
    do {
        struct arena *arena = arena_create();
        const struct catalog_standing_vm *vms;
        int result = catalog_standing_vms(catalog, arena, user_id, &page, &vms, &count, err);
        for (size_t i = 0; i < count && result == 0; i++) {
            count_one(rules, &vms[i], counts);
            page.after = vms[i].number;
        }
        arena_destroy(arena);
        if (result != 0) {
            return -1;
        }
    } while (count == CATALOG_PAGE_MAX);
    return 0;
}

/* One object of a number for each name. */
static json_t *counts_json(const uint64_t *counts, size_t states, const char *(*name)(size_t state))
{
    json_t *object = json_object();
    for (size_t state = 0; state < states; state++) {
        json_object_set_new(object, name(state), json_integer((json_int_t)counts[state]));
    }
    return object;
}

static const char *vm_name(size_t state)
{
    return vm_state_name((enum vm_state)state);
}

static const char *rpo_name(size_t state)
{
    return rpo_state_name((enum rpo_state)state);
}

json_t *standing_vms_json(const struct standing_counts *counts)
{
    return counts_json(counts->vms, VM_STATE_COUNT, vm_name);
}

json_t *standing_rpo_json(const struct standing_counts *counts)
{
    return counts_json(counts->rpo, RPO_STATE_COUNT, rpo_name);
}
