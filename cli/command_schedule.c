/* When policies run next, and what they were. */
#include "base/memory.h"
#include "cli/arguments.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/schedule.h"
#include "cli/table.h"
#include "cli/text.h"
#include <stdlib.h>

static void set_text(json_t *body, const char *name, const char *text)
{
    if (text != NULL) {
        json_object_set_new(body, name, json_string(text));
    }
}

/* What the server is asked: a POST, since a schedule may come with it. */
static json_t *runs_request(const struct cli *cli, struct failure *failure)
{
    enum { COUNT_MAX = 1000 };
    const struct arguments *arguments = cli->arguments;
    const char *name = arguments_at(arguments, 0);
    json_t *schedule = NULL;
    long count = 0;
    int given = arguments_number(arguments, "count", 1, COUNT_MAX, &count, failure);
    if (given < 0 || schedule_read_options(cli, &schedule, failure) != 0) {
        return NULL;
    }
    if (name == NULL && schedule == NULL) {
        failure_set(failure, ERROR_REQUEST_INVALID, "Name a policy, or say a schedule such as --daily 22:00");
        return NULL;
    }
    json_t *body = json_object();
    set_text(body, "policy", name);
    set_text(body, "after", arguments_value(arguments, "from"));
    set_text(body, "vm", arguments_value(arguments, "vm"));
    if (schedule != NULL) {
        json_object_set_new(body, "schedule", schedule);
    }
    if (given > 0) {
        json_object_set_new(body, "count", json_integer(count));
    }
    return body;
}

static void print_runs(const struct cli *cli, const json_t *items)
{
    size_t index;
    json_t *run;
    struct table *table = table_create("HERE|IN ITS TIME ZONE|UNTIL|NOTE");
    json_array_foreach ((json_t *)(uintptr_t)items, index, run) {
        table_take(table, text_time(cli_text(run, "time")));
        table_add(table, cli_text(run, "local"));
        table_take(table, text_time(cli_text(run, "until")));
        table_add(table, cli_truth(run, "moved") ? "the clock jumps over its time" : "");
    }
    table_print(table, "It does not run by itself.", cli->out);
    table_destroy(table);
}

int run_policy_next(struct cli *cli, struct failure *failure)
{
    json_t *runs = NULL;
    json_t *body = runs_request(cli, failure);
    struct client *client = body != NULL ? cli_client(cli, failure) : NULL;
    if (client == NULL) {
        json_decref(body);
        return -1;
    }
    int result = client_call(client, "POST", "/v1/schedules/runs", body, &runs, failure);
    if (result == 0 && cli->json) {
        cli_print_json(cli, runs);
    } else if (result == 0) {
        print_runs(cli, cli_member(runs, "items"));
    }
    json_decref(runs);
    return result;
}

int run_policy_history(struct cli *cli, struct failure *failure)
{
    json_t *versions = NULL;
    size_t index;
    json_t *version;
    char *path = client_path("/v1/policies/%s/versions", arguments_at(cli->arguments, 0));
    struct client *client = cli_client(cli, failure);
    int result = client != NULL ? client_list(client, path, 0, &versions, failure) : -1;
    free(path);
    if (result != 0) {
        return -1;
    }
    if (cli->json) {
        cli_print_items(cli, versions);
        return 0;
    }
    struct table *table = table_create(">VERSION|CHANGED|BY|SCHEDULE|KEEPS|PRIORITY|ENABLED");
    json_array_foreach (versions, index, version) {
        table_take(table, memory_format("%llu", (unsigned long long)cli_number(version, "version")));
        table_take(table, text_time(cli_text(version, "changed")));
        table_add(table, cli_text(version, "changed_by"));
        table_take(table, schedule_text_of(version));
        table_take(table, retention_text_of(version));
        table_add(table, cli_text(version, "priority"));
        table_add(table, cli_truth(version, "enabled") ? "yes" : "no");
    }
    table_print(table, "It has no versions.", cli->out);
    table_destroy(table);
    json_decref(versions);
    return 0;
}
