#include "server/alerts/conditions.h"
#include "server/protection/time_zone.h"

/* Names of time zones leave the system's tzdata now and then. */
static int judge_group(const struct conditions_options *options, const struct catalog_group *group,
                       struct conditions *conditions, struct error *err)
{
    struct error why;
    const struct catalog_policy *policy =
        catalog_policy_find(options->catalog, conditions->arena, group->policy_id, err);
    if (policy == NULL) {
        return err->code == ERROR_POLICY_NOT_FOUND ? 0 : -1; /* both are gone meanwhile */
    }
    struct time_zone *zone = time_zone_open(policy->time_zone, &why);
    if (zone == NULL) {
        struct catalog_alert alert = {
            .code = why.code,
            .severity = ALERT_CRITICAL,
            .object_kind = "group",
            .object_id = group->id,
            .object_name = group->name,
            .message =
                arena_format(conditions->arena,
                             "Group %s is neither backed up by its schedule nor are old points deleted: "
                             "this system has no time zone %s, of policy %s",
                             group->name, policy->time_zone, policy->name)};
        conditions_add(conditions, &alert);
    }
    time_zone_close(zone);
    return 0;
}

int conditions_of_groups(const struct conditions_options *options, struct conditions *conditions,
                         struct error *err)
{
    struct catalog_page page = {0};
    const struct catalog_group *groups;
    size_t count;
    do {
        if (catalog_group_list(options->catalog, conditions->arena, &page, &groups, &count, err) != 0) {
            return -1;
        }
        for (size_t i = 0; i < count; i++) {
            page.after = groups[i].number;
            if (!groups[i].stopped && judge_group(options, &groups[i], conditions, err) != 0) {
                return -1;
            }
        }
    } while (count == CATALOG_PAGE_MAX);
    return 0;
}
