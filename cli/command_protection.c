/* Policies. */
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/schedule.h"
#include "cli/table.h"
#include "cli/text.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SNAPSHOT_DAYS_MAX = 5 };

/* The retention that the options ask for; *retention stays NULL when they ask for none. A new policy that
 * says what it keeps keeps nothing else: the default days don't count then. */
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

static int read_lock(const struct cli *cli, json_t *body, struct failure *failure)
{
    enum { TEN_YEARS_DAYS = 3653 };
    long days = 0;
    int given = arguments_number(cli->arguments, "lock-days", 0, TEN_YEARS_DAYS, &days, failure);
    if (given > 0) {
        json_object_set_new(body, "lock_days", json_integer(days));
    }
    return given < 0 ? -1 : 0;
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
    if (schedule_read_options(cli, &schedule, failure) != 0 ||
        read_retention(cli, create, &retention, failure) != 0) {
        json_decref(schedule);
        return NULL;
    }
    json_t *body = json_object();
    if (read_lock(cli, body, failure) != 0) {
        json_decref(schedule);
        json_decref(retention);
        json_decref(body);
        return NULL;
    }
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
    if (arguments_value(cli->arguments, "priority") != NULL) {
        json_object_set_new(body, "priority", json_string(arguments_value(cli->arguments, "priority")));
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

char *retention_text_of(const json_t *policy)
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

static char *lock_text(const json_t *policy)
{
    unsigned long long days = cli_number(policy, "lock_days");
    return days > 0 ? memory_format("for %llu days: nobody can delete them before", days)
                    : memory_copy_text("no");
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
    cli_take_field(cli, "Schedule", schedule_text_of(policy));
    if (cli_member(policy, "next_run") != NULL) {
        cli_take_field(cli, "Next run", text_time(cli_text(policy, "next_run")));
    }
    cli_print_field(cli, "Priority", cli_text(policy, "priority"));
    cli_take_field(cli, "Keeps", retention_text_of(policy));
    cli_take_field(cli, "Locks points", lock_text(policy));
    cli_take_field(
        cli, "Consistency",
        memory_format("%s%s", cli_text(policy, "consistency") != NULL ? cli_text(policy, "consistency") : "-",
                      cli_truth(policy, "consistency_required") ? ", less is a failure" : ""));
    cli_take_field(cli, "On hosts",
                   memory_format("%llu days", (unsigned long long)cli_number(policy, "snapshot_days")));
    cli_print_field(cli, "Page files", cli_truth(policy, "exclude_pages") ? "left out" : "stored");
    cli_take_field(cli, "Groups", memory_format("%llu", (unsigned long long)cli_number(policy, "groups")));
    cli_take_field(cli, "Changed", text_time(cli_text(policy, "changed")));
    cli_print_field(cli, "Changed by", cli_text(policy, "changed_by"));
    if (cli_number(policy, "next_run_deletes") > 0) {
        fprintf(cli->out,
                "\nRecovery points that the next run of retention, within ten minutes, deletes: %llu\n",
                (unsigned long long)cli_number(policy, "next_run_deletes"));
    }
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

/* What a change would delete; takes the body over. */
static int preview_policy(struct cli *cli, json_t *body, struct failure *failure)
{
    enum { SHORT_ID = 8 };
    json_t *preview = NULL;
    size_t index;
    json_t *point;
    struct client *client = cli_client(cli, failure);
    if (client == NULL) {
        json_decref(body);
        return -1;
    }
    char *path = client_path("/v1/policies/%s/preview", arguments_at(cli->arguments, 0));
    int result = client_call(client, "POST", path, body, &preview, failure);
    free(path);
    if (result != 0 || cli->json) {
        if (result == 0) {
            cli_print_json(cli, preview);
        }
        json_decref(preview);
        return result;
    }
    struct table *table = table_create("POINT|VM|TIME|>STORED");
    json_array_foreach (json_object_get(preview, "points"), index, point) {
        table_take(table, memory_format("%.*s", SHORT_ID, cli_text(point, "id")));
        table_add(table, cli_text(point, "vm"));
        table_take(table, text_time(cli_text(point, "time")));
        table_take(table, text_size(cli_number(point, "stored_bytes")));
    }
    table_print(table, "No recovery point would be deleted.", cli->out);
    table_destroy(table);
    if (cli_number(preview, "deletes") > 0) {
        fprintf(cli->out, "\nRecovery points that the next run would delete: %llu. Nothing was changed.\n",
                (unsigned long long)cli_number(preview, "deletes"));
    }
    json_decref(preview);
    return 0;
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
    long version = 0;
    int given = arguments_number(cli->arguments, "if-version", 1, INT32_MAX, &version, failure);
    if (given < 0) {
        json_decref(body);
        return -1;
    }
    if (enable != disable) {
        json_object_set_new(body, "enabled", json_boolean(enable));
    }
    if (json_object_size(body) == 0 || (enable && disable)) {
        json_decref(body);
        return failure_set(failure, ERROR_REQUEST_INVALID,
                           "Say what to change: see `holdfast policy edit --help`");
    }
    if (arguments_flag(cli->arguments, "dry-run")) {
        return preview_policy(cli, body, failure);
    }
    if (given > 0) {
        json_object_set_new(body, "version", json_integer(version));
    }
    char *path = client_path("/v1/policies/%s", arguments_at(cli->arguments, 0));
    int result = finish_policy(cli, "PATCH", path, body, failure);
    free(path);
    return result;
}

int run_policy_show(struct cli *cli, struct failure *failure)
{
    long version = 0;
    int given = arguments_number(cli->arguments, "version", 1, INT32_MAX, &version, failure);
    if (given < 0) {
        return -1;
    }
    char *path = client_path("/v1/policies/%s", arguments_at(cli->arguments, 0));
    if (given > 0) {
        char *of_policy = path;
        path = memory_format("%s/versions/%ld", of_policy, version);
        free(of_policy);
    }
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
    struct table *table = table_create("POLICY|SCHEDULE|NEXT RUN|KEEPS|CONSISTENCY|PRIORITY|>GROUPS|ENABLED");
    json_array_foreach (policies, index, policy) {
        table_add(table, cli_text(policy, "name"));
        table_take(table, schedule_text_of(policy));
        table_take(table, text_time(cli_text(policy, "next_run")));
        table_take(table, retention_text_of(policy));
        table_add(table, cli_text(policy, "consistency"));
        table_add(table, cli_text(policy, "priority"));
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

int run_group_delete(struct cli *cli, struct failure *failure)
{
    return delete_named(cli, "/v1/groups/", "Group", failure);
}
