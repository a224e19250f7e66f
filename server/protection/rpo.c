#include "server/protection/rpo.h"

#include "base/log.h"
#include "base/memory.h"
#include "server/protection/schedule.h"
#include <stdlib.h>
#include <string.h>

enum { MINUTE_MS = 60000 };

struct rule {
    const struct catalog_policy *policy;
    struct time_zone *zone; /* NULL: nothing is asked for */
    /* Judging is monotonic: VMs whose last instant is not after the first have missed, from the second on
     * none has. */
    int64_t missed_since_ms;
    int64_t met_since_ms;
};

struct rpo_rules {
    struct arena *arena;
    struct rule *rules; /* by policy id */
    size_t count;
    int64_t grace_ms;
    int64_t now_ms;
};

const char *rpo_state_name(enum rpo_state state)
{
    static const char *const names[] = {"none", "waiting", "met", "missed"};
    return names[state];
}

static void add_rule(struct rpo_rules *rules, const struct catalog_policy *policy)
{
    struct rule rule = {.policy = policy, .missed_since_ms = INT64_MIN, .met_since_ms = INT64_MAX};
    struct error err;
    if (policy->enabled && policy->schedule != SCHEDULE_MANUAL) {
        rule.zone = time_zone_open(policy->time_zone, &err);
        if (rule.zone == NULL) {
            log_error("no recovery points are missed by this policy", &err);
        }
    }
    rules->rules = arena_grow(rules->arena, rules->rules, rules->count, sizeof *rules->rules);
    rules->rules[rules->count++] = rule;
}

static int compare_rules(const void *a, const void *b)
{
    return strcmp(((const struct rule *)a)->policy->id, ((const struct rule *)b)->policy->id);
}

struct rpo_rules *rpo_rules_read(struct catalog *catalog, int64_t grace_ms, int64_t now_ms, struct error *err)
{
    struct rpo_rules *rules = memory_zalloc(sizeof *rules);
    struct catalog_page page = {0};
    const struct catalog_policy *policies;
    size_t count;
    rules->arena = arena_create();
    rules->grace_ms = grace_ms;
    rules->now_ms = now_ms;
    do {
        if (catalog_policy_list(catalog, rules->arena, &page, &policies, &count, err) != 0) {
            rpo_rules_free(rules);
            return NULL;
        }
        for (size_t i = 0; i < count; i++) {
            add_rule(rules, &policies[i]);
            page.after = policies[i].number;
        }
    } while (count == CATALOG_PAGE_MAX);
    if (rules->count > 1) {
        qsort(rules->rules, rules->count, sizeof *rules->rules, compare_rules);
    }
    return rules;
}

void rpo_rules_free(struct rpo_rules *rules)
{
    if (rules == NULL) {
        return;
    }
    for (size_t i = 0; i < rules->count; i++) {
        if (rules->rules[i].zone != NULL) {
            time_zone_close(rules->rules[i].zone);
        }
    }
    arena_destroy(rules->arena);
    free(rules);
}

static struct rule *find_rule(struct rpo_rules *rules, const char *policy_id)
{
    struct catalog_policy key_policy = {.id = policy_id};
    struct rule key = {.policy = &key_policy};
    return rules->count == 0 || policy_id[0] == '\0'
               ? NULL
               : bsearch(&key, rules->rules, rules->count, sizeof *rules->rules, compare_rules);
}

const struct catalog_policy *rpo_policy(struct rpo_rules *rules, const char *policy_id)
{
    const struct rule *rule = find_rule(rules, policy_id);
    return rule != NULL ? rule->policy : NULL;
}

static struct rule *find_asking(struct rpo_rules *rules, const struct rpo_subject *vm)
{
    struct rule *rule = vm->stopped ? NULL : find_rule(rules, vm->policy_id);
    return rule != NULL && rule->zone != NULL ? rule : NULL;
}

/* From when on there is one missing that was due after this; SCHEDULE_NEVER. */
static int64_t missed_from(const struct rpo_rules *rules, const struct rule *rule, int64_t since_ms)
{
    int64_t next_ms = schedule_next(rule->policy, rule->zone, since_ms);
    return next_ms == SCHEDULE_NEVER
               ? SCHEDULE_NEVER
               : next_ms + (int64_t)rule->policy->spread_minutes * MINUTE_MS + rules->grace_ms;
}

static bool is_missed(const struct rpo_rules *rules, const struct rule *rule, int64_t since_ms, int64_t at_ms)
{
    int64_t from_ms = missed_from(rules, rule, since_ms);
    return from_ms != SCHEDULE_NEVER && at_ms > from_ms;
}

/* What the next point is due after. */
static int64_t last_instant(const struct rule *rule, const struct rpo_subject *vm)
{
    int64_t since_ms = vm->last_point_ms > vm->protected_ms ? vm->last_point_ms : vm->protected_ms;
    int64_t changed_ms = rule->policy->schedule_changed_ms; /* a new schedule has missed nothing yet */
    return changed_ms > since_ms ? changed_ms : since_ms;
}

enum rpo_state rpo_judge(struct rpo_rules *rules, const struct rpo_subject *vm)
{
    struct rule *rule = find_asking(rules, vm);
    if (rule == NULL) {
        return RPO_NONE;
    }
    int64_t since_ms = last_instant(rule, vm);
    if (since_ms > rule->missed_since_ms && since_ms < rule->met_since_ms) {
        if (is_missed(rules, rule, since_ms, rules->now_ms)) {
            rule->missed_since_ms = since_ms;
        } else {
            rule->met_since_ms = since_ms;
        }
    }
    return since_ms <= rule->missed_since_ms ? RPO_MISSED : vm->last_point_ms > 0 ? RPO_MET : RPO_WAITING;
}

int64_t rpo_allowed_ms(struct rpo_rules *rules, const struct rpo_subject *vm)
{
    const struct rule *rule = find_asking(rules, vm);
    if (rule == NULL) {
        return 0;
    }
    int64_t since_ms = last_instant(rule, vm);
    int64_t from_ms = missed_from(rules, rule, since_ms);
    return from_ms == SCHEDULE_NEVER ? 0 : from_ms - (vm->last_point_ms > 0 ? vm->last_point_ms : since_ms);
}

bool rpo_gap_is_missed(struct rpo_rules *rules, const char *policy_id, int64_t from_ms, int64_t to_ms)
{
    const struct rule *rule = find_rule(rules, policy_id);
    return rule != NULL && rule->zone != NULL && is_missed(rules, rule, from_ms, to_ms);
}
