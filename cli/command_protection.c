/* Policies and protection groups. */
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SNAPSHOT_DAYS_MAX = 5 };

/* The schedule that the options ask for; *schedule stays NULL when they ask for none. */
static int read_schedule(const struct cli *cli, json_t **schedule, struct failure *failure)
{
    enum { WEEK_MINUTES = 7 * 24 * 60 };
    long minutes = 0;
    const struct arguments *arguments = cli->arguments;
    const char *daily = arguments_value(arguments, "daily");
    const char *days = arguments_value(arguments, "days");
    const char *zone = arguments_value(arguments, "timezone");
    int every = arguments_number(arguments, "every", 1, WEEK_MINUTES, &minutes, failure);
    if (every < 0) {
        return -1;
    }
    if (every + (daily != NULL) + arguments_flag(arguments, "manual") > 1) {
        return failure_set(failure, ERROR_REQUEST_INVALID,
                           "Of --every, --daily and --manual only one can be given");
    }
    json_t *object = json_object();
    if (every > 0) {
        json_object_set_new(object, "kind", json_string("interval"));
        json_object_set_new(object, "interval_minutes", json_integer(minutes));
    } else if (daily != NULL) {
        json_object_set_new(object, "kind", json_string("daily"));
        json_object_set_new(object, "daily_times", json_string(daily));
    } else if (arguments_flag(arguments, "manual")) {
        json_object_set_new(object, "kind", json_string("manual"));
    }
    if (days != NULL && text_parse_days(days) < 0) {
        json_decref(object);
        return failure_set(failure, ERROR_SCHEDULE_INVALID, "“%s” are no days: mon,tue,wed,thu,fri,sat,sun",
                           days);
    }
    if (days != NULL) {
        json_object_set_new(object, "days", json_integer(text_parse_days(days)));
    }
    if (zone != NULL) {
        json_object_set_new(object, "timezone", json_string(zone));
    }
    if (json_object_size(object) > 0) {
        *schedule = object;
    } else {
        json_decref(object);
    }
    return 0;
}

/* As read_schedule. A new policy that says what it keeps keeps nothing else: the default days don't count
 * then. */
static int read_retention(const struct cli *cli, bool create, json_t **retention, struct failure *failure)
{
    enum { KEEP_MAX = 100000 };
    static const char *const counts[] = {"days", "latest", "daily", "weekly", "monthly", "yearly"};
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        long count = 0;
        char *option = memory_format("keep-%s", counts[i]);
        int given = arguments_number(cli->arguments, option, 0, KEEP_MAX, &count, failure);
        free(option);
        if (given < 0) {
            json_decref(object);
            return -1;
        }
        if (given > 0) {
            json_object_set_new(object, counts[i], json_integer(count));
        }
    }
    if (json_object_size(object) == 0) {
        json_decref(object);
        return 0;
    }
    if (create && json_object_get(object, "days") == NULL) {
        json_object_set_new(object, "days", json_integer(0));
    }
    *retention = object;
    return 0;
}

static json_t *read_policy(const struct cli *cli, bool create, struct failure *failure)
{
    json_t *schedule = NULL;
    json_t *retention = NULL;
    const char *consistency = arguments_value(cli->arguments, "consistency");
    bool exclude = arguments_flag(cli->arguments, "exclude-pages");
    bool include = !create && arguments_flag(cli->arguments, "include-pages");
    if (exclude && include) {
        failure_set(failure, ERROR_REQUEST_INVALID,
                    "Of --exclude-pages and --include-pages only one can be given");
        return NULL;
    }
    long days = 0;
    int snapshots = arguments_number(cli->arguments, "snapshot-days", 0, SNAPSHOT_DAYS_MAX, &days, failure);
    if (snapshots < 0) {
        return NULL;
    }
    if (read_schedule(cli, &schedule, failure) != 0 ||
        read_retention(cli, create, &retention, failure) != 0) {
        json_decref(schedule);
        return NULL;
    }
    json_t *body = json_object();
    if (schedule != NULL) {
        json_object_set_new(body, "schedule", schedule);
    }
    if (retention != NULL) {
        json_object_set_new(body, "retention", retention);
    }
    if (consistency != NULL) {
        json_object_set_new(body, "consistency", json_string(consistency));
    }
    if (arguments_flag(cli->arguments, "require-consistency")) {
        json_object_set_new(body, "consistency_required", json_true());
    } else if (!create && arguments_flag(cli->arguments, "accept-less-consistency")) {
        json_object_set_new(body, "consistency_required", json_false());
    }
    if (snapshots > 0) {
        json_object_set_new(body, "snapshot_days", json_integer(days));
    }
    if (exclude) {
        json_object_set_new(body, "exclude_pages", json_true());
    } else if (include) {
        json_object_set_new(body, "exclude_pages", json_false());
    }
    return body;
}

static char *schedule_text(const json_t *policy)
{
    const char *kind = cli_text(policy, "schedule.kind");
    const char *zone = cli_text(policy, "schedule.timezone");
    const char *times = cli_text(policy, "schedule.daily_times");
    uint64_t days = cli_number(policy, "schedule.days");
    if (kind == NULL || strcmp(kind, "manual") == 0) {
        return memory_copy_text("manual");
    }
    if (strcmp(kind, "interval") == 0) {
        return memory_format("every %llu min",
                             (unsigned long long)cli_number(policy, "schedule.interval_minutes"));
    }
    char *on = text_days((unsigned)days);
    char *text = memory_format("%s at %s %s", on, times != NULL ? times : "?", zone != NULL ? zone : "");
    free(on);
    return text;
}

static char *retention_text(const json_t *policy)
{
    static const char *const counts[] = {"days", "latest", "daily", "weekly", "monthly", "yearly"};
    char *text = memory_copy_text("");
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        uint64_t count = cli_number(cli_member(policy, "retention"), counts[i]);
        if (count > 0) {
            char *longer = memory_format("%s%s%llu %s", text, *text != '\0' ? ", " : "",
                                         (unsigned long long)count, counts[i]);
            free(text);
            text = longer;
        }
    }
    return text;
}

static void print_policy(const struct cli *cli, const json_t *policy)
{
    if (cli->json) {
        cli_print_json(cli, policy);
        return;
    }
    cli_print_field(cli, "Policy", cli_text(policy, "name"));
    cli_print_field(cli, "Id", cli_text(policy, "id"));
    cli_take_field(cli, "Version", memory_format("%llu", (unsigned long long)cli_number(policy, "version")));
    cli_print_field(cli, "Enabled", cli_truth(policy, "enabled") ? "yes" : "no");
    cli_take_field(cli, "Schedule", schedule_text(policy));
    cli_take_field(cli, "Keeps", retention_text(policy));
    cli_take_field(
        cli, "Consistency",
        memory_format("%s%s", cli_text(policy, "consistency") != NULL ? cli_text(policy, "consistency") : "-",
                      cli_truth(policy, "consistency_required") ? ", less is a failure" : ""));
    cli_take_field(cli, "On hosts",
                   memory_format("%llu days", (unsigned long long)cli_number(policy, "snapshot_days")));
    cli_print_field(cli, "Page files", cli_truth(policy, "exclude_pages") ? "left out" : "stored");
    cli_take_field(cli, "Groups", memory_format("%llu", (unsigned long long)cli_number(policy, "groups")));
    cli_take_field(cli, "Changed", text_time(cli_text(policy, "changed")));
}

static int finish_policy(struct cli *cli, const char *method, const char *path, json_t *body,
                         struct failure *failure)
{
    json_t *policy = NULL;
    struct client *client = cli_client(cli, failure);
    if (client == NULL) {
        json_decref(body);
        return -1;
    }
    int result = client_call(client, method, path, body, &policy, failure);
    if (result == 0) {
        print_policy(cli, policy);
    }
    json_decref(policy);
    return result;
}

int run_policy_create(struct cli *cli, struct failure *failure)
{
    json_t *body = read_policy(cli, true, failure);
    if (body == NULL) {
        return -1;
    }
    json_object_set_new(body, "name", json_string(arguments_at(cli->arguments, 0)));
    return finish_policy(cli, "POST", "/v1/policies", body, failure);
}

int run_policy_edit(struct cli *cli, struct failure *failure)
{
    const char *name = arguments_value(cli->arguments, "name");
    bool enable = arguments_flag(cli->arguments, "enable");
    bool disable = arguments_flag(cli->arguments, "disable");
    json_t *body = read_policy(cli, false, failure);
    if (body == NULL) {
        return -1;
    }
    if (name != NULL) {
        json_object_set_new(body, "name", json_string(name));
    }
    if (enable != disable) {
        json_object_set_new(body, "enabled", json_boolean(enable));
    }
    if (json_object_size(body) == 0 || (enable && disable)) {
        json_decref(body);
        return failure_set(failure, ERROR_REQUEST_INVALID,
                           "Say what to change: see `holdfast policy edit --help`");
    }
    char *path = client_path("/v1/policies/%s", arguments_at(cli->arguments, 0));
    int result = finish_policy(cli, "PATCH", path, body, failure);
    free(path);
    return result;
}

int run_policy_show(struct cli *cli, struct failure *failure)
{
    char *path = client_path("/v1/policies/%s", arguments_at(cli->arguments, 0));
    int result = finish_policy(cli, "GET", path, NULL, failure);
    free(path);
    return result;
}

int run_policy_list(struct cli *cli, struct failure *failure)
{
    json_t *policies = NULL;
    size_t index;
    json_t *policy;
    struct client *client = cli_client(cli, failure);
    if (client == NULL || client_list(client, "/v1/policies", 0, &policies, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_items(cli, policies);
        return 0;
    }
    struct table *table = table_create("POLICY|SCHEDULE|KEEPS|CONSISTENCY|>GROUPS|ENABLED");
    json_array_foreach (policies, index, policy) {
        table_add(table, cli_text(policy, "name"));
        table_take(table, schedule_text(policy));
        table_take(table, retention_text(policy));
        table_add(table, cli_text(policy, "consistency"));
        table_take(table, memory_format("%llu", (unsigned long long)cli_number(policy, "groups")));
        table_add(table, cli_truth(policy, "enabled") ? "yes" : "no");
    }
    table_print(table, "There is no policy. Make one: holdfast policy create", cli->out);
    table_destroy(table);
    json_decref(policies);
    return 0;
}

/* Policies and groups are deleted alike. */
static int delete_named(struct cli *cli, const char *template, const char *what, struct failure *failure)
{
    const char *name = arguments_at(cli->arguments, 0);
    struct client *client = cli_client(cli, failure);
    char *encoded = client_path("%s", name);
    char *path = memory_format("%s%s", template, encoded);
    int result = client != NULL ? client_call(client, "DELETE", path, NULL, NULL, failure) : -1;
    if (result == 0 && cli->json) {
        json_t *answer = json_pack("{s:s}", "deleted", name);
        cli_print_json(cli, answer);
        json_decref(answer);
    } else if (result == 0) {
        fprintf(cli->out, "%s %s is deleted.\n", what, name);
    }
    free(encoded);
    free(path);
    return result;
}

int run_policy_delete(struct cli *cli, struct failure *failure)
{
    return delete_named(cli, "/v1/policies/", "Policy", failure);
}

/* --- groups */

static void print_group(const struct cli *cli, const json_t *group)
{
    size_t index;
    json_t *vm;
    if (cli->json) {
        cli_print_json(cli, group);
        return;
    }
    cli_print_field(cli, "Group", cli_text(group, "name"));
    cli_print_field(cli, "Id", cli_text(group, "id"));
    cli_print_field(cli, "Policy", cli_text(group, "policy"));
    cli_print_field(cli, "Schedule", cli_truth(group, "stopped") ? "stopped" : "active");
    cli_take_field(cli, "Last started", text_time(cli_text(group, "last_scheduled")));
    struct table *table = table_create("VM|ID");
    json_array_foreach ((json_t *)(uintptr_t)cli_member(group, "vms"), index, vm) {
        const char *host = cli_text(vm, "host");
        const char *name = cli_text(vm, "name");
        table_take(table, memory_format("%s/%s", host != NULL ? host : "-", name != NULL ? name : "-"));
        table_add(table, cli_text(vm, "id"));
    }
    fputc('\n', cli->out);
    table_print(table, "It has no VMs. Add some: holdfast group add", cli->out);
    table_destroy(table);
}

static int finish_group(struct cli *cli, const char *method, const char *path, json_t *body,
                        struct failure *failure)
{
    json_t *group = NULL;
    struct client *client = cli_client(cli, failure);
    if (client == NULL) {
        json_decref(body);
        return -1;
    }
    int result = client_call(client, method, path, body, &group, failure);
    if (result == 0) {
        print_group(cli, group);
    }
    json_decref(group);
    return result;
}

int run_group_create(struct cli *cli, struct failure *failure)
{
    const char *policy = arguments_value(cli->arguments, "policy");
    const char *vm;
    if (policy == NULL) {
        return failure_set(failure, ERROR_REQUEST_INVALID, "A group needs --policy POLICY");
    }
    json_t *vms = json_array();
    for (size_t i = 0; (vm = arguments_value_at(cli->arguments, "vm", i)) != NULL; i++) {
        json_array_append_new(vms, json_string(vm));
    }
    json_t *body =
        json_pack("{s:s, s:s, s:o}", "name", arguments_at(cli->arguments, 0), "policy", policy, "vms", vms);
    return finish_group(cli, "POST", "/v1/groups", body, failure);
}

int run_group_show(struct cli *cli, struct failure *failure)
{
    char *path = client_path("/v1/groups/%s", arguments_at(cli->arguments, 0));
    int result = finish_group(cli, "GET", path, NULL, failure);
    free(path);
    return result;
}

int run_group_list(struct cli *cli, struct failure *failure)
{
    json_t *groups = NULL;
    size_t index;
    json_t *group;
    struct client *client = cli_client(cli, failure);
    if (client == NULL || client_list(client, "/v1/groups", 0, &groups, failure) != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_items(cli, groups);
        return 0;
    }
    struct table *table = table_create("GROUP|POLICY|>VMS|SCHEDULE|LAST STARTED");
    json_array_foreach (groups, index, group) {
        table_add(table, cli_text(group, "name"));
        table_add(table, cli_text(group, "policy"));
        table_take(table, memory_format("%llu", (unsigned long long)cli_number(group, "vm_count")));
        table_add(table, cli_truth(group, "stopped") ? "stopped" : "active");
        table_take(table, text_time(cli_text(group, "last_scheduled")));
    }
    table_print(table, "There is no group. Make one: holdfast group create", cli->out);
    table_destroy(table);
    json_decref(groups);
    return 0;
}

int run_group_add(struct cli *cli, struct failure *failure)
{
    json_t *vms = json_array();
    for (size_t i = 1; i < arguments_count(cli->arguments); i++) {
        json_array_append_new(vms, json_string(arguments_at(cli->arguments, i)));
    }
    char *path = client_path("/v1/groups/%s/members", arguments_at(cli->arguments, 0));
    int result = finish_group(cli, "POST", path, json_pack("{s:o}", "vms", vms), failure);
    free(path);
    return result;
}

int run_group_remove(struct cli *cli, struct failure *failure)
{
    json_t *group = NULL;
    struct client *client = cli_client(cli, failure);
    int result = client != NULL ? 0 : -1;
    for (size_t i = 1; i < arguments_count(cli->arguments) && result == 0; i++) {
        char *path = client_path("/v1/groups/%s/members/%s", arguments_at(cli->arguments, 0),
                                 arguments_at(cli->arguments, i));
        json_decref(group);
        group = NULL;
        result = client_call(client, "DELETE", path, NULL, &group, failure);
        free(path);
    }
    if (result == 0) {
        print_group(cli, group);
    }
    json_decref(group);
    return result;
}

int run_group_delete(struct cli *cli, struct failure *failure)
{
    return delete_named(cli, "/v1/groups/", "Group", failure);
}
