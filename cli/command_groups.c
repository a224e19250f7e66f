/* Protection groups. */
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/text.h"
#include <stdlib.h>

/* What became of recovery points when protection ended or began again. */
static void print_points(const struct cli *cli, const json_t *group)
{
    unsigned long long deleted = cli_number(group, "points.deleted");
    unsigned long long kept = cli_number(group, "points.locked") + cli_number(group, "points.held");
    unsigned long long undeleted = cli_number(group, "points.undeleted");
    if (deleted > 0) {
        fprintf(cli->out, "\nRecovery points deleted: %llu (`holdfast rp list --deleted`)\n", deleted);
    }
    if (kept > 0) {
        fprintf(cli->out, "\nRecovery points that are locked or on hold and stay: %llu\n", kept);
    }
    if (undeleted > 0) {
        fprintf(cli->out, "\nRecovery points that are back: %llu\n", undeleted);
    }
}

static void print_findings(const struct cli *cli, const json_t *findings)
{
    size_t index;
    json_t *finding;
    json_array_foreach ((json_t *)(uintptr_t)findings, index, finding) {
        const char *cause = cli_text(finding, "cause");
        char *text = text_printable(cli_text(finding, "message"));
        char *reason = text_printable(cause);
        fprintf(cli->out, "%s%s: %s: %s%s%s\n", index == 0 ? "\n" : "", cli_text(finding, "severity"),
                cli_text(finding, "code"), text, cause != NULL ? ": " : "", cause != NULL ? reason : "");
        free(text);
        free(reason);
    }
}

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
    cli_take_field(cli, "Next run", text_time(cli_text(group, "next_run")));
    struct table *table = table_create("VM|STATE|>POINTS|LAST POINT|NEXT RUN|ID");
    json_array_foreach ((json_t *)(uintptr_t)cli_member(group, "vms"), index, vm) {
        const char *host = cli_text(vm, "host");
        const char *name = cli_text(vm, "name");
        table_take(table, memory_format("%s/%s", host != NULL ? host : "-", name != NULL ? name : "-"));
        table_add(table, cli_text(vm, "protection"));
        table_take(table, memory_format("%llu", (unsigned long long)cli_number(vm, "points")));
        table_take(table, text_time(cli_text(vm, "last_point_time")));
        table_take(table, text_time(cli_text(vm, "next_run")));
        table_add(table, cli_text(vm, "id"));
    }
    fputc('\n', cli->out);
    table_print(table, "It has no VMs. Add some: holdfast group add", cli->out);
    table_destroy(table);
    print_points(cli, group);
    print_findings(cli, cli_member(group, "warnings"));
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

/* Made, or with --dry-run only validated: then what is wrong decides the exit status. Takes the body over. */
static int finish_members(struct cli *cli, const char *path, json_t *body, struct failure *failure)
{
    json_t *report = NULL;
    if (!arguments_flag(cli->arguments, "dry-run")) {
        return finish_group(cli, "POST", path, body, failure);
    }
    json_object_set_new(body, "dry_run", json_true());
    struct client *client = cli_client(cli, failure);
    if (client == NULL) {
        json_decref(body);
        return -1;
    }
    if (client_call(client, "POST", path, body, &report, failure) != 0) {
        return -1;
    }
    bool valid = cli_truth(report, "valid");
    if (cli->json) {
        cli_print_json(cli, report);
    } else {
        fprintf(cli->out, "%s Nothing was changed.\n",
                valid ? "This can be protected." : "This can't be protected.");
        print_findings(cli, cli_member(report, "findings"));
    }
    json_decref(report);
    return valid ? 0 : CLI_TOLD;
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
    return finish_members(cli, "/v1/groups", body, failure);
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
    struct table *table = table_create("GROUP|POLICY|>VMS|SCHEDULE|LAST STARTED|NEXT RUN");
    json_array_foreach (groups, index, group) {
        table_add(table, cli_text(group, "name"));
        table_add(table, cli_text(group, "policy"));
        table_take(table, memory_format("%llu", (unsigned long long)cli_number(group, "vm_count")));
        table_add(table, cli_truth(group, "stopped") ? "stopped" : "active");
        table_take(table, text_time(cli_text(group, "last_scheduled")));
        table_take(table, text_time(cli_text(group, "next_run")));
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
    int result = finish_members(cli, path, json_pack("{s:o}", "vms", vms), failure);
    free(path);
    return result;
}

/* --retain-data is what happens without either. */
static int read_data(const struct cli *cli, bool *delete_data, struct failure *failure)
{
    *delete_data = arguments_flag(cli->arguments, "delete-data");
    return *delete_data && arguments_flag(cli->arguments, "retain-data")
               ? failure_set(failure, ERROR_REQUEST_INVALID,
                             "Of --retain-data and --delete-data only one can be given")
               : 0;
}

int run_group_edit(struct cli *cli, struct failure *failure)
{
    static const char *const options[] = {"policy", "name"};
    json_t *body = json_object();
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        const char *value = arguments_value(cli->arguments, options[i]);
        if (value != NULL) {
            json_object_set_new(body, options[i], json_string(value));
        }
    }
    char *path = client_path("/v1/groups/%s", arguments_at(cli->arguments, 0));
    int result = finish_group(cli, "PATCH", path, body, failure);
    free(path);
    return result;
}

int run_group_stop(struct cli *cli, struct failure *failure)
{
    bool delete_data;
    if (read_data(cli, &delete_data, failure) != 0) {
        return -1;
    }
    char *path = client_path("/v1/groups/%s/stop", arguments_at(cli->arguments, 0));
    int result = finish_group(cli, "POST", path, json_pack("{s:b}", "delete_data", delete_data), failure);
    free(path);
    return result;
}

int run_group_resume(struct cli *cli, struct failure *failure)
{
    char *path = client_path("/v1/groups/%s/resume", arguments_at(cli->arguments, 0));
    int result = finish_group(cli, "POST", path, NULL, failure);
    free(path);
    return result;
}

int run_group_remove(struct cli *cli, struct failure *failure)
{
    json_t *group = NULL;
    bool delete_data = false;
    if (read_data(cli, &delete_data, failure) != 0) {
        return -1;
    }
    struct client *client = cli_client(cli, failure);
    int result = client != NULL ? 0 : -1;
    for (size_t i = 1; i < arguments_count(cli->arguments) && result == 0; i++) {
        char *encoded = client_path("/v1/groups/%s/members/%s", arguments_at(cli->arguments, 0),
                                    arguments_at(cli->arguments, i));
        char *path = memory_format("%s%s", encoded, delete_data ? "?delete_data=true" : "");
        free(encoded);
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
