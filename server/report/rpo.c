#include "server/report/rpo.h"

#include "server/protection/schedule.h"
#include <string.h>

enum { MINUTE_MS = 60000, DAY_MINUTES = 24 * 60, WEEK_MINUTES = 7 * DAY_MINUTES, SLACK_MAX_MINUTES = 4 * 60 };

/* Between two runs of a week that goes round. */
static int64_t longest_gap_minutes(const struct catalog_policy *policy)
{
    unsigned minutes[SCHEDULE_TIMES_MAX];
    size_t count;
    struct error ignored; /* it was checked when it was stored */
    int64_t first = -1;
    int64_t last = -1;
    int64_t longest = 0;
    if (schedule_parse_times(policy->daily_times, minutes, &count, &ignored) != 0) {
        return 0;
    }
    for (int64_t at = 0; at < WEEK_MINUTES; at++) {
        bool runs = false;
        for (size_t i = 0; i < count; i++) {
            runs = runs || at % DAY_MINUTES == minutes[i];
        }
        if (!runs || (policy->days & 1U << (at / DAY_MINUTES)) == 0) {
            continue;
        }
        longest = last >= 0 && at - last > longest ? at - last : longest;
        first = first < 0 ? at : first;
        last = at;
    }
    int64_t around = first < 0 ? 0 : WEEK_MINUTES - last + first;
    return around > longest ? around : longest;
}

int64_t rpo_allowed_ms(const struct catalog_policy *policy)
{
    int64_t gap = policy->schedule == SCHEDULE_INTERVAL ? policy->interval_minutes
                  : policy->schedule == SCHEDULE_DAILY  ? longest_gap_minutes(policy)
                                                        : 0;
    int64_t slack = gap / 2 < SLACK_MAX_MINUTES ? gap / 2 : SLACK_MAX_MINUTES;
    return policy->enabled && gap > 0 ? (gap + slack + policy->spread_minutes) * MINUTE_MS : 0;
}

const char *rpo_state_name(enum rpo_state state)
{
    static const char *const names[] = {"none", "waiting", "met", "missed"};
    return names[state];
}

int rpo_policies_read(struct catalog *catalog, struct arena *arena, struct rpo_policies *policies,
                      struct error *err)
{
    struct catalog_page page = {.limit = CATALOG_PAGE_MAX};
    const struct catalog_policy *rows;
    size_t count;
    *policies = (struct rpo_policies){0};
    do {
        if (catalog_policy_list(catalog, arena, &page, &rows, &count, err) != 0) {
            return -1;
        }
        for (size_t i = 0; i < count; i++) {
            policies->policies =
                arena_grow(arena, policies->policies, policies->count, sizeof *policies->policies);
            policies->policies[policies->count++] = &rows[i];
            page.after = rows[i].number;
        }
    } while (count == CATALOG_PAGE_MAX);
    return 0;
}

enum rpo_state rpo_judge(const struct rpo_policies *policies, const struct catalog_vm_report_row *vm,
                         int64_t now_ms, int64_t *allowed_ms)
{
    *allowed_ms = 0;
    for (size_t i = 0; i < policies->count && vm->policy_id[0] != '\0' && !vm->stopped; i++) {
        if (strcmp(policies->policies[i]->id, vm->policy_id) == 0) {
            *allowed_ms = rpo_allowed_ms(policies->policies[i]);
            break;
        }
    }
    if (*allowed_ms == 0) {
        return RPO_NONE;
    }
    if (now_ms - vm->last_point_ms <= *allowed_ms) {
        return RPO_MET;
    }
    return vm->last_point_ms == 0 && now_ms - vm->added_ms <= *allowed_ms ? RPO_WAITING : RPO_MISSED;
}
