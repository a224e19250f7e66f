/* VMs: jobs that failed, points that are missing, guests that were harmed. */
#include "server/alerts/conditions.h"

#include "base/clock.h"
#include "server/protection/rpo.h"
#include <string.h>

enum { RESTORE_KEPT_MS = 7 * 24 * 3600 * 1000 };

struct vm_rules {
    const struct conditions_options *options;
    struct conditions *conditions;
    struct rpo_rules *rpo;
};

static void add_vm(struct vm_rules *rules, const struct catalog_vm_standing *vm, enum error_code code,
                   enum alert_severity severity, const char *message)
{
    struct catalog_alert alert = {.code = code,
                                  .severity = severity,
                                  .object_kind = "vm",
                                  .object_id = vm->id,
                                  .object_name = vm->name,
                                  .message = message};
    conditions_add(rules->conditions, &alert);
}

/* --- recovery point objective
 * ------------------------------------------------------------------------------------ */

static void judge_rpo(struct vm_rules *rules, const struct catalog_vm_standing *vm)
{
    enum { TO_MINUTES = 16 };
    struct arena *arena = rules->conditions->arena;
    struct rpo_subject subject = {.policy_id = vm->policy_id,
                                  .stopped = vm->stopped,
                                  .protected_ms = vm->protected_ms,
                                  .last_point_ms = vm->last_point_ms};
    char text[CLOCK_TEXT_SIZE];
    if (rpo_judge(rules->rpo, &subject) != RPO_MISSED) {
        return;
    }
    const char *policy = rpo_policy(rules->rpo, vm->policy_id)->name;
    add_vm(rules, vm, ERROR_RPO_MISSED, ALERT_CRITICAL,
           vm->last_point_ms == 0
               ? arena_format(arena, "%s has no recovery point yet, though its policy %s asks for one",
                              vm->name, policy)
               : arena_format(arena,
                              "%s has no recovery point since %.*s UTC, though its policy %s asks for one",
                              vm->name, TO_MINUTES, clock_format_wall(vm->last_point_ms, text), policy));
}

/* --- jobs
 * -------------------------------------------------------------------------------------------------------- */

/* Codes in the log of a VM's last backup that people must know, whatever became of the job. */
static const struct {
    enum error_code code;
    enum alert_severity severity;
} told_codes[] = {{ERROR_THAW_FAILED, ALERT_CRITICAL},
                  {ERROR_GUEST_PAUSED, ALERT_CRITICAL},
                  {ERROR_TRACKING_LOST, ALERT_INFORMATION}};

static void add_job(struct vm_rules *rules, const struct catalog_vm_standing *vm, const char *job_id,
                    const struct catalog_alert *what)
{
    struct catalog_alert alert = *what;
    alert.object_kind = "vm";
    alert.object_id = vm->id;
    alert.object_name = vm->name;
    alert.job_id = job_id;
    conditions_add(rules->conditions, &alert);
}

static int judge_log(struct vm_rules *rules, const struct catalog_vm_standing *vm, bool warned,
                     struct error *err)
{
    const struct catalog_job_log *entries;
    size_t count;
    if (catalog_job_codes(rules->options->catalog, rules->conditions->arena, vm->backup_job, &entries, &count,
                          err) != 0) {
        return -1;
    }
    for (size_t k = 0; k < sizeof told_codes / sizeof *told_codes; k++) {
        for (size_t i = 0; i < count; i++) {
            if (error_code_from_name(entries[i].code) == told_codes[k].code) {
                struct catalog_alert alert = {.code = told_codes[k].code,
                                              .severity = told_codes[k].severity,
                                              .message = entries[i].message};
                add_job(rules, vm, vm->backup_job, &alert);
                break;
            }
        }
    }
    const char *cause = "";
    enum error_code cause_code = ERROR_NONE;
    for (size_t i = 0; i < count && cause[0] == '\0'; i++) {
        if (entries[i].level == JOB_LOG_WARNING) {
            cause = entries[i].message;
            cause_code = error_code_from_name(entries[i].code);
        }
    }
    if (warned) {
        struct catalog_alert alert = {.code = ERROR_BACKUP_WARNINGS,
                                      .severity = ALERT_WARNING,
                                      .message = arena_format(rules->conditions->arena,
                                                              "The last backup of %s completed with warnings",
                                                              vm->name),
                                      .cause_code = cause_code,
                                      .cause = cause};
        add_job(rules, vm, vm->backup_job, &alert);
    }
    return 0;
}

static const char *cause_text(struct arena *arena, const struct catalog_job_outcome *outcome)
{
    return outcome->error_cause[0] == '\0'
               ? outcome->error_message
               : arena_format(arena, "%s (%s)", outcome->error_message, outcome->error_cause);
}

static int judge_backup(struct vm_rules *rules, const struct catalog_vm_standing *vm, struct error *err)
{
    struct arena *arena = rules->conditions->arena;
    struct catalog_job_outcome outcome;
    if (vm->backup_job[0] == '\0') {
        return 0;
    }
    if (catalog_job_outcome(rules->options->catalog, arena, vm->backup_job, &outcome, err) != 0) {
        return err->code == ERROR_JOB_NOT_FOUND ? 0 : -1;
    }
    if (outcome.state == JOB_FAILED) {
        struct catalog_alert alert = {.code = ERROR_BACKUP_FAILED,
                                      .severity = ALERT_CRITICAL,
                                      .message =
                                          arena_format(arena, "The last backup of %s failed", vm->name),
                                      .cause_code = outcome.error_code,
                                      .cause = cause_text(arena, &outcome)};
        add_job(rules, vm, vm->backup_job, &alert);
    }
    return judge_log(rules, vm, outcome.state == JOB_COMPLETED_WITH_WARNINGS, err);
}

static int judge_restore(struct vm_rules *rules, const struct catalog_vm_standing *vm, struct error *err)
{
    struct arena *arena = rules->conditions->arena;
    struct catalog_job_outcome outcome;
    if (vm->restore_job[0] == '\0') {
        return 0;
    }
    if (catalog_job_outcome(rules->options->catalog, arena, vm->restore_job, &outcome, err) != 0) {
        return err->code == ERROR_JOB_NOT_FOUND ? 0 : -1;
    }
    if (outcome.state == JOB_FAILED) {
        struct catalog_alert alert = {.code = ERROR_RESTORE_FAILED,
                                      .severity = ALERT_WARNING,
                                      .message =
                                          arena_format(arena, "The last restore of %s failed", vm->name),
                                      .cause_code = outcome.error_code,
                                      .cause = cause_text(arena, &outcome)};
        add_job(rules, vm, vm->restore_job, &alert);
    }
    return 0;
}

static int judge_vm(struct vm_rules *rules, const struct catalog_vm_standing *vm, struct error *err)
{
    struct arena *arena = rules->conditions->arena;
    bool protected = vm->group_id[0] != '\0' && !vm->stopped;
    if (protected && !vm->present) {
        add_vm(rules, vm, vm->moved_away ? ERROR_VM_MOVED_AWAY : ERROR_VM_NOT_FOUND, ALERT_CRITICAL,
               vm->moved_away ? arena_format(arena, "%s was moved away from %s, and no other host reports it",
                                             vm->name, vm->host_name)
                              : arena_format(arena, "%s is gone from its host %s", vm->name, vm->host_name));
    }
    if (protected) {
        judge_rpo(rules, vm);
    }
    if (!vm->present && vm->group_id[0] == '\0') {
        return 0; /* it is gone, and nobody asks for it: no success would ever come */
    }
    return judge_backup(rules, vm, err) != 0 || judge_restore(rules, vm, err) != 0 ? -1 : 0;
}

static int judge_all(struct vm_rules *rules, struct error *err)
{
    const struct conditions_options *options = rules->options;
    struct catalog_page page = {0};
    const struct catalog_vm_standing *vms;
    size_t count;
    do {
        if (catalog_vm_standing_list(options->catalog, rules->conditions->arena, &page,
                                     options->now_ms - RESTORE_KEPT_MS, &vms, &count, err) != 0) {
            return -1;
        }
        for (size_t i = 0; i < count; i++) {
            page.after = vms[i].number;
            if (judge_vm(rules, &vms[i], err) != 0) {
                return -1;
            }
        }
    } while (count == CATALOG_PAGE_MAX);
    return 0;
}

int conditions_of_vms(const struct conditions_options *options, struct conditions *conditions,
                      struct error *err)
{
    struct vm_rules rules = {.options = options, .conditions = conditions};
    rules.rpo = rpo_rules_read(options->catalog, options->rpo_grace_ms, options->now_ms, err);
    int result = rules.rpo != NULL ? judge_all(&rules, err) : -1;
    rpo_rules_free(rules.rpo);
    return result;
}
